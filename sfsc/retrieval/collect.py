"""The evaluation of a method over its seeds, and the metrics files of several methods."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sfsc import layout
from sfsc.data.sets import GroundTruth
from sfsc.files import InputError, replacing
from sfsc.retrieval.compatibility import compatibility
from sfsc.retrieval.pairs import (
    METRIC_COLUMNS,
    PER_QUERY_COLUMNS,
    evaluate_files,
    write_metrics,
)


def evaluate_method(
    results: Path,
    ground_truth: GroundTruth,
    eval_set: str,
    method: str,
    seeds: Sequence[int],
    models: Sequence[str],
) -> None:
    """Score all pairs of the families of `method`, one a seed, from their embedding files."""
    means: list[pd.DataFrame] = []
    per_query: list[pd.DataFrame] = []
    for seed in seeds:
        folders = {
            name: layout.embeddings(results, eval_set, method, seed, name) for name in models
        }
        frames = evaluate_files(
            ground_truth,
            {name: folder / "query.npy" for name, folder in folders.items()},
            {name: folder / "gallery.npy" for name, folder in folders.items()},
        )
        for frame, parts in zip(frames, (means, per_query), strict=True):
            parts.append(frame.assign(dataset=eval_set, method=method, seed=seed))
    folder = layout.evaluation(results, eval_set, method)
    write_scores(
        folder / "metrics.csv",
        folder / "per_query.parquet",
        pd.concat(means, ignore_index=True),
        pd.concat(per_query, ignore_index=True),
    )


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
