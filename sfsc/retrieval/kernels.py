"""Compiled loops over single products and pairs, where array operations take many passes.

They hold no lock: threads run them side by side.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numba
import numpy as np
from numba.core.caching import FunctionCache
from numpy.typing import NDArray

FIXED_POINT = 2.0**26
_GROUP = 64
_BINS = 2**12


class _Cache(FunctionCache):
    """Compiled code of earlier processes. What is broken, or cannot be kept, is compiled anew."""

    def load_overload(self, *key: Any) -> Any:
        with suppress(Exception):
            return super().load_overload(*key)  # type: ignore[no-untyped-call]
        return None

    def save_overload(self, *compiled: Any) -> None:
        with suppress(Exception):
            super().save_overload(*compiled)  # type: ignore[no-untyped-call]


def _compiled(function: Callable[..., Any]) -> Any:
    # Sums may be reordered: those of integers below 2**53, the only ones here, come out the same.
    dispatcher: Any = numba.njit(nogil=True, fastmath={"reassoc"})(function)
    with suppress(RuntimeError):  # numba found no folder that can be written to
        dispatcher._cache = _Cache(function)  # type: ignore[no-untyped-call]
    return dispatcher


@_compiled
def fixed_point_score(query: NDArray[np.float64], row: NDArray[np.float32]) -> np.float32:
    """The score of a fixed-point query and a gallery row, both (D,)."""
    total = 0.0
    for d in range(len(query)):
        total += query[d] * np.rint(row[d] * FIXED_POINT)
    return np.float32(total / (FIXED_POINT * FIXED_POINT))


@_compiled
def score_pairs(
    queries: NDArray[np.float64],
    block: NDArray[np.float32],
    start: int,
    query_rows: NDArray[np.int64],
    gallery_rows: NDArray[np.int64],
    pairs: NDArray[np.int64],
    scores: NDArray[np.float32],
) -> None:
    """Fill `scores[pairs]` with the scores of fixed-point queries and gallery rows.

    `block` has the gallery rows from `start`.
    """
    for pair in pairs:
        row = block[gallery_rows[pair] - start]
        scores[pair] = fixed_point_score(queries[query_rows[pair]], row)


@_compiled
def bin_of(value: np.float32, low: np.float32, scale: np.float32, bins: int) -> int:
    """Which of equal bins a value is in; the first and the last take what lies outside.

    Each step rounds monotonically, so a larger value never has a smaller bin.
    """
    return int(min(max((value - low) * scale, np.float32(0)), np.float32(bins - 1)))


@_compiled
def bins_of(
    values: NDArray[np.float32], low: np.float32, scale: np.float32, bins: int
) -> NDArray[np.int64]:
    """The bin of each value."""
    found = np.empty(len(values), np.int64)
    for index in range(len(values)):
        found[index] = bin_of(values[index], low, scale, bins)
    return found


@_compiled
def count_places(
    products: NDArray[np.float32],
    start: int,
    gallery: NDArray[np.float32],
    query: NDArray[np.float64],
    scores: NDArray[np.float32],
    rows: NDArray[np.int64],
    reach: float,
    low: np.float32,
    scale: np.float32,
    places: NDArray[np.int32],
    cells: NDArray[np.uint8],
    before: NDArray[np.int32],
) -> None:
    """Add to `before[c, p]` the gallery rows of cell c that have p of the tracked rows ahead.

    The gallery rows from `start` have these products (n,) with the fixed-point query, these
    embeddings (n, D) and these cells (n,). The tracked rows, (T,), are in the order of the ranking;
    `places` holds the place for products in each bin, -1 where it takes a closer look.
    """
    bins = np.empty(_GROUP, np.int32)
    for first in range(0, len(products), _GROUP):
        size = min(_GROUP, len(products) - first)
        for index in range(size):  # a loop of its own, which the compiler makes a few wide steps of
            bins[index] = bin_of(products[first + index], low, scale, len(places))
        for index in range(size):
            place = places[bins[index]]
            column = first + index
            if place < 0:
                value = products[column]
                # Those with a score above value + reach stand ahead, those below value - reach
                # do not.
                place, last = 0, len(scores)
                while place < last:
                    middle = (place + last) // 2
                    if scores[middle] > value + reach:
                        place = middle + 1
                    else:
                        last = middle
                if place < len(scores) and scores[place] >= value - reach:
                    score = fixed_point_score(query, gallery[column])
                    last = len(scores)
                    while place < last:
                        middle = (place + last) // 2
                        ahead = scores[middle] > score or (
                            scores[middle] == score and rows[middle] <= start + column
                        )
                        if ahead:
                            place = middle + 1
                        else:
                            last = middle
            before[cells[column], place] += 1


@_compiled
def select(
    products: NDArray[np.float32],
    start: int,
    floors: NDArray[np.float32],
    values: NDArray[np.float32],
    rows: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Append to each query's candidates the gallery rows from `start` at or above its floor.

    `products` is (Q, n); candidate c of query q is `values[q, c]`, `rows[q, c]`, c < `counts[q]`.
    """
    for query in range(len(products)):
        floor, count = floors[query], counts[query]
        own = products[query]
        for first in range(0, len(own), _GROUP):
            last = min(first + _GROUP, len(own))
            found = False
            for column in range(first, last):  # most often none, seen without a branch for each
                found |= own[column] >= floor
            if found:
                for column in range(first, last):
                    if own[column] >= floor:
                        values[query, count] = own[column]
                        rows[query, count] = start + column
                        count += 1
        counts[query] = count


@_compiled
def append(
    query: NDArray[np.int64],
    row: NDArray[np.int64],
    value: NDArray[np.float32],
    values: NDArray[np.float32],
    rows: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Append one candidate for each entry: its query, gallery row and product, all (entries,)."""
    for entry in range(len(query)):
        own = query[entry]
        values[own, counts[own]] = value[entry]
        rows[own, counts[own]] = row[entry]
        counts[own] += 1


@_compiled
def thin(
    k: int,
    most: int,
    margin: float,
    floors: NDArray[np.float32],
    values: NDArray[np.float32],
    rows: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Raise the floor of queries with over `most` candidates to `margin` below their k-th best
    product, and drop what is below it."""
    for query in range(len(counts)):
        count = counts[query]
        if count <= most:
            continue
        best = np.partition(values[query, :count], count - k)[count - k]
        floors[query] = max(floors[query], np.float32(best - margin))
        kept = 0
        for candidate in range(count):
            if values[query, candidate] >= floors[query]:
                values[query, kept] = values[query, candidate]
                rows[query, kept] = rows[query, candidate]
                kept += 1
        counts[query] = kept


@_compiled
def places_of(
    products: NDArray[np.float64],
    rows: NDArray[np.int64],
    ends: NDArray[np.int64],
    places: NDArray[np.int64],
) -> None:
    """Fill in the places of each query's tracked rows in its ranking, without sorting the others.

    `products` (Q, n) are those of fixed-point embeddings. Query q tracks the gallery rows
    `rows[ends[q]:ends[q + 1]]`, which have these `places`. Gallery rows fall into bins by their
    score, best first, in gallery order; only in bins that hold a tracked row are scores compared.
    """
    count = products.shape[1]
    scores = np.empty(count, np.float32)
    bins = np.empty(count, np.int64)
    members = np.empty(count, np.int64)
    where = np.empty(count, np.int64)
    for query in range(len(products)):
        least, most = np.float32(np.inf), np.float32(-np.inf)
        for row in range(count):
            # Adding zero turns -0.0 into 0.0.
            score = np.float32(products[query, row] / (FIXED_POINT * FIXED_POINT)) + np.float32(0)
            scores[row] = score
            least, most = min(least, score), max(most, score)
        spread = max(float(most - least), 1e-30)
        scale = np.float32(min((_BINS - 1) / spread, 2.0**30))
        starts = np.zeros(_BINS + 2, np.int64)
        for row in range(count):
            bins[row] = _BINS - 1 - bin_of(scores[row], least, scale, _BINS)
            starts[bins[row] + 2] += 1
        for index in range(2, _BINS + 2):
            starts[index] += starts[index - 1]
        for row in range(count):
            members[starts[bins[row] + 1]] = row
            starts[bins[row] + 1] += 1  # so that in the end bin b begins at starts[b]
        settled = np.zeros(_BINS, np.bool_)
        for entry in range(ends[query], ends[query + 1]):
            row = rows[entry]
            own = bins[row]
            first, last = starts[own], starts[own + 1]
            if last - first <= _GROUP:
                place = first
                for slot in range(first, last):
                    other = members[slot]
                    ahead = scores[other] > scores[row] or (
                        scores[other] == scores[row] and other < row
                    )
                    place += ahead
                places[entry] = place
                continue
            if not settled[own]:
                settled[own] = True
                inside = members[first:last]
                order = np.argsort(-scores[inside], kind="mergesort")  # stable: in gallery order
                for place in range(len(order)):
                    where[inside[order[place]]] = first + place
            places[entry] = where[row]
