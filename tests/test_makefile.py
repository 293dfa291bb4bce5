"""Which Python `make` takes, and what it says where there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[1] / "Makefile"


@pytest.fixture
def path(tmp_path):
    """A PATH with the shell's tools and no Python; the checkout is a folder of its own."""
    (tmp_path / "bin").mkdir()
    for tool in ("make", "sh", "env", "touch", "true"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    (tmp_path / "checkout").mkdir()
    shutil.copy(MAKEFILE, tmp_path / "checkout")
    for name in ("constraints.txt", "pyproject.toml"):
        (tmp_path / "checkout" / name).touch()
    return tmp_path / "bin"


def make(path, *arguments):
    # What a `make test PYTHON=...` that runs these tests hands down would count here, too.
    handed_down = ("PYTHON", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS")
    environment = {name: value for name, value in os.environ.items() if name not in handed_down}
    return subprocess.run(
        [path / "make", "-C", path.parent / "checkout", *arguments],
        env=environment | {"PATH": str(path)},
        capture_output=True,
        text=True,
    )


def shim(path):
    """What pyenv leaves where a version is installed and not chosen."""
    path.write_text("#!/bin/sh\necho command not found >&2\nexit 127\n")
    path.chmod(0o755)


def test_the_newest_that_works_is_taken(path):
    shim(path / "python3.13")
    for name in ("python3.12", "python3.11", "python3"):
        (path / name).symlink_to(sys.executable)
    assert '"python3.12" -m venv' in make(path, "--dry-run", "all").stdout
    (path / "python3.13").unlink()
    (path / "python3.13").symlink_to(sys.executable)
    assert '"python3.13" -m venv' in make(path, "--dry-run", "test").stdout
    for name in ("python3.13", "python3.12", "python3.11"):
        (path / name).unlink()
    assert '"python3" -m venv' in make(path, "--dry-run", "all").stdout


def test_a_python_that_is_named_wins(path, tmp_path):
    (path / "python3.13").symlink_to(sys.executable)
    own = tmp_path / "my pythons" / "own"
    own.parent.mkdir()
    own.symlink_to(sys.executable)
    assert f'"{own}" -m venv' in make(path, "--dry-run", "all", f"PYTHON={own}").stdout


@pytest.mark.parametrize("arguments", [(), ("PYTHON=python3.12",), ("PYTHON=/absent/python",)])
def test_without_one_it_says_what_is_missing(path, arguments):
    shim(path / "python3.12")
    done = make(path, "--silent", "all", *arguments)
    assert done.returncode != 0
    assert done.stdout == ""
    said = done.stderr.splitlines()
    assert "Python 3.11 or newer with its modules venv and ensurepip" in said[0]
    assert all(line.startswith("make") for line in said)  # the second says that make stopped
    assert len(said) <= 4
    assert not (path.parent / "checkout" / ".venv").exists()


def test_an_environment_of_another_python_is_made_anew(path):
    says_its_version = "#!/bin/sh\ncase $1 in -V) echo Python 3.1{};; -m) echo $@;; esac\n"
    inside = path.parent / "checkout" / ".venv" / "bin" / "python"
    inside.parent.mkdir(parents=True)
    for python, version in ((path / "python3.12", 2), (inside, 1)):
        shim(python)
        python.write_text(says_its_version.format(version))
    done = make(path, "--silent", ".venv/.ready", "INSTALL=true")
    assert done.stdout.splitlines()[0] == "-m venv --clear .venv"
    inside.write_text(says_its_version.format(2))
    os.utime(inside.parents[1] / ".ready", (0, 0))
    done = make(path, "--silent", ".venv/.ready", "INSTALL=true")
    assert done.stdout.splitlines()[0] == "-m venv .venv"
