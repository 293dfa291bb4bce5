"""A made-up results folder, as the stages before the report would leave it."""

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from sfsc.profile import Contrast
from sfsc.report.tables import Shown
from sfsc.retrieval.compatibility import compatibility

METHODS = [
    "chance",
    "independent",
    "bct",
    "joint",
    "sfsc",
    "sfsc-no-projection",
    "sfsc-no-uncertainty",
    "sfsc-plain",
]
CONTRASTS = [
    Contrast("Does SFSC beat BCT?", "sfsc", "bct", "cross_mean"),
    Contrast("Does SFSC beat BCT?", "sfsc", "bct", "self-test w100"),
    Contrast("What is the loss?", "sfsc", "sfsc-plain", "C"),
]
ABLATIONS = {
    "sfsc": {
        "sfsc-no-projection": "gradients summed",
        "sfsc-no-uncertainty": "cross entropy",
        "sfsc-plain": "cross entropy, gradients summed",
    }
}
SHOWN = Shown(METHODS, ABLATIONS, CONTRASTS)
MODELS = ["w025", "w050", "w075", "w100"]
TRAIN_SET_OF = {
    "gldv2-synthetic": "landmarks",
    "roxford-synthetic": "landmarks",
    "digits": "digits",
}
GRID = [
    ("gldv2-synthetic", ["private", "public"], ["mAP@100"], 0.42),
    ("roxford-synthetic", ["easy", "medium", "hard"], ["mAP", "mP@1", "mP@5", "mP@10"], 0.50),
    ("digits", ["all"], ["mAP", "R@1", "R@5", "R@10"], 0.85),
]
CROSS = {
    "bct": 0.80,
    "joint": 0.15,
    "sfsc": 0.97,
    "sfsc-no-projection": 0.95,
    "sfsc-no-uncertainty": 0.94,
    "sfsc-plain": 0.90,
}
EASE = {"easy": 1.2, "medium": 1.0, "hard": 0.5, "private": 1.0, "public": 0.96, "all": 1.0}


def _pair(method: str, query: int, gallery: int, best: float) -> float:
    if method == "chance":
        return 0.06 * best
    level = best * (0.75 + 0.25 * np.sqrt(min(query, gallery) / 100))
    if query == gallery:
        return level * {"independent": 1.0, "joint": 0.97}.get(method, 0.98)
    return level * CROSS.get(method, 0.08)


def _metrics(
    methods: Sequence[str], seeds: Sequence[int], datasets: Sequence[str], models: Sequence[str]
) -> pd.DataFrame:
    random = np.random.default_rng(0)
    rows = []
    for dataset, protocols, metrics, best in GRID:
        if dataset not in datasets:
            continue
        for protocol, metric, method, seed in product(protocols, metrics, methods, seeds):
            for query, gallery in product(models, models):
                value = _pair(method, int(query[1:]), int(gallery[1:]), best * EASE[protocol])
                value += random.normal(0, 0.008 if method != "chance" else 0.001)
                value = float(np.clip(value, 0, 1))
                rows.append((dataset, protocol, metric, method, seed, query, gallery, value))
    columns = ["dataset", "protocol", "metric", "method", "seed", "query_model", "gallery_model"]
    return pd.DataFrame(rows, columns=[*columns, "value"])


def _per_query(metrics: pd.DataFrame) -> pd.DataFrame:
    """Forty queries a pair, whose mean is about the pair's value."""
    kept = metrics[metrics["metric"].isin(["mAP@100", "mAP"])]
    rows = kept.loc[kept.index.repeat(40)].reset_index(drop=True)
    numbers = np.arange(len(rows)) % 40
    # Two queries show one landmark; of the digits, each stands alone.
    first = np.where(rows["dataset"] == "digits", numbers, numbers - numbers % 2)
    queries, clusters = ([f"q{number}" for number in each] for each in (numbers, first))
    random = np.random.default_rng(1)
    values = np.clip(rows["value"] + random.normal(0, 0.05, len(rows)), 0, 1)
    return rows.assign(query=queries, cluster=clusters, value=values.astype(np.float32))


def _floors(metrics: pd.DataFrame) -> pd.DataFrame:
    """As if the galleries of the next seed told a query model little; nothing for one seed."""
    kept = metrics[metrics["metric"].isin(["mAP@100", "mAP"])]
    seeds = sorted(set(kept["seed"]))
    following = dict(zip(seeds, [*seeds[1:], seeds[0]], strict=True))
    value = np.nan if len(seeds) == 1 else 0.1 * kept["value"]
    return kept.assign(gallery_seed=kept["seed"].map(following), value=value, random=0.02)


def _cost(methods: Sequence[str], seeds: Sequence[int], models: Sequence[str]) -> pd.DataFrame:
    rows = []
    for train_set, method, seed in product(["landmarks", "digits"], methods, seeds):
        if method == "chance":
            continue
        seconds = {"independent": 180.0, "bct": np.nan}.get(method, 120.0) + 2 * seed
        for model in models:
            width = int(model[1:]) / 100
            scale = width**2 * (1.0 if train_set == "landmarks" else 0.1)
            parameters = round(1_200_000 * scale + 8_000)
            adds = round(45_000_000 * scale + 600_000)
            size = 4 * parameters + 1_500 + len(method)
            rows.append((train_set, method, seed, model, width, parameters, adds, size, seconds))
    columns = ["train_set", "method", "seed", "model", "width", "parameters", "multiply_adds"]
    return pd.DataFrame(rows, columns=[*columns, "file_bytes", "train_seconds"])


def _latency(cost: pd.DataFrame) -> pd.DataFrame:
    architecture = ["train_set", "model", "width", "parameters", "multiply_adds"]
    distinct = cost[architecture].drop_duplicates()
    single = 0.1 + distinct["multiply_adds"] / 4e7
    return distinct.assign(single_ms=single, batch_ms=20 * single)


def _log(method: str, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    conflict = {"joint": 0.45, "sfsc-plain": 0.35, "sfsc": 0.2}.get(method, 0.25)
    rows: list[tuple[int, str, str, float]] = []
    for step in range(0, 2000, 10):
        share = np.clip(conflict * (1 - np.exp(-step / 300)) + random.normal(0, 0.08), 0, 1)
        rows.append((step, "", "conflict_share", share))
        rows.append((step, "", "learning_rate", 0.1 * (1 - step / 2000)))
        rows.append((step, "", "images_per_second", 4000 + random.normal(0, 100)))
        for place, model in enumerate(MODELS):
            rows.append((step, model, "loss", 1 + 4 * np.exp(-step / 500)))
            if method in ("sfsc", "sfsc-no-projection"):
                u = 0.1 - 0.02 * place + 0.85 * np.exp(-step / (500 - 60 * place))
                rows.append((step, model, "uncertainty", u + random.normal(0, 0.01)))
            for other in MODELS[place + 1 :]:
                cosine = 0.6 - conflict + random.normal(0, 0.05)
                rows.append((step, f"{model}-{other}", "cosine", cosine))
    return pd.DataFrame(rows, columns=["step", "model", "quantity", "value"])


def write_results(
    results: Path,
    methods: Sequence[str] = METHODS,
    seeds: Sequence[int] = (0, 1, 2),
    datasets: Sequence[str] = tuple(TRAIN_SET_OF),
    models: Sequence[str] = MODELS,
) -> None:
    results.mkdir(parents=True)
    metrics = _metrics(methods, seeds, datasets, models)
    metrics.to_csv(results / "metrics.csv", index=False)
    _per_query(metrics).to_parquet(results / "per_query.parquet", index=False)
    measures = compatibility(metrics, _floors(metrics))
    measures.to_csv(results / "compatibility.csv", index=False)
    cost = _cost(methods, seeds, models)
    cost.to_csv(results / "cost.csv", index=False)
    _latency(cost).to_csv(results / "latency.csv", index=False)
    for train_set, method, seed in product(["landmarks", "digits"], methods, seeds):
        if method == "joint" or method.startswith("sfsc"):
            path = results / "training" / train_set / method / f"seed{seed}" / "log.parquet"
            path.parent.mkdir(parents=True)
            _log(method, seed).to_parquet(path)
    provenance = {
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "dirty": True,
        "packages": {"numpy": "2.4.0", "torch": "2.14.1"},
        "hardware": {"cpu": "A Processor", "cores": 8, "memory_gib": 31.2, "gpu": None},
        "config": {"profile": "mini", "seeds": list(seeds)},
        "seeds": list(seeds),
        "stages": {"train": 754.2, "embed": 12.0, "evaluate": 8.5},
        "profile": "mini",
    }
    (results / "provenance.json").write_text(json.dumps(provenance))
