"""Intervals and paired tests from values of every query."""

import numpy as np
import pandas as pd
import pytest

from sfsc.files import InputError
from sfsc.report.queries import intervals, paired_tests

GROUP = {"dataset": "digits", "protocol": "all", "metric": "mAP"}


def _per_query(value, methods=("sfsc", "other"), seeds=(0, 1), queries=30):
    rows = [
        (method, seed, f"q{query}", value(method, seed, query))
        for method in methods
        for seed in seeds
        for query in range(queries)
    ]
    frame = pd.DataFrame(rows, columns=["method", "seed", "query", "value"])
    return frame.assign(measure="self-test", **GROUP)


def test_a_seed_without_a_partner_is_left_out():
    frame = _per_query(lambda method, seed, query: 0.1 * seed + (method == "other") * 0.05)
    frame = frame[(frame["method"] == "other") | (frame["seed"] == 1)]
    (row,) = paired_tests(frame, "sfsc", ["measure"]).to_dict("records")
    assert row["method"] == "other"
    assert row["mean"] == pytest.approx(0.05)
    assert (row["low"], row["high"]) == pytest.approx((0.05, 0.05))
    assert (row["queries"], row["seeds"]) == (30, 1)
    assert row["p"] < 0.001


def test_without_the_reference_there_is_nothing_to_test():
    frame = _per_query(lambda method, seed, query: 0.5, methods=["other"])
    assert paired_tests(frame, "sfsc", ["measure"]).empty


def test_pairing_finds_what_the_spread_of_the_queries_hides():
    random = np.random.default_rng(0)
    level = random.random(30)
    frame = _per_query(lambda method, seed, query: level[query] + 0.01 * (method == "other"))
    assert paired_tests(frame, "sfsc", ["measure"])["p"][0] < 0.001
    bounds = intervals(frame, ["method"]).set_index("method")
    assert bounds.loc["sfsc", "high"] > bounds.loc["other", "low"]


def test_different_queries_are_refused():
    frame = _per_query(lambda method, seed, query: 0.5)
    frame = frame[(frame["method"] == "sfsc") | (frame["query"] != "q7")]
    for compute in (lambda: intervals(frame, ["method"]), lambda: paired_tests(frame, "sfsc", [])):
        with pytest.raises(InputError, match=r"digits, all, mAP: .* 'q7'"):
            compute()
