"""Where the gallery rows that matter stand in a query's ranking."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sfsc.data.sets import GroundTruth, Relevance

Places = tuple[NDArray[np.int64], NDArray[np.int64]]
"""A query's tracked gallery rows, ascending, and their places, from 0; -1: not retrieved."""


class Tracked(Sequence[NDArray[np.int64]]):
    """For each of the query rows, all gallery rows that its ground truth names: int64, ascending.

    Computed when asked for: those of a labelled set would fill the memory.
    """

    def __init__(self, ground_truth: GroundTruth, rows: Sequence[int]) -> None:
        self._relevance, self._rows = ground_truth.relevance, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, query: int) -> NDArray[np.int64]:  # type: ignore[override]
        wanted = [relevance[self._rows[query]] for relevance in self._relevance.values()]
        named = [part for one in wanted for part in (one.positives, one.junk)]
        return np.unique(np.concatenate(named))


def positive_ranks(relevance: Relevance, places: Places) -> NDArray[np.int64]:
    """The sorted ranks, from 0, of the retrieved positives in the ranking without the junk."""
    rows, where = places
    of_junk = np.searchsorted(rows, relevance.junk)
    if len(rows) == len(relevance.positives) + len(relevance.junk):  # all others are positives
        positives = np.delete(where, of_junk)
    else:
        positives = where[np.searchsorted(rows, relevance.positives)]
    positives.sort()
    junk = np.sort(where[of_junk])
    if len(positives) and positives[0] < 0:
        positives = positives[positives >= 0]
    junk = junk[junk >= 0]
    return positives - np.searchsorted(junk, positives)


def places_in_lists(
    lists: NDArray[np.int64], tracked: Iterable[NDArray[np.int64]]
) -> Iterator[Places]:
    """The places of each query's tracked rows in its list: gallery rows by decreasing score.

    `lists` is (Q, k); -1 fills up a list that ends early.
    """
    for found, rows in zip(lists, tracked, strict=False):
        order = np.argsort(found)
        nearest = order[np.searchsorted(found, rows, sorter=order).clip(max=len(found) - 1)]
        yield rows, np.where(found[nearest] == rows, nearest, -1)
