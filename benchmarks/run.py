"""Time a training step and an evaluation on this machine: `make bench`.

Writes results/benchmarks/README.md and results.json. Repeats of what is compared are interleaved,
and each figure is a median, so that a slow spell of the machine falls on all alike.
"""

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pandas as pd
import torch

from sfsc.data.sets import GroundTruth, LabelRelevance
from sfsc.files import replacing
from sfsc.progress import progress
from sfsc.report.provenance import hardware
from sfsc.retrieval.pairs import evaluate_pairs
from sfsc.switchable.network import NetworkSpec, build
from sfsc.training.aggregation import project
from sfsc.training.gradients import SharedGradients
from sfsc.training.objectives import SharedEvidence

_OUT = Path("results/benchmarks")
_WIDTHS = (0.25, 0.5, 0.75, 1.0)
_SPEC = NetworkSpec("resnet18", 128, 32, 2, {"layers": [1, 1, 1, 1]})
_BATCH = 128


def main() -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    rows = [*training_step(), *evaluation()]
    table = pd.DataFrame(rows, columns=["what", "value", "unit"])
    machine = hardware()
    page = [
        "# Measured on this machine",
        f"{machine['cpu']}, {torch.get_num_threads()} threads, GPU: {machine['gpu'] or 'none'}; "
        "medians of interleaved repeats.",
        table.to_markdown(index=False, floatfmt=".4g"),
    ]
    _write("README.md", "\n\n".join(page) + "\n")
    _write("results.json", json.dumps({"hardware": machine, "rows": rows}, indent=2) + "\n")
    print(page[-1])


def training_step() -> list[tuple[str, float, str]]:
    """A step of sfsc against the sum of the steps of separate static networks."""
    images = torch.randn(_BATCH, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (_BATCH,))
    switchable = build(_SPEC, _WIDTHS, 0).to(memory_format=torch.channels_last)
    objective = SharedEvidence(len(_WIDTHS), _SPEC.embedding_dim, 10, 5e-4)
    shared = [*switchable.shared_parameters(), *objective.shared_parameters()]
    gradients = SharedGradients(shared, len(_WIDTHS), "network")
    random = torch.Generator().manual_seed(0)

    def resolve() -> None:
        gradients.combine(project(gradients.gram(), random))

    def sfsc() -> None:
        gradients.clear()
        for index in range(len(_WIDTHS)):
            gradients.select(index)
            objective(index, switchable(images, index), labels).loss.backward()
        resolve()

    def alone(network: torch.nn.Module) -> None:
        criterion(0, network(images), labels).loss.backward()

    criterion = SharedEvidence(1, _SPEC.embedding_dim, 10, 5e-4)
    work: dict[str, Callable[[], None]] = {"sfsc": sfsc, "projection": resolve}
    for index, width in enumerate(_WIDTHS):
        static = switchable.extract(index).to(memory_format=torch.channels_last)
        work[f"static {width}"] = partial(alone, static)
    seconds = _medians(work, repeats=15)
    separate = sum(seconds[f"static {width}"] for width in _WIDTHS)
    return [
        ("sfsc training step, 4 widths, batch 128", seconds["sfsc"], "s"),
        ("the same widths as separate static networks", separate, "s"),
        ("ratio", seconds["sfsc"] / separate, ""),
        ("share of the projection in it", seconds["projection"] / seconds["sfsc"], ""),
    ]  # fmt: skip


def evaluation() -> list[tuple[str, float, str]]:
    """One pair of a labelled set of CIFAR-10's size, all metrics, against the bare search."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((10_000, 128)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = random.integers(0, 10, len(vectors))
    ids = [str(row) for row in range(len(vectors))]
    truth = GroundTruth("labelled", ids, ids, {"all": LabelRelevance(labels, labels, True)})
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    seconds = _medians(
        {
            "pair": lambda: evaluate_pairs(truth, {"a": vectors}, {"a": vectors}),
            "faiss": lambda: index.search(vectors, 100),
        },
        repeats=3,
    )
    return [
        ("evaluation of a pair, 10,000 x 10,000, full ranking", seconds["pair"], "s"),
        ("faiss IndexFlatIP, top 100 of the same", seconds["faiss"], "s"),
    ]


def _medians(work: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for repeat in progress(range(repeats + 1), "repeats", "repeat"):
        for name, function in work.items():
            start = time.perf_counter()
            function()
            if repeat:  # the first warms up
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _write(name: str, text: str) -> None:
    with replacing(_OUT / name) as beside:
        beside.write_text(text)


if __name__ == "__main__":
    main()
