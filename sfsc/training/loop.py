"""The one training loop: every method is an objective and an aggregation."""

import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sfsc.data.batches import Batches
from sfsc.data.order import Order
from sfsc.files import InputError
from sfsc.profile import TrainingOptions
from sfsc.progress import progress
from sfsc.seeds import derive, generator
from sfsc.training.batch import Batch
from sfsc.training.log import Column
from sfsc.training.preemption import Preempted, postponed_sigterm
from sfsc.training.processes import Processes
from sfsc.training.schedule import learning_rate
from sfsc.training.state import State
from sfsc.training.step import Step

# Looking at a GPU's results waits for them; its queue of work runs dry meanwhile.
_STEPS_BETWEEN_LOOKS = 20

Turns = Callable[[int, torch.Generator], Sequence[int]]
"""From a step's number, and a generator seeded by it, to the members that train in it."""


def train(
    update: Step,
    state: State,
    batches: Batches,
    order: Order,
    options: TrainingOptions,
    seed: int,
    processes: Processes,
    turns: Turns | None = None,
    before_step: Callable[[int], None] = lambda step: None,
) -> None:
    """Train from `state` on, and save it at intervals and at the end.

    Raises InputError when a loss turns non-finite; the last good state stays. Raises Preempted
    after SIGTERM, when the state is saved. `before_step` is called with each step's number.
    """
    steps = options.epochs * order.steps_per_epoch
    whole = "+".join(update.names)
    between_looks = _STEPS_BETWEEN_LOOKS if batches.device.type == "cuda" else 1
    done = state.done
    everybody = range(len(update.names))
    rates: list[float] = []
    values: list[Tensor] = []
    turned: list[Sequence[int]] = []
    saved = clock = time.monotonic()
    with (
        postponed_sigterm() as sigterm_arrived,
        progress(None, whole, "step", steps, done, shown=processes.rank == 0) as bar,
    ):
        for step in range(done, steps):
            before_step(step)
            rates.append(learning_rate(step, steps, options))
            images, labels, rows = batches.batch(order, seed, step, processes.rank, processes.count)
            # Dropout and stochastic depth draw from the global generators.
            torch.manual_seed(derive(seed, "dropout", step, processes.rank))
            random = generator(seed, "objective", step, processes.rank)
            batch = Batch(images, labels, rows, step, steps, random)
            turned.append(turns(step, generator(seed, "turns", step)) if turns else everybody)
            aggregation = generator(seed, "aggregation", step)
            values.append(update(batch, rates[-1], aggregation, turned[-1]))
            if (step + 1) % between_looks and step + 1 < steps:
                continue

            first = step + 1 - len(values)
            measured = processes.mean(torch.stack(values)).tolist()
            now = time.monotonic()
            elapsed, clock = now - clock, now
            speed = len(values) * order.batch_size / elapsed
            columns = [Column(whole, "learning_rate"), Column(whole, "images_per_second")]
            for number, (rate, row, turn) in enumerate(zip(rates, measured, turned, strict=True)):
                _check_losses(update.names, row, turn, first + number, rate, steps, state)
                state.log.record([*columns, *update.columns], [rate, speed, *row])
            state.done, state.seconds = step + 1, state.seconds + elapsed
            for looked_at in (rates, values, turned):
                looked_at.clear()
            bar.update(step + 1 - first)

            # All processes stop at the same step, as each waits for the others' gradients.
            stopping = processes.mean(torch.tensor(float(sigterm_arrived()), device=batches.device))
            if stopping or now - saved > options.checkpoint_seconds:
                state.save(steps)
                saved = time.monotonic()
            if stopping:
                processes.mean(stopping)  # nobody leaves before the first process has saved
                raise Preempted(
                    f"training stopped upon SIGTERM after step {step + 1} of {steps}; its state is"
                    f" saved in {state.path}: run again to go on"
                )
    if done < steps:
        state.save(steps)


def _check_losses(
    names: Sequence[str],
    row: Sequence[float],
    turn: Sequence[int],
    step: int,
    rate: float,
    steps: int,
    state: State,
) -> None:
    for index in turn:
        if not math.isfinite(row[index]):
            saved = f" (the last saved state is kept in {state.path})"
            raise InputError(
                f"training stopped at step {step} of {steps}: the loss of {names[index]} is"
                f" {row[index]} at learning rate {rate:.3g}; lower training.learning_rate"
                f"{saved if state.path.exists() else ''}"
            )
