import faiss
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsc.retrieval import rankings
from sfsc.retrieval.rankings import places_by_ranking, rank


def _units(rows, dimension, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# Multiples of 1/8 have exact products and many ties; -0.0 must tie with 0.0.
_coarse = st.integers(-4, 4).map(lambda n: n / 8) | st.just(-0.0)


@st.composite
def _coarse_embeddings(draw):
    dimension = draw(st.integers(1, 3))
    queries, rows = draw(st.integers(1, 7)), draw(st.integers(1, 30))
    shapes = ((queries, dimension), (rows, dimension))
    return tuple(draw(hnp.arrays(np.float32, shape, elements=_coarse)) for shape in shapes)


@given(_coarse_embeddings())
def test_ties_are_in_gallery_order(embeddings):
    queries, gallery = embeddings
    expected = np.argsort(-(queries @ gallery.T), axis=1, kind="stable")
    orders = rank(queries, gallery)
    assert orders.dtype == np.int64
    np.testing.assert_array_equal(orders, expected)


def test_equal_gallery_rows_tie_at_any_place():
    # A plain float32 product scores copies of one row differently near the edge of the matrix.
    distinct = _units(17, 100, 0)
    gallery = np.tile(distinct, (59, 1))
    for order in rank(_units(67, 100, 1), gallery):
        copies = order.reshape(17, 59)
        np.testing.assert_array_equal(copies, copies[:, :1] + np.arange(59) * 17)


def test_the_ranking_does_not_depend_on_rows_around():
    queries, gallery = _units(50, 33, 0), _units(1003, 33, 1)
    np.testing.assert_array_equal(rank(queries, gallery)[20:21], rank(queries[20:21], gallery))


def test_scores_fall_along_the_ranking_and_agree_with_faiss():
    queries, gallery = _units(40, 64, 0), _units(5000, 64, 1)
    orders = rank(queries, gallery)
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(5000), (40, 1)))
    exact = queries.astype(np.float64) @ gallery.astype(np.float64).T
    assert np.diff(np.take_along_axis(exact, orders, 1), axis=1).max() < 1e-7

    index = faiss.IndexFlatIP(64)
    index.add(gallery)
    scores, rows = index.search(queries, 101)
    gaps = -np.diff(scores, axis=1)
    apart = (gaps[:, 1:] > 1e-6) & (gaps[:, :-1] > 1e-6)
    assert apart.mean() > 0.9
    np.testing.assert_array_equal(orders[:, 1:100][apart], rows[:, 1:100][apart])


def test_no_queries_and_a_gallery_of_one():
    assert rank(_units(0, 4, 0), _units(3, 4, 1)).shape == (0, 3)
    np.testing.assert_array_equal(rank(_units(2, 4, 0), _units(1, 4, 1)), [[0], [0]])


@pytest.mark.parametrize("block_scores", [1, 1000, 10**6])
def test_places_are_those_in_the_ranking_whatever_the_blocks(monkeypatch, block_scores):
    monkeypatch.setattr(rankings, "_BLOCK_SCORES", block_scores)
    queries, gallery = _units(23, 8, 0), _units(90, 8, 1)
    random = np.random.default_rng(2)
    tracked = [np.flatnonzero(random.random(90) < 0.2) for _ in queries]
    found = list(places_by_ranking(queries, gallery, tracked))
    assert len(found) == 23
    for order, wanted, (rows, places) in zip(rank(queries, gallery), tracked, found, strict=True):
        np.testing.assert_array_equal(rows, wanted)
        np.testing.assert_array_equal(order[places], rows)


@given(_coarse_embeddings(), st.integers(0, 100))
def test_places_are_those_in_the_ranking_whatever_the_ties(embeddings, seed):
    queries, gallery = embeddings
    random = np.random.default_rng(seed)
    tracked = [np.flatnonzero(random.random(len(gallery)) < 0.5) for _ in queries]
    for order, (rows, places) in zip(
        rank(queries, gallery), places_by_ranking(queries, gallery, tracked), strict=True
    ):
        np.testing.assert_array_equal(order[places], rows)


def test_a_gallery_of_copies_is_ranked_at_once():
    gallery = np.tile(_units(1, 8, 0), (20_000, 1))
    rows = np.arange(0, 20_000, 3)
    ((_, places),) = places_by_ranking(gallery[:1], gallery, [rows])
    np.testing.assert_array_equal(places, rows)
