"""Which published tables are older than the code that they measure.

python -m benchmarks.published says so, table by table, and changes nothing: code may change
without its speed, and a measurement takes an idle machine.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from sfsc import config

_FOLDER = Path("results/published/benchmarks")
_EVERYWHERE = ("constraints.txt", "benchmarks/timing.py")
MEASURED: Mapping[str, Sequence[str]] = {
    "README.md": (
        "sfsc/retrieval",
        "sfsc/training",
        "sfsc/switchable",
        "sfsc/data/decoding.py",
        "sfsc/data/batches.py",
        "benchmarks/run.py",
        "benchmarks/evaluation.py",
        "benchmarks/training.py",
        "benchmarks/steps.py",
    ),
    "backbones.md": ("sfsc/switchable", "sfsc/deploy/export.py", "benchmarks/backbones.py"),
    "null.md": ("sfsc/retrieval/inference.py", "benchmarks/null.py"),
    "preparation.md": (
        "sfsc/data/packing.py",
        "sfsc/data/packed.py",
        "sfsc/data/reading.py",
        "sfsc/data/decoding.py",
        "benchmarks/preparation.py",
    ),
    "expectations.md": (
        "sfsc/resources.py",
        "sfsc/switchable",
        "sfsc/catalogue.py",
        "config/landmarks.yaml",
        "benchmarks/expectations.py",
    ),
}
"""Of each table, the files and folders whose speed, or whose tests, it shows."""


def changes(table: Path, paths: Sequence[str], root: Path) -> list[str]:
    """The commits since the one that `table` names that changed any of `paths`, newest first.

    Raises LookupError, with the reason, where that cannot be known: outside a repository, in a
    shallow clone, or where the table names no commit.
    """
    named = re.search(r"[Cc]ommit ([0-9a-f]{40})", table.read_text())
    if named is None:
        raise LookupError("names no commit")
    command = ["git", "log", "--oneline", f"{named[1]}..", "--", *paths]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    except OSError as error:
        raise LookupError(f"git does not run: {error}") from None
    if done.returncode:
        raise LookupError(f"git does not know: {done.stderr.strip().splitlines()[0]}")
    return done.stdout.splitlines()


def outdated(root: Path = config.ROOT) -> list[str]:
    """A line for each table whose code has changed, or of which that is not known."""
    lines = []
    for name, paths in MEASURED.items():
        try:
            found = changes(root / _FOLDER / name, (*_EVERYWHERE, *paths), root)
        except LookupError as reason:
            lines.append(f"{_FOLDER / name}: unknown whether it is up to date: {reason}")
            continue
        if found:
            commits = "commit" if len(found) == 1 else "commits"
            lines.append(
                f"{_FOLDER / name}: what it measures has changed since, in {len(found)} {commits};"
                f" the last: {found[0]}"
            )
    return lines


if __name__ == "__main__":
    print("\n".join(outdated()) or "All published tables are of the code as it is.")
