"""What the report reads: the result files of one profile, checked, filtered and in order."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sfsc.files import InputError
from sfsc.retrieval.inference import half_width

REFERENCE = "chance"
"""The method whose embeddings are random: a reference, never the best of the trained."""

_PRIMARY_METRICS = ("mAP@100", "mAP")
_PROTOCOLS = ("private", "public", "easy", "medium", "hard", "all")
_SHOWN_FIRST = ("private", "medium", "all")

ARCHITECTURE = ("train_set", "model", "width", "parameters", "multiply_adds")
"""Columns of cost.csv; sub-models that share them are built alike, and so equally fast."""

BATCH = 32
"""Images of the batch whose latency is measured, next to a single image's."""

_METRICS_KEY = ("dataset", "protocol", "metric", "method", "seed", "query_model", "gallery_model")
_REFRESH_KEY = (
    *("dataset", "protocol", "metric", "method", "seed"),
    *("old_model", "new_model", "order", "share"),
)
_COMPATIBILITY_KEY = ("dataset", "protocol", "metric", "method", "seed", "measure")
_COST_KEY = ("train_set", "method", "seed", "model")
_COST_NUMBERS = ("parameters", "multiply_adds", "file_bytes", "train_seconds")
_LATENCY_NUMBERS = ("single_ms", "batch_ms")
_NUMBERS = ("seed", "width", "parameters", "multiply_adds", "share")
"""Columns of keys that are not names."""
_LOG_COLUMNS = ("step", "model", "quantity", "value")


def read_metrics(results: Path) -> pd.DataFrame:
    """Read metrics.csv: `value` in [0, 1] for each pair of models, method and seed."""
    return _read(results / "metrics.csv", _METRICS_KEY, ("value",))


def read_per_query(results: Path) -> pd.DataFrame:
    """Read per_query.parquet: the average precision `value` of each `query` of each pair."""
    path = results / "per_query.parquet"
    try:
        frame = pd.read_parquet(path, columns=[*_METRICS_KEY, "query", "cluster", "value"])
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the evaluation first") from None
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read; evaluate again: {reason}") from None
    names = [name for name in (*_METRICS_KEY, "query", "cluster") if name != "seed"]
    return frame.astype(dict.fromkeys(names, str))


def read_compatibility(results: Path) -> pd.DataFrame:
    """Read compatibility.csv: the value and the floor of each `measure` of each family."""
    return _read(results / "compatibility.csv", _COMPATIBILITY_KEY, ("value", "floor"))


def read_cost(results: Path) -> pd.DataFrame:
    """Read cost.csv: what each sub-model costs; `train_seconds`, `networks` are the family's.

    Files of earlier versions have no `networks` and no `translated`; both are empty then.
    """
    frame = _read(results / "cost.csv", _COST_KEY, _COST_NUMBERS)
    unknown = {"networks": np.nan, "translated": np.nan}
    return frame.assign(**{key: value for key, value in unknown.items() if key not in frame})


def read_cost_and_latency(results: Path) -> pd.DataFrame:
    """Read cost.csv with the latencies of latency.csv, in ms; empty where none was measured."""
    latency = _read(results / "latency.csv", ARCHITECTURE, _LATENCY_NUMBERS)
    return read_cost(results).merge(latency, "left", on=list(ARCHITECTURE))


def read_refresh(results: Path) -> pd.DataFrame:
    """Read refresh.csv: `value` at each `share` of a gallery that is being re-embedded."""
    return _read(results / "refresh.csv", _REFRESH_KEY, ("value",))


def read_logs(results: Path, methods: Sequence[str]) -> pd.DataFrame:
    """Read the training logs of `methods`, long form, in the order of `methods`.

    Columns: train_set, method, seed, step, model, quantity, value. Empty where no method kept one.
    """
    logs = [pd.DataFrame(columns=["train_set", "method", "seed", *_LOG_COLUMNS])]
    for path in sorted(results.glob("training/*/*/seed*/log.parquet")):
        train_set, method, seed = path.parts[-4:-1]
        if method not in methods:
            continue
        try:
            log = pd.read_parquet(path, columns=list(_LOG_COLUMNS))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a training log; train again: {error}") from None
        log.insert(0, "train_set", train_set)
        log.insert(1, "method", method)
        log.insert(2, "seed", int(seed.removeprefix("seed")))
        logs.append(log)
    if len(logs) == 1:
        return logs[0]
    return pd.concat(logs[1:], ignore_index=True).sort_values(
        "method", key=lambda column: column.map(list(methods).index), kind="stable"
    )


def primary(frame: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Keep each dataset's primary metric and the rows of `methods`.

    `dataset` (by appearance), `protocol` and `method` (as listed) become ordered categories, so
    that grouping keeps their order.
    """
    kept = frame[frame["metric"].isin(_PRIMARY_METRICS) & frame["method"].isin(methods)]
    orders = {
        "dataset": list(kept["dataset"].unique()),
        "protocol": [*_PROTOCOLS, *sorted(set(kept["protocol"]) - set(_PROTOCOLS))],
        "method": list(dict.fromkeys(methods)),
    }
    return kept.assign(
        **{name: pd.Categorical(kept[name], order, ordered=True) for name, order in orders.items()}
    )


def over_seeds(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Reduce `value` over the seeds to `mean`, `half` and `seeds`.

    `half` is half the 95 % interval over the seeds, by Student's t; NaN for one seed.
    """
    groups = frame.dropna(subset="value").groupby(list(keys), observed=True)
    table = groups["value"].agg(
        mean="mean", half=lambda values: half_width(values.to_numpy()[:, None])[0], seeds="count"
    )
    return table.reset_index()


def matrix(pairs: pd.DataFrame, values: str) -> pd.DataFrame:
    """The column `values` of pairs of models: query models down, galleries across, in order."""
    wide = pairs.pivot(index="query_model", columns="gallery_model", values=values)
    names = [str(name) for name in pairs["query_model"].unique()]
    return wide.reindex(index=names, columns=names)


def shown_protocol(protocols: Sequence[str]) -> str:
    """Choose the protocol of a figure with room for one: private, medium or all, else the first."""
    return next((name for name in _SHOWN_FIRST if name in protocols), protocols[0])


def spread(seeds: "pd.Series[int]") -> str:
    """Say in words what `mean ± half` means for families of so many seeds."""
    low, high = int(seeds.min()), int(seeds.max())
    if high == 1:
        return "one seed"
    number = f"{high}" if low == high else f"{low} to {high}"
    return f"mean ± half of the 95 % interval over {number} seeds (Student's t)"


def _read(path: Path, key: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    try:
        # Names are text, whatever they look like; numbers alone can be missing.
        names = [column for column in key if column not in _NUMBERS]
        types = dict.fromkeys(names, str)
        missing = {column: [""] for column in numbers}
        frame = pd.read_csv(path, dtype=types, keep_default_na=False, na_values=missing)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the evaluation first") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read as CSV; evaluate again: {error}") from None
    for column in (*key, *numbers):
        if column not in frame:
            raise InputError(f"{path}: no column {column!r}; it has {', '.join(frame.columns)}")
    for column in numbers:
        wrong = frame.index[frame[column].notna() & pd.to_numeric(frame[column], "coerce").isna()]
        if len(wrong):
            raise InputError(
                f"{path}: row {wrong[0] + 2}: {column} is {frame[column][wrong[0]]!r}, not a number"
            )
    repeated = frame.index[frame.duplicated(list(key))]
    if len(repeated):
        name = " ".join(str(frame[column][repeated[0]]) for column in key)
        raise InputError(f"{path}: row {repeated[0] + 2} repeats {name}; keep one of them")
    return frame
