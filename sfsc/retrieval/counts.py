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
    counters = [
        _Counter(query, rows, own)
        for query, rows, own in zip(
            queries, each, np.split(scores, np.cumsum(sizes)[:-1]), strict=True
        )
    ]

    def count(block: Block) -> None:
        for counter, row in zip(counters[block.queries], block.products.cpu().numpy(), strict=True):
            counter.add(block, row)

    for_each_block(queries, gallery, block_rows, count)
    for rows, counter in zip(each, counters, strict=True):
        yield rows, counter.places()


class _Counter:
    """Counts, for one query, the gallery rows before each of its tracked rows."""

    def __init__(
        self, query: NDArray[np.float32], tracked: NDArray[np.int64], scores: NDArray[np.float32]
    ) -> None:
        self._query = fixed_point(query)
        self._order = np.argsort(ranking_keys(scores, tracked))
        self._scores, self._rows = scores[self._order], tracked[self._order]
        # Before tracked row j, best first, stand the first j + 1 of these.
        self._before = np.zeros(len(tracked) + 1, np.int64)
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
        self._place = np.where(ahead == reached, ahead, -1)

    def add(self, block: Block, products: NDArray[np.float32]) -> None:
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
            self._before,
        )

    def places(self) -> NDArray[np.int64]:
        places = np.empty(len(self._rows), np.int64)
        places[self._order] = np.cumsum(self._before)[:-1]
        return places
