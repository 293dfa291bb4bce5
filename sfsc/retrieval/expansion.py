"""Expansion: a query, or each gallery row, takes up the gallery rows nearest to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from sfsc.profile import Expansion
from sfsc.retrieval.embeddings import EmbeddingFile, Embeddings, blocks
from sfsc.retrieval.search import top_k

_ROWS = 1024
_GALLERY_ROWS = 2**16


def expanded(
    embeddings: NDArray[np.float32], own: NDArray[np.int64], gallery: Embeddings, how: Expansion
) -> NDArray[np.float32]:
    """Alpha query expansion: unit vectors (Q, D) moved towards their nearest rows of (N, D).

    Radenović et al., TPAMI 2019, section 5.1: the sum of an embedding x and of s^alpha g for each
    near row g with the score s > 0, at length 1. `own`, (Q,), is the gallery row that shows the
    same image, which is no neighbour, or -1. Sums are in float64, in the order of the ranking.
    """
    found = np.empty_like(embeddings)
    for first in range(0, len(embeddings), _ROWS):
        some = slice(first, first + _ROWS)
        lists, scores = top_k(embeddings[some], gallery, how.neighbours + 1)
        lists, scores = without(own[some], lists, scores)
        weights = scores[:, : how.neighbours].clip(min=0).astype(np.float64) ** how.alpha
        total = embeddings[some].astype(np.float64)
        for rows, weight in zip(lists.T, weights.T, strict=False):
            total += np.where(rows >= 0, weight, 0)[:, None] * rows_of(gallery, rows)
        found[some] = total / np.sqrt(np.square(total).sum(axis=1, keepdims=True))
    return found


@contextmanager
def augmented(gallery: Embeddings, how: Expansion | None) -> Iterator[Embeddings]:
    """A gallery (N, D) whose rows are `expanded` by their neighbours, in a temporary file.

    Database augmentation, Arandjelović and Zisserman, CVPR 2012. None: the gallery as it is.
    """
    if how is None:
        yield gallery
        return
    with TemporaryDirectory() as folder:
        path = Path(folder, "gallery.npy")
        with path.open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": gallery.shape}
            np.lib.format.write_array_header_1_0(file, header)
            for start, block in blocks(gallery, _ROWS):
                own = np.arange(start, start + len(block))
                file.write(expanded(np.asarray(block), own, gallery, how).tobytes())
        yield EmbeddingFile(path, gallery.shape[0])


def without(
    own: NDArray[np.int64], lists: NDArray[np.int64], scores: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Lists (Q, k) and their scores without each one's own row: at the end is -1 in its place."""
    mine = lists == own[:, None]
    order = np.argsort(mine, axis=1, kind="stable")
    lists = np.take_along_axis(np.where(mine, -1, lists), order, axis=1)
    return lists, np.take_along_axis(scores, order, axis=1)


def rows_of(gallery: Embeddings, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Rows of a gallery, (R, D), in any order; each block of it is read once. Below 0: the last."""
    found = np.empty((len(rows), gallery.shape[1]), np.float32)
    rows = rows % gallery.shape[0]
    numbers = rows // _GALLERY_ROWS
    for number in np.unique(numbers).tolist():
        mine, start = numbers == number, number * _GALLERY_ROWS
        found[mine] = gallery[start : start + _GALLERY_ROWS][rows[mine] - start]
    return found
