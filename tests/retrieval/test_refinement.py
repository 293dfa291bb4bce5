"""Expansion, augmentation and re-ranking against naive loops, for pairs of models."""

import math

import numpy as np
import pytest

from sfsc.data.sets import GroundTruth, LabelRelevance, Relevance
from sfsc.files import InputError
from sfsc.profile import Expansion, Refinement, Reranking
from sfsc.retrieval.approximate import FaissIndex
from sfsc.retrieval.expansion import augmented, expanded, rows_of
from sfsc.retrieval.pairs import evaluate_pairs
from sfsc.retrieval.refinement import refinement_of

D, CLASSES = 6, 5
EXPANSION, AUGMENTATION = Expansion(3, 2.0), Expansion(2, 1.5)
RERANKING = Reranking(depth=15, k1=6, k2=3, weight=0.4)


def model(labels, seed, noise=0.6):
    """Unit embeddings that tell classes apart, somewhat."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(9).standard_normal((CLASSES, D))
    found = centres[labels] + noise * random.standard_normal((len(labels), D))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def labelled(count=40):
    """A set whose images query each other."""
    labels = np.random.default_rng(1).integers(CLASSES, size=count)
    ids = [f"i{n}" for n in range(count)]
    truth = GroundTruth("labelled", ids, ids, {"all": LabelRelevance(labels, labels, True)})
    return truth, labels, labels


def landmarks(queries=7, count=150):
    """A set of lists that end early; queries have no row in the gallery."""
    random = np.random.default_rng(2)
    own, others = random.integers(CLASSES, size=queries), random.integers(CLASSES, size=count)
    relevance = LabelRelevance(own, others, False)
    ids = [f"q{n}" for n in range(queries)], [f"g{n}" for n in range(count)]
    return GroundTruth("gldv2", *ids, {"all": relevance}), own, others


def ranked(query, gallery, own):
    scores = [float(query @ row) for row in gallery]
    order = sorted(range(len(gallery)), key=lambda n: (-scores[n], n))
    return [n for n in order if n != own], scores


def naive_expansion(query, gallery, own, how):
    order, scores = ranked(query, gallery, own)
    total = query.astype(float).copy()
    for n in order[: how.neighbours]:
        total = total + max(scores[n], 0) ** how.alpha * gallery[n]
    return (total / math.sqrt(sum(total**2))).astype(np.float32)


def naive_reranking(query, gallery, own, how):
    """Zhong et al. by sets, on the query (number 0) and its best rows."""
    order, _ = ranked(query, gallery, None)
    best, rest = order[: how.depth], order[how.depth :]
    rows = [n for n in best if n != own]
    points = [query, *(gallery[n] for n in rows)]
    count = len(points)
    d = [[1 - float(a @ b) for b in points] for a in points]
    lists = [
        [p, *sorted((n for n in range(count) if n != p), key=lambda n, p=p: (d[p][n], n))]
        for p in range(count)
    ]

    def mutual(p, k):
        return {n for n in lists[p][: k + 1] if p in lists[n][: k + 1]}

    V = []
    for p in range(count):
        own_set = mutual(p, how.k1)
        chosen = set(own_set)
        for n in own_set:
            of_n = mutual(n, round(how.k1 / 2))
            if len(of_n & own_set) > 2 / 3 * len(of_n):
                chosen |= of_n
        weights = {n: math.exp(-d[p][n]) for n in chosen}
        V.append({n: w / sum(weights.values()) for n, w in weights.items()})
    mean = [
        {n: sum(V[m].get(n, 0) for m in lists[p][: how.k2]) / how.k2 for n in range(count)}
        for p in range(count)
    ]
    final = []
    for place in range(1, count):
        least = sum(min(mean[0][n], mean[place][n]) for n in range(count))
        most = sum(max(mean[0][n], mean[place][n]) for n in range(count))
        distance = (1 - how.weight) * (1 - least / most) + how.weight * d[0][place]
        final.append(np.float32(distance))
    again = [rows[n] for n in sorted(range(len(rows)), key=lambda n: (final[n], n))]
    if own in best:
        again.insert(best.index(own), own)
    return again + rest


def naive(truth, queries, gallery, refinement):
    """The mean average precision, by loops over everything."""
    if refinement.database_augmentation:
        how = refinement.database_augmentation
        gallery = np.stack([naive_expansion(g, gallery, n, how) for n, g in enumerate(gallery)])
    values = []
    for row, query in enumerate(queries):
        own = row if truth.kind == "labelled" else None
        if refinement.query_expansion:
            query = naive_expansion(query, gallery, own, refinement.query_expansion)
        order, _ = ranked(query, gallery, None)
        if refinement.reranking:
            order = naive_reranking(query, gallery, own, refinement.reranking)
        relevance: Relevance = truth.relevance["all"][row]
        positives, junk = set(relevance.positives.tolist()), set(relevance.junk.tolist())
        hits = [n in positives for n in order if n not in junk]
        depth = 100 if truth.kind == "gldv2" else len(hits)
        precisions = [sum(hits[: n + 1]) / (n + 1) for n in range(min(depth, len(hits))) if hits[n]]
        values.append(sum(precisions) / min(len(positives), depth))
    return sum(values) / len(values)


REFINEMENTS = [
    Refinement(query_expansion=EXPANSION),
    Refinement(database_augmentation=AUGMENTATION),
    Refinement(reranking=RERANKING),
    Refinement(reranking=Reranking(depth=1000, k1=7, k2=1, weight=0.0)),
    Refinement(reranking=Reranking(depth=120, k1=9, k2=4)),
    Refinement(EXPANSION, AUGMENTATION, RERANKING),
]


@pytest.mark.parametrize("refinement", REFINEMENTS)
@pytest.mark.parametrize("make", [labelled, landmarks])
def test_each_pair_of_models_is_refined_as_by_naive_loops(make, refinement):
    truth, own, others = make()
    queries = {name: model(own, seed) for name, seed in (("a", 3), ("b", 4))}
    galleries = {name: model(others, seed) for name, seed in (("a", 3), ("b", 5))}
    if make is landmarks:
        galleries["a"] = model(others, 6)
    means, _ = evaluate_pairs(truth, queries, galleries, refinement=refinement)
    plain, _ = evaluate_pairs(truth, queries, galleries)
    primary = means["metric"].isin(["mAP", "mAP@100"])
    for row in means[primary].itertuples():
        expected = naive(truth, queries[row.query_model], galleries[row.gallery_model], refinement)
        assert row.value == pytest.approx(expected, abs=1e-9)
    assert not means["value"].equals(plain["value"])


def test_a_query_takes_up_nothing_of_its_own_image():
    """As its gallery row by a better model says what the query is, it must not count."""
    _, labels, _ = labelled()
    poor, good = model(labels, 3, noise=3.0), model(labels, 4, noise=0.01)
    alone = expanded(poor, np.arange(len(poor)), good, Expansion(1, 0.0))
    for row, query in enumerate(poor):
        (other, *_), _ = ranked(query, good, row)
        total = query + good[other]
        np.testing.assert_allclose(alone[row], total / np.linalg.norm(total), atol=1e-6)


def test_more_neighbours_than_rows_and_opposite_ones_add_nothing():
    gallery = np.eye(3, dtype=np.float32)[:2]
    query = np.array([[0, 0, 1], [-1, 0, 0]], np.float32)
    np.testing.assert_array_equal(
        expanded(query, np.array([-1, -1]), gallery, Expansion(10)), query
    )
    own = expanded(gallery, np.array([0, 1]), gallery, Expansion(10, 0.0))
    np.testing.assert_allclose(own, np.array([[1, 1, 0], [1, 1, 0]]) / 2**0.5, atol=1e-7)


def test_blocks_change_nothing(monkeypatch):
    gallery, queries = model(np.arange(300) % CLASSES, 1), model(np.arange(50) % CLASSES, 2)
    none = np.full(50, -1)

    def both():
        with augmented(gallery, AUGMENTATION) as rows:
            return rows[0:300].copy(), expanded(queries, none, gallery, EXPANSION)

    whole = both()
    monkeypatch.setattr("sfsc.retrieval.expansion._ROWS", 7)
    monkeypatch.setattr("sfsc.retrieval.expansion._GALLERY_ROWS", 11)
    for once, again in zip(whole, both(), strict=True):
        np.testing.assert_array_equal(once, again)
    rows = np.array([299, 0, 150, 150])
    np.testing.assert_array_equal(rows_of(gallery, rows), gallery[rows])


def test_an_index_is_refused_with_a_refinement():
    truth, own, others = landmarks()
    models = {"a": model(own, 1)}, {"a": model(others, 2)}
    with pytest.raises(InputError, match="exact search"):
        evaluate_pairs(truth, *models, None, FaissIndex("Flat"), REFINEMENTS[0])


def test_an_evaluation_set_says_what_stands_between():
    entry = {"kind": "folder", "reranking": {"k1": 8}, "query_expansion": {}}
    found = refinement_of(entry, "eval_sets.x")
    assert found == Refinement(Expansion(), None, Reranking(k1=8))
    assert refinement_of({}, "eval_sets.x") == Refinement()
    with pytest.raises(InputError, match=r"eval_sets\.x\.reranking\.k3: unknown key"):
        refinement_of({"reranking": {"k3": 8}}, "eval_sets.x")
