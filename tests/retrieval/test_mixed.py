"""Galleries of several models, against galleries that are put together by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfsc.data.labels import leave_one_out
from sfsc.data.sets import ArrayImages, GroundTruth, Relevance
from sfsc.retrieval.mixed import SHARES, MixedGallery, area, mixed, refresh, uncertain_first
from sfsc.retrieval.pairs import primary_means

COUNT, DIM = 40, 6


def units(seed, count=COUNT):
    # Few values, so that there are ties.
    vectors = np.random.default_rng(seed).integers(-2, 3, (count, DIM)).astype(np.float32)
    vectors[:, 0] += 0.5
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def truth():
    images = ArrayImages([f"i{row}" for row in range(COUNT)], np.zeros((COUNT, 1, 1, 3), np.uint8))
    return leave_one_out(images, np.arange(COUNT) % 5).ground_truth


@given(st.integers(0, 1000), st.integers(0, COUNT), st.integers(0, COUNT))
@settings(max_examples=30, deadline=None)
def test_rows_are_those_of_their_models(seed, first, last):
    galleries = [units(seed + n) for n in range(3)]
    chosen = np.random.default_rng(seed).integers(3, size=COUNT)
    expected = np.stack([galleries[k][row] for row, k in enumerate(chosen)])
    found = MixedGallery(galleries, chosen)
    assert found.shape == (COUNT, DIM)
    np.testing.assert_array_equal(found[first:last], expected[first:last])


def test_refresh_curves_begin_and_end_at_the_two_galleries_to_the_last_bit(truth):
    queries, old, new = units(0), units(1), units(2)
    curve = refresh(truth, queries, old, new, seed=3)
    assert list(curve) == ["order", "share", "protocol", "metric", "value"]
    for share, gallery in ((0.0, old), (1.0, new)):
        alone = primary_means(truth, {"q": queries}, {"g": gallery})
        for order in ("random", "uncertain"):
            part = curve[(curve["order"] == order) & (curve["share"] == share)]
            assert part["value"].tolist() == alone["value"].tolist()


def test_points_between_are_those_of_a_gallery_put_together_by_hand(truth):
    queries, old, new = units(0), units(1), units(2)
    curve = refresh(truth, queries, old, new, seed=3)
    orders = {
        "random": np.random.default_rng(3).permutation(COUNT),
        "uncertain": np.argsort(-(old @ old.astype(np.float64).sum(0)), kind="stable"),
    }
    for name, order in orders.items():
        for share in (0.3, 0.7):
            gallery = old.copy()
            gallery[order[: round(share * COUNT)]] = new[order[: round(share * COUNT)]]
            alone = primary_means(truth, {"q": queries}, {"g": gallery})
            part = curve[(curve["order"] == name) & (curve["share"] == share)]
            assert part["value"].tolist() == alone["value"].tolist()


@pytest.mark.parametrize("kind", ["gldv2", "revisited"])
def test_points_of_every_kind_whatever_the_size_of_the_parts(kind, monkeypatch):
    random = np.random.default_rng(0)
    relevance = []
    for _ in range(12):
        named = random.permutation(COUNT)[:9]
        relevance.append(Relevance(np.sort(named[:6]), np.sort(named[6:])))
    relevance[5] = Relevance(np.empty(0, np.int64), np.arange(3))
    ids = [[f"{name}{row}" for row in range(count)] for name, count in (("q", 12), ("g", COUNT))]
    truth = GroundTruth(kind, *ids, {"one": relevance, "two": relevance[::-1]})
    queries, old, new = units(0, 12), units(1), units(2)
    curve = refresh(truth, queries, old, new, seed=3)
    order = np.random.default_rng(3).permutation(COUNT)
    for share in SHARES:
        gallery = old.copy()
        gallery[order[: round(share * COUNT)]] = new[order[: round(share * COUNT)]]
        alone = primary_means(truth, {"q": queries}, {"g": gallery})
        part = curve[(curve["order"] == "random") & (curve["share"] == share)]
        assert part["value"].tolist() == alone["value"].tolist()
    monkeypatch.setattr("sfsc.retrieval.mixed._COUNTS", 500)
    pd.testing.assert_frame_equal(refresh(truth, queries, old, new, seed=3), curve)


def test_the_area_is_that_below_the_points():
    curve = pd.DataFrame(
        {
            "order": "random",
            "share": SHARES,
            "protocol": "all",
            "metric": "mAP",
            "value": np.linspace(0.2, 0.6, len(SHARES)),
        }
    )
    assert area(curve)["value"].tolist() == pytest.approx([0.4])


def test_a_mixed_gallery_of_one_model_is_its_self_test(truth):
    own = units(0)
    found = mixed(truth, {"w100": own}, {"w100": own})
    alone = primary_means(truth, {"w100": own}, {"w100": own})
    assert found["value"].tolist() == alone["value"].tolist()


def test_the_most_uncertain_lie_nearest_to_the_mean():
    embeddings = np.concatenate([np.eye(DIM, dtype=np.float32), np.ones((1, DIM), np.float32)])
    embeddings[-1] /= np.linalg.norm(embeddings[-1])
    assert uncertain_first(embeddings)[0] == DIM
    assert uncertain_first(embeddings)[1:].tolist() == list(range(DIM))
