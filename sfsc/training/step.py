"""One update of a switchable network: its sub-models' gradients, and what becomes of them."""

import itertools
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sfsc.config import model_name
from sfsc.switchable.network import SwitchableNetwork
from sfsc.training.aggregation import Aggregation, conflicts
from sfsc.training.gradients import Gradients
from sfsc.training.log import Column
from sfsc.training.objectives import Objective
from sfsc.training.options import TrainingOptions
from sfsc.training.precision import at_least_float32
from sfsc.training.processes import Processes


class LayerConflicts(nn.Module):
    """How often, over all steps, two sub-models' gradients conflict in each shared weight tensor.

    Its sums are buffers, so that they are saved and resumed with the weights.
    """

    conflicts: Tensor
    cosines: Tensor
    steps: Tensor

    def __init__(self, network: SwitchableNetwork, objective: Objective):
        super().__init__()
        shared = [*network.shared_parameters(), *objective.shared_parameters()]
        named = [*network.network.named_parameters(), *objective.named_parameters("objective")]
        names = {id(parameter): name for name, parameter in named}
        self._layers = [names[id(parameter)] for parameter in shared]
        models = [model_name(width) for width in network.widths]
        self._pairs = [f"{a}-{b}" for a, b in itertools.combinations(models, 2)]
        device = shared[0].device
        of_pairs = torch.zeros(len(shared), len(self._pairs), dtype=torch.float64, device=device)
        self.register_buffer("conflicts", of_pairs)
        self.register_buffer("cosines", of_pairs.clone())
        self.register_buffer("steps", torch.zeros((), dtype=torch.float64, device=device))

    def add(self, grams: Tensor) -> None:
        """Count the Gram matrices of one step: (layers, m, m)."""
        _, cosines = conflicts(grams)
        self.conflicts += cosines < 0
        self.cosines += cosines
        self.steps += 1

    def frame(self) -> pd.DataFrame:
        """The columns layer, model (a pair), conflict_share of the steps, and the mean cosine."""
        pairs = itertools.product(self._layers, self._pairs)
        frame = pd.DataFrame(pairs, columns=["layer", "model"])
        shares, cosines = (each.flatten() / self.steps for each in (self.conflicts, self.cosines))
        return frame.assign(conflict_share=shares.cpu().numpy(), cosine=cosines.cpu().numpy())


class Step:
    """Updates a network and its objective in place, one batch at a time.

    Nothing in it waits for the device.
    """

    def __init__(
        self,
        network: SwitchableNetwork,
        objective: Objective,
        aggregation: Aggregation,
        options: TrainingOptions,
        processes: Processes,
        part: Callable[[str], AbstractContextManager[None]] = lambda name: nullcontext(),
    ):
        """`part` is entered around each named part of a step, to measure it."""
        self.names = [model_name(width) for width in network.widths]
        network.train().to(memory_format=torch.channels_last)
        self._network = network
        self._passes: Callable[[Tensor], Tensor] = (
            torch.compile(network.network, dynamic=False) if options.compile else network.network
        )
        self._objective, self._aggregation, self._options = objective, aggregation, options
        self.conflicts = LayerConflicts(network, objective)
        self.modules = nn.ModuleDict(
            {"network": network, "objective": objective, "conflicts": self.conflicts}
        )
        self.optimiser = _optimiser(self.modules, list(network.bare_parameters()), options)
        of_objective = list(objective.shared_parameters())
        shared = [*network.shared_parameters(), *of_objective]
        leaves = [[*network.leaves(index), *of_objective] for index in range(len(self.names))]
        shared_ids = {id(parameter) for parameter in shared}
        private = [p for p in self.modules.parameters() if id(p) not in shared_ids]
        self._gradients = Gradients(shared, leaves, private, options.projection, processes)
        self._share, self._part = 1 / processes.count, part
        self.columns = [
            *(Column(name, "loss") for name in self.names),
            *(Column(name, "uncertainty") for name in self.names),
            *(Column(name, "gradient_norm") for name in self.names),
            *([Column("", "conflict_share")] if len(self.names) > 1 else []),
            *(Column(f"{a}-{b}", "cosine") for a, b in itertools.combinations(self.names, 2)),
        ]

    def __call__(
        self, images: Tensor, labels: Tensor, rate: float, random: torch.Generator
    ) -> Tensor:
        """Update at learning rate `rate` with this process's part of a batch.

        `random` draws the orders of the projection. Returns the values of `columns`, float64, on
        the device; losses and uncertainties are this process's.
        """
        options = self._options
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self._gradients.clear()
        losses, uncertainties = [], []
        for index, name in enumerate(self.names):
            self._gradients.select(index)
            with self._part(f"forward {name}"):
                with torch.autocast(
                    images.device.type, torch.bfloat16, enabled=options.precision == "bfloat16"
                ):
                    self._network.select(index)
                    embeddings = self._passes(images)
                # What search compares: the direction alone, so that is what the classifier sees.
                directions = F.normalize(at_least_float32(embeddings), dim=1)
                outcome = self._objective(index, options.embedding_scale * directions, labels)
            with self._part(f"backward {name}"):
                # The gradients of all processes add up to that of the whole batch's mean loss.
                (outcome.loss * self._share).backward()
            self._gradients.reduce(index)
            losses.append(outcome.loss.detach())
            uncertainty = outcome.uncertainty
            uncertainties.append(
                torch.full_like(losses[-1], math.nan) if uncertainty is None else uncertainty
            )
        with self._part("aggregation"):
            gram, layers = self._gradients.grams()
            self._gradients.combine(self._aggregation(gram, random))
            # The diagnosis is of the whole network, whatever the scope of the projection.
            whole = layers.sum(dim=0)
            values = [torch.stack([*losses, *uncertainties]).double(), whole.diagonal().sqrt()]
            if len(losses) > 1:
                share, cosines = conflicts(whole)
                values += [share[None], cosines]
                self.conflicts.add(layers)
        with self._part("optimiser"):
            if options.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.modules.parameters(), options.clip_norm)
            self.optimiser.step()
        return torch.cat(values)


def _optimiser(
    modules: nn.Module, bare: list[nn.Parameter], options: TrainingOptions
) -> torch.optim.Optimizer:
    undecayed = {id(p) for p in (*bare, *(p for p in modules.parameters() if p.ndim <= 1))}
    parameters = list(modules.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if id(p) not in undecayed]},
        {"params": [p for p in parameters if id(p) in undecayed], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=options.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=options.weight_decay,
        fused=True,
    )
