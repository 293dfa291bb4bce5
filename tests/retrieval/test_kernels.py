"""Compiled code is kept where that is possible; where it is not, everything works as well."""

import importlib.util
import shutil

import pytest

from sfsc.retrieval.kernels import _compiled


@pytest.fixture
def function(tmp_path, monkeypatch):
    """Import a function from a file in a folder of its own, as a new process does."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "/dev/null")
    path = tmp_path / "of_its_own.py"
    path.write_text("def add(a, b):\n    return a + b\n")

    def imported():
        spec = importlib.util.spec_from_file_location("of_its_own", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.add

    return imported


def test_without_a_folder_to_write_to(function, tmp_path):
    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    (tmp_path / "__pycache__").touch()
    assert _compiled(function())(1, 2) == 3


def test_what_can_no_longer_be_written_or_is_broken(function, tmp_path):
    compiled = _compiled(function())
    shutil.rmtree(tmp_path / "__pycache__")
    (tmp_path / "__pycache__").touch()
    assert compiled(1, 2) == 3
    (tmp_path / "__pycache__").unlink()
    assert _compiled(function())(1, 2) == 3
    kept = [*tmp_path.glob("__pycache__/*.nbi"), *tmp_path.glob("__pycache__/*.nbc")]
    assert len(kept) == 2
    for content in (b"", b"\x80no pickle"):
        for path in kept:
            path.write_bytes(content)
            assert _compiled(function())(1, 2) == 3
