"""Which settings a grid's runs choose for each method: those of the highest mean self-test."""

from pathlib import Path

import pandas as pd
import yaml

from sfsc.config import Config, entries, train_set_of
from sfsc.files import InputError, replacing
from sfsc.report.inputs import primary, read_metrics


def choose(results: Path, config: Config) -> None:
    """Write tuning.csv, a row for each training set, method and cell, and chosen.yaml.

    The score is the mean self-test over evaluation sets, protocols, widths and seeds: it does not
    reward compatibility, which only some methods aim at. chosen.yaml has the shape of the `methods`
    of each of `train_sets`. Raises InputError for a profile without a grid.
    """
    if "grid" not in config:
        raise InputError(f"profile {config['profile']}: has no grid to choose from; add one")
    listed = {entry.name: entry for entry in entries(config)}
    metrics = primary(read_metrics(results), list(listed))
    metrics = metrics[metrics["query_model"] == metrics["gallery_model"]]
    metrics = metrics.assign(train_set=metrics["dataset"].astype(str).map(train_set_of(config)))
    scores = metrics.groupby(["train_set", "method"], observed=True)["value"].mean().reset_index()
    table = pd.DataFrame(
        {
            "train_set": train_set,
            "method": listed[name].listed,
            **listed[name].cell,
            "mean_self_test": score,
        }
        for train_set, name, score in scores.itertuples(index=False)
    )
    best = table.loc[table.groupby(["train_set", "method"], sort=False)["mean_self_test"].idxmax()]
    table["chosen"] = table.index.isin(best.index)
    chosen: dict[str, dict[str, dict[str, object]]] = {}
    for row in best.to_dict("records"):
        cell = {str(key): row[key] for key in config["grid"]}
        chosen.setdefault(row["train_set"], {})[row["method"]] = cell
    with replacing(results / "tuning.csv") as beside:
        table.to_csv(beside, index=False, float_format="%.6f", lineterminator="\n")
    with replacing(results / "chosen.yaml") as beside:
        beside.write_text(yaml.safe_dump(chosen, sort_keys=False), encoding="utf-8")
