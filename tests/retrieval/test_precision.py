import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from sfsc.retrieval.precision import (
    METRICS,
    average_precision,
    average_precision_at,
    average_precision_trapezoidal,
    precision_at,
    recall_at,
)

# One ranking, best first: whether each gallery row is a positive.
_rankings = st.lists(st.booleans(), min_size=1, max_size=250).filter(any)


def _ranks(hits):
    return np.flatnonzero(hits), sum(hits)


def _trapezoids(hits):
    """Area under the precision-recall curve, walked along the ranking, a step per positive."""
    area, recall, precision, found = 0.0, 0.0, 1.0, 0
    for place, hit in enumerate(hits, start=1):
        found += hit
        if hit:
            area += (found / sum(hits) - recall) * (precision + found / place) / 2
            recall = found / sum(hits)
        precision = found / place
    return area


def _landmarks(hits, k):
    total, found = 0.0, 0
    for place, hit in enumerate(hits[:k], start=1):
        if hit:
            found += 1
            total += found / place
    return total / min(sum(hits), k)


@given(_rankings)
def test_average_precision_is_that_of_scikit_learn(hits):
    expected = average_precision_score(hits, -np.arange(len(hits)))
    assert average_precision(*_ranks(hits)) == pytest.approx(expected, abs=1e-12)


@given(_rankings)
def test_trapezoidal_average_precision_is_the_area_of_a_scan(hits):
    value = average_precision_trapezoidal(*_ranks(hits))
    assert value == pytest.approx(_trapezoids(hits), abs=1e-12)


@given(_rankings, st.integers(1, 120))
def test_average_precision_at_k_is_that_of_a_scan(hits, k):
    value = average_precision_at(*_ranks(hits), k)
    assert value == pytest.approx(_landmarks(hits, k), abs=1e-12)


@given(_rankings, st.integers(1, 12))
def test_precision_at_k_stops_at_the_last_positive(hits, k):
    depth = min(k, max(place for place, hit in enumerate(hits, start=1) if hit))
    assert precision_at(*_ranks(hits), k) == sum(hits[:depth]) / depth


@given(_rankings, st.integers(1, 12))
def test_recall_at_k(hits, k):
    assert recall_at(*_ranks(hits), k) == float(any(hits[:k]))


@given(_rankings)
def test_every_metric_is_in_the_unit_interval_and_1_for_a_perfect_ranking(hits):
    perfect = np.arange(sum(hits))
    for metrics in METRICS.values():
        for metric in metrics.values():
            assert 0 <= metric(*_ranks(hits)) <= 1
            assert metric(perfect, len(perfect)) == pytest.approx(1, abs=1e-12)


@given(_rankings, st.integers(0, 5), st.integers(1, 12))
def test_positives_that_were_not_retrieved_count_as_behind_all_others(hits, absent, k):
    found, positives = np.flatnonzero(hits), sum(hits) + absent
    # Far enough behind that they add nothing within 1e-9.
    ranks = np.concatenate([found, 10**12 + np.arange(absent)])
    for metric in (average_precision, average_precision_trapezoidal, average_precision_at):
        assert metric(found, positives) == pytest.approx(metric(ranks, positives), abs=1e-9)
    for metric in (precision_at, recall_at):
        assert metric(found, positives, k) == metric(ranks, positives, k)


def test_nothing_retrieved_is_zero():
    nothing = np.empty(0, np.int64)
    for metrics in METRICS.values():
        assert [metric(nothing, 3) for metric in metrics.values()] == [0.0] * len(metrics)


def test_by_hand():
    ranks = np.array([0, 2, 3])
    assert average_precision(ranks, 3) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    trapezoids = (1 + 1) + (1 / 2 + 2 / 3) + (2 / 3 + 3 / 4)
    assert average_precision_trapezoidal(ranks, 3) == pytest.approx(trapezoids / 6)
    assert average_precision_at(ranks, 3, 3) == pytest.approx((1 + 2 / 3) / 3)
    assert precision_at(ranks, 3, 10) == 3 / 4


def test_a_positive_beyond_rank_100_counts_for_nothing_in_landmarks():
    assert average_precision_at(np.array([99]), 1) == pytest.approx(0.01)
    assert average_precision_at(np.array([100]), 1) == 0
    assert average_precision_at(np.arange(150), 150) == pytest.approx(1)


def test_the_metrics_of_each_kind():
    assert {kind: list(metrics) for kind, metrics in METRICS.items()} == {
        "revisited": ["mAP", "mP@1", "mP@5", "mP@10"],
        "gldv2": ["mAP@100"],
        "labelled": ["mAP", "R@1", "R@5", "R@10"],
    }
    assert METRICS["revisited"]["mAP"] is average_precision_trapezoidal
    assert METRICS["gldv2"]["mAP@100"] is average_precision_at
    assert METRICS["labelled"]["mAP"] is average_precision
    ranks = np.array([6])
    assert [METRICS["labelled"][f"R@{k}"](ranks, 1) for k in (1, 5, 10)] == [0, 0, 1]
    assert [METRICS["revisited"][f"mP@{k}"](ranks, 1) for k in (1, 5, 10)] == [0, 0, 1 / 7]
