"""Where the time of a training step goes."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import torch
from torch import nn

from sfsc.profile import TrainingOptions
from sfsc.seeds import generator
from sfsc.training.aggregation import Aggregation, total
from sfsc.training.batch import Batch
from sfsc.training.family import Family
from sfsc.training.fitted import AnObjective, Fitted
from sfsc.training.gradients import Scope
from sfsc.training.member import Member
from sfsc.training.objectives import Problem
from sfsc.training.processes import Processes, joined
from sfsc.training.step import Step
from sfsc.training.task import Task
from sfsc.training.trainable import Trainable

_WARM_UP, _STEPS = 3, 10


def profile_steps(task: Task) -> pd.DataFrame:
    """Run a few steps of each network that a task's method trains, and write nothing.

    Returns the milliseconds per step of each part, by network, and its share. A step's parts are
    the batch, forward and backward pass of each member, the aggregation and the optimiser.
    """
    assert task.method.train is not None
    with joined() as (processes, device):
        family = _Profiled(task, processes, device)
        task.method.train(family, task.method_options)
        return pd.concat(family.parts, ignore_index=True)


class _Profiled(Family):
    """Where a family would be trained and saved, it measures."""

    def __init__(self, task: Task, processes: Processes, device: torch.device):
        super().__init__(task, processes, device)
        self.parts: list[pd.DataFrame] = []

    def fit(
        self,
        network: Trainable,
        objective: Callable[[Problem], AnObjective],
        aggregation: Aggregation = total,
        scope: Scope = "network",
        *,
        data: Member | None = None,
        options: TrainingOptions | None = None,
        images_per_class: int = 1,
        **more: Any,
    ) -> Fitted[AnObjective]:
        chosen, criterion, order = self.prepared(
            network, objective, data, options, images_per_class
        )
        seconds: dict[str, float] = defaultdict(float)

        @contextmanager
        def part(name: str) -> Iterator[None]:
            self._wait()
            start = time.perf_counter()
            yield
            self._wait()
            seconds[name] += time.perf_counter() - start

        seed, everybody = self.task.seed, range(len(network.names))
        step = Step(network, criterion, aggregation, scope, chosen, self.processes, part)
        for number in range(_WARM_UP + _STEPS):
            if number == _WARM_UP:
                seconds.clear()
            random = generator(seed, number)
            with part("batch"):
                batch = Batch(
                    *self.batches.batch(
                        order, seed, number, self.processes.rank, self.processes.count
                    ),
                    number,
                    _WARM_UP + _STEPS,
                    random,
                )
            step(batch, chosen.learning_rate, random, everybody)
        parts = pd.DataFrame({"part": list(seconds), "ms": list(seconds.values())})
        parts["ms"] *= 1e3 / _STEPS
        parts["share"] = parts["ms"] / parts["ms"].sum()
        parts.insert(0, "network", "+".join(network.names))
        self.parts.append(parts)
        return Fitted(network, criterion, self.device)

    def save(self, member: Member, network: nn.Module) -> None:
        pass

    def save_translation(self, *what: Any) -> None:
        pass

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
