"""Where the time of a training step goes."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pandas as pd
import torch

from sfsc.config import model_name
from sfsc.seeds import generator
from sfsc.training.aggregation import Aggregation, total
from sfsc.training.family import AnObjective, Family, Recipe, Task
from sfsc.training.processes import Processes, joined
from sfsc.training.step import Step

_WARM_UP, _STEPS = 3, 10


def profile_steps(task: Task, recipe: Recipe) -> pd.DataFrame:
    """Run a few steps of each network that `recipe` trains, and write nothing.

    Returns the milliseconds a step of each part, by network, and its share. A step's parts are the
    batch, forward and backward pass of each sub-model, the aggregation and the optimiser.
    """
    with joined() as (processes, device):
        family = _Profiled(task, processes, device)
        recipe(family)
        return pd.concat(family.parts, ignore_index=True)


class _Profiled(Family):
    """Where a family would be trained, it measures."""

    def __init__(self, task: Task, processes: Processes, device: torch.device):
        super().__init__(task, processes, device)
        self.parts: list[pd.DataFrame] = []

    def fit(
        self,
        widths: Sequence[float],
        objective: Callable[[int, int, int], AnObjective],
        aggregation: Aggregation = total,
    ) -> AnObjective:
        network, criterion = self.start(widths, objective)
        seed = self.task.seed
        seconds: dict[str, float] = defaultdict(float)

        @contextmanager
        def part(name: str) -> Iterator[None]:
            self._wait()
            start = time.perf_counter()
            yield
            self._wait()
            seconds[name] += time.perf_counter() - start

        step = Step(network, criterion, aggregation, self.task.options, self.processes, part)
        for number in range(_WARM_UP + _STEPS):
            if number == _WARM_UP:
                seconds.clear()
            with part("batch"):
                images, labels = self.batches.batch(
                    seed, number, self.processes.rank, self.processes.count
                )
            step(images, labels, self.task.options.learning_rate, generator(seed, number))
        parts = pd.DataFrame({"part": list(seconds), "ms": list(seconds.values())})
        parts["ms"] *= 1e3 / _STEPS
        parts["share"] = parts["ms"] / parts["ms"].sum()
        parts.insert(0, "network", "+".join(model_name(width) for width in widths))
        self.parts.append(parts)
        return criterion

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
