"""Which stage of the workflow grows faster than it must.

python -m benchmarks.growth runs a small profile, then the same with twice the training images, the
searched images, the widths, the methods and the seeds, one at a time, and writes growth.md to
results/benchmarks/. It compares processor seconds, which other work on the machine disturbs least.
"""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmarks import command
from sfsc import config as profiles
from sfsc.files import replacing

_STAGES = ("generate", "train", "embed", "evaluate", "collect", "report")


def main(out: Path, quick: bool) -> None:
    base = _base(quick)
    changed = {"base": base} if quick else {"base": base, **_doubled(base)}
    seconds = pd.DataFrame({name: _seconds(profile) for name, profile in changed.items()})
    ratios = seconds.drop(columns="base").div(seconds["base"], axis=0)
    table = pd.concat([seconds["base"].rename("base (s)"), ratios], axis=1).rename_axis("stage")
    text = (
        f"{command.measured_on()} Processor seconds of each stage, and how many times as many it"
        " takes with twice as much of one thing. Each job begins with some seconds of imports,"
        " which do not grow.\n\n"
        f"{table.to_markdown(floatfmt='.2f')}\n"
    )
    with replacing(out / "growth.md") as beside:
        beside.write_text(text)
    print(text)


def _base(quick: bool) -> dict[str, Any]:
    profile: dict[str, Any] = dict(profiles.load(profiles.ROOT / "config" / "mini.yaml"))
    profile |= {"profile": "growth", "seeds": [0], "methods": ["bct", "sfsc"], "widths": [0.5, 1.0]}
    profile["training"] = profile["training"] | {"epochs": 1 if quick else 6}
    drawn = {"train_landmarks": 10, "train_views": 10} if quick else {"train_landmarks": 50}
    tested = {"test_landmarks": 10 if quick else 200, "revisited_landmarks": 10}
    profile["synthetic"] = profile["synthetic"] | drawn | tested
    for key in ("ablation", "contrasts"):
        del profile[key]
    for section in ("train_sets", "eval_sets"):
        profile[section] = {k: v for k, v in profile[section].items() if k != "digits"}
    profile["train_sets"]["landmarks"] = {
        key: value for key, value in profile["train_sets"]["landmarks"].items() if key != "methods"
    }
    return profile


def _doubled(base: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    drawn = base["synthetic"]
    changes: dict[str, dict[str, Any]] = {
        "training images": {"synthetic": drawn | {"train_views": 2 * drawn["train_views"]}},
        "searched images": {"synthetic": drawn | {"test_landmarks": 2 * drawn["test_landmarks"]}},
        "widths": {"widths": [0.25, 0.5, 0.75, 1.0]},
        "methods": {
            "methods": [
                {"name": f"{name}-{k}", "method": name} for name in base["methods"] for k in "ab"
            ]
        },
        "seeds": {"seeds": [0, 1]},
    }
    return {name: {**base, **change} for name, change in changes.items()}


def _seconds(profile: Mapping[str, Any]) -> pd.Series:
    """The processor seconds of each stage of a run from nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "profile.yaml").write_text(yaml.safe_dump(dict(profile), sort_keys=False))
        run = [sys.executable, "-m", "snakemake", "--snakefile", str(profiles.ROOT / "Snakefile")]
        run += ["--cores", "1", "all", "--configfile", "profile.yaml", "--quiet", "all"]
        subprocess.run(run, cwd=folder, check=True)
        kept = folder / profiles.results(dict(profile)) / "benchmarks"
        jobs = {
            stage: [pd.read_csv(path, sep="\t") for path in (kept / stage).rglob("*.tsv")]
            for stage in _STAGES
        }
    return pd.Series({k: sum(job["cpu_time"].sum() for job in v) for k, v in jobs.items() if v})


if __name__ == "__main__":
    command.run(main)
