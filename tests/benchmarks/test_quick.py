"""Every benchmark runs in its quick form, measures nothing and leaves nothing.

That of `make bench` is a step of .ci/run of its own: it takes most of a minute.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["backbones", "expectations", "gpu", "null", "preparation"])
def test_the_quick_form_runs_and_leaves_nothing(name, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--quick"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "no measurement" in done.stdout.splitlines()[0]
    assert "no measurement" in done.stdout.splitlines()[-1]
    assert "Commit " in done.stdout or name == "backbones"
    assert not list(tmp_path.iterdir())
