"""A training step of SFSC against separate static networks, TorchJD, and PCGrad as published."""

import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure as Drawing
from PIL import Image
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from torch.utils.flop_counter import FlopCounterMode
from torchjd import autojac
from torchjd.aggregation import PCGrad

from benchmarks.timing import Clock, Figure, PeakMemory, medians
from sfsc.data.decoding import DecodedBatches
from sfsc.data.loader import Augment, MemoryBatches
from sfsc.data.sets import FileImages
from sfsc.files import replacing
from sfsc.seeds import generator
from sfsc.switchable.backbone import NetworkSpec
from sfsc.switchable.network import StaticNetwork, SwitchableNetwork, build
from sfsc.training.aggregation import project
from sfsc.training.objectives import Evidence, SharedClassifier
from sfsc.training.options import TrainingOptions
from sfsc.training.processes import Processes, joined
from sfsc.training.step import Step

_WIDTHS = (0.25, 0.5, 0.75, 1.0)
_SPEC = NetworkSpec("resnet18", 128, 32, 2, {"layers": [1, 1, 1, 1]})
_CLASSES, _SIZE, _RATE, _SCALE = 10, 32, 1e-3, 16.0

_ALONE = Processes()

Work = Callable[[], None]


def step(batch: int = 128, repeats: int = 15) -> list[Figure]:
    """Four widths in one step: its time, the projection's share of it, and three other ways."""
    images, labels = _batch(batch)
    work: dict[str, Work] = {name: make(images, labels) for name, make in _WAYS.items()}
    for width in _WIDTHS:
        work[f"static {width}"] = _static(width, images, labels)
    seconds = medians(work, repeats)
    separate = sum(seconds[f"static {width}"] for width in _WIDTHS)
    clock = Clock()
    timed = _sfsc(_WIDTHS, images, labels, part=clock)
    for _ in range(repeats):
        timed()
    memory = {name: _peak_of(name, batch) for name in _WAYS}
    return [
        Figure(f"sfsc, 4 widths, batch {batch}", seconds["sfsc"], "s"),
        Figure("the same widths as separate static networks", separate, "s"),
        Figure("ratio", seconds["sfsc"] / separate),
        Figure("share of the projection in it, Gram matrix and combination included",
               clock.seconds["aggregation"] / sum(clock.seconds.values())),
        Figure("TorchJD: autojac and PCGrad", seconds["TorchJD"], "s"),
        Figure("times faster than TorchJD", seconds["TorchJD"] / seconds["sfsc"]),
        Figure("literal PCGrad: clone, flatten, loop", seconds["literal PCGrad"], "s"),
        Figure("times faster than literal PCGrad", seconds["literal PCGrad"] / seconds["sfsc"]),
        *(
            Figure(f"peak memory of networks, gradients and three steps, {name}", value, "GiB")
            for name, value in memory.items()
        ),
    ]  # fmt: skip


def loading(folder: Path, batch: int = 128, repeats: int = 20) -> list[Figure]:
    """Batches from memory, augmented, and from JPEG files, against the step that they feed."""
    pixels = np.random.default_rng(0).integers(0, 256, (10_000, _SIZE, _SIZE, 3), np.uint8)
    labels = np.arange(10_000) % _CLASSES
    augment = Augment(flip=True, shift=0.125)
    batches = MemoryBatches(pixels, labels, batch, augment, torch.device("cpu"))
    work = {
        "load": lambda: [batches.batch(0, number) for number in range(4)],
        "step": _sfsc(_WIDTHS, *_batch(batch)),
    }
    seconds = medians(work, repeats)
    cores = os.cpu_count() or 1
    files = _photographs(folder, 512)
    decoded = DecodedBatches(
        files, 224, np.zeros(len(files.ids), np.int64), 32, Augment(), torch.device("cpu"), cores
    )
    decoded.batch(0, 0)
    start, number = time.perf_counter(), 16 * cores
    for ahead in range(number):
        decoded.batch(0, 1 + ahead)
    decoding = number * 32 / (time.perf_counter() - start)
    decoded.close()
    return [
        Figure("images loaded and augmented", 4 * batch / seconds["load"], "1/s"),
        Figure(f"JPEG files of 500 x 375 decoded to 224 by {cores} workers", decoding, "1/s"),
        Figure("images trained on by 4 widths", batch / seconds["step"], "1/s"),
        Figure("share of loading in a step", seconds["load"] / 4 / seconds["step"]),
    ]


def widths(out: Path, batch: int = 128, repeats: int = 7) -> list[Figure]:
    """Draw how a step's time grows with the multiply-adds of one to eight widths."""
    images, labels = _batch(batch)
    families = [[(i + 1) / 8 for i in range(8 - count, 8)] for count in range(1, 9)]
    work = {str(len(family)): _sfsc(family, images, labels) for family in families}
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
        Figure("correlation of time and summed multiply-adds",
               float(np.corrcoef(table["multiply_adds"], table["seconds"])[0, 1])),
        Figure("largest distance from the line",
               float((table["seconds"] / fitted - 1).abs().max())),
    ]  # fmt: skip


def processes(batch: int = 128, steps: int = 12) -> list[Figure]:
    """Images a second by one process of one thread and by two, which share each batch."""
    speeds = {}
    for count in (1, 2):
        queue = multiprocessing.get_context("spawn").SimpleQueue()
        arguments = (count, _free_port(), batch, steps, queue)
        spawn(_timed_steps, arguments, nprocs=count)
        speeds[count] = batch / queue.get()
    return [
        Figure("one process", speeds[1], "images/s"),
        Figure("two processes", speeds[2], "images/s"),
        Figure("times faster", speeds[2] / speeds[1]),
    ]


def _timed_steps(
    rank: int, count: int, port: int, batch: int, steps: int, queue: "SimpleQueue[float]"
) -> None:
    names = {"RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in names.items()}
    torch.set_num_threads(1)
    with joined() as (together, _):
        run = _sfsc(_WIDTHS, *_batch(batch // count), together=together)
        seconds = []
        for _ in range(steps + 2):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
        if rank == 0:
            queue.put(float(np.median(seconds[2:])))


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


def _batch(size: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    images = torch.randn(size, 3, _SIZE, _SIZE, generator=random)
    labels = torch.randint(_CLASSES, (size,), generator=random)
    return images.to(memory_format=torch.channels_last), labels


def _networks() -> tuple[SwitchableNetwork, SharedClassifier]:
    network = build(_SPEC, _WIDTHS, 0).to(memory_format=torch.channels_last)
    return network, SharedClassifier(
        len(_WIDTHS), _SPEC.embedding_dim, _CLASSES, lambda: Evidence(0.5)
    )


def _sfsc(
    widths: Sequence[float],
    images: Tensor,
    labels: Tensor,
    together: Processes = _ALONE,
    part: Callable[[str], AbstractContextManager[None]] = lambda name: nullcontext(),
) -> Work:
    objective = SharedClassifier(len(widths), _SPEC.embedding_dim, _CLASSES, lambda: Evidence(0.5))
    options = TrainingOptions(epochs=1, batch_size=len(images), learning_rate=_RATE)
    update = Step(build(_SPEC, widths, 0), objective, project, options, together, part)
    random = generator(0)

    def run() -> None:
        update(images, labels, _RATE, random)

    return run


def _static(width: float, images: Tensor, labels: Tensor) -> Work:
    network: StaticNetwork = build(_SPEC, [width], 0).extract(0)
    network.to(memory_format=torch.channels_last)
    objective = SharedClassifier(1, _SPEC.embedding_dim, _CLASSES, lambda: Evidence(0.5))
    optimiser = _adamw([*network.parameters(), *objective.parameters()])

    def run() -> None:
        optimiser.zero_grad()
        _loss(objective, 0, network(images), labels).backward()
        optimiser.step()

    return run


def _by_torchjd(images: Tensor, labels: Tensor) -> Work:
    network, objective = _networks()
    parameters = [*network.parameters(), *objective.parameters()]
    optimiser, aggregator = _adamw(parameters), PCGrad()

    def run() -> None:
        optimiser.zero_grad()
        losses = [
            _loss(objective, index, network(images, index), labels) for index in range(len(_WIDTHS))
        ]
        # One loss at a time: in parallel each would go back through the others' passes as well.
        autojac.backward(losses, parallel_chunk_size=1)
        autojac.jac_to_grad(parameters, aggregator)
        optimiser.step()

    return run


def _by_literal_pcgrad(images: Tensor, labels: Tensor) -> Work:
    network, objective = _networks()
    parameters = [*network.parameters(), *objective.parameters()]
    optimiser, random = _adamw(parameters), np.random.default_rng(0)

    def run() -> None:
        gradients = []
        for index in range(len(_WIDTHS)):
            optimiser.zero_grad()
            _loss(objective, index, network(images, index), labels).backward()
            gradients.append(
                torch.cat(
                    [
                        (torch.zeros_like(p) if p.grad is None else p.grad.clone()).flatten()
                        for p in parameters
                    ]
                )
            )
        projected = [gradient.clone() for gradient in gradients]
        for i, gradient in enumerate(projected):
            for j in random.permutation([j for j in range(len(gradients)) if j != i]):
                inner = torch.dot(gradient, gradients[j])
                if inner < 0:
                    gradient -= inner / gradients[j].square().sum() * gradients[j]
        update, start = torch.stack(projected).sum(dim=0), 0
        for parameter in parameters:
            end = start + parameter.numel()
            parameter.grad = update[start:end].view_as(parameter).clone()
            start = end
        optimiser.step()

    return run


def _loss(objective: SharedClassifier, index: int, embeddings: Tensor, labels: Tensor) -> Tensor:
    directions = _SCALE * nn.functional.normalize(embeddings, dim=1)
    return objective(index, directions, labels).loss  # type: ignore[no-any-return]


def _adamw(parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=_RATE, fused=True)


_WAYS: dict[str, Callable[[Tensor, Tensor], Work]] = {
    "sfsc": partial(_sfsc, _WIDTHS),
    "TorchJD": _by_torchjd,
    "literal PCGrad": _by_literal_pcgrad,
}


def _peak_of(name: str, batch: int) -> float:
    """What a fresh process needs for one of `_WAYS` above what it starts with, GiB."""
    queue = multiprocessing.get_context("spawn").SimpleQueue()
    spawn(_grow, (name, batch, queue), nprocs=1)
    return float(queue.get())


def _grow(rank: int, name: str, batch: int, queue: "SimpleQueue[float]") -> None:
    del rank
    torch.set_num_threads(1)
    images, labels = _batch(batch)
    with PeakMemory() as before:
        time.sleep(0.2)
    with PeakMemory() as during:
        run = _WAYS[name](images, labels)
        for _ in range(3):
            run()
    queue.put(during.gib - before.gib)


def _multiply_adds(width: float) -> int:
    network = build(_SPEC, [width], 0).extract(0).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, _SIZE, _SIZE))
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
