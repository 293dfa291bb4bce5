"""Float32 products of all queries with a gallery, block by block: fast, and near the scores.

The products only say which gallery rows need an exact score (sfsc.retrieval.scores).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sfsc.progress import progress
from sfsc.retrieval.embeddings import Embeddings

_QUERY_ROWS = 1024


def products(
    queries: NDArray[np.float32], gallery: Embeddings, block_rows: int
) -> Iterator[tuple[slice, int, Tensor]]:
    """One pass over the gallery: (query rows, first gallery row, products) of each block.

    Products are float32, (query rows, block's gallery rows), within
    `sfsc.retrieval.scores.error_bound` of the scores; on a GPU where there is one. They are
    overwritten by the next.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    left = torch.from_numpy(queries).to(device)
    count, dimension = gallery.shape
    rows = torch.empty(min(block_rows, count), dimension)
    out = torch.empty(min(_QUERY_ROWS, len(queries)) * len(rows), device=device)
    with _full_precision():
        for start in progress(range(0, count, block_rows), "gallery", "block"):
            block = gallery[start : start + block_rows]
            rows.numpy()[: len(block)] = block
            right = rows[: len(block)].to(device).T
            for first in range(0, len(queries), _QUERY_ROWS):
                part = left[first : first + _QUERY_ROWS]
                target = out[: len(part) * len(block)].view(len(part), len(block))
                torch.mm(part, right, out=target)
                yield slice(first, first + len(part)), start, target


@contextmanager
def _full_precision() -> Iterator[None]:
    """Whatever the caller or the environment allows, no TF32 or bfloat16 inside the products."""
    earlier = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(earlier)
