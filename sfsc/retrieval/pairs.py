"""Score every cross-model pair: each query model against each gallery model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sfsc.data.sets import GroundTruth
from sfsc.files import InputError, replacing
from sfsc.progress import progress
from sfsc.retrieval import embeddings
from sfsc.retrieval.precision import METRICS
from sfsc.retrieval.search import positive_ranks, rankings

METRIC_COLUMNS = [
    "dataset",
    "protocol",
    "metric",
    "method",
    "seed",
    "query_model",
    "gallery_model",
    "value",
]
"""Columns of the metrics file: a row for each pair, protocol and metric."""

PER_QUERY_COLUMNS = [*METRIC_COLUMNS[:-1], "query", "value"]
"""Columns of the per-query average precisions; `query` is the query's id."""

_PAIR_COLUMNS = ["protocol", "metric", "query_model", "gallery_model"]


def evaluate_pairs(
    ground_truth: GroundTruth,
    queries: Mapping[str, NDArray[np.float32]],
    galleries: Mapping[str, NDArray[np.float32]],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score all pairs of `queries` (Q, D) and `galleries` (N, D), embeddings by model name.

    Returns the means over the scored queries, with the columns protocol, metric, query_model,
    gallery_model, value; and the average precision of each scored query, with `query` (its id)
    before `value`. A protocol without scored queries has no rows.
    """
    metrics = METRICS[ground_truth.kind]
    scored = _scored_queries(ground_truth)
    means: list[tuple[str, str, str, str, float]] = []
    per_query: list[pd.DataFrame] = []
    pairs = [(query_model, gallery_model) for query_model in queries for gallery_model in galleries]
    for query_model, gallery_model in progress(pairs, "pairs", "pair"):
        values = _score(ground_truth, scored, queries[query_model], galleries[gallery_model])
        for protocol, rows in scored.items():
            names = list(metrics)
            for name, mean in zip(names, values[protocol].mean(axis=0).tolist(), strict=True):
                means.append((protocol, name, query_model, gallery_model, mean))
            per_query.append(
                pd.DataFrame(
                    {
                        "protocol": protocol,
                        "metric": names[0],
                        "query_model": query_model,
                        "gallery_model": gallery_model,
                        "query": [ground_truth.query_ids[row] for row in rows],
                        "value": values[protocol][:, 0],
                    }
                )
            )
    if not per_query:
        per_query.append(pd.DataFrame(columns=[*_PAIR_COLUMNS, "query", "value"]))
    return (
        pd.DataFrame(means, columns=[*_PAIR_COLUMNS, "value"]),
        pd.concat(per_query, ignore_index=True),
    )


def evaluate_files(
    ground_truth: GroundTruth, queries: Mapping[str, Path], galleries: Mapping[str, Path]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """As `evaluate_pairs`, from embedding files by model name.

    Checks every file before any work. Raises InputError for a file that
    `sfsc.retrieval.embeddings.load` refuses, and for files of different dimensions.
    """
    query_rows, gallery_rows = len(ground_truth.query_ids), len(ground_truth.gallery_ids)
    query_arrays = {name: embeddings.load(path, query_rows) for name, path in queries.items()}
    gallery_arrays = {name: embeddings.load(path, gallery_rows) for name, path in galleries.items()}
    _check_dimensions(
        [*queries.values(), *galleries.values()],
        [*query_arrays.values(), *gallery_arrays.values()],
    )
    return evaluate_pairs(ground_truth, query_arrays, gallery_arrays)


def write_metrics(path: Path, metrics: pd.DataFrame) -> None:
    """Write a metrics frame as CSV; values have 8 decimals."""
    with replacing(path) as beside:
        metrics.to_csv(beside, index=False, float_format="%.8f", lineterminator="\n")


def _scored_queries(ground_truth: GroundTruth) -> dict[str, list[int]]:
    """The rows of the queries with positives, for each protocol that has any."""
    scored = {
        protocol: [row for row in range(len(relevance)) if relevance[row].positives.size]
        for protocol, relevance in ground_truth.relevance.items()
    }
    return {protocol: rows for protocol, rows in scored.items() if rows}


def _score(
    ground_truth: GroundTruth,
    scored: Mapping[str, Sequence[int]],
    queries: NDArray[np.float32],
    gallery: NDArray[np.float32],
) -> dict[str, NDArray[np.float64]]:
    """The metrics of one pair for each protocol: (scored queries, metrics), in row order."""
    metrics = METRICS[ground_truth.kind].values()
    values: dict[str, list[list[float]]] = {protocol: [] for protocol in scored}
    # GLDv2 ignores most of its queries, and ranking 761,757 images is the cost.
    ranked = np.array(sorted(set().union(*scored.values())), np.int64)
    for start, orders in rankings(queries[ranked], gallery):
        for row, order in zip(ranked[start:].tolist(), orders, strict=False):
            for protocol in scored:
                relevance = ground_truth.relevance[protocol][row]
                if relevance.positives.size == 0:
                    continue
                ranks = positive_ranks(order, relevance)
                values[protocol].append(
                    [metric(ranks, len(relevance.positives)) for metric in metrics]
                )
    return {protocol: np.array(rows) for protocol, rows in values.items()}


def _check_dimensions(paths: Sequence[Path], arrays: Sequence[NDArray[np.float32]]) -> None:
    dimension = arrays[0].shape[1]
    for path, array in zip(paths, arrays, strict=True):
        if array.shape[1] != dimension:
            raise InputError(
                f"{path}: embeddings have dimension {array.shape[1]} but those of {paths[0]} have"
                f" {dimension}; models compared with each other share one dimension"
            )
