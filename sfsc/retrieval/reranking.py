"""k-reciprocal re-ranking of each query's best gallery rows."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from sfsc.profile import Reranking
from sfsc.retrieval.embeddings import Embeddings
from sfsc.retrieval.expansion import rows_of, without
from sfsc.retrieval.places import Places
from sfsc.retrieval.products import one_thread_each, thread_count
from sfsc.retrieval.scores import fixed_point, rounded
from sfsc.retrieval.search import top_k

_QUERIES = 256


def reranked(
    places: Iterable[Places],
    queries: NDArray[np.float32],
    own: NDArray[np.int64],
    gallery: Embeddings,
    how: Reranking,
) -> Iterator[Places]:
    """The places of tracked rows after the `depth` best of each query are ranked again.

    `places` are those of the search; `queries` is (Q, D), `own` (Q,) the gallery row that shows the
    same image, which keeps its place and is no neighbour, or -1. Each query is on its own: its
    neighbours are among it and its best rows, so that no other query changes its ranking.
    """
    each = iter(places)
    for first in range(0, len(queries), _QUERIES):
        some = slice(first, first + _QUERIES)
        best, scores = top_k(queries[some], gallery, how.depth)
        lists, _ = without(own[some], best, scores)

        def work(
            query: NDArray[np.float32],
            found: NDArray[np.int64],
            row: np.int64,
            listed: NDArray[np.int64],
        ) -> NDArray[np.int64]:
            rows = listed[listed >= 0]
            order = _order(np.concatenate([query[None], rows_of(gallery, rows)]), how)
            free = np.flatnonzero(found != row)
            moved = np.arange(len(found))
            moved[free[order]] = free
            return moved

        with ThreadPoolExecutor(thread_count()) as pool, one_thread_each():
            moves = list(pool.map(work, queries[some], best, own[some], lists))
        for moved in moves:
            tracked, where = next(each)
            yield tracked, _moved(where, moved)


def _moved(where: NDArray[np.int64], moved: NDArray[np.int64]) -> NDArray[np.int64]:
    near = (where >= 0) & (where < len(moved))
    return np.where(near, moved[np.where(near, where, 0)], where)


def _order(embeddings: NDArray[np.float32], how: Reranking) -> NDArray[np.int64]:
    """The order of rows 1, 2, ... of unit vectors (1 + L, D) for row 0, the query: (L,), from 0.

    Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017,
    equations 3 to 12, with 1 - cosine as the distance. Ties stay in their order.
    """
    integers = fixed_point(embeddings)
    scores = rounded(integers @ integers.T).astype(np.float64)
    ranking = scores.copy()
    np.fill_diagonal(ranking, np.inf)
    neighbours = np.argsort(-ranking, axis=1, kind="stable")
    mutual = _mutual(neighbours, how.k1)
    of_half = _mutual(neighbours, round(how.k1 / 2))
    # Counts of up to `depth`, which float32 holds exactly.
    sizes, common = of_half.sum(axis=1), mutual @ of_half.T
    joins = mutual * (3 * common > 2 * sizes)
    sets = (mutual + joins @ of_half) > 0
    weights = np.where(sets, np.exp(scores - 1), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    encodings = np.zeros_like(weights)
    nearest = neighbours[:, : how.k2]
    for of_each in nearest.T:
        encodings += weights[of_each]
    encodings /= nearest.shape[1]
    least = np.minimum(encodings[0], encodings[1:]).sum(axis=1)
    jaccard = 1 - least / (2 - least)
    distances = (1 - how.weight) * jaccard + how.weight * (1 - scores[0, 1:])
    return np.argsort(distances.astype(np.float32), kind="stable")


def _mutual(neighbours: NDArray[np.int64], k: int) -> NDArray[np.float32]:
    """1 where two rows are among each other's k nearest, or the same, else 0."""
    near = np.zeros(neighbours.shape, np.float32)
    np.put_along_axis(near, neighbours[:, : k + 1], 1, axis=1)
    return near * near.T
