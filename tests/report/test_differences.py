"""Differences between methods, run by run."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from sfsc.report.differences import differences, not_separable

SEEDS = [0, 1, 2, 3, 4, 5]
VALUES = {
    # Best on average; another is as good, and one is worse by little, but always.
    "best": [0.60, 0.70, 0.80, 0.60, 0.70, 0.80],
    "tied": [0.62, 0.67, 0.81, 0.57, 0.72, 0.78],
    "worse": [0.58, 0.69, 0.78, 0.59, 0.68, 0.79],
}


def _rows(values=VALUES, **keys):
    rows = [
        (method, seed, value)
        for method, of_seeds in values.items()
        for seed, value in zip(SEEDS, of_seeds, strict=False)
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "value"]).assign(**keys)


def _interval(method, against):
    apart = np.subtract(VALUES[method], VALUES[against])
    bounds = scipy.stats.ttest_1samp(apart, 0).confidence_interval(0.95)
    return apart.mean(), (bounds.high - bounds.low) / 2


def test_by_hand():
    rows = _rows(dataset="digits", measure="C").sample(frac=1, random_state=0)
    pairs = [("worse", "best"), ("tied", "best"), ("absent", "best")]
    found = differences(rows, pairs, ["dataset", "measure"])
    assert list(found.columns) == [
        "dataset",
        "measure",
        "method",
        "against",
        "mean",
        "half",
        "seeds",
        "p",
        "p_holm",
    ]
    assert found[["method", "against"]].to_numpy().tolist() == [list(pair) for pair in pairs[:2]]
    assert (found["seeds"] == 6).all()
    for row in found.itertuples():
        assert (row.mean, row.half) == pytest.approx(_interval(row.method, "best"))
    # All six of `worse` agree. Of `tied`: 2, -3, 1, -3, 2, -2; a sum of size 3 or more comes in
    # 48 of the 64 assignments of signs.
    assert found["p"].tolist() == pytest.approx([2 / 64, 48 / 64])
    assert found["p_holm"].tolist() == pytest.approx([4 / 64, 48 / 64])


def test_seeds_without_a_partner_are_left_out():
    values = {"a": [0.5, 0.6, 0.9], "b": [0.4, 0.4]}
    found = differences(_rows(values, dataset="x"), [("a", "b")], ["dataset"])
    assert found["mean"].item() == pytest.approx(0.15)
    assert found["seeds"].item() == 2
    nobody = _rows({"a": [0.5]}, dataset="x")
    other = _rows({"b": [0.5]}, dataset="x").assign(seed=9)
    assert differences(pd.concat([nobody, other]), [("a", "b")], ["dataset"]).empty


@pytest.mark.parametrize(("seeds", "tested"), [(4, False), (5, True)])
def test_p_values_come_from_five_seeds_on(seeds, tested):
    values = {name: of_seeds[:seeds] for name, of_seeds in VALUES.items()}
    found = differences(_rows(values, dataset="x"), [("worse", "best")], ["dataset"])
    for column in ("p", "p_holm"):
        assert found[column].tolist() == pytest.approx(
            [2 / 2**seeds if tested else np.nan], nan_ok=True
        )


def test_the_correction_is_for_all_tests_that_are_returned():
    parts = [_rows(dataset=name) for name in "abc"]
    found = differences(pd.concat(parts), [("worse", "best")], ["dataset"])
    assert found["p"].tolist() == pytest.approx([2 / 64] * 3)
    assert found["p_holm"].tolist() == pytest.approx([6 / 64] * 3)


def test_all_that_cannot_be_told_from_the_best_are_marked():
    marks = not_separable(_rows(dataset="x", column="C"), ["dataset", "column"])
    assert marks.to_dict() == {
        ("x", "C", "best"): True,
        ("x", "C", "tied"): True,
        ("x", "C", "worse"): False,
    }
    # As differences has it: an interval that holds 0.
    for method in ("tied", "worse"):
        mean, half = _interval(method, "best")
        assert (abs(mean) <= half) == marks["x", "C", method]


def test_methods_that_are_equal_are_all_marked():
    marks = not_separable(_rows({"a": [0.5, 0.6], "b": [0.5, 0.6]}, dataset="x"), ["dataset"])
    assert marks.tolist() == [True, True]


def test_a_single_seed_marks_none():
    values = {name: of_seeds[:1] for name, of_seeds in VALUES.items()}
    assert not not_separable(_rows(values, dataset="x"), ["dataset"]).any()


def test_without_rows_there_is_nothing_to_mark():
    marks = not_separable(_rows(dataset="x").iloc[:0], ["dataset"])
    assert marks.empty
    assert marks.index.names == ["dataset", "method"]
