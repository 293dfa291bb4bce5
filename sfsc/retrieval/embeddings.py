"""Read an embedding file and refuse one that would give wrong numbers."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfsc.files import InputError

_NORM_TOLERANCE = 1e-3


def load(path: Path, rows: int | None) -> NDArray[np.float32]:
    """The embeddings in `path`: float32, (N, D), L2-normalised, mapped from disk, read-only.

    `rows` is the expected N; None accepts any. Raises InputError, naming the file, for one that
    is absent, not an intact NumPy file of that form, of another N, or with a row that is not
    finite and of norm 1 (within 1e-3).
    """
    try:
        embeddings = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: not a whole .npy file of numbers ({reason}); write it with numpy.save"
        ) from None
    if embeddings.dtype != np.float32:
        raise InputError(
            f"{path}: holds {embeddings.dtype}, but embeddings are float32;"
            " convert with .astype(numpy.float32)"
        )
    if embeddings.ndim != 2:
        raise InputError(
            f"{path}: has shape {embeddings.shape}, but embeddings are (rows, dimension)"
        )
    if rows is not None and len(embeddings) != rows:
        raise InputError(
            f"{path}: has {len(embeddings)} rows but {rows} are expected;"
            " write one row for each id, in the order of the ids"
        )
    _check_rows(path, embeddings)
    return embeddings


def _check_rows(path: Path, embeddings: NDArray[np.float32]) -> None:
    norms = np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings))
    bad = np.flatnonzero(~(np.abs(norms - 1) <= _NORM_TOLERANCE))
    if bad.size == 0:
        return
    row = int(bad[0])
    if not np.isfinite(embeddings[row]).all():
        raise InputError(f"{path}: row {row} (from 0) holds NaN or infinity; embed its image again")
    raise InputError(
        f"{path}: row {row} (from 0) has norm {norms[row]:.4g}; L2-normalise every row to norm 1"
    )
