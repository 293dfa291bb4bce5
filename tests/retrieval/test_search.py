import faiss
import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sfsc.data.sets import Relevance
from sfsc.retrieval.search import _descending_bits, positive_ranks, rankings


def _units(rows, dimension, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _orders(queries, gallery, **options):
    blocks = list(rankings(queries, gallery, **options))
    starts = np.cumsum([0] + [len(order) for _, order in blocks])[:-1]
    assert [start for start, _ in blocks] == starts.tolist()
    return np.concatenate([order for _, order in blocks])


# Multiples of 1/8 have exact products and many ties; -0.0 must tie with 0.0.
_coarse = st.integers(-4, 4).map(lambda n: n / 8) | st.just(-0.0)


@st.composite
def _coarse_embeddings(draw):
    dimension = draw(st.integers(1, 3))
    queries, rows = draw(st.integers(1, 7)), draw(st.integers(1, 30))
    shapes = ((queries, dimension), (rows, dimension))
    return tuple(draw(hnp.arrays(np.float32, shape, elements=_coarse)) for shape in shapes)


@given(_coarse_embeddings(), st.integers(1, 8))
def test_ties_are_in_gallery_order(embeddings, block_rows):
    queries, gallery = embeddings
    expected = np.argsort(-(queries @ gallery.T), axis=1, kind="stable")
    orders = _orders(queries, gallery, block_rows=block_rows)
    assert orders.dtype == np.int64
    np.testing.assert_array_equal(orders, expected)


@given(hnp.arrays(np.float32, 20, elements=st.floats(width=32, allow_nan=False) | _coarse))
def test_the_sort_key_orders_every_float_downwards_and_both_zeros_alike(scores):
    order = np.argsort(_descending_bits(scores), kind="stable")
    np.testing.assert_array_equal(order, np.argsort(-scores, kind="stable"))


def test_equal_gallery_rows_tie_at_any_place():
    # A plain float32 product scores copies of one row differently near the edge of the matrix.
    distinct = _units(17, 100, 0)
    gallery = np.tile(distinct, (59, 1))
    for order in _orders(_units(67, 100, 1), gallery):
        copies = order.reshape(17, 59)
        np.testing.assert_array_equal(copies, copies[:, :1] + np.arange(59) * 17)


def test_the_ranking_does_not_depend_on_blocks_or_rows_around():
    queries, gallery = _units(50, 33, 0), _units(1003, 33, 1)
    orders = _orders(queries, gallery)
    np.testing.assert_array_equal(orders, _orders(queries, gallery, block_rows=7))
    np.testing.assert_array_equal(orders[20:21], _orders(queries[20:21], gallery))


def test_scores_fall_along_the_ranking_and_agree_with_faiss():
    queries, gallery = _units(40, 64, 0), _units(5000, 64, 1)
    orders = _orders(queries, gallery)
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
    assert list(rankings(_units(0, 4, 0), _units(3, 4, 1))) == []
    np.testing.assert_array_equal(_orders(_units(2, 4, 0), _units(1, 4, 1)), [[0], [0]])


@st.composite
def _judged_rankings(draw):
    labels = draw(st.lists(st.sampled_from("pjn"), min_size=1, max_size=40))
    return labels, draw(st.permutations(range(len(labels))))


@given(_judged_rankings())
@settings(max_examples=200)
def test_positive_ranks_are_those_of_the_ranking_without_junk(case):
    labels, order = case
    kept = [row for row in order if labels[row] != "j"]
    expected = [rank for rank, row in enumerate(kept) if labels[row] == "p"]
    marked = np.array(labels)
    relevance = Relevance(np.flatnonzero(marked == "p"), np.flatnonzero(marked == "j"))
    assert positive_ranks(np.array(order), relevance).tolist() == expected
