"""The scores of all methods together: names stay names, and floors find their families."""

import pandas as pd
import pytest

from sfsc import layout
from sfsc.retrieval.collect import FLOOR_COLUMNS, collect, write_csv, write_scores

KEY = ["dataset", "protocol", "metric", "method", "seed", "query_model", "gallery_model"]


@pytest.mark.parametrize("seeds", [[0], [0, 1]])
def test_a_data_set_2024_and_a_method_null_have_measures(tmp_path, seeds):
    rows = [
        ("2024", "all", "mAP", "null", seed, query, gallery, 0.8 if query == gallery else 0.5)
        for seed in seeds
        for query in ("w050", "w100")
        for gallery in ("w050", "w100")
    ]
    metrics = pd.DataFrame(rows, columns=[*KEY, "value"]).assign(low=0.4, high=0.9)
    folder = layout.evaluation(tmp_path, "2024", "null")
    folder.mkdir(parents=True)
    per_query = metrics.assign(query="q", cluster="q", right=True)
    write_scores(folder / "metrics.csv", folder / "per_query.parquet", metrics, per_query)
    single = len(seeds) == 1
    floors = metrics.assign(gallery_seed=0 if single else 1 - metrics["seed"], random=0.1)
    if single:
        floors["value"] = float("nan")
    write_csv(folder / "floor.csv", floors[FLOOR_COLUMNS])
    collect(tmp_path, ["2024"], ["null"], tmp_path)
    measures = pd.read_csv(tmp_path / "compatibility.csv", dtype=str, keep_default_na=False)
    assert set(measures["dataset"]) == {"2024"}
    assert set(measures["method"]) == {"null"}
    crosses = measures[measures["measure"] == "C"]
    assert crosses["value"].astype(float).tolist() == pytest.approx([0.4 / 0.7] * len(seeds))
    assert (crosses["floor"] == "").all() == single
