"""A training step of SFSC against separate static networks, TorchJD, and PCGrad as published."""

import dataclasses
import functools
import multiprocessing
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure as Drawing
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.multiprocessing.spawn import spawn, start_processes
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import steps
from benchmarks.steps import CLASSES, WAYS, WIDTHS, Problem, Way, separate, sfsc
from benchmarks.timing import Clock, Figure, PeakMemory, medians
from sfsc.data.batches import MemoryBatches
from sfsc.data.decoding import DecodedBatches
from sfsc.data.order import Order
from sfsc.data.sets import FileImages
from sfsc.files import replacing
from sfsc.profile import Augment
from sfsc.switchable.backbone import NetworkSpec
from sfsc.switchable.network import build
from sfsc.training.processes import Processes, joined

_SPEC = NetworkSpec("resnet18", 128, 32, 2, {"layers": [1, 1, 1, 1]}, image_size=32)


def check() -> None:
    """Hold every way to make a step, and two processes, to the same update."""
    steps.check(_SPEC)
    same_on_two_processes()


def step(
    batch: int = 128, repeats: int = 15, memory_of: Sequence[str] = tuple(WAYS)
) -> list[Figure]:
    """Four widths in one step: its time, the projection's share of it, and three other ways."""
    problem = steps.problem(_SPEC, batch)
    ways: dict[str, Way] = {name: make(problem) for name, make in WAYS.items()}
    for index, width in enumerate(WIDTHS):
        ways[f"static {width}"] = separate(problem, index)
    seconds = medians({name: way.step for name, way in ways.items()}, repeats)
    alone = sum(seconds[f"static {width}"] for width in WIDTHS)
    clock = Clock()
    timed = sfsc(problem, part=clock)
    for _ in range(repeats):
        timed.step()
    memory = {name: _peak_of(name, batch) for name in memory_of}
    return [
        Figure(f"sfsc, 4 widths, batch {batch}", seconds["sfsc"], "s"),
        Figure("the same widths as separate static networks", alone, "s"),
        Figure("ratio", seconds["sfsc"] / alone),
        Figure(
            "share of the projection in it, Gram matrix and combination included",
            clock.seconds["aggregation"] / sum(clock.seconds.values()),
        ),
        Figure("TorchJD: autojac and PCGrad", seconds["TorchJD"], "s"),
        Figure("times faster than TorchJD", seconds["TorchJD"] / seconds["sfsc"]),
        Figure("literal PCGrad: clone, flatten, loop", seconds["literal PCGrad"], "s"),
        Figure("times faster than literal PCGrad", seconds["literal PCGrad"] / seconds["sfsc"]),
        *(
            Figure(f"peak memory of networks, gradients and three steps, {name}", value, "GiB")
            for name, value in memory.items()
        ),
    ]


def loading(
    folder: Path, batch: int = 128, repeats: int = 20, photographs: int = 512
) -> list[Figure]:
    """Batches from memory, augmented, and from JPEG files, against the step that they feed."""
    size = _SPEC.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (10_000, size, size, 3), np.uint8)
    labels = np.arange(10_000) % CLASSES
    augment = Augment(flip=True, shift=0.125)
    batches = MemoryBatches(pixels, augment, torch.device("cpu"))
    order = Order(np.arange(10_000), labels, batch, 0)
    work = {
        "load": lambda: [batches.batch(order, 0, number) for number in range(4)],
        "step": sfsc(steps.problem(_SPEC, batch)).step,
    }
    seconds = medians(work, repeats)
    cores = os.cpu_count() or 1
    files = _photographs(folder, photographs)
    decoded = DecodedBatches(files, 224, Augment(), torch.device("cpu"), cores)
    order = Order(np.arange(photographs), np.zeros(photographs, np.int64), 32, 0)
    decoded.batch(order, 0, 0)
    start, number = time.perf_counter(), photographs // 32 * cores
    for ahead in range(number):
        decoded.batch(order, 0, 1 + ahead)
    decoding = number * 32 / (time.perf_counter() - start)
    decoded.close()
    return [
        Figure("images loaded and augmented", 4 * batch / seconds["load"], "1/s"),
        Figure(f"JPEG files of 500 x 375 decoded to 224 by {cores} threads", decoding, "1/s"),
        Figure("images trained on by 4 widths", batch / seconds["step"], "1/s"),
        Figure("share of loading in a step", seconds["load"] / 4 / seconds["step"]),
    ]


def widths(out: Path, batch: int = 128, repeats: int = 7) -> list[Figure]:
    """Draw how a step's time grows with the multiply-adds of one to eight widths."""
    families = [[(i + 1) / 8 for i in range(8 - count, 8)] for count in range(1, 9)]
    problem = steps.problem(_SPEC, batch)
    work = {
        str(len(family)): sfsc(dataclasses.replace(problem, widths=family)).step
        for family in families
    }
    seconds = medians(work, repeats)
    rows = [
        (len(family), sum(_multiply_adds(width) for width in family), seconds[str(len(family))])
        for family in families
    ]
    table = pd.DataFrame(rows, columns=["widths", "multiply_adds", "seconds"])
    slope, start = np.polyfit(table["multiply_adds"], table["seconds"], 1)
    fitted = start + slope * table["multiply_adds"]
    _draw_widths(table, fitted, out)
    return [
        Figure("a step of width 1 alone", table["seconds"].iloc[0], "s"),
        Figure("a step of eight widths, 1/8 to 1", table["seconds"].iloc[-1], "s"),
        Figure(
            "correlation of time and summed multiply-adds",
            float(np.corrcoef(table["multiply_adds"], table["seconds"])[0, 1]),
        ),
        Figure(
            "largest distance from the line", float((table["seconds"] / fitted - 1).abs().max())
        ),
    ]


def processes(batch: int = 128, repeats: int = 12) -> list[Figure]:
    """Images a second by one process of one thread and by two, which share each batch."""
    speeds = {}
    for count in (1, 2):
        queue = multiprocessing.get_context("forkserver").SimpleQueue()
        _start(_timed_steps, (count, _free_port(), batch, repeats, queue), count)
        speeds[count] = batch / queue.get()
    return [
        Figure("one process", speeds[1], "images/s"),
        Figure("two processes", speeds[2], "images/s"),
        Figure("times faster", speeds[2] / speeds[1]),
    ]


def _timed_steps(
    rank: int, count: int, port: int, batch: int, repeats: int, queue: "SimpleQueue[float]"
) -> None:
    with _joined(rank, count, port) as together:
        way = sfsc(steps.problem(_SPEC, batch // count), together=together)
        seconds = medians({"step": way.step}, repeats)
        if rank == 0:
            queue.put(seconds["step"])


def same_on_two_processes() -> None:
    """Hold two processes to the update of one that has both their images.

    Each has the same images, so that the statistics of its part are those of the whole.
    """
    spec = dataclasses.replace(_SPEC, image_size=16)
    problem = steps.problem(spec, 4)
    half = dataclasses.replace(problem, images=problem.images.double())
    whole = dataclasses.replace(
        half, images=half.images.repeat(2, 1, 1, 1), labels=half.labels.repeat(2)
    )
    with tempfile.TemporaryDirectory() as folder:
        added = Path(folder) / "added.safetensors"
        _start(_write_added, (_free_port(), half, added), 2)
        found = load_file(added)
    expected = steps.added(sfsc(whole), range(len(WIDTHS)))
    same = {name: tensor for name, tensor in found.items() if "running_var" not in name}
    steps.same_update("the update by two processes and by one", same, expected)


def _write_added(rank: int, port: int, problem: Problem, path: Path) -> None:
    with _joined(rank, 2, port) as together:
        added = steps.added(sfsc(problem, together=together), range(len(WIDTHS)))
        if rank == 0:
            save_file({name: tensor.contiguous() for name, tensor in added.items()}, path)


def _start(work: Callable[..., None], arguments: tuple[Any, ...], count: int) -> None:
    """In fresh processes whose imports are made once for all, and wait for them."""
    start_processes(work, arguments, nprocs=count, start_method="forkserver")


@contextmanager
def _joined(rank: int, count: int, port: int) -> Iterator[Processes]:
    names = {"RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in names.items()}
    torch.set_num_threads(1)
    with joined() as (together, _):
        yield together


def _photographs(folder: Path, count: int) -> FileImages:
    """JPEG files of noise that compresses about as photographs do."""
    random = np.random.default_rng(0)
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for path in paths:
        coarse = Image.fromarray(random.integers(0, 256, (38, 50, 3), np.uint8))
        coarse.resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=90)
    return FileImages([path.stem for path in paths], paths)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _peak_of(name: str, batch: int) -> float:
    """What a fresh process needs for one of `WAYS` above what it starts with, GiB."""
    queue = multiprocessing.get_context("spawn").SimpleQueue()
    spawn(_grow, (name, batch, queue), nprocs=1)
    return float(queue.get())


def _grow(rank: int, name: str, batch: int, queue: "SimpleQueue[float]") -> None:
    del rank
    torch.set_num_threads(1)
    problem = steps.problem(_SPEC, batch)
    with PeakMemory() as before:
        time.sleep(0.2)
    with PeakMemory() as during:
        way = WAYS[name](problem)
        for _ in range(3):
            way.step()
    queue.put(during.gib - before.gib)


@functools.cache
def _multiply_adds(width: float) -> int:
    network = build(_SPEC, [width], 0).extract(0).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, _SPEC.image_size, _SPEC.image_size))
    return int(counter.get_total_flops()) // 2


def _draw_widths(table: pd.DataFrame, fitted: "pd.Series[float]", out: Path) -> None:
    figure = Drawing(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(table["multiply_adds"] / 1e6, table["seconds"], "o", label="1 to 8 widths")
    axes.plot(table["multiply_adds"] / 1e6, fitted, "-", label="line fitted")
    axes.set(
        xlabel="million multiply-adds of all widths, one image",
        ylabel="seconds",
        title="A training step",
        xlim=(0, None),
        ylim=(0, None),
    )
    axes.legend()
    with replacing(out) as path:
        figure.savefig(path, dpi=150)
