"""Rank the whole gallery for every query: for sets where most rows matter."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from sfsc.progress import progress
from sfsc.retrieval.embeddings import Embeddings, blocks
from sfsc.retrieval.kernels import places_of
from sfsc.retrieval.places import Places
from sfsc.retrieval.products import thread_count
from sfsc.retrieval.scores import fixed_point, ranking_keys, rounded

_BLOCK_SCORES = 2**22
_GALLERY_ROWS = 2**12
_LOW_32_BITS = np.uint64(0xFFFFFFFF)


def rank(queries: NDArray[np.float32], gallery: Embeddings) -> NDArray[np.int64]:
    """For each query (Q, D), all rows of the gallery (N, D) by decreasing score: (Q, N) int64.

    Ties are in gallery order.
    """
    scores = rounded(_products(queries, gallery))
    # One integer per entry, score above row, sorts several times as fast as an argsort.
    keys = ranking_keys(scores, np.arange(gallery.shape[0]))
    keys.sort(axis=1)
    keys &= _LOW_32_BITS
    return keys.view(np.int64)


def places_by_ranking(
    queries: NDArray[np.float32], gallery: Embeddings, tracked: Sequence[NDArray[np.int64]]
) -> Iterator[Places]:
    """For each query the places of its tracked gallery rows in the whole ranking.

    As `sfsc.retrieval.counts.places_by_counting`, in memory that does not grow with the queries.
    """
    threads = thread_count()
    size = max(1, _BLOCK_SCORES // gallery.shape[0])

    def work(start: int) -> list[Places]:
        each = [tracked[query] for query in range(start, min(start + size, len(queries)))]
        ends = np.cumsum([0, *map(len, each)])
        places = np.empty(ends[-1], np.int64)
        places_of(
            _products(queries[start : start + size], gallery), np.concatenate(each), ends, places
        )
        return list(zip(each, np.split(places, ends[1:-1]), strict=True))

    # Two waves of blocks at a time: a pool given all of them would hold all their answers.
    ahead: Iterable[list[Places]] = ()
    # One thread for a product: those of several would wait for each other.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        for first in progress(range(0, len(queries), threads * size), "queries", "block"):
            wave = range(first, min(first + threads * size, len(queries)), size)
            ready, ahead = ahead, pool.map(work, wave)
            for found in ready:
                yield from found
        for found in ahead:
            yield from found


def _products(queries: NDArray[np.float32], gallery: Embeddings) -> NDArray[np.float64]:
    """The exact products (Q, N) of the embeddings in fixed point."""
    products = np.empty((len(queries), gallery.shape[0]), np.float64)
    left = fixed_point(queries)
    for start, block in blocks(gallery, _GALLERY_ROWS):
        np.matmul(left, fixed_point(block).T, out=products[:, start : start + len(block)])
    return products
