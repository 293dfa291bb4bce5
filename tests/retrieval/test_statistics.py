import numpy as np
import pytest
import scipy.stats

from sfsc.retrieval import statistics
from sfsc.retrieval.statistics import confidence_intervals, sign_flip_p


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


@pytest.mark.parametrize("shift", [0, 0.02, 0.05])
def test_p_is_that_of_scipy(shift):
    differences = np.random.default_rng(5).normal(shift, 0.2, (80, 1))
    expected = scipy.stats.permutation_test(
        (differences[:, 0],), np.mean, permutation_type="samples", n_resamples=20_000, rng=1
    ).pvalue
    assert sign_flip_p(differences)[0] == pytest.approx(expected, abs=0.02)


def test_p_of_few_queries_is_exact():
    # All 2**3 signs of (1, 2, 3): a mean as large in size comes twice.
    assert sign_flip_p(np.array([[1.0], [2.0], [3.0]]))[0] == pytest.approx(2 / 8, abs=0.02)
    assert sign_flip_p(np.zeros((9, 1)))[0] == 1
