import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sfsc.data.sets import GroundTruth, Relevance
from sfsc.retrieval.places import Tracked, places_in_lists, positive_ranks


@st.composite
def _judged_rankings(draw):
    labels = draw(st.lists(st.sampled_from("pjn"), min_size=1, max_size=40))
    depth = draw(st.integers(1, len(labels)))
    return np.array(labels), draw(st.permutations(range(len(labels)))), depth


@given(_judged_rankings(), st.integers(0, 5))
@settings(max_examples=200)
def test_positive_ranks_are_those_of_the_retrieved_without_the_junk(case, padding):
    labels, order, depth = case
    relevance = Relevance(np.flatnonzero(labels == "p"), np.flatnonzero(labels == "j"))
    truth = GroundTruth("revisited", ["q"], [str(n) for n in order], {"one": [relevance]})
    tracked = Tracked(truth, [0])
    np.testing.assert_array_equal(tracked[0], np.flatnonzero(labels != "n"))

    retrieved = order[:depth]
    lists = np.array([[*retrieved, *[-1] * padding]])
    (places,) = places_in_lists(lists, tracked)
    kept = [row for row in retrieved if labels[row] != "j"]
    expected = [rank for rank, row in enumerate(kept) if labels[row] == "p"]
    assert positive_ranks(relevance, places).tolist() == expected


def test_tracked_rows_are_those_of_all_protocols():
    relevance = {
        "easy": [Relevance(np.array([4]), np.array([1, 2]))],
        "hard": [Relevance(np.array([2]), np.array([1, 4]))],
    }
    tracked = Tracked(GroundTruth("revisited", ["a"], list("vwxyz"), relevance), [0, 0])
    assert len(tracked) == 2
    assert tracked[1].tolist() == [1, 2, 4]
