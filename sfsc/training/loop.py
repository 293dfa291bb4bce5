"""The one training loop: every method is an objective and an aggregation."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from sfsc.data.loader import Batches
from sfsc.files import InputError
from sfsc.progress import progress
from sfsc.seeds import derive, generator
from sfsc.switchable.network import SwitchableNetwork
from sfsc.training import checkpoint
from sfsc.training.aggregation import Aggregation
from sfsc.training.log import Column, TrainingLog
from sfsc.training.objectives import Objective
from sfsc.training.options import TrainingOptions
from sfsc.training.preemption import Preempted, postponed_sigterm
from sfsc.training.processes import Processes
from sfsc.training.step import Step

# Looking at a GPU's results waits for them; its queue of work runs dry meanwhile.
_STEPS_BETWEEN_LOOKS = 20


def train(
    network: SwitchableNetwork,
    objective: Objective,
    aggregation: Aggregation,
    batches: Batches,
    options: TrainingOptions,
    seed: int,
    path: Path,
    fingerprint: Mapping[str, Any],
    processes: Processes,
) -> tuple[TrainingLog, pd.DataFrame, float]:
    """Train in place; answer with the log, each layer's conflicts (empty for a single sub-model)
    and the seconds of training, over all resumptions.

    The state is saved to `path` at intervals and at the end. Where `path` already holds a state
    of the same `fingerprint` training goes on from there, to the same bits as without the break.
    Raises InputError when a loss turns non-finite; the last good state stays. Raises Preempted
    after SIGTERM, when the state is saved.
    """
    update = Step(network, objective, aggregation, options, processes)
    whole = "+".join(update.names)
    columns = [
        Column(whole, "learning_rate"),
        Column(whole, "images_per_second"),
        *update.columns,
    ]
    steps = options.epochs * batches.steps_per_epoch
    log, done, seconds = TrainingLog(columns), 0, 0.0
    if processes.rank == 0:
        checkpoint.remove_unfinished(path)
    if path.exists():
        tensors, info = checkpoint.load(path)
        if info["fingerprint"] == fingerprint:
            update.modules.load_state_dict(
                {k.removeprefix("state."): v for k, v in tensors.items() if k.startswith("state.")}
            )
            checkpoint.restore_optimiser(update.optimiser, tensors)
            log = TrainingLog(columns, tensors["log"])
            done, seconds = info["step"], info["seconds"]
    everywhere = processes.mean(torch.tensor(float(done), device=batches.device))
    if everywhere != done:
        raise InputError(
            f"{path}: not all processes see the same saved state; results must be on a disk that"
            " they share"
        )

    def save(step: int) -> None:
        if processes.rank == 0:
            state = {f"state.{key}": value for key, value in update.modules.state_dict().items()}
            state |= checkpoint.optimiser_tensors(update.optimiser)
            if not all(tensor.isfinite().all() for tensor in state.values()):
                raise InputError(
                    f"training stopped after step {step} of {steps}: weights are not finite;"
                    f" lower training.learning_rate (the last saved state is kept in {path})"
                )
            checkpoint.save(
                path,
                state | {"log": log.values()},
                {"fingerprint": fingerprint, "step": step, "seconds": seconds},
            )

    between_looks = _STEPS_BETWEEN_LOOKS if batches.device.type == "cuda" else 1
    rates: list[float] = []
    values: list[Tensor] = []
    saved = clock = time.monotonic()
    with (
        postponed_sigterm() as sigterm_arrived,
        progress(None, whole, "step", steps, done, shown=processes.rank == 0) as bar,
    ):
        for step in range(done, steps):
            rates.append(_learning_rate(step, steps, options))
            images, labels = batches.batch(seed, step, processes.rank, processes.count)
            # Dropout and stochastic depth draw from the global generators.
            torch.manual_seed(derive(seed, "dropout", step, processes.rank))
            values.append(update(images, labels, rates[-1], generator(seed, "aggregation", step)))
            if (step + 1) % between_looks and step + 1 < steps:
                continue

            first = step + 1 - len(values)
            measured = processes.mean(torch.stack(values)).tolist()
            _check_losses(update.names, measured, rates, first, steps, path)
            now = time.monotonic()
            seconds, elapsed, clock = seconds + now - clock, now - clock, now
            speed = len(values) * batches.batch_size / elapsed
            for rate, row in zip(rates, measured, strict=True):
                log.record([rate, speed, *row])
            rates.clear()
            values.clear()
            bar.update(step + 1 - first)

            # All processes stop at the same step, as each waits for the others' gradients.
            stopping = processes.mean(torch.tensor(float(sigterm_arrived()), device=batches.device))
            if stopping or now - saved > options.checkpoint_seconds:
                save(step + 1)
                saved = time.monotonic()
            if stopping:
                processes.mean(stopping)  # nobody leaves before the first process has saved
                raise Preempted(
                    f"training stopped upon SIGTERM after step {step + 1} of {steps}; its state is"
                    f" saved in {path}: run again to go on"
                )
    if done < steps:
        save(steps)
    return log, update.conflicts.frame(), seconds


def _check_losses(
    names: list[str],
    measured: list[list[float]],
    rates: list[float],
    first: int,
    steps: int,
    path: Path,
) -> None:
    for step, (rate, row) in enumerate(zip(rates, measured, strict=True), first):
        for name, loss in zip(names, row, strict=False):
            if not math.isfinite(loss):
                kept = f" (the last saved state is kept in {path})" if path.exists() else ""
                raise InputError(
                    f"training stopped at step {step} of {steps}: the loss of {name} is {loss} at "
                    f"learning rate {rate:.3g}; lower training.learning_rate{kept}"
                )


def _learning_rate(step: int, steps: int, options: TrainingOptions) -> float:
    warmup = max(1, round(options.warmup * steps))
    rise, fall = (step + 1) / warmup, (steps - step) / max(1, steps - warmup)
    return options.learning_rate * min(1.0, rise, fall)
