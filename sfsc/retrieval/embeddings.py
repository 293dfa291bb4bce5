"""Read an embedding file and refuse one that would give wrong numbers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sfsc.files import InputError

_NORM_TOLERANCE = 1e-3
_CHECKED_ROWS = 2**14


class Embeddings(Protocol):
    """Rows of embeddings, (N, D) float32 and L2-normalised: an array, or a file of them."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: slice, /) -> NDArray[np.float32]: ...


class EmbeddingFile:
    """The embeddings in a .npy file; only the rows of a slice are ever in memory."""

    def __init__(self, path: Path, rows: int | None):
        """Check the whole file first, in bounded memory.

        `rows` is the expected N; None accepts any. Raises InputError, naming the file, for one
        that is absent, not an intact NumPy file of float32 (N, D), of another N, or with a row
        that is not finite and of norm 1 (within 1e-3).
        """
        try:
            mapped = np.lib.format.open_memmap(path, mode="r")
        except FileNotFoundError:
            raise InputError(f"{path}: no such file") from None
        except Exception as error:  # a damaged header makes NumPy raise almost anything
            reason = " ".join(str(error).split())
            raise InputError(
                f"{path}: not a whole .npy file of numbers ({reason}); write it with numpy.save"
            ) from None
        if mapped.dtype != np.float32:
            raise InputError(
                f"{path}: holds {mapped.dtype}, but embeddings are float32;"
                " convert with .astype(numpy.float32)"
            )
        if mapped.ndim != 2:
            raise InputError(
                f"{path}: has shape {mapped.shape}, but embeddings are (rows, dimension)"
            )
        if rows is not None and len(mapped) != rows:
            raise InputError(
                f"{path}: has {len(mapped)} rows but {rows} are expected;"
                " write one row for each id, in the order of the ids"
            )
        if not mapped.flags.c_contiguous:
            raise InputError(
                f"{path}: is in Fortran order; save it again with numpy.ascontiguousarray"
            )
        size = path.stat().st_size
        described = mapped.offset + mapped.nbytes
        if size != described:
            raise InputError(
                f"{path}: has {size} bytes but its header describes {described};"
                " write one array per file"
            )
        self.shape = mapped.shape
        self._offset = mapped.offset
        # Kept open: a file that replaces this one under its name does not change these rows.
        self._file = path.open("rb")
        for start, block in blocks(self, _CHECKED_ROWS):
            _check_norms(path, start, block)

    def __getitem__(self, rows: slice, /) -> NDArray[np.float32]:
        # A map of these rows alone, since pages of a map count as memory until it goes.
        first, last, step = rows.indices(self.shape[0])
        assert step == 1
        shape = (max(0, last - first), self.shape[1])
        if 0 in shape:
            return np.empty(shape, np.float32)
        # "c": torch and compiled loops want arrays that could be written.
        return np.memmap(self._file, np.float32, "c", self._offset + 4 * shape[1] * first, shape)


def blocks(embeddings: Embeddings, rows: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Consecutive blocks of at most `rows` rows, each with the number of its first row."""
    for start in range(0, embeddings.shape[0], rows):
        yield start, embeddings[start : start + rows]


def _check_norms(path: Path, start: int, block: NDArray[np.float32]) -> None:
    norms = np.sqrt(np.einsum("nd,nd->n", block, block))
    bad = np.flatnonzero(~(np.abs(norms - 1) <= _NORM_TOLERANCE))
    if bad.size == 0:
        return
    row = start + int(bad[0])
    if not np.isfinite(block[bad[0]]).all():
        raise InputError(f"{path}: row {row} (from 0) holds NaN or infinity; embed its image again")
    raise InputError(
        f"{path}: row {row} (from 0) has norm {norms[bad[0]]:.4g}; L2-normalise every row to norm 1"
    )
