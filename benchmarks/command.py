"""What the commands `python -m benchmarks.NAME` have in common."""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from sfsc.report.provenance import commit, hardware

_OUT = Path("results/benchmarks")
_QUICK = (
    "Quick: small sizes, to see that everything runs and agrees. These figures are no measurement,"
    " and no file stays."
)


def run(measure: Callable[[Path, bool], None]) -> None:
    """Call `measure` with the folder to write to, and whether to be quick, as the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="small sizes; measures nothing")
    if not parser.parse_args().quick:
        _OUT.mkdir(parents=True, exist_ok=True)
        measure(_OUT, False)
        return
    print(_QUICK, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), True)
    print(_QUICK)


def measured_on() -> str:
    """The sentence that tables begin with: which commit, on what machine."""
    here = commit()
    changed = ", with uncommitted changes" if here["dirty"] else ""
    return f"Commit {here['commit'] or 'unknown'}{changed}. {hardware()['cpu']}."
