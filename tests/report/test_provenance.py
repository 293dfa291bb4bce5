"""Where results come from: the suite's own checkout."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sfsc.config import ROOT
from sfsc.report.provenance import write_provenance

PROFILE = {"profile": "mini", "seeds": [0]}


def git(folder, *arguments):
    identity = ["-c", "user.email=u@example.org", "-c", "user.name=u"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    environment = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    ).stdout.strip()


def provenance_of(suite, folder):
    """As a copy of the library at `suite` writes it for who stands in `folder`."""
    code = (
        "from pathlib import Path; from sfsc.report.provenance import write_provenance\n"
        f"write_provenance(Path('results'), {PROFILE})"
    )
    environment = os.environ | {"PYTHONPATH": str(suite)}
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, check=True)
    return json.loads((folder / "results" / "provenance.json").read_text())


@pytest.fixture
def repository(tmp_path):
    """A repository of the user's own, in which the suite runs."""
    folder = tmp_path / "mine"
    folder.mkdir()
    git(folder, "init", "--quiet")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "mine")
    return folder


def copied(suite: Path) -> Path:
    shutil.copytree(ROOT / "sfsc", suite / "sfsc", ignore=shutil.ignore_patterns("__pycache__"))
    return suite


def test_the_commit_is_that_of_the_suite(repository, tmp_path, monkeypatch):
    suite = copied(tmp_path / "suite")
    (suite / ".gitignore").write_text("__pycache__\n")
    git(suite, "init", "--quiet")
    git(suite, "add", ".")
    git(suite, "commit", "--quiet", "--message", "suite")
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))  # as in a hook of that repository
    found = provenance_of(suite, repository)
    assert (found["commit"], found["dirty"]) == (git(suite, "rev-parse", "HEAD"), False)
    (suite / "sfsc" / "mine.py").touch()
    assert provenance_of(suite, repository)["dirty"]


def test_a_copy_in_another_repository_has_no_commit(repository):
    found = provenance_of(copied(repository / ".venv" / "lib"), repository)
    assert (found["commit"], found["dirty"]) == (None, None)


def test_the_configuration_is_kept_to_be_run_again(tmp_path):
    write_provenance(tmp_path, PROFILE)
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == PROFILE
