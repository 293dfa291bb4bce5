"""Score every cross-model pair: each query model against each gallery model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sfsc.data.sets import GroundTruth
from sfsc.files import InputError
from sfsc.profile import Refinement
from sfsc.retrieval.approximate import FaissIndex, places_by_index
from sfsc.retrieval.clusters import clusters
from sfsc.retrieval.counts import places_by_counting
from sfsc.retrieval.embeddings import EmbeddingFile, Embeddings
from sfsc.retrieval.expansion import augmented, expanded
from sfsc.retrieval.places import Places, Tracked, places_in_lists, positive_ranks
from sfsc.retrieval.precision import METRICS, Metric, recall_at
from sfsc.retrieval.rankings import places_by_ranking
from sfsc.retrieval.refinement import NONE
from sfsc.retrieval.reranking import reranked
from sfsc.retrieval.search import top_k
from sfsc.retrieval.statistics import confidence_intervals

_PAIR_COLUMNS = ["protocol", "metric", "query_model", "gallery_model"]

_GLDV2_DEPTH = 100


@dataclass(frozen=True)
class Translated:
    """Embeddings that replace a model's own in a single pair (query model, gallery model)."""

    queries: Mapping[tuple[str, str], Embeddings] = field(default_factory=dict)
    galleries: Mapping[tuple[str, str], Embeddings] = field(default_factory=dict)


class Opened(NamedTuple):
    """A family's embeddings, by model name."""

    queries: Mapping[str, Embeddings]
    galleries: Mapping[str, Embeddings]
    translated: Translated


def evaluate_pairs(
    ground_truth: GroundTruth,
    queries: Mapping[str, Embeddings],
    galleries: Mapping[str, Embeddings],
    translated: Translated | None = None,
    index: FaissIndex | None = None,
    refinement: Refinement = NONE,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score all pairs of `queries` (Q, D) and `galleries` (N, D), unit vectors by model name.

    `translated` embeddings replace these where there are some for a pair. The search is exact, or
    by the faiss `index`; what an index does not find counts as not retrieved. Each gallery is
    searched once, for all query models together. Raises InputError for an index with a
    `refinement`, which needs exact searches.

    Returns the means over the scored queries and their 95 % intervals, with the columns protocol,
    metric, query_model, gallery_model, value, low, high; and the average precision of each scored
    query, with the columns protocol to gallery_model, query (its id), cluster (the id of the first
    query of its landmark), value, right (whether a positive is in the first place). A protocol
    without scored queries has no rows.
    """
    metrics = METRICS[ground_truth.kind]
    scored = scored_queries(ground_truth)
    landmarks = clusters(ground_truth)
    values = _values(ground_truth, scored, queries, galleries, translated, index, refinement)
    means: list[pd.DataFrame] = []
    per_query: list[pd.DataFrame] = []
    for protocol, rows in scored.items():
        pairs = list(product(queries, galleries))
        together = np.concatenate([values[pair][protocol][:, :-1] for pair in pairs], axis=1)
        low, high = confidence_intervals(together, landmarks[rows])
        labels = [(protocol, metric, *pair) for pair in pairs for metric in metrics]
        means.append(
            pd.DataFrame(labels, columns=_PAIR_COLUMNS).assign(
                value=together.mean(axis=0), low=low, high=high
            )
        )
        primary = next(iter(metrics))
        ids = [ground_truth.query_ids[row] for row in rows]
        first = [ground_truth.query_ids[row] for row in landmarks[rows]]
        for query_model, gallery_model in pairs:
            of_pair = values[query_model, gallery_model][protocol]
            per_query.append(
                pd.DataFrame(
                    {
                        "protocol": protocol,
                        "metric": primary,
                        "query_model": query_model,
                        "gallery_model": gallery_model,
                        "query": ids,
                        "cluster": first,
                        "value": of_pair[:, 0],
                        "right": of_pair[:, -1] > 0,
                    }
                )
            )
    if not scored:
        means.append(pd.DataFrame(columns=[*_PAIR_COLUMNS, "value", "low", "high"]))
        per_query.append(
            pd.DataFrame(columns=[*_PAIR_COLUMNS, "query", "cluster", "value", "right"])
        )
    return pd.concat(means, ignore_index=True), pd.concat(per_query, ignore_index=True)


def primary_means(
    ground_truth: GroundTruth,
    queries: Mapping[str, Embeddings],
    galleries: Mapping[str, Embeddings],
    translated: Translated | None = None,
    index: FaissIndex | None = None,
    refinement: Refinement = NONE,
) -> pd.DataFrame:
    """The means of the primary metric, as `evaluate_pairs` has them, without their intervals."""
    metric = next(iter(METRICS[ground_truth.kind]))
    scored = scored_queries(ground_truth)
    values = _values(ground_truth, scored, queries, galleries, translated, index, refinement)
    rows = [
        (protocol, metric, *pair, values[pair][protocol][:, 0].mean())
        for protocol in scored
        for pair in product(queries, galleries)
    ]
    return pd.DataFrame(rows, columns=[*_PAIR_COLUMNS, "value"])


Pairs = Mapping[tuple[str, str], Path]
"""Files of translated embeddings, by (query model, gallery model)."""


def open_files(
    ground_truth: GroundTruth,
    queries: Mapping[str, Path],
    galleries: Mapping[str, Path],
    translated_queries: Pairs | None = None,
    translated_galleries: Pairs | None = None,
) -> Opened:
    """Open and check embedding files by model name, for `evaluate_pairs`.

    Raises InputError for a file that `sfsc.retrieval.embeddings.EmbeddingFile` refuses, and for a
    pair of models whose files have different dimensions.
    """
    for_queries, for_galleries = translated_queries or {}, translated_galleries or {}
    rows = {"query": len(ground_truth.query_ids), "gallery": len(ground_truth.gallery_ids)}
    opened = Opened(
        {name: EmbeddingFile(path, rows["query"]) for name, path in queries.items()},
        {name: EmbeddingFile(path, rows["gallery"]) for name, path in galleries.items()},
        Translated(
            {pair: EmbeddingFile(path, rows["query"]) for pair, path in for_queries.items()},
            {pair: EmbeddingFile(path, rows["gallery"]) for pair, path in for_galleries.items()},
        ),
    )
    for gallery_model, gallery, some in _searches(*opened):
        for query_model, query in some.items():
            if query.shape[1] != gallery.shape[1]:
                pair = (query_model, gallery_model)
                raise InputError(
                    f"{for_queries.get(pair, queries[query_model])}: embeddings have dimension"
                    f" {query.shape[1]} but those of"
                    f" {for_galleries.get(pair, galleries[gallery_model])} have"
                    f" {gallery.shape[1]}; models compared with each other share one dimension, or"
                    " have translated embeddings for their pair"
                )
    return opened


def _values(
    ground_truth: GroundTruth,
    scored: Mapping[str, Sequence[int]],
    queries: Mapping[str, Embeddings],
    galleries: Mapping[str, Embeddings],
    translated: Translated | None,
    index: FaissIndex | None,
    refinement: Refinement,
) -> dict[tuple[str, str], dict[str, NDArray[np.float64]]]:
    """The metrics of each pair (query model, gallery model) and protocol."""
    if index is not None and refinement != NONE:
        raise InputError("search: expansion and re-ranking are of exact search; leave out faiss")
    return {
        (query_model, gallery_model): pair
        for gallery_model, gallery, some in _searches(queries, galleries, translated)
        for query_model, pair in _score(
            ground_truth, scored, some, gallery, index, refinement
        ).items()
    }


def _searches(
    queries: Mapping[str, Embeddings],
    galleries: Mapping[str, Embeddings],
    translated: Translated | None,
) -> Iterator[tuple[str, Embeddings, dict[str, Embeddings]]]:
    """Each gallery with its model, and the queries that search it by theirs."""
    translated = translated or Translated()
    for gallery_model, gallery in galleries.items():
        usual: dict[str, Embeddings] = {}
        for query_model, own in queries.items():
            pair = (query_model, gallery_model)
            query = translated.queries.get(pair, own)
            if pair in translated.galleries:
                yield gallery_model, translated.galleries[pair], {query_model: query}
            else:
                usual[query_model] = query
        if usual:
            yield gallery_model, gallery, usual


def scored_queries(ground_truth: GroundTruth) -> dict[str, list[int]]:
    """The rows of the queries with positives, for each protocol that has any."""
    scored = {
        protocol: [row for row in range(len(relevance)) if relevance[row].positives.size]
        for protocol, relevance in ground_truth.relevance.items()
    }
    return {protocol: rows for protocol, rows in scored.items() if rows}


def _score(
    ground_truth: GroundTruth,
    scored: Mapping[str, Sequence[int]],
    queries: Mapping[str, Embeddings],
    gallery: Embeddings,
    index: FaissIndex | None,
    refinement: Refinement,
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """The metrics of each query model and protocol, and in a last column R@1.

    Arrays (scored queries, metrics + 1), in row order.
    """
    # GLDv2 ignores most of its queries, and searching 761,757 images for them is the cost.
    rows = sorted(set().union(*scored.values()))
    metrics: list[Metric] = [*METRICS[ground_truth.kind].values(), partial(recall_at, k=1)]
    values: dict[str, dict[str, list[list[float]]]] = {
        query_model: {protocol: [] for protocol in scored} for query_model in queries
    }
    if rows:
        stacked = np.concatenate([embeddings[:][rows] for embeddings in queries.values()])
        own = _own_rows(ground_truth, rows * len(queries))
        with augmented(gallery, refinement.database_augmentation) as searched:
            if refinement.query_expansion is not None:
                stacked = expanded(stacked, own, searched, refinement.query_expansion)
            again = refinement.reranking
            places = _places(
                ground_truth,
                stacked,
                rows * len(queries),
                searched,
                index,
                least=again.depth if again else 0,
            )
            if again is not None:
                places = reranked(places, stacked, own, searched, again)
            for (query_model, row), found in zip(product(queries, rows), places, strict=True):
                for protocol in scored:
                    relevance = ground_truth.relevance[protocol][row]
                    if relevance.positives.size:
                        ranks = positive_ranks(relevance, found)
                        values[query_model][protocol].append(
                            [metric(ranks, len(relevance.positives)) for metric in metrics]
                        )
    return {
        query_model: {protocol: np.array(each) for protocol, each in protocols.items()}
        for query_model, protocols in values.items()
    }


def _own_rows(ground_truth: GroundTruth, rows: Sequence[int]) -> NDArray[np.int64]:
    """The gallery rows with the ids of the queries at `rows`, or -1: (Q,).

    Such a row shows the query itself; to expand by it would give one model's queries another
    model's embedding of the very image.
    """
    gallery = {name: row for row, name in enumerate(ground_truth.gallery_ids)}
    return np.array([gallery.get(ground_truth.query_ids[row], -1) for row in rows], np.int64)


def _places(
    ground_truth: GroundTruth,
    queries: NDArray[np.float32],
    rows: Sequence[int],
    gallery: Embeddings,
    index: FaissIndex | None,
    least: int,
) -> Iterator[Places]:
    """Search as the metrics need it; `queries` (Q, D) are the ground truth's at `rows`.

    The `least` first places are known in any case.
    """
    tracked = Tracked(ground_truth, rows)
    depth = gallery.shape[0]
    if ground_truth.kind == "gldv2":
        depth = _GLDV2_DEPTH + max(
            relevance[row].junk.size
            for relevance in ground_truth.relevance.values()
            for row in rows
        )
    if index is not None:
        return places_by_index(queries, gallery, tracked, depth, index)
    if ground_truth.kind == "gldv2":
        return places_in_lists(top_k(queries, gallery, max(depth, least))[0], tracked)
    if ground_truth.kind == "revisited":
        return places_by_counting(queries, gallery, tracked)
    return places_by_ranking(queries, gallery, tracked)
