from fractions import Fraction

import hypothesis.extra.numpy as hnp
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfsc.retrieval import scores
from sfsc.retrieval.scores import error_bound, exact_scores, fixed_point, ranking_keys


def _units(rows, dimension, seed):
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@given(st.integers(1, 40), st.integers(0, 1000), st.integers(1, 64))
@settings(deadline=None)
def test_scores_are_the_rational_inner_products_rounded_once(dimension, seed, block):
    queries, gallery = _units(3, dimension, seed), _units(9, dimension, seed + 1)
    random = np.random.default_rng(seed)
    rows = random.integers(0, 3, 30), random.integers(0, 9, 30)
    before = scores._GALLERY_ROWS, scores._PAIRS_OF_A_TASK
    scores._GALLERY_ROWS, scores._PAIRS_OF_A_TASK = block, 7
    try:
        found = exact_scores(queries, gallery, *rows)
    finally:
        scores._GALLERY_ROWS, scores._PAIRS_OF_A_TASK = before
    assert found.dtype == np.float32
    for query, image, score in zip(*rows, found, strict=True):
        product = sum(
            Fraction(int(a)) * Fraction(int(b))
            for a, b in zip(fixed_point(queries[query]), fixed_point(gallery[image]), strict=True)
        )
        assert score == np.float32(float(product / 2**52))


@given(st.sampled_from([1, 2, 16, 100, 512, 2048]), st.integers(0, 1000), st.booleans())
@settings(deadline=None)
def test_float32_products_are_within_the_bound(dimension, seed, alike):
    queries, gallery = _units(4, dimension, seed), _units(50, dimension, seed + 1)
    if alike:
        gallery[:4] = queries
    pairs = np.divmod(np.arange(200), 50)
    exact = exact_scores(queries, gallery, *pairs).reshape(4, 50)
    for product in (queries @ gallery.T, (torch.tensor(queries) @ torch.tensor(gallery).T).numpy()):
        assert np.abs(product.astype(np.float64) - exact).max() <= error_bound(dimension)


# Multiples of 1/8 make ties; -0.0 must tie with 0.0.
_values = st.floats(width=32, allow_nan=False) | st.integers(-4, 4).map(lambda n: n / 8)


@given(hnp.arrays(np.float32, 20, elements=_values | st.just(-0.0)), st.permutations(range(20)))
def test_ranking_keys_order_every_float_downwards_and_ties_by_row(values, rows):
    order = np.argsort(ranking_keys(values, np.array(rows)))
    expected = sorted(range(20), key=lambda place: (-values[place], rows[place]))
    assert order.tolist() == expected
