"""Places without a ranking: count the gallery rows before the few rows that matter."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sfsc.retrieval.embeddings import Embeddings
from sfsc.retrieval.kernels import bins_of, count_places
from sfsc.retrieval.places import Places
from sfsc.retrieval.products import Block, for_each_block
from sfsc.retrieval.scores import error_bound, exact_scores, fixed_point, ranking_keys

_BLOCK_ROWS = 2**13
_BINS = 2**12


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
    whole = np.zeros(gallery.shape[0], np.uint8)
    of_each = np.split(scores, np.cumsum(sizes)[:-1])
    counted = counts_ahead(queries, gallery, each, of_each, whole, 1, block_rows)
    for rows, ahead in zip(each, counted, strict=True):
        yield rows, ahead[0]


def counts_ahead(
    queries: NDArray[np.float32],
    gallery: Embeddings,
    rows: Sequence[NDArray[np.int64]],
    scores: Sequence[NDArray[np.float32]],
    cells: NDArray[np.uint8],
    count: int,
    block_rows: int = _BLOCK_ROWS,
) -> Iterator[NDArray[np.int64]]:
    """For each query how many gallery rows of each cell stand before each of its tracked rows.

    A query's tracked rows (T,) have `scores` (T,), which need not be those of this gallery: a row
    stands before one if its score is higher, or equal and its number smaller. `cells` (N,) divide
    the gallery into `count` parts. Yields arrays (count, T). One pass over the gallery, exact as
    `places_by_counting`.
    """
    counters = [
        _Counter(query, of_query, own, count)
        for query, of_query, own in zip(queries, rows, scores, strict=True)
    ]

    def add(block: Block) -> None:
        own = cells[block.start : block.start + len(block.gallery)]
        for counter, row in zip(counters[block.queries], block.products.cpu().numpy(), strict=True):
            counter.add(block, row, own)

    for_each_block(queries, gallery, block_rows, add)
    for counter in counters:
        yield counter.ahead()


class _Counter:
    """Counts, for one query, the gallery rows before each of its tracked rows."""

    def __init__(
        self,
        query: NDArray[np.float32],
        tracked: NDArray[np.int64],
        scores: NDArray[np.float32],
        cells: int,
    ) -> None:
        self._query = fixed_point(query)
        self._order = np.argsort(ranking_keys(scores, tracked))
        self._scores, self._rows = scores[self._order], tracked[self._order]
        # Before tracked row j, best first, stand the first j + 1 of these.
        self._before = np.zeros((cells, len(tracked) + 1), np.int32)
        # A product this far from a score, rounded to float32, decides by itself.
        self._reach = error_bound(len(query)) + 2.0**-22
        # Equal bins span the tracked scores; finer than a float32 near 1 they would not tell
        # scores apart.
        exact = self._scores.astype(np.float64)
        least, most = exact - self._reach, exact + self._reach
        self._scale = np.float32(min((_BINS - 4) / (most[0] - least[-1]), 2.0**22))
        self._low = np.float32(least[-1] - 1.5 / self._scale)
        first, last = (
            bins_of(edge[::-1].astype(np.float32), self._low, self._scale, _BINS)
            for edge in (least, most)
        )
        ahead = len(exact) - np.searchsorted(first, np.arange(_BINS), side="right")
        reached = len(exact) - np.searchsorted(last, np.arange(_BINS), side="left")
        self._place = np.where(ahead == reached, ahead, -1).astype(np.int32)

    def add(self, block: Block, products: NDArray[np.float32], cells: NDArray[np.uint8]) -> None:
        """Count the block's gallery rows by this query's products with them, (gallery rows,)."""
        count_places(
            products,
            block.start,
            block.gallery,
            self._query,
            self._scores,
            self._rows,
            self._reach,
            self._low,
            self._scale,
            self._place,
            cells,
            self._before,
        )

    def ahead(self) -> NDArray[np.int64]:
        """Of each cell, the rows before each tracked row: (cells, T)."""
        found = np.empty((len(self._before), len(self._rows)), np.int64)
        found[:, self._order] = np.cumsum(self._before, axis=1, dtype=np.int64)[:, :-1]
        return found
