"""What random rankings score: against closed forms, and against searches of random vectors."""

import numpy as np
import pytest

from sfsc.data.sets import GroundTruth, LabelRelevance, Relevance
from sfsc.retrieval.floor import random_floor
from sfsc.retrieval.pairs import evaluate_pairs


def _expected_precision(positives, gallery):
    """The expected average precision of a random ranking.

    A positive is at rank r (from 1) with probability 1 / gallery; the r - 1 before it then hold
    (positives - 1) / (gallery - 1) others each.
    """
    ranks = np.arange(1, gallery + 1)
    others = (positives - 1) / (gallery - 1)
    return np.mean((1 + (ranks - 1) * others) / ranks)


def _units(rows, seed):
    vectors = np.random.default_rng(seed).standard_normal((rows, 64)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_labelled_set_has_the_closed_form():
    labels = np.random.default_rng(0).permutation(np.arange(200) % 5)
    ids = [f"image{n}" for n in range(200)]
    truth = GroundTruth("labelled", ids, ids, {"all": LabelRelevance(labels, labels, True)})
    # Leave one out: 39 of 199 others.
    assert random_floor(truth) == {
        ("all", "mAP"): pytest.approx(_expected_precision(39, 199), rel=0.02)
    }


@pytest.mark.parametrize(("kind", "metric"), [("revisited", "mAP"), ("gldv2", "mAP@100")])
def test_junk_and_protocols_count_as_in_a_search_of_random_vectors(kind, metric):
    random = np.random.default_rng(1)
    queries, gallery = 60, 150

    def judged(share):
        marks = random.choice(3, gallery, p=[0.8 - share, share, 0.2])
        return Relevance(np.flatnonzero(marks == 1), np.flatnonzero(marks == 2))

    nothing = Relevance(np.empty(0, np.int64), np.empty(0, np.int64))
    relevance = {
        "one": [judged(0.1) for _ in range(queries)],
        "two": [nothing, *(judged(0.4) for _ in range(queries - 1))],
        "none": [nothing] * queries,
    }
    ids = [f"q{n}" for n in range(queries)], [f"g{n}" for n in range(gallery)]
    truth = GroundTruth(kind, *ids, relevance)
    floor = random_floor(truth)
    assert set(floor) == {("one", metric), ("two", metric)}
    searched = {
        model: evaluate_pairs(
            truth, {"w": _units(queries, 2 * model)}, {"w": _units(gallery, 2 * model + 1)}
        )[0]
        for model in range(4)
    }
    for (protocol, name), value in floor.items():
        scores = [
            frame[(frame["protocol"] == protocol) & (frame["metric"] == name)]["value"].item()
            for frame in searched.values()
        ]
        assert value == pytest.approx(np.mean(scores), rel=0.06)


def test_it_is_always_the_same():
    truth = GroundTruth(
        "gldv2", ["q"], list("abcdefgh"), {"private": [Relevance(np.array([2, 5]), np.array([0]))]}
    )
    assert random_floor(truth) == random_floor(truth)
