"""What `import sfsc` offers, as docs/python.md shows it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import sfsc

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


def test_the_examples_of_the_page_run_and_show_every_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.M))
    scope = {}
    exec(code, scope)
    assert scope["M"].shape == (2, 2)
    for name in sfsc.__all__:
        assert f"sfsc.{name}" in code
    # The conflicting gradients of the page, each without its component along the other.
    assert scope["update"].tolist() == pytest.approx([0.5, 1.5])


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, sfsc; sys.exit(any(name in sys.modules for name in ('torch', 'pandas')))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sfsc.nothing  # noqa: B018
