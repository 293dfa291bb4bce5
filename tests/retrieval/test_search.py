import subprocess
import sys

import faiss
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfsc.retrieval import products
from sfsc.retrieval.embeddings import EmbeddingFile
from sfsc.retrieval.kernels import append, select
from sfsc.retrieval.rankings import rank
from sfsc.retrieval.scores import exact_scores
from sfsc.retrieval.search import top_k


def _units(rows, dimension, seed):
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@st.composite
def _coarse_embeddings(draw):
    """Multiples of 1/8: exact products and many ties."""
    dimension = draw(st.integers(1, 3))
    shapes = (draw(st.integers(1, 7)), dimension), (draw(st.integers(1, 200)), dimension)
    values = st.integers(-4, 4).map(lambda n: n / 8)
    return tuple(draw(hnp.arrays(np.float32, shape, elements=values)) for shape in shapes)


@given(_coarse_embeddings(), st.integers(1, 30), st.sampled_from([1, 7, 64, 128]))
@settings(deadline=None)
def test_the_best_are_those_of_the_ranking_ties_in_gallery_order(embeddings, k, block_rows):
    queries, gallery = embeddings
    rows, scores = top_k(queries, gallery, k, block_rows)
    products = queries @ gallery.T
    expected = np.argsort(-products, axis=1, kind="stable")[:, :k]
    assert (rows.dtype, scores.dtype) == (np.int64, np.float32)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(scores, np.take_along_axis(products, expected, 1))


@pytest.mark.parametrize("k", [1, 10, 100])
def test_blocks_and_slabs_do_not_matter(monkeypatch, k):
    queries, gallery = _units(70, 33, 0), _units(3000, 33, 1)
    expected = rank(queries, gallery)[:, :k]
    for block_rows, query_rows in ((64, 1024), (100, 7), (5000, 32)):
        monkeypatch.setattr(products, "_QUERY_ROWS", query_rows)
        rows, scores = top_k(queries, gallery, k, block_rows)
        np.testing.assert_array_equal(rows, expected)
        owners = np.repeat(np.arange(70), k)
        exact = exact_scores(queries, gallery, owners, rows.ravel())
        np.testing.assert_array_equal(scores.ravel(), exact)


def test_thousands_of_copies_of_one_image_stay_in_gallery_order():
    # More candidates than there is room for: only exact scores can thin them.
    queries, gallery = _units(20, 16, 0), _units(6000, 16, 1)
    gallery[1000:4000] = queries[3]
    gallery[5000:] = gallery[7]
    np.testing.assert_array_equal(
        top_k(queries, gallery, 10, 128)[0], rank(queries, gallery)[:, :10]
    )


def test_the_lists_agree_with_faiss():
    queries, gallery = _units(40, 64, 0), _units(5000, 64, 1)
    index = faiss.IndexFlatIP(64)
    index.add(gallery)
    expected_scores, expected = index.search(queries, 101)
    rows, scores = top_k(queries, gallery, 100)
    np.testing.assert_allclose(scores, expected_scores[:, :100], atol=1e-6)
    gaps = -np.diff(expected_scores, axis=1)
    apart = (gaps[:, 1:] > 1e-6) & (gaps[:, :-1] > 1e-6)
    assert apart.mean() > 0.9
    np.testing.assert_array_equal(rows[:, 1:][apart], expected[:, 1:100][apart])


def test_a_file_gives_what_its_array_gives_and_k_stops_at_the_gallery(tmp_path):
    queries, gallery = _units(5, 8, 0), _units(30, 8, 1)
    np.save(tmp_path / "gallery.npy", gallery)
    rows, scores = top_k(queries, EmbeddingFile(tmp_path / "gallery.npy", 30), 100)
    np.testing.assert_array_equal(rows, rank(queries, gallery))
    assert scores.shape == (5, 30)


def test_neither_threads_nor_a_lower_precision_matter():
    queries, gallery = _units(40, 64, 0), _units(5000, 64, 1)
    expected = top_k(queries, gallery, 20)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        torch.set_float32_matmul_precision("medium")
        found = top_k(queries, gallery, 20)
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision("highest")
    np.testing.assert_array_equal(found, expected)


def test_a_gpu_hands_over_what_the_cpu_selects():
    # A GPU's products are filtered there; here the same code filters those of the CPU.
    random = np.random.default_rng(0)
    scores = random.standard_normal((5, 200), np.float32)
    floors = np.array([-np.inf, -1, 0.5, 1, 9], np.float32)
    found = []
    for on_gpu in (False, True):
        candidates = np.zeros((5, 200), np.float32), np.zeros((5, 200), np.int64), np.zeros(5, int)
        if on_gpu:
            query, column, value = products.above(torch.from_numpy(scores), floors)
            append(query, 1000 + column, value, *candidates)
        else:
            select(scores, 1000, floors, *candidates)
        found.append(candidates)
    for mine, other in zip(*found, strict=True):
        np.testing.assert_array_equal(mine, other)
    np.testing.assert_array_equal(found[0][2], (scores >= floors[:, None]).sum(axis=1))


def test_memory_does_not_grow_with_the_gallery(tmp_path):
    path = tmp_path / "gallery.npy"
    gallery = np.lib.format.open_memmap(path, "w+", np.float32, (600_000, 128))
    for start in range(0, 600_000, 100_000):
        gallery[start : start + 100_000] = _units(100_000, 128, start)
    megabytes = path.stat().st_size / 2**20
    script = f"""
from pathlib import Path
import numpy as np
from sfsc.retrieval.embeddings import EmbeddingFile
from sfsc.retrieval.search import top_k

def peak():  # of this program alone; ru_maxrss starts from the parent's
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 2**10

before = peak()
gallery = EmbeddingFile(Path({str(path)!r}), None)
top_k(np.array(gallery[:4]), gallery, 100)
print(peak() - before)
"""
    grown = subprocess.run(
        [sys.executable, "-c", script], check=True, stdout=subprocess.PIPE, text=True
    )
    assert float(grown.stdout) < megabytes / 2
