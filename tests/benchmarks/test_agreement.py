"""What computes something else is found before anything is compared with it."""

import dataclasses

import faiss
import numpy as np
import pytest
import torch

from benchmarks import evaluation, preparation, steps
from benchmarks.agreement import Disagreement, Lists, hold, hold_lists
from sfsc.data.sets import FileImages, TrainSet
from sfsc.switchable.backbone import NetworkSpec

TINY = NetworkSpec("resnet18", 8, 4, 2, {"layers": [1, 1, 1, 1]}, image_size=16)


def found(work, *parts):
    """Exit with one line, that names the peer."""
    with pytest.raises(Disagreement) as stopped:
        work()
    line = str(stopped.value.code)
    assert "\n" not in line
    assert line.startswith("benchmarks: ")
    assert all(part in line for part in parts), line


def test_no_number_does_not_agree():
    hold("a and b", 1.0, 1.0)
    found(lambda: hold("a and b", 1.1, 1.0), "a and b")
    found(lambda: hold("a and b", float("nan"), 1.0), "nan")


def test_lists_may_differ_only_where_scores_are_near():
    ours = Lists(np.array([[4, 2, 7]]), np.array([[0.9, 0.9 - 1e-7, 0.5]], np.float32))
    other = Lists(np.array([[2, 4, 9]]), ours.scores)
    hold_lists("a and b", other, ours, 1e-6)
    wrong = Lists(np.array([[4, 2, 7, 1]]), np.array([[0.9, 0.8, 0.7, 0.6]], np.float32))
    mixed = Lists(np.array([[4, 7, 2, 1]]), wrong.scores)
    found(lambda: hold_lists("a and b", mixed, wrong, 1e-6), "lists of a and b")
    found(
        lambda: hold_lists("a and b", wrong._replace(scores=wrong.scores + 1), wrong, 1e-6),
        "scores of a and b",
    )


def test_every_way_makes_our_step():
    steps.check(TINY)


def summed(problem):
    """Without projection."""
    return steps.sfsc(problem, aggregation=lambda gram, random: torch.ones_like(gram[:, 0]))


def of_half_the_batch(problem):
    half = dataclasses.replace(problem, images=problem.images[:2], labels=problem.labels[:2])
    return steps.by_literal_pcgrad(half)


def frozen(problem):
    return steps.by_torchjd(problem)._replace(step=lambda: torch.zeros(4))


@pytest.mark.parametrize("broken", [summed, of_half_the_batch, frozen])
def test_a_broken_way_is_found(monkeypatch, broken):
    monkeypatch.setattr(steps, "WAYS", {"sfsc": steps.sfsc, "the broken one": broken})
    found(lambda: steps.check(TINY), "the broken one's update and ours")


def test_gradients_laid_out_otherwise_than_their_weights_are_found(monkeypatch):
    """torch's fused AdamW pairs them by their place in memory, without a word."""
    monkeypatch.setattr(steps, "_lay_out", lambda parameters: None)
    found(lambda: steps.check(TINY), "update and ours", "conv")


def test_a_static_network_of_other_weights_is_found(monkeypatch):
    plain = steps.separate

    def other(problem, index):
        return plain(dataclasses.replace(problem, images=problem.images.flip(0)), index)

    monkeypatch.setattr(steps, "WAYS", {"sfsc": steps.sfsc})
    monkeypatch.setattr(steps, "separate", other)
    found(lambda: steps.check(TINY), "a static network of width 0.25")


def test_every_search_and_precision_is_ours(tmp_path):
    evaluation.check_search(rows=3_000, queries=8, dimension=32)
    evaluation.check_revisited(tmp_path, rows=1_500, queries=3, dimension=16)
    evaluation.check_labelled(rows=200, dimension=16)


def test_a_broken_search_is_found(monkeypatch, tmp_path):
    def search():
        evaluation.check_search(rows=3_000, queries=8, dimension=32)

    with monkeypatch.context() as patch:
        patch.setattr(evaluation.faiss, "IndexFlatIP", faiss.IndexFlatL2)
        found(search, "faiss and our search")
    with monkeypatch.context() as patch:
        lists = evaluation.top_k
        patch.setattr(evaluation, "top_k", lambda q, g, k: lists(q, g[: len(g) // 2], k))
        found(search, "our search and of a float64 sort")
    with monkeypatch.context() as patch:
        products = evaluation._products_by_numpy
        patch.setattr(evaluation, "_products_by_numpy", lambda q, g: products(q[::-1].copy(), g))
        found(search, "numpy's products")
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "_scan", lambda ranking, relevance: 0.5)
        found(lambda: evaluation.check_revisited(tmp_path, 1_500, 3, 16), "by a sort and ours")
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "average_precision_score", lambda positive, scores: 0.5)
        found(lambda: evaluation.check_labelled(200, 16), "scikit-learn's precisions")


def test_other_pixels_are_found(monkeypatch, tmp_path):
    files = preparation._photographs(tmp_path / "jpg", 4)
    source = TrainSet(FileImages(files.ids, files.paths), np.arange(4), list("abcd"))
    preparation.check(source, tmp_path / "right", few=4)
    by_pillow = preparation._by_pillow
    monkeypatch.setattr(preparation, "_by_pillow", lambda *given: 255 - by_pillow(*given))
    found(lambda: preparation.check(source, tmp_path / "wrong", few=4), "Pillow")
