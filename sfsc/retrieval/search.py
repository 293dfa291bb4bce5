"""Exact search: the k best gallery rows of every query, in one pass over the gallery."""

import numpy as np
from numpy.typing import NDArray

from sfsc.retrieval.embeddings import Embeddings
from sfsc.retrieval.kernels import append, select, thin
from sfsc.retrieval.products import Block, above, for_each_block
from sfsc.retrieval.scores import error_bound, exact_scores, ranking_keys

_BLOCK_ROWS = 2048


def top_k(
    queries: NDArray[np.float32], gallery: Embeddings, k: int, block_rows: int = _BLOCK_ROWS
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The `k` best gallery rows of each query and their scores: int64 and float32, (Q, min(k, N)).

    Rows are by decreasing score, ties in gallery order; `queries` is (Q, D), `gallery` (N, D),
    both of unit vectors, and neither is empty. The result does not depend on `block_rows`, the
    machine or its threads: float32 products choose the candidates, with room for their error, and
    exact scores decide.
    """
    k = min(k, gallery.shape[0])
    block_rows = max(block_rows, k)
    candidates = _Candidates(queries, gallery, k, block_rows)
    for_each_block(queries, gallery, block_rows, candidates.offer)
    return candidates.best()


class _Candidates:
    """For each query, the gallery rows seen so far that may be among its k best."""

    def __init__(
        self, queries: NDArray[np.float32], gallery: Embeddings, k: int, block_rows: int
    ) -> None:
        self._queries, self._gallery, self._k = queries, gallery, k
        # A row this much below the k-th best product cannot have the k-th best score; it allows
        # for a floor's rounding to float32.
        self._margin = 2 * error_bound(queries.shape[1]) + 2.0**-22
        room = (len(queries), 2 * k + block_rows)
        self._values = np.empty(room, np.float32)
        self._rows = np.empty(room, np.int64)
        self._counts = np.zeros(len(queries), np.int64)
        self._floors = np.full(len(queries), -np.inf, np.float32)

    def offer(self, block: Block) -> None:
        """Keep what may count of a block."""
        own = block.queries
        mine = self._values[own], self._rows[own], self._counts[own]
        if block.products.is_cuda:
            query, column, value = above(block.products, self._floors[own])
            append(query, block.start + column, value, *mine)
        else:
            select(block.products.numpy(), block.start, self._floors[own], *mine)
        thin(self._k, 2 * self._k, self._margin, self._floors[own], *mine)
        # So many near ties, copies of one image say, that only exact scores can thin them.
        crowded = np.flatnonzero(self._counts[own] > 2 * self._k)
        if len(crowded):
            self._settle(own.start + crowded)

    def best(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        thin(self._k, self._k, self._margin, self._floors, self._values, self._rows, self._counts)
        self._settle(np.arange(len(self._queries)))
        return self._rows[:, : self._k].copy(), self._values[:, : self._k].copy()

    def _settle(self, chosen: NDArray[np.int64]) -> None:
        """Leave the chosen queries their k best candidates by exact score, in order."""
        counts = self._counts[chosen]
        filled = np.arange(counts.max()) < counts[:, None]
        query, place = filled.nonzero()
        rows = self._rows[chosen[query], place]
        scores = exact_scores(self._queries, self._gallery, chosen[query], rows)
        keys = np.full(filled.shape, np.iinfo(np.uint64).max)
        keys[filled] = ranking_keys(scores, rows)
        # Where each candidate stands among all, those of the queries before it included.
        best = keys.argsort(axis=1)[:, : self._k] + (counts.cumsum() - counts)[:, None]
        self._rows[chosen, : self._k] = rows[best]
        self._values[chosen, : self._k] = scores[best]
        self._counts[chosen] = self._k
        # A later row would have to have a higher score than the k-th, not only a near one.
        floors = scores[best[:, -1]] - self._margin / 2
        self._floors[chosen] = np.maximum(self._floors[chosen], floors)
