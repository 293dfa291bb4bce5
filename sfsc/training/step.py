"""One update of a network: its members' gradients, and what becomes of them."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sfsc.profile import TrainingOptions
from sfsc.training.aggregation import Aggregation, conflicts
from sfsc.training.batch import Batch
from sfsc.training.conflicts import LayerConflicts
from sfsc.training.gradients import Gradients, Scope
from sfsc.training.half_precision import at_least_float32
from sfsc.training.log import Column
from sfsc.training.objectives import Objective
from sfsc.training.processes import Processes
from sfsc.training.scalarisation import Scalarisation
from sfsc.training.trainable import Trainable


class Step:
    """Updates a network and its objective in place, one batch at a time.

    Nothing in it waits for the device.
    """

    def __init__(
        self,
        network: Trainable,
        objective: Objective,
        aggregation: Aggregation,
        scope: Scope,
        options: TrainingOptions,
        processes: Processes,
        part: Callable[[str], AbstractContextManager[None]] = lambda name: nullcontext(),
    ):
        """`part` is entered around each named part of a step, to measure it."""
        self.names = list(network.names)
        network.train().to(memory_format=torch.channels_last)
        self._network = network
        self._passes = _passes(network, options.compile)
        self._objective, self._aggregation, self._options = objective, aggregation, options
        self.conflicts = LayerConflicts(network, objective)
        modules: dict[str, Any] = {
            "network": network,
            "objective": objective,
            "conflicts": self.conflicts,
        }
        if isinstance(aggregation, nn.Module):  # one with a memory
            modules["aggregation"] = aggregation
        self.modules = nn.ModuleDict(modules)
        self.optimiser = _optimiser(self.modules, list(network.bare_parameters()), options)
        of_objective = list(objective.shared_parameters())
        shared = [*network.shared_parameters(), *of_objective]
        leaves = [[*network.leaves(index), *of_objective] for index in range(len(self.names))]
        shared_ids = {id(parameter) for parameter in shared}
        trained = [p for p in self.modules.parameters() if p.requires_grad]
        private = [p for p in trained if id(p) not in shared_ids]
        self._gradients = Gradients(shared, leaves, private, scope, processes)
        self._share, self._part = 1 / processes.count, part
        self._records: list[str] | None = None
        self.columns: list[Column] = []
        """Of what a call returns; known after the first one."""

    def __call__(
        self,
        batch: Batch,
        rate: float,
        random: torch.Generator,
        turn: Sequence[int],
    ) -> Tensor:
        """Update at learning rate `rate` with this process's part of a batch.

        `random` draws the orders of the projection; `turn` are the members that train in this step,
        in order. Returns the values of `columns`, float64, on the device; losses
        and records are this process's, and not a number for a member that does not train.
        """
        options = self._options
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self._gradients.clear()
        losses, records = self._differentiate(batch, turn)
        with self._part("aggregation"):
            if isinstance(self._aggregation, Scalarisation):
                self._aggregation.observe(torch.stack([losses[index] for index in turn]))
            gram, layers = self._gradients.grams()
            self._gradients.combine(self._aggregation(gram, random))
            # The diagnosis is of the whole network, whatever the scope of the projection.
            whole = layers.sum(dim=0)
            values = [self._measured(losses, records), whole.diagonal().sqrt()]
            if len(self.names) > 1:
                share, cosines = conflicts(whole)
                values += [share[None], cosines]
                self.conflicts.add(layers)
        with self._part("optimiser"):
            if options.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.modules.parameters(), options.clip_norm)
            self.optimiser.step()
        return torch.cat(values)

    def gram(self, batches: Iterable[Batch]) -> Tensor:
        """G = J J^T (m, m), float64, of the gradients summed over batches; updates no weight."""
        self._gradients.clear()
        for batch in batches:
            self._differentiate(batch, range(len(self.names)))
        _, layers = self._gradients.grams()
        return layers.sum(dim=0)

    def _differentiate(
        self, batch: Batch, turn: Sequence[int]
    ) -> tuple[dict[int, Tensor], dict[int, dict[str, Tensor]]]:
        """Add a batch's gradients to the rows; the losses and records of the members in `turn`."""
        options = self._options
        self._objective.begin(batch)
        losses: dict[int, Tensor] = {}
        records: dict[int, dict[str, Tensor]] = {}
        earlier: dict[int, Tensor] = {}
        for index in turn:
            name = self.names[index]
            self._gradients.select(index)
            with self._part(f"forward {name}"):
                with torch.autocast(
                    batch.images.device.type,
                    torch.bfloat16,
                    enabled=options.precision == "bfloat16",
                ):
                    self._network.select(index)
                    embeddings = self._passes[index](batch.images)
                # What search compares: the direction alone, so that is what objectives see.
                directions = F.normalize(at_least_float32(embeddings), dim=1)
                outcome = self._objective(index, directions, batch, earlier)
            with self._part(f"backward {name}"):
                # The gradients of all processes add up to that of the whole batch's mean loss.
                (outcome.loss * self._share).backward()
            self._gradients.reduce(index)
            earlier[index] = directions.detach()
            losses[index] = outcome.loss.detach()
            records[index] = dict(outcome.records)
        return losses, records

    def _measured(self, losses: dict[int, Tensor], records: dict[int, dict[str, Tensor]]) -> Tensor:
        """The losses, then each record, of all members, float64."""
        missing = torch.full_like(next(iter(losses.values())), math.nan)
        members = range(len(self.names))
        found = list(dict.fromkeys(name for each in records.values() for name in each))
        if self._records is None:
            self._records = found
            self.columns = self._all_columns(found)
        elif not set(found) <= set(self._records):
            raise ValueError(f"an objective records {found} after {self._records} before")
        values = [losses.get(index, missing) for index in members]
        for name in self._records:
            values += [records.get(index, {}).get(name, missing) for index in members]
        return torch.stack(values).double()

    def _all_columns(self, records: Sequence[str]) -> list[Column]:
        several = len(self.names) > 1
        return [
            *(Column(name, quantity) for quantity in ("loss", *records) for name in self.names),
            *(Column(name, "gradient_norm") for name in self.names),
            *([Column("", "conflict_share")] if several else []),
            *(Column(f"{a}-{b}", "cosine") for a, b in itertools.combinations(self.names, 2)),
        ]


def _passes(network: Trainable, compiled: bool) -> list[nn.Module]:
    """What computes each member; a module that computes several is compiled once."""
    modules = [network.module(index) for index in range(len(network.names))]
    if not compiled:
        return modules
    by_id: dict[int, Any] = {id(module): torch.compile(module, dynamic=False) for module in modules}
    return [by_id[id(module)] for module in modules]


def _optimiser(
    modules: nn.Module, bare: list[nn.Parameter], options: TrainingOptions
) -> torch.optim.Optimizer:
    undecayed = {id(p) for p in (*bare, *(p for p in modules.parameters() if p.ndim <= 1))}
    parameters = [p for p in modules.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if id(p) not in undecayed]},
        {"params": [p for p in parameters if id(p) in undecayed], "weight_decay": 0.0},
    ]
    common: dict[str, Any] = {
        "lr": options.learning_rate,
        "weight_decay": options.weight_decay,
        "fused": True,
    }
    if options.optimiser == "sgd":
        return torch.optim.SGD(
            groups, momentum=options.momentum, nesterov=options.nesterov, **common
        )
    return torch.optim.AdamW(groups, betas=(0.9, 0.99), **common)
