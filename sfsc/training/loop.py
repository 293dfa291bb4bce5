"""The one training loop: every method is an objective and an aggregation."""

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sfsc.config import model_name
from sfsc.data.loader import Augment, Batches
from sfsc.files import InputError
from sfsc.progress import progress
from sfsc.seeds import generator
from sfsc.switchable.network import SwitchableNetwork
from sfsc.training import checkpoint
from sfsc.training.aggregation import Aggregation, conflicts
from sfsc.training.gradients import Scope, SharedGradients
from sfsc.training.log import Column, TrainingLog
from sfsc.training.objectives import Objective


@dataclass(frozen=True)
class TrainingOptions:
    """The config's `training` section."""

    epochs: int
    batch_size: int
    learning_rate: float
    """Peak rate of AdamW: linear warm-up, then linear decay to zero."""
    weight_decay: float = 0.05
    """Decoupled, of weights; normalisation and biases have none."""
    warmup: float = 0.2
    """Share of the steps in which the rate rises."""
    augment: Augment = field(default_factory=Augment)
    embedding_scale: float = 16.0
    """Length of the normalised embeddings that the classifiers see."""
    kl_weight: float = 5e-4
    """lambda, the weight of the divergence in the uncertainty loss."""
    projection: Scope = "network"
    on_bad_image: Literal["stop", "skip"] = "stop"
    checkpoint_seconds: float = 60.0


def train(
    network: SwitchableNetwork,
    objective: Objective,
    aggregation: Aggregation,
    batches: Batches,
    options: TrainingOptions,
    seed: int,
    path: Path,
    fingerprint: Mapping[str, Any],
) -> tuple[TrainingLog, float]:
    """Train in place; answer with the log and the seconds of training, over all resumptions.

    The state is saved to `path` at intervals and at the end. Where `path` already holds a state
    of the same `fingerprint` training goes on from there, to the same bits as without the break.
    Raises InputError when a loss turns non-finite; the last good state stays.
    """
    names = [model_name(width) for width in network.widths]
    network.train().to(memory_format=torch.channels_last)
    shared = [*network.shared_parameters(), *objective.shared_parameters()]
    gradients = SharedGradients(shared, len(names), options.projection)
    modules = nn.ModuleDict({"network": network, "objective": objective})
    optimiser = _optimiser(modules, options)
    shared_ids = {id(parameter) for parameter in shared}
    private = [p for p in modules.parameters() if id(p) not in shared_ids]

    steps = options.epochs * batches.steps_per_epoch
    log, done, seconds = TrainingLog(_columns(names)), 0, 0.0
    if path.exists():
        tensors, info = checkpoint.load(path)
        if info["fingerprint"] == fingerprint:
            modules.load_state_dict(
                {k.removeprefix("state."): v for k, v in tensors.items() if k.startswith("state.")}
            )
            checkpoint.restore_optimiser(optimiser, tensors)
            log = TrainingLog(log.columns, tensors["log"])
            done, seconds = info["step"], info["seconds"]

    def save(step: int) -> None:
        state = {f"state.{key}": value for key, value in modules.state_dict().items()}
        state |= checkpoint.optimiser_tensors(optimiser)
        checkpoint.save(
            path,
            state | {"log": log.values()},
            {"fingerprint": fingerprint, "step": step, "seconds": seconds},
        )

    saved = clock = time.monotonic()
    bar = progress(None, "+".join(names), "step", total=steps, done=done)
    for step in range(done, steps):
        rate = _learning_rate(step, steps, options)
        for group in optimiser.param_groups:
            group["lr"] = rate
        images, labels = batches.batch(seed, step)

        gradients.clear()
        for parameter in private:
            parameter.grad = None
        losses, uncertainties = [], []
        for index in range(len(names)):
            gradients.select(index)
            # What search compares: the direction alone, so that is what the classifier sees.
            embeddings = options.embedding_scale * F.normalize(network(images, index), dim=1)
            outcome = objective(index, embeddings, labels)
            outcome.loss.backward()
            losses.append(outcome.loss.detach())
            nothing = outcome.loss.new_tensor(float("nan"))
            uncertainties.append(nothing if outcome.uncertainty is None else outcome.uncertainty)
        gram = gradients.gram()
        gradients.combine(aggregation(gram, generator(seed, "aggregation", step)))

        measures = _measures(losses, uncertainties, gram)
        for name, loss in zip(names, measures, strict=False):
            if not torch.isfinite(torch.tensor(loss)):
                kept = f" (the last saved state is kept in {path})" if path.exists() else ""
                raise InputError(
                    f"training stopped at step {step} of {steps}: the loss of {name} is {loss} at "
                    f"learning rate {rate:.3g}; lower training.learning_rate{kept}"
                )
        optimiser.step()

        now = time.monotonic()
        seconds, elapsed, clock = seconds + now - clock, now - clock, now
        log.record([rate, len(labels) / elapsed, *measures])
        bar.update()
        if now - saved > options.checkpoint_seconds:
            save(step + 1)
            saved = time.monotonic()
    bar.close()
    if done < steps:
        save(steps)
    return log, seconds


def _columns(names: list[str]) -> list[Column]:
    return [
        Column("", "learning_rate"),
        Column("", "images_per_second"),
        *(Column(name, "loss") for name in names),
        *(Column(name, "uncertainty") for name in names),
        *([Column("", "conflict_share")] if len(names) > 1 else []),
        *(Column(f"{a}-{b}", "cosine") for a, b in itertools.combinations(names, 2)),
    ]


def _measures(losses: list[Tensor], uncertainties: list[Tensor], gram: Tensor) -> list[float]:
    """The values of `_columns` from the losses on, moved to the host at once."""
    values = [torch.stack([*losses, *uncertainties]).double()]
    if len(losses) > 1:
        # The diagnosis is of the whole network, also where the projection is layer by layer.
        share, cosines = conflicts(gram.sum(dim=0))
        values += [share[None], cosines]
    return torch.cat(values).tolist()


def _learning_rate(step: int, steps: int, options: TrainingOptions) -> float:
    warmup = max(1, round(options.warmup * steps))
    rise, fall = (step + 1) / warmup, (steps - step) / max(1, steps - warmup)
    return options.learning_rate * min(1.0, rise, fall)


def _optimiser(modules: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    parameters = list(modules.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=options.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=options.weight_decay,
        foreach=True,
    )
