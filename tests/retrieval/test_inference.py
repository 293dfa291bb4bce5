"""Intervals and tests over runs: against scipy, naive loops, and made-up runs without an effect."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from sfsc.retrieval.inference import half_width, holm, sign_flip_p


def _enumerated_p(differences):
    """All 2**n signs, one by one."""
    observed = abs(np.mean(differences))
    signs = list(itertools.product([1, -1], repeat=len(differences)))
    means = [abs(np.mean(np.multiply(each, differences))) for each in signs]
    return sum(mean >= observed - 1e-12 for mean in means) / len(signs)


def _rejective_holm(p, level):
    """Holm's procedure, step by step: which of the hypotheses it rejects."""
    rejected = [False] * len(p)
    for place, index in enumerate(sorted(range(len(p)), key=lambda index: p[index])):
        if p[index] > level / (len(p) - place):
            break
        rejected[index] = True
    return rejected


@given(st.integers(0, 2**32), st.integers(2, 12))
@settings(max_examples=30, deadline=None)
def test_half_widths_are_those_of_scipys_t_test(seed, units):
    values = np.random.default_rng(seed).normal(0.3, 0.1, (units, 2))
    interval = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    half = half_width(values)
    np.testing.assert_allclose(values.mean(axis=0) - half, interval.low)
    np.testing.assert_allclose(values.mean(axis=0) + half, interval.high)


def test_one_unit_has_no_interval():
    assert np.isnan(half_width(np.ones((1, 3)))).tolist() == [True] * 3
    assert half_width(np.ones((4, 1))) == [0]


@given(st.integers(0, 2**32), st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_p_counts_all_signs(seed, units):
    # Whole numbers, so that several assignments have the same mean.
    differences = np.random.default_rng(seed).integers(-3, 4, (units, 2)) / 10
    expected = [_enumerated_p(column) for column in differences.T]
    assert sign_flip_p(differences).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("units", [3, 4, 5, 6])
def test_runs_that_all_agree_have_the_least_p(units):
    assert sign_flip_p(np.full((units, 1), 0.1))[0] == 2 / 2**units
    # The least of them turned: all others of that mean or more are the two that agree.
    mixed = np.full((units, 1), 0.1)
    mixed[0] = -0.05
    assert sign_flip_p(mixed)[0] == 4 / 2**units
    assert sign_flip_p(np.zeros((units, 1)))[0] == 1


@pytest.mark.parametrize("units", [8, 13])
def test_p_is_that_of_scipy(units):
    differences = np.random.default_rng(units).normal(0.1, 0.2, (units, 1))
    expected = scipy.stats.permutation_test(
        (differences[:, 0],), np.mean, permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert sign_flip_p(differences)[0] == pytest.approx(expected)


def test_p_of_many_units_is_sampled():
    differences = np.random.default_rng(2).normal(0.06, 0.2, (24, 1))
    expected = scipy.stats.permutation_test(
        (differences[:, 0],), np.mean, permutation_type="samples", n_resamples=40_000, rng=1
    ).pvalue
    assert sign_flip_p(differences)[0] == pytest.approx(expected, abs=0.015)
    assert sign_flip_p(differences) == sign_flip_p(differences)
    # The observed assignment is one of the sample: no p is 0.
    assert sign_flip_p(np.full((40, 1), 0.1))[0] == 1e-4


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.001, 0.999))
def test_holm_rejects_what_the_procedure_rejects(p, level):
    corrected = holm(np.array(p))
    close = np.abs(corrected - level) < 1e-9
    assert ((corrected <= level) | close).tolist() == [
        each or bool(near) for each, near in zip(_rejective_holm(p, level), close, strict=True)
    ]
    assert (corrected >= np.array(p)).all()
    assert (corrected <= 1).all()


def test_holm_by_hand():
    assert holm(np.array([0.04, 0.01, 0.03])).tolist() == pytest.approx([0.06, 0.03, 0.06])
    # What was not tested neither counts nor gets a p-value.
    found = holm(np.array([np.nan, 0.02, np.nan, 0.01]))
    assert found[[1, 3]].tolist() == pytest.approx([0.02, 0.02])
    assert np.isnan(found[[0, 2]]).all()
    assert holm(np.array([])).size == 0


def test_a_method_against_itself_is_rejected_at_the_nominal_rate():
    """Two groups of runs of one method: what differs is the luck of each run, not the method.

    A run's queries share its models, so that a test over the queries takes one run's luck for the
    method's merit, even when it averages two runs first.
    """
    draws, units, queries = 600, 8, 100
    random = np.random.default_rng(0)
    level = random.beta(1, 3, queries)  # some queries are hard, in every run

    def runs():
        run = random.normal(0, 0.02, (draws, units, 1))
        return level + run + random.normal(0, 0.05, (draws, units, queries))

    differences = runs() - runs()
    over_runs = sign_flip_p(differences.mean(axis=2).T)
    over_queries = sign_flip_p(differences[:, :2].mean(axis=1).T)
    assert 0.02 <= (over_runs <= 0.05).mean() <= 0.08
    assert (over_queries <= 0.05).mean() > 0.3
