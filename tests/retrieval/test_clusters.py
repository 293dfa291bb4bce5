"""Which queries are of one landmark."""

import numpy as np

from sfsc.data.sets import GroundTruth, LabelRelevance, Relevance
from sfsc.retrieval.clusters import clusters


def _relevance(*positives, junk=()):
    return Relevance(np.array(positives, np.int64), np.array(junk, np.int64))


def _truth(relevance, kind="gldv2"):
    queries = len(next(iter(relevance.values())))
    return GroundTruth(kind, [f"q{n}" for n in range(queries)], list("abcdef"), relevance)


def test_queries_with_the_same_positives_are_one_cluster():
    one = [_relevance(0, 1), _relevance(2), _relevance(0, 1), _relevance(0), _relevance(2)]
    found = clusters(_truth({"private": one}))
    assert found.tolist() == [0, 1, 0, 3, 1]
    assert found.dtype == np.int64


def test_all_protocols_decide_and_junk_does_not():
    easy = [_relevance(0), _relevance(0), _relevance(0, junk=[5])]
    hard = [_relevance(1), _relevance(2), _relevance(1)]
    truth = _truth({"easy": easy, "hard": hard}, "revisited")
    assert clusters(truth).tolist() == [0, 1, 0]
    # The same images, once in this protocol and once in that, are no landmark.
    crossed = _truth({"easy": [easy[0], hard[0]], "hard": [hard[0], easy[0]]}, "revisited")
    assert clusters(crossed).tolist() == [0, 1]


def test_each_query_of_a_labelled_set_is_its_own():
    labels = np.array([0, 0, 1, 1])
    truth = GroundTruth(
        "labelled", list("wxyz"), list("abcd"), {"all": LabelRelevance(labels, labels, False)}
    )
    assert clusters(truth).tolist() == [0, 1, 2, 3]
