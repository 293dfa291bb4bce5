"""Galleries that several models embedded: one that is being refreshed, or one of many devices."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sfsc.data.sets import GroundTruth
from sfsc.retrieval.counts import counts_ahead
from sfsc.retrieval.embeddings import Embeddings, blocks
from sfsc.retrieval.pairs import primary_means, scored_queries
from sfsc.retrieval.places import Places, Tracked, positive_ranks
from sfsc.retrieval.precision import METRICS
from sfsc.retrieval.scores import exact_scores

SHARES = tuple(step / 10 for step in range(11))
"""Of a gallery, re-embedded: the points of a refresh curve."""

_ROWS = 2**14
_COUNTS = 2**25
"""Numbers that the counts of a part of the queries fill; 256 MiB."""


class MixedGallery:
    """A gallery whose row r is that of `galleries[chosen[r]]`; no copy of it is made."""

    def __init__(self, galleries: Sequence[Embeddings], chosen: NDArray[np.int64]):
        """`galleries` have one shape (N, D); `chosen` is (N,)."""
        self.shape = galleries[0].shape
        self._galleries, self._chosen = galleries, chosen

    def __getitem__(self, rows: slice, /) -> NDArray[np.float32]:
        chosen = self._chosen[rows]
        found = np.empty((len(chosen), self.shape[1]), np.float32)
        for place in np.unique(chosen).tolist():
            mine = chosen == place
            found[mine] = self._galleries[place][rows][mine]
        return found


def refresh(
    ground_truth: GroundTruth,
    queries: Embeddings,
    old: Embeddings,
    new: Embeddings,
    seed: int = 0,
) -> pd.DataFrame:
    """The refresh curves of two models: the new one's queries, as its gallery replaces the old.

    `old` is as the new queries search it. Returns the columns order, share, protocol, metric (the
    primary one) and value: in a random order, seeded, and with the most uncertain of the old
    embeddings first, at shares from 0, the old gallery, to 1, the new one.

    One pass over each gallery serves all points: between two shares the rows of one segment of an
    order change, so that a row's place is a sum over segments, of the old gallery or the new.
    """
    count = old.shape[0]
    orders = {
        "random": np.random.default_rng(seed).permutation(count),
        "uncertain": uncertain_first(old),
    }
    segments = np.stack([_segments(order) for order in orders.values()])
    scored = scored_queries(ground_truth)
    metric, score = next(iter(METRICS[ground_truth.kind].items()))
    values: dict[tuple[int, int, str], list[float]] = defaultdict(list)
    for row, (tracked, places) in _places(ground_truth, scored, queries, old, new, segments):
        for protocol in scored:
            relevance = ground_truth.relevance[protocol][row]
            if relevance.positives.size:
                for point in np.ndindex(places.shape[:2]):
                    ranks = positive_ranks(relevance, (tracked, places[point]))
                    found = score(ranks, len(relevance.positives))
                    values[(*point, protocol)].append(found)
    rows = [
        (name, share, protocol, metric, np.array(values[order, step, protocol]).mean())
        for order, name in enumerate(orders)
        for step, share in enumerate(SHARES)
        for protocol in scored
    ]
    return pd.DataFrame(rows, columns=["order", "share", "protocol", "metric", "value"])


def _segments(order: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Between which shares each row is re-embedded: it is new at share k from k > its segment."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    ends = [round(share * len(order)) for share in SHARES[1:]]
    return np.searchsorted(ends, place, side="right").astype(np.uint8)


def _places(
    ground_truth: GroundTruth,
    scored: Mapping[str, Sequence[int]],
    queries: Embeddings,
    old: Embeddings,
    new: Embeddings,
    segments: NDArray[np.uint8],
) -> Iterator[tuple[int, Places]]:
    """For each scored query its tracked rows, and their places at each order and share: (O, 11, T).

    Queries come in parts whose counts fill no more than _COUNTS numbers.
    """
    rows, steps = sorted(set().union(*scored.values())), len(SHARES) - 1
    every = Tracked(ground_truth, rows)
    # A row's segments of all orders make its cell; one count of the cells serves all orders.
    shape = (steps,) * len(segments)
    cells = np.ravel_multi_index(tuple(segments), shape).astype(np.uint8)
    count = int(np.prod(shape))
    for part in _parts([len(some) * 2 * count for some in every]):
        own, tracked = rows[part], [every[place] for place in range(part.start, part.stop)]
        some = np.ascontiguousarray(queries[:][own])
        sizes = [len(each) for each in tracked]
        pairs = np.repeat(np.arange(len(own)), sizes), np.concatenate(tracked)
        ends = np.cumsum(sizes)[:-1]
        # Each tracked row twice: with the score that it has in the old gallery, and in the new.
        of_both = [np.split(exact_scores(some, gallery, *pairs), ends) for gallery in (old, new)]
        twice = [np.concatenate([each, each]) for each in tracked]
        scores = [np.concatenate(both) for both in zip(*of_both, strict=True)]
        counted = [
            counts_ahead(some, gallery, twice, scores, cells, count) for gallery in (old, new)
        ]
        for row, mine, *both in zip(own, tracked, *counted, strict=True):
            in_old, in_new = (_of_orders(ahead.reshape(*shape, -1)) for ahead in both)
            yield row, (mine, _at_shares(segments[:, mine], in_old, in_new))


def _of_orders(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts (S, ..., S, T), an axis for each of O orders, to those of each order: (O, S, T)."""
    orders = range(cells.ndim - 1)
    return np.stack([cells.sum(axis=tuple(k for k in orders if k != way)) for way in orders])


def _at_shares(
    segments: NDArray[np.uint8], in_old: NDArray[np.int64], in_new: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The places (O, S + 1, T) of tracked rows, from the rows before them in each segment.

    These are (O, S, 2 T), for a row's old score and its new one; `segments` (O, T) are the rows'.
    """
    ways, steps, _ = in_old.shape
    places = np.zeros((ways, steps + 1, in_old.shape[2]), np.int64)
    places[:, 1:] += in_new.cumsum(axis=1)
    places[:, :-1] += in_old[:, ::-1].cumsum(axis=1)[:, ::-1]
    of_old, of_new = np.split(places, 2, axis=2)
    is_new = segments[:, None] < np.arange(steps + 1)[:, None]
    return np.where(is_new, of_new, of_old)


def _parts(sizes: Sequence[int]) -> Iterator[slice]:
    """Consecutive items whose sizes add up to _COUNTS at most, or that are alone."""
    start = total = 0
    for place, size in enumerate(sizes):
        if place > start and total + size > _COUNTS:
            yield slice(start, place)
            start, total = place, 0
        total += size
    if sizes:
        yield slice(start, len(sizes))


def area(curve: pd.DataFrame) -> pd.DataFrame:
    """The area under each curve of `refresh`: columns order, protocol, metric, value."""
    keys = ["order", "protocol", "metric"]
    rows = [
        (*key, np.trapezoid(part["value"], part["share"]))
        for key, part in curve.groupby(keys, sort=False)
    ]
    return pd.DataFrame(rows, columns=[*keys, "value"])


def mixed(
    ground_truth: GroundTruth,
    queries: Mapping[str, Embeddings],
    galleries: Mapping[str, Embeddings],
    seed: int = 0,
) -> pd.DataFrame:
    """Score each query model on a gallery of which a model drawn at random embeds each image.

    Returns the columns query_model, protocol, metric, value. A gallery of a single model gives its
    self-test.
    """
    members = list(galleries.values())
    chosen = np.random.default_rng(seed).integers(len(members), size=members[0].shape[0])
    means = primary_means(ground_truth, queries, {"mixed": MixedGallery(members, chosen)})
    return means[["query_model", "protocol", "metric", "value"]]


def uncertain_first(embeddings: Embeddings) -> NDArray[np.int64]:
    """The rows, those nearest to the mean of all embeddings first.

    What a model cannot tell it puts near the mean. Ties go by row.
    """
    mean = sum(block.sum(axis=0, dtype=np.float64) for _, block in blocks(embeddings, _ROWS))
    near = np.concatenate([block @ mean for block in _all(embeddings)])
    return np.argsort(-near, kind="stable")


def _all(embeddings: Embeddings) -> Iterator[NDArray[np.float32]]:
    for _, block in blocks(embeddings, _ROWS):
        yield block
