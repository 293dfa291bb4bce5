"""Places without a ranking: count the gallery rows before the few rows that matter."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from sfsc.retrieval.embeddings import Embeddings
from sfsc.retrieval.places import Places
from sfsc.retrieval.products import products
from sfsc.retrieval.scores import error_bound, exact_scores, fixed_point, ranking_keys, rounded

_BLOCK_ROWS = 2**15
_BINS = 2**12
_NEAR_ROWS = 2**10


def places_by_counting(
    queries: NDArray[np.float32],
    gallery: Embeddings,
    tracked: Sequence[NDArray[np.int64]],
    block_rows: int = _BLOCK_ROWS,
) -> Iterator[Places]:
    """For each query the places of its tracked gallery rows in the whole ranking.

    The ranking is by decreasing score, ties in gallery order. One pass over the gallery: float32
    products decide all rows but those whose product is within its error of a tracked row's
    score, and exact scores decide those. `queries` is (Q, D), `gallery` (N, D); each query has
    at least one tracked row.
    """
    each = list(tracked)
    sizes = [len(rows) for rows in each]
    owners = np.repeat(np.arange(len(queries)), sizes)
    scores = exact_scores(queries, gallery, owners, np.concatenate(each))
    counters = [
        _Counter(query, rows, own)
        for query, rows, own in zip(
            queries, each, np.split(scores, np.cumsum(sizes)[:-1]), strict=True
        )
    ]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for some, start, values in products(queries, gallery, block_rows):
            block = gallery[start : start + values.shape[1]]
            work = [
                pool.submit(counter.add, start, row, block)
                for counter, row in zip(counters[some], values.cpu().numpy(), strict=True)
            ]
            for job in work:
                job.result()
    for rows, counter in zip(each, counters, strict=True):
        yield rows, counter.places()


class _Counter:
    """Counts, for one query, the gallery rows before each of its tracked rows."""

    def __init__(
        self, query: NDArray[np.float32], tracked: NDArray[np.int64], scores: NDArray[np.float32]
    ) -> None:
        self._query = fixed_point(query)
        keys = ranking_keys(scores, tracked)
        self._order = np.argsort(keys)
        self._keys = keys[self._order]
        self._scores = scores[self._order].astype(np.float64)
        self._bound = error_bound(len(query))
        # Before tracked row j, best first, stand the first j + 1 of these, and the bins above its
        # own.
        self._before = np.zeros(len(tracked) + 1, np.int64)
        self._in_bin = np.zeros(_BINS, np.int64)
        # Bins of equal size span the tracked scores; the first and last take what lies outside.
        reach = self._bound + 2.0**-22  # the latter for rounding to float32
        low, high = self._scores[-1] - reach, self._scores[0] + reach
        # Finer than a float32 near 1 they would not tell scores apart.
        self._scale = np.float32(min((_BINS - 4) / (high - low), 2.0**22))
        self._low = np.float32(low - 1.5 / self._scale)
        self._own = self._bin(self._scores.astype(np.float32))
        first = self._bin((self._scores - reach).astype(np.float32))
        last = self._bin((self._scores + reach).astype(np.float32))
        edges = np.zeros(_BINS + 1, np.int64)
        np.add.at(edges, first, 1)
        np.add.at(edges, last + 1, -1)
        self._doubtful = np.cumsum(edges[:-1]) > 0

    def _bin(self, values: NDArray[np.float32]) -> NDArray[np.int64]:
        # Each step rounds monotonically, so a larger value never has a smaller bin.
        bins = values - self._low
        bins *= self._scale
        np.clip(bins, 0, _BINS - 1, out=bins)
        return bins.astype(np.int64)

    def add(self, start: int, products: NDArray[np.float32], block: NDArray[np.float32]) -> None:
        """Count the gallery rows from `start`: their products (n,) and embeddings (n, D)."""
        bins = self._bin(products)
        self._in_bin += np.bincount(bins, minlength=_BINS)
        rows = np.flatnonzero(self._doubtful[bins])
        values = products[rows].astype(np.float64)
        above = np.searchsorted(-self._scores, -values)
        near = np.zeros(len(rows), bool)
        for neighbour in (above - 1, above):
            score = self._scores[neighbour.clip(0, len(self._scores) - 1)]
            near |= np.abs(values - score) <= self._bound
        self._enter(above[~near])
        rows = rows[near]
        for first in range(0, len(rows), _NEAR_ROWS):
            some = rows[first : first + _NEAR_ROWS]
            keys = ranking_keys(rounded(fixed_point(block[some]) @ self._query), start + some)
            self._enter(np.searchsorted(self._keys, keys, side="right"))

    def _enter(self, first: NDArray[np.int64]) -> None:
        """Count rows that stand before the tracked ones from place `first` on."""
        self._before += np.bincount(first, minlength=len(self._before))

    def places(self) -> NDArray[np.int64]:
        certain = np.where(self._doubtful, 0, self._in_bin)
        higher = certain.sum() - np.cumsum(certain)
        places = np.empty(len(self._keys), np.int64)
        places[self._order] = np.cumsum(self._before)[:-1] + higher[self._own]
        return places
