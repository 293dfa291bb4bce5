"""Where results come from: code, packages, machine, configuration, seeds, time."""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from sfsc.config import ROOT
from sfsc.files import replacing

_PACKAGES = [
    "torch",
    "timm",
    "numpy",
    "pandas",
    "pillow",
    "scikit-learn",
    "faiss-cpu",
    "snakemake",
    "matplotlib",
    "safetensors",
    "simplejpeg",
]


def write_provenance(results: Path, config: Mapping[str, Any]) -> None:
    """Write provenance.json, and config.yaml, the configuration alone, to be run again.

    Stages are the summed wall seconds of their jobs' benchmarks.
    """
    facts = {
        "profile": config["profile"],
        **commit(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "hardware": hardware(),
        "seeds": config["seeds"],
        "stages": _stage_seconds(results / "benchmarks"),
        "config": config,
    }
    with replacing(results / "provenance.json") as beside:
        beside.write_text(json.dumps(facts, indent=2) + "\n")
    with replacing(results / "config.yaml") as beside:
        beside.write_text(yaml.safe_dump(dict(config), sort_keys=False))


def commit() -> dict[str, Any]:
    """The suite's commit, and whether files differ from it; None outside a checkout of its own.

    Of the checkout that this library is in, whichever folder or repository one stands in.
    """
    # What a hook of another repository sets would lead there.
    environment = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}

    def git(*arguments: str) -> str:
        # The checkout may be another user's, as in containers.
        command = ["git", "-C", str(ROOT), "-c", f"safe.directory={ROOT}", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, env=environment
        ).stdout.strip()

    try:
        # A copy below another repository, as in a .venv there, is no checkout.
        if not git("rev-parse", "--show-prefix"):
            return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        pass
    return {"commit": None, "dirty": None}


def hardware() -> dict[str, Any]:
    """The machine: CPU, cores, memory in GiB, GPU (None without one), operating system."""
    cpu = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [line for line in information.read_text().splitlines() if "model name" in line]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "gpu": _gpu(),
        "system": platform.platform(),
    }


def _gpu() -> str | None:
    if shutil.which("nvidia-smi") is None:
        return None
    listed = subprocess.run(
        ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True
    )
    return ", ".join(listed.stdout.split("\n")).strip(", ") or None


def _stage_seconds(benchmarks: Path) -> dict[str, float]:
    """Snakemake leaves a table for each job at benchmarks/<stage>/<job>.tsv, in seconds `s`."""
    return {
        stage.name: round(
            sum(float(pd.read_csv(f, sep="\t")["s"].sum()) for f in sorted(stage.glob("*.tsv"))), 1
        )
        for stage in sorted(path for path in benchmarks.glob("*") if path.is_dir())
    }
