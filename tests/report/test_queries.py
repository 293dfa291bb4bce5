"""Intervals over the queries of one run."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from sfsc.files import InputError
from sfsc.report.queries import intervals

GROUP = {"dataset": "digits", "protocol": "all", "metric": "mAP"}


def _per_query(value, methods=("sfsc", "other"), seeds=(0, 1), queries=30, alike=1):
    """`alike` queries in a row are of one landmark."""
    rows = [
        (method, seed, f"q{query}", f"q{query - query % alike}", value(method, seed, query))
        for method in methods
        for seed in seeds
        for query in range(queries)
    ]
    frame = pd.DataFrame(rows, columns=["method", "seed", "query", "cluster", "value"])
    return frame.assign(**GROUP)


def test_seeds_are_averaged_for_each_query_first():
    level = np.random.default_rng(0).random(30)
    frame = _per_query(lambda method, seed, query: level[query] + (0.2 if seed else -0.2))
    found = intervals(frame.sample(frac=1, random_state=0), ["method"]).set_index("method")
    expected = scipy.stats.bootstrap(
        (level,), np.mean, n_resamples=20_000, method="percentile", rng=1
    ).confidence_interval
    for method in ("sfsc", "other"):
        low, high = found.loc[method, ["low", "high"]]
        assert (low, high) == pytest.approx(expected, abs=0.01)


def test_queries_of_one_landmark_are_drawn_together():
    level = np.random.default_rng(0).random(10)
    alike = _per_query(lambda method, seed, query: level[query // 3], queries=30, alike=3)
    few = _per_query(lambda method, seed, query: level[query], queries=10)
    (found, expected) = (
        intervals(frame, ["method"]).set_index("method")[["low", "high"]] for frame in (alike, few)
    )
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_different_queries_are_refused():
    frame = _per_query(lambda method, seed, query: 0.5)
    frame = frame[(frame["method"] == "sfsc") | (frame["query"] != "q7")]
    with pytest.raises(InputError, match=r"digits, all, mAP: .* 'q7'"):
        intervals(frame, ["method"])
