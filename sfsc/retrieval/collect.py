"""The files of scores: one for each method, and all of them together."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from sfsc import layout
from sfsc.files import InputError, replacing
from sfsc.retrieval.compatibility import compatibility, flips

_KEY = ["dataset", "protocol", "metric", "method", "seed", "query_model", "gallery_model"]

METRIC_COLUMNS = [*_KEY, "value", "low", "high"]
"""Columns of the metrics file, a row for each pair, protocol and metric; `low` and `high` bound
the 95 % interval of the value, by resampling the queries."""

PER_QUERY_COLUMNS = [*_KEY, "query", "cluster", "value", "right"]
"""Columns of the per-query average precisions; `query` is the query's id, `cluster` that of the
first query of its landmark, `right` says whether a positive is in the first place."""

FLOOR_COLUMNS = [*_KEY, "gallery_seed", "value", "random"]
"""Columns of the floor file: `value` where the gallery model is that of another seed (empty for a
single seed), and what random rankings score."""


REFRESH_COLUMNS = [
    *("dataset", "protocol", "metric", "method", "seed"),
    *("old_model", "new_model", "order", "share", "value"),
]
"""Columns of the refresh file: `share` of the old model's gallery is re-embedded in an `order`."""

MIXED_COLUMNS = ["dataset", "protocol", "metric", "method", "seed", "query_model", "value"]
"""Columns of the file of galleries whose images are embedded by models drawn at random."""


def collect(
    results: Path,
    eval_sets: Sequence[str],
    methods: Sequence[str],
    out: Path,
    with_mixed: bool = False,
) -> None:
    """Put the methods' evaluations together: metrics, per-query values, floors, compatibility.

    Writes metrics.csv, per_query.parquet, floor.csv and compatibility.csv to `out`, and with
    `with_mixed` refresh.csv and mixed.csv.
    """
    folders = [
        layout.evaluation(results, eval_set, method) for eval_set in eval_sets for method in methods
    ]
    metrics = _together(_read_scores, [folder / "metrics.csv" for folder in folders])
    per_query = _together(_read_per_query, [folder / "per_query.parquet" for folder in folders])
    floors = _together(_read_scores, [folder / "floor.csv" for folder in folders])
    measures = pd.concat([compatibility(metrics, floors), flips(per_query)], ignore_index=True)
    for name in ("refresh.csv", "mixed.csv") if with_mixed else ():
        write_csv(out / name, _together(_read_scores, [folder / name for folder in folders]))
    write_scores(out / "metrics.csv", out / "per_query.parquet", metrics, per_query)
    write_csv(out / "floor.csv", floors)
    write_csv(out / "compatibility.csv", measures)


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write numbers as metrics.csv has them: eight digits, one way to end a line."""
    with replacing(path) as beside:
        frame.to_csv(beside, index=False, float_format="%.8f", lineterminator="\n")


def _read_scores(path: Path) -> pd.DataFrame:
    """Names stay text, whatever they look like; only a value may be missing."""
    names = dict.fromkeys([name for name in _KEY if name != "seed"], str)
    return pd.read_csv(path, dtype=names, keep_default_na=False, na_values={"value": [""]})


def _read_per_query(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path, columns=PER_QUERY_COLUMNS)


def _together(read: Callable[[Path], pd.DataFrame], paths: Sequence[Path]) -> pd.DataFrame:
    frames = []
    for path in paths:
        try:
            frames.append(read(path))
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; evaluate that method first") from None
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{path}: cannot be read; evaluate that method again: {reason}"
            ) from None
    return pd.concat(frames, ignore_index=True)


def write_scores(
    metrics_file: Path, per_query_file: Path | None, metrics: pd.DataFrame, per_query: pd.DataFrame
) -> None:
    """Write the means as CSV and, to a file if any, the per-query average precisions as Parquet
    (float32)."""
    types = dict.fromkeys(PER_QUERY_COLUMNS, "category") | {"seed": "int64", "right": "bool"}
    compact = per_query[PER_QUERY_COLUMNS].astype(types | {"value": "float32"})
    # Both are written before either is renamed, so that no kill leaves the one without the other.
    with ExitStack() as files:
        metrics[METRIC_COLUMNS].to_csv(
            files.enter_context(replacing(metrics_file)),
            index=False,
            float_format="%.8f",
            lineterminator="\n",
        )
        if per_query_file:
            compact.to_parquet(
                files.enter_context(replacing(per_query_file)), index=False, compression="zstd"
            )
