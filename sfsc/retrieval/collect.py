"""The files of scores: one for each method, and all of them together."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sfsc import layout
from sfsc.files import InputError, replacing
from sfsc.retrieval.compatibility import compatibility

_KEY = ["dataset", "protocol", "metric", "method", "seed", "query_model", "gallery_model"]

METRIC_COLUMNS = [*_KEY, "value", "low", "high"]
"""Columns of the metrics file, a row for each pair, protocol and metric; `low` and `high` bound
the 95 % interval of the value, by resampling the queries."""

PER_QUERY_COLUMNS = [*_KEY, "query", "value"]
"""Columns of the per-query average precisions; `query` is the query's id."""


def collect(results: Path, eval_sets: Sequence[str], methods: Sequence[str], out: Path) -> None:
    """Put the methods' evaluations together: metrics, per-query values and compatibility.

    Writes metrics.csv, per_query.parquet and compatibility.csv to `out`.
    """
    folders = [
        layout.evaluation(results, eval_set, method) for eval_set in eval_sets for method in methods
    ]
    try:
        metrics = pd.concat([pd.read_csv(f / "metrics.csv") for f in folders], ignore_index=True)
        per_query = pd.concat(
            [pd.read_parquet(f / "per_query.parquet") for f in folders], ignore_index=True
        )
    except FileNotFoundError as error:
        raise InputError(f"{error.filename}: no such file; evaluate that method first") from None
    write_scores(out / "metrics.csv", out / "per_query.parquet", metrics, per_query)
    with replacing(out / "compatibility.csv") as beside:
        compatibility(metrics).to_csv(beside, index=False, float_format="%.8f", lineterminator="\n")


def write_scores(
    metrics_file: Path, per_query_file: Path, metrics: pd.DataFrame, per_query: pd.DataFrame
) -> None:
    """Write the means as CSV and the per-query average precisions as Parquet (float32)."""
    types = dict.fromkeys(PER_QUERY_COLUMNS, "category") | {"seed": "int64"}
    compact = per_query[PER_QUERY_COLUMNS].astype(types | {"value": "float32"})
    with replacing(per_query_file) as beside:
        compact.to_parquet(beside, index=False, compression="zstd")
    write_metrics(metrics_file, metrics[METRIC_COLUMNS])


def write_metrics(path: Path, metrics: pd.DataFrame) -> None:
    """Write a metrics frame as CSV; values have 8 decimals."""
    with replacing(path) as beside:
        metrics.to_csv(beside, index=False, float_format="%.8f", lineterminator="\n")
