"""Published tables name their commit, and what has changed since is said."""

import shutil
import subprocess
import warnings

import pytest

from benchmarks.published import MEASURED, changes, outdated
from sfsc.config import ROOT


def git(folder, *arguments):
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "code.py").write_text("1")
    (folder / "other.py").write_text("1")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder


def test_changes_of_what_a_table_measures_are_found(repository, tmp_path):
    table = repository / "table.md"
    table.write_text(f"Commit {git(repository, 'rev-parse', 'HEAD')}. A machine.")
    assert changes(table, ["code.py"], repository) == []
    (repository / "code.py").write_text("2")
    git(repository, "commit", "--quiet", "--all", "--message", "faster")
    assert [line.partition(" ")[2] for line in changes(table, ["code.py"], repository)] == [
        "faster"
    ]
    assert changes(table, ["other.py"], repository) == []

    table.write_text("no name")
    with pytest.raises(LookupError, match="names no commit"):
        changes(table, ["code.py"], repository)
    table.write_text(f"Commit {'0' * 40}.")  # as in a shallow clone
    with pytest.raises(LookupError, match="git does not know"):
        changes(table, ["code.py"], repository)
    with pytest.raises(LookupError, match="git does not know"):
        changes(table, ["."], tmp_path)  # outside a repository


def test_every_published_table_names_its_commit_and_its_code_is_there():
    folder = ROOT / "results/published/benchmarks"
    assert {path.name for path in folder.glob("*.md")} == set(MEASURED)
    for name, paths in MEASURED.items():
        assert "Commit " in (folder / name).read_text(), name
        for path in paths:
            assert (ROOT / path).exists(), f"{name}: {path}"


def test_tables_that_are_behind_the_code():
    """A warning, in pytest's summary: a change of code need not be one of speed."""
    for line in outdated():
        warnings.warn(line, stacklevel=1)
