"""Rank a whole gallery for every query, and find the ranks of a query's positives."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sfsc.data.sets import Relevance

_BLOCK_SCORES = 2**26
_GALLERY_ROWS = 2**16
_LOW_32_BITS = np.uint64(0xFFFFFFFF)


def rankings(
    queries: NDArray[np.float32], gallery: NDArray[np.float32], block_rows: int = 256
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Rank the gallery (N, D) for the queries (Q, D), a block of queries at a time.

    Yields (first query row, order): order is int64, (block, N), and holds in each row the gallery
    rows by decreasing inner product, ties in gallery order. The inner products are those of
    L2-normalised embeddings, rounded to float32; they do not depend on the blocks, the processor
    or its number of threads. A block has `block_rows` queries, or fewer with a large gallery.
    """
    columns = np.arange(len(gallery), dtype=np.uint64)
    step = max(1, min(block_rows, _BLOCK_SCORES // max(1, len(gallery))))
    for start in range(0, len(queries), step):
        scores = _scores(queries[start : start + step], gallery)
        # One integer per entry, score above column, sorts several times as fast as an argsort.
        keys = _descending_bits(scores).astype(np.uint64)
        keys <<= np.uint64(32)
        keys |= columns
        keys.sort(axis=1)
        keys &= _LOW_32_BITS
        yield start, keys.view(np.int64)


def positive_ranks(order: NDArray[np.int64], relevance: Relevance) -> NDArray[np.int64]:
    """The sorted ranks, from 0, of a query's positives in the ranking without its junk.

    `order` is (N,), one row of `rankings`.
    """
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    ranks = np.sort(places[relevance.positives])
    junk = np.sort(places[relevance.junk])
    return ranks - np.searchsorted(junk, ranks)


def _scores(queries: NDArray[np.float32], gallery: NDArray[np.float32]) -> NDArray[np.float32]:
    scores = np.empty((len(queries), len(gallery)), np.float32)
    left = _fixed_point(queries)
    for start in range(0, len(gallery), _GALLERY_ROWS):
        stop = start + _GALLERY_ROWS
        scores[:, start:stop] = left @ _fixed_point(gallery[start:stop]).T
    return scores


def _fixed_point(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    # A float32 matrix product gives equal gallery rows unequal scores, as its kernels sum in
    # different orders. On integers it is exact: those of unit vectors scaled by 2**26 have
    # sums of products below 2**53, which float64 holds.
    return np.rint(embeddings * np.float64(2**26))


def _descending_bits(scores: NDArray[np.float32]) -> NDArray[np.uint32]:
    # IEEE 754: the bits of positive floats sort as the floats do, those of negative ones in
    # reverse. Adding zero turns -0.0 into 0.0.
    bits = (scores + np.float32(0)).view(np.int32)
    return (bits ^ (~(bits >> 31) & 0x7FFFFFFF)).view(np.uint32)
