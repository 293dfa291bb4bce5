"""Galleries that several models embedded: one that is being refreshed, or one of many devices."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sfsc.data.sets import GroundTruth
from sfsc.retrieval.embeddings import Embeddings, blocks
from sfsc.retrieval.pairs import primary_means

SHARES = tuple(step / 10 for step in range(11))
"""Of a gallery, re-embedded: the points of a refresh curve."""

_ROWS = 2**14


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
    """
    count = old.shape[0]
    orders = {
        "random": np.random.default_rng(seed).permutation(count),
        "uncertain": uncertain_first(old),
    }
    found = []
    for name, order in orders.items():
        place = np.empty(count, np.int64)
        place[order] = np.arange(count)
        for share in SHARES:
            gallery = MixedGallery([old, new], (place < round(share * count)).astype(np.int64))
            means = primary_means(ground_truth, {"new": queries}, {"mixed": gallery})
            found.append(means.assign(order=name, share=share))
    return pd.concat(found)[["order", "share", "protocol", "metric", "value"]]


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
