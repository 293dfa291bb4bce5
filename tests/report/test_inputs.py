import numpy as np
import pandas as pd
import pytest

from sfsc.files import InputError
from sfsc.report.inputs import (
    over_seeds,
    primary,
    read_logs,
    read_metrics,
    shown_protocol,
    spread,
)


def test_primary_keeps_the_primary_metric_and_the_listed_methods_in_order(make_results):
    metrics = read_metrics(make_results(["sfsc", "bct", "joint"], [0]))
    rows = primary(metrics, ["joint", "absent", "sfsc"])
    assert set(rows["metric"]) == {"mAP@100", "mAP"}
    means = over_seeds(rows, ["dataset", "method"])
    assert list(means["dataset"].unique()) == ["gldv2-synthetic", "roxford-synthetic", "digits"]
    assert list(means["method"][:2]) == ["joint", "sfsc"]


def test_over_seeds_is_the_mean_and_half_the_interval_of_students_t():
    rows = pd.DataFrame(
        {"name": ["a"] * 3 + ["b"] + ["c"] * 3, "value": [0.1, 0.2, 0.6, 0.5, 0.1, np.nan, 0.3]}
    )
    reduced = over_seeds(rows, ["name"]).set_index("name")
    assert reduced.loc["a", "mean"] == pytest.approx(0.3)
    deviation = np.sqrt((0.04 + 0.01 + 0.09) / 2)
    assert reduced.loc["a", "half"] == pytest.approx(4.302653 * deviation / np.sqrt(3))
    assert np.isnan(reduced.loc["b", "half"])
    assert reduced.loc["c", "half"] == pytest.approx(12.7062 * 0.1, rel=1e-5)
    assert list(reduced["seeds"]) == [3, 1, 2]


def test_the_shown_protocol():
    assert shown_protocol(["easy", "hard", "medium"]) == "medium"
    assert shown_protocol(["public", "private"]) == "private"
    assert shown_protocol(["all"]) == "all"
    assert shown_protocol(["own", "other"]) == "own"


def test_spread_names_the_seeds():
    assert spread(pd.Series([1, 1])) == "one seed"
    assert "95 % interval over 3 seeds" in spread(pd.Series([3, 3]))
    assert "95 % interval over 1 to 3 seeds" in spread(pd.Series([1, 3]))


def test_logs_follow_the_methods_and_name_their_family(make_results):
    logs = read_logs(make_results(["joint", "sfsc"], [0, 4]), ["sfsc", "joint"])
    assert list(logs["method"].unique()) == ["sfsc", "joint"]
    assert set(logs["train_set"]) == {"digits", "landmarks"}
    assert set(logs["seed"]) == {0, 4}
    assert read_logs(make_results(["bct"], [0]), ["bct"]).empty


def test_refusals_name_the_file_and_the_row(make_results):
    results = make_results(["sfsc"], [0])
    path = results / "metrics.csv"
    lines = path.read_text().splitlines()

    path.write_text("\n".join([*lines, lines[1]]))
    with pytest.raises(InputError, match=rf"metrics\.csv: row {len(lines) + 1} repeats gldv2"):
        read_metrics(results)
    path.write_text("\n".join([*lines[:2], lines[2].rsplit(",", 1)[0] + ",many"]))
    with pytest.raises(InputError, match=r"metrics\.csv: row 3: value is 'many'"):
        read_metrics(results)
    path.write_text(lines[0].replace(",seed", "") + "\n")
    with pytest.raises(InputError, match="no column 'seed'"):
        read_metrics(results)
    path.write_text("")
    with pytest.raises(InputError, match="cannot be read as CSV"):
        read_metrics(results)
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        read_metrics(results)


def test_a_broken_log_is_named(make_results):
    results = make_results(["sfsc"], [0])
    (results / "training/digits/sfsc/seed0/log.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(InputError, match=r"digits/sfsc/seed0/log\.parquet: not a training log"):
        read_logs(results, ["sfsc"])
