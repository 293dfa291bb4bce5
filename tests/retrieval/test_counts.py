import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfsc.retrieval.counts import places_by_counting
from sfsc.retrieval.rankings import places_by_ranking


def _units(rows, dimension, seed):
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@st.composite
def _cases(draw):
    """Multiples of 1/8, so that most scores tie, and rows to track for each query."""
    dimension, rows = draw(st.integers(1, 3)), draw(st.integers(1, 120))
    shapes = (draw(st.integers(1, 5)), dimension), (rows, dimension)
    values = st.integers(-4, 4).map(lambda n: n / 8)
    queries, gallery = (draw(hnp.arrays(np.float32, shape, elements=values)) for shape in shapes)
    wanted = st.sets(st.integers(0, rows - 1), min_size=1)
    tracked = [np.array(sorted(draw(wanted))) for _ in queries]
    return queries, gallery, tracked


@given(_cases(), st.sampled_from([1, 7, 64, 1000]))
@settings(deadline=None)
def test_places_are_those_of_a_stable_sort(case, block_rows):
    queries, gallery, tracked = case
    found = list(places_by_counting(queries, gallery, tracked, block_rows))
    orders = np.argsort(-(queries @ gallery.T), axis=1, kind="stable")
    assert len(found) == len(queries)
    for order, wanted, (rows, places) in zip(orders, tracked, found, strict=True):
        np.testing.assert_array_equal(rows, wanted)
        np.testing.assert_array_equal(order[places], rows)


@pytest.mark.parametrize("threads", [1, 2])
def test_one_tracked_row_of_a_high_score(threads):
    queries, gallery = _units(8, 512, 0), _units(5000, 512, 1)
    gallery[100:108] = queries * np.float32(0.8) + gallery[100:108] * np.float32(0.6)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    tracked = [np.array([100 + query]) for query in range(8)]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = [places.tolist() for _, places in places_by_counting(queries, gallery, tracked)]
    finally:
        torch.set_num_threads(before)
    assert found == [[0]] * 8


def test_near_ties_and_copies_are_decided_by_exact_scores():
    queries, gallery = _units(30, 512, 0), _units(20_000, 512, 1)
    gallery[5000:9000] = gallery[7]
    near = gallery[11] + 1e-7 * _units(1000, 512, 2)
    gallery[10_000:11_000] = near / np.linalg.norm(near, axis=1, keepdims=True)
    random = np.random.default_rng(3)
    tracked = [np.unique([7, 11, 6000, 10_500, *random.integers(0, 20_000, 40)]) for _ in queries]
    for block_rows in (3000, 2**15):
        found = places_by_counting(queries, gallery, tracked, block_rows)
        for mine, expected in zip(found, places_by_ranking(queries, gallery, tracked), strict=True):
            np.testing.assert_array_equal(mine, expected)
