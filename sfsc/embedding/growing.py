"""Embedding files that grow row by row, and outlive the process that writes them."""

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfsc.files import replacing, writing

_Mapped = np.memmap[Any, np.dtype[np.float32]]


class GrowingEmbeddings:
    """Rows of a file-to-be, in a folder; `rows` of them an earlier process has saved.

    They count where `fingerprint`, of all that the rows depend on, is that process's.
    """

    def __init__(self, path: Path, shape: tuple[int, int], fingerprint: str):
        """`path` has no ending; hidden files next to it hold the rows and how many are done."""
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._data = path.with_name(f".growing.{path.name}.npy")
        self._state = path.with_name(f".growing.{path.name}.json")
        self._fingerprint, self.rows = fingerprint, 0
        self._array: _Mapped
        try:
            state = json.loads(self._state.read_text())
            self._array = np.lib.format.open_memmap(self._data, "r+")
            self.rows = state["rows"] if state["fingerprint"] == fingerprint else 0
        except (OSError, ValueError):  # none, or torn as the machine went down
            pass
        if not self.rows:
            self._state.unlink(missing_ok=True)
            with writing(self._data):
                self._array = _mapped(self._data, shape)

    def write(self, rows: Sequence[int], embeddings: NDArray[np.float32]) -> None:
        self._array[rows] = embeddings

    def save(self, rows: int) -> None:
        """Let all that was written count, which are the first `rows`."""
        self._array.flush()
        with replacing(self._state) as beside:
            beside.write_text(json.dumps({"fingerprint": self._fingerprint, "rows": rows}))

    def finish(self, path: Path) -> None:
        """All rows are saved: let them be the file at `path`."""
        with replacing(path) as beside:
            shutil.move(self._data, beside)
        self._state.unlink()


def _mapped(path: Path, shape: tuple[int, int]) -> _Mapped:
    """A new file, with all its room on the disk: to write to a page without ends the process."""
    try:
        array: _Mapped = np.lib.format.open_memmap(path, "w+", np.float32, shape)
        if sys.platform == "linux":
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return array
