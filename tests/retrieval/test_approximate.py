import numpy as np
import pytest

from sfsc.files import InputError
from sfsc.retrieval import approximate
from sfsc.retrieval.approximate import FaissIndex, places_by_index
from sfsc.retrieval.rankings import rank


def _units(rows, dimension, seed):
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _lists(kind, k, queries, gallery):
    everything = [np.arange(len(gallery))] * len(queries)
    found = places_by_index(queries, gallery, everything, k, kind)
    return np.array([places for _, places in found])


@pytest.mark.parametrize("listed", [1, 100, 10**6])
def test_a_flat_index_lists_the_k_best(monkeypatch, listed):
    monkeypatch.setattr(approximate, "_LIST_ENTRIES", listed)
    monkeypatch.setattr(approximate, "_BLOCK_ROWS", 77)
    queries, gallery = _units(9, 16, 0), _units(500, 16, 1)
    places = _lists(FaissIndex("Flat"), 20, queries, gallery)
    best = rank(queries, gallery)[:, :20]
    for row, wanted in zip(places, best, strict=True):
        np.testing.assert_array_equal(row[wanted], np.arange(20))
        assert (row >= 0).sum() == 20


def test_probing_more_cells_finds_more():
    queries, gallery = _units(9, 16, 0), _units(2000, 16, 1)
    found = [
        (_lists(FaissIndex("IVF16,Flat", f"nprobe={probes}"), 2000, queries, gallery) >= 0).mean()
        for probes in (1, 4, 16)
    ]
    assert found[0] < found[1] < found[2] == 1


@pytest.mark.parametrize(
    ("factory", "parameters", "message"),
    [
        ("Nope", "", "could not parse index string Nope"),
        ("IVF4,Flat", "probes=3", "could not set parameter probes"),
        ("IVF900,Flat", "", "Number of training points"),
        ("PQ5", "", "multiple of the number of subquantizers"),
    ],
)
def test_what_faiss_refuses_is_one_line(factory, parameters, message):
    with pytest.raises(InputError, match=message) as caught:
        _lists(FaissIndex(factory, parameters), 5, _units(2, 16, 0), _units(300, 16, 1))
    assert factory in str(caught.value)
    assert "\n" not in str(caught.value)
