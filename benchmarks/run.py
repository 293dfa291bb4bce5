"""Measure speed and memory on this machine: `make bench`.

Writes README.md, results.json and figures to results/benchmarks/. The galleries of the
evaluation take 2.1 GB of disk for the time of the run.
"""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from benchmarks import evaluation, training
from benchmarks.timing import Figure
from sfsc.files import replacing
from sfsc.report.provenance import hardware

_OUT = Path("results/benchmarks")
_DRAWN = {
    "growth.png": "Time of a search against gallery rows",
    "widths.png": "Time of a training step against multiply-adds",
}


def main() -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    _OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_OUT) as name:
        folder = Path(name)
        sections: dict[str, Callable[[], list[Figure]]] = {
            "Search at the scale of Google Landmarks v2": lambda: evaluation.landmarks(folder),
            "Revisited Oxford with a million distractors": lambda: evaluation.revisited(folder),
            "A labelled set of CIFAR-10's size": evaluation.labelled,
            "Intervals": evaluation.bootstrap,
            "Growth": lambda: evaluation.growth(folder, _OUT / "growth.png"),
            "A training step": training.step,
            "Loading": lambda: training.loading(folder),
            "Training steps and widths": lambda: training.widths(_OUT / "widths.png"),
            "Training processes": training.processes,
        }
        measured: dict[str, list[Figure]] = {}
        for title, section in sections.items():
            measured[title] = section()
            print(_table(measured[title]), flush=True)
            _report(measured)  # after each: what was measured stays if the next is interrupted


def _report(measured: dict[str, list[Figure]]) -> None:
    machine = hardware()
    parts = [
        "# Measured on this machine",
        f"{machine['cpu']}, {torch.get_num_threads()} threads, GPU: {machine['gpu'] or 'none'}.",
    ]
    for title, figures in measured.items():
        parts += [f"## {title}", _table(figures)]
    for name, caption in _DRAWN.items():
        if (_OUT / name).exists():
            parts.append(f"![{caption}]({name})")
    data = {title: [figure._asdict() for figure in part] for title, part in measured.items()}
    _write("README.md", "\n\n".join(parts) + "\n")
    _write("results.json", json.dumps({"hardware": machine, "sections": data}, indent=2) + "\n")


def _table(figures: list[Figure]) -> str:
    return pd.DataFrame(figures).to_markdown(index=False, floatfmt=".4g")


def _write(name: str, text: str) -> None:
    with replacing(_OUT / name) as beside:
        beside.write_text(text)


if __name__ == "__main__":
    main()
