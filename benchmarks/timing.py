"""Measure seconds and memory fairly, and hold what was measured."""

import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import psutil

from sfsc.progress import progress

_GIB = 2**30


class Figure(NamedTuple):
    """One line of a table: what was measured."""

    what: str
    value: float
    unit: str = ""


class Clock:
    """Sums the seconds of each named piece of work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - start


class PeakMemory:
    """Samples this process's resident memory while it is entered; `gib` is the largest."""

    gib = 0.0

    def __enter__(self) -> "PeakMemory":
        self._done = threading.Event()
        self._sampler = threading.Thread(target=self._sample)
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._sampler.join()

    def _sample(self) -> None:
        process = psutil.Process()
        while not self._done.wait(0.02):
            self.gib = max(self.gib, process.memory_info().rss / _GIB)


def medians(work: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """The median seconds of each, repeats interleaved: a slow spell falls on all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for repeat in progress(range(repeats + 1), "repeats", "repeat"):
        for name, function in work.items():
            start = time.perf_counter()
            function()
            if repeat:  # the first warms up
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}
