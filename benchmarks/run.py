"""Measure speed and memory on this machine: `make bench`.

Writes README.md, results.json and figures to results/benchmarks/. The galleries of the
evaluation take 2.1 GB of disk for the time of the run. `make bench QUICK=1` takes less than a
minute, measures nothing, and leaves no file.
"""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks import command, evaluation, training
from benchmarks.timing import Figure
from sfsc.files import replacing
from sfsc.report.provenance import commit, hardware

_DRAWN = {
    "growth.png": "Time of a search against gallery rows",
    "widths.png": "Time of a training step against multiply-adds",
}
_QUICK: dict[Any, dict[str, Any]] = {
    evaluation.landmarks: {"rows": 5_000, "queries": 20, "models": 2, "dimension": 64},
    evaluation.refreshed: {
        "rows": 5_000,
        "queries": 20,
        "models": 2,
        "dimension": 64,
        "repeats": 1,
    },
    evaluation.revisited: {"rows": 10_000, "queries": 10, "models": 2, "dimension": 64},
    evaluation.labelled: {"rows": 1_000, "models": 2, "dimension": 64},
    evaluation.bootstrap: {"queries": 50},
    evaluation.growth: {"sizes": (1_000, 10_000), "queries": 20, "dimension": 64},
    training.step: {"batch": 8, "repeats": 1, "memory_of": ["sfsc"]},
    training.loading: {"batch": 8, "repeats": 1, "photographs": 64},
    training.widths: {"batch": 4, "repeats": 1},
    training.processes: {"batch": 8, "repeats": 1},
}
"""The arguments of each section in the quick form."""


def main(out: Path, quick: bool) -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    with tempfile.TemporaryDirectory(dir=out) as name:
        folder = Path(name)
        evaluation.check(folder)
        training.check()
        print("Checked: all that is compared computes the same.\n", flush=True)
        sections: dict[str, tuple[Callable[..., list[Figure]], *tuple[Path, ...]]] = {
            "Search at the scale of Google Landmarks v2": (evaluation.landmarks, folder),
            "Refresh curves at that scale": (evaluation.refreshed, folder),
            "Revisited Oxford with a million distractors": (evaluation.revisited, folder),
            "A labelled set of CIFAR-10's size": (evaluation.labelled,),
            "Intervals": (evaluation.bootstrap,),
            "Growth": (evaluation.growth, folder, out / "growth.png"),
            "A training step": (training.step,),
            "Loading": (training.loading, folder),
            "Training steps and widths": (training.widths, out / "widths.png"),
            "Training processes": (training.processes,),
        }
        measured: dict[str, list[Figure]] = {}
        for title, (section, *paths) in sections.items():
            measured[title] = section(*paths, **(_QUICK[section] if quick else {}))
            print(f"{title}\n\n{_table(measured[title])}\n", flush=True)
            _report(measured, out)  # after each: what was measured stays if the next is interrupted


def _report(measured: dict[str, list[Figure]], out: Path) -> None:
    machine = hardware()
    parts = [
        "# Measured on this machine",
        f"{command.measured_on()} {torch.get_num_threads()} threads,"
        f" GPU: {machine['gpu'] or 'none'}.",
    ]
    for title, figures in measured.items():
        parts += [f"## {title}", _table(figures)]
    for name, caption in _DRAWN.items():
        if (out / name).exists():
            parts.append(f"![{caption}]({name})")
    data = {title: [figure._asdict() for figure in part] for title, part in measured.items()}
    facts = {**commit(), "hardware": machine, "sections": data}
    for name, text in (
        ("README.md", "\n\n".join(parts)),
        ("results.json", json.dumps(facts, indent=2)),
    ):
        with replacing(out / name) as beside:
            beside.write_text(text + "\n")


def _table(figures: list[Figure]) -> str:
    return pd.DataFrame(figures).to_markdown(index=False, floatfmt=".4g")


if __name__ == "__main__":
    command.run(main)
