import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from sfsc.retrieval import statistics
from sfsc.retrieval.statistics import confidence_intervals


def _values(queries, seed=0):
    random = np.random.default_rng(seed)
    return np.stack([random.beta(1, 3, queries), random.random(queries) < 0.3], axis=1) * 1.0


@pytest.mark.parametrize("queries", [20, 300])
def test_intervals_are_those_of_scipy(queries):
    values = _values(queries)
    expected = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=1
    ).confidence_interval
    low, high = confidence_intervals(values)
    tolerance = 0.05 * (expected.high - expected.low)
    assert (np.abs(low - expected.low) < tolerance).all()
    assert (np.abs(high - expected.high) < tolerance).all()


def test_intervals_hold_the_truth_as_often_as_they_say():
    truth = 0.25  # of Beta(1, 3)
    samples = np.random.default_rng(3).beta(1, 3, (100, 1000))
    low, high = confidence_intervals(samples)
    assert ((low <= truth) & (truth <= high)).mean() == pytest.approx(0.94, abs=0.02)


def test_intervals_do_not_depend_on_columns_or_on_the_memory_at_hand(monkeypatch):
    values = _values(50)
    both = np.stack(confidence_intervals(values))
    np.testing.assert_allclose(np.stack(confidence_intervals(values[:, 1:])), both[:, 1:])
    monkeypatch.setattr(statistics, "_DRAWS", 1)
    np.testing.assert_allclose(np.stack(confidence_intervals(values)), both)


def test_what_does_not_vary_has_an_interval_of_no_width():
    low, high = confidence_intervals(np.ones((7, 1)))
    assert (low, high) == (1, 1)


def _naive_intervals(values, clusters):
    """Draw whole clusters, one resample after the other, and put their queries together."""
    members = [np.flatnonzero(clusters == name) for name in np.unique(clusters)]
    random = np.random.default_rng(statistics._SEED)
    drawn = random.integers(0, len(members), (statistics.RESAMPLES, len(members)))
    means = [values[np.concatenate([members[place] for place in row])].mean(0) for row in drawn]
    return np.quantile(means, [0.025, 0.975], axis=0)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_clusters_are_drawn_as_a_whole(clusters, seed):
    values = _values(len(clusters), seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "RESAMPLES", 300)
        found = np.stack(confidence_intervals(values, np.array(clusters)))
        np.testing.assert_allclose(found, _naive_intervals(values, np.array(clusters)))


def test_clusters_of_one_query_change_nothing():
    values = _values(40)
    found = np.stack(confidence_intervals(values, np.arange(40)))
    np.testing.assert_allclose(found, np.stack(confidence_intervals(values)))


def test_queries_that_repeat_each_other_say_no_more_than_one():
    values = _values(30)
    clusters = np.arange(30).repeat(4)
    found = np.stack(confidence_intervals(values.repeat(4, axis=0), clusters))
    np.testing.assert_allclose(found, np.stack(confidence_intervals(values)))
