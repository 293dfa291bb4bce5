"""A grid's choice: the best mean self-test, for each training set and method."""

import pandas as pd
import pytest
import yaml

from sfsc.config import method_names
from sfsc.files import InputError
from sfsc.report.tuning import choose

CONFIG = {
    "profile": "tuning",
    "methods": ["bct", {"name": "plain", "method": "sfsc-plain"}],
    "grid": {"learning_rate": [0.004, 0.008], "embedding_scale": [4, 8]},
    "eval_sets": {"digits": {"train_set": "digits"}, "roxford": {"train_set": "landmarks"}},
}


def metrics(scores):
    """`scores` by dataset and method of self-tests; cross-tests are all perfect."""
    rows = [
        (dataset, "all", "mAP", method, 0, query, gallery, score if query == gallery else 1.0)
        for (dataset, method), score in scores.items()
        for query in ("w050", "w100")
        for gallery in ("w050", "w100")
    ]
    names = ["dataset", "protocol", "metric", "method", "seed", "query_model", "gallery_model"]
    return pd.DataFrame(rows, columns=[*names, "value"])


def test_each_method_takes_its_own_best_cell(tmp_path):
    names = method_names(CONFIG)
    assert names[:2] == ["bct--0.004--4", "bct--0.004--8"]
    best = {
        ("digits", "bct--0.008--8"),
        ("digits", "plain--0.004--4"),
        ("roxford", "bct--0.004--8"),
        ("roxford", "plain--0.008--4"),
    }
    scores = {
        (dataset, name): 0.9 if (dataset, name) in best else 0.5
        for dataset in CONFIG["eval_sets"]
        for name in names
    }
    metrics(scores).to_csv(tmp_path / "metrics.csv", index=False)
    choose(tmp_path, CONFIG)
    assert yaml.safe_load((tmp_path / "chosen.yaml").read_text()) == {
        "digits": {
            "bct": {"learning_rate": 0.008, "embedding_scale": 8},
            "plain": {"learning_rate": 0.004, "embedding_scale": 4},
        },
        "landmarks": {
            "bct": {"learning_rate": 0.004, "embedding_scale": 8},
            "plain": {"learning_rate": 0.008, "embedding_scale": 4},
        },
    }
    table = pd.read_csv(tmp_path / "tuning.csv")
    assert len(table) == 2 * 2 * 4
    assert table["chosen"].sum() == 4
    assert (table[table["chosen"]]["mean_self_test"] == 0.9).all()


def test_a_profile_without_a_grid_is_refused(tmp_path):
    with pytest.raises(InputError, match="tuning: has no grid"):
        choose(tmp_path, {"profile": "tuning", "methods": ["bct"]})
