import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from sfsc.data.sets import GroundTruth, LabelRelevance, Relevance
from sfsc.files import InputError
from sfsc.retrieval.approximate import FaissIndex
from sfsc.retrieval.collect import METRIC_COLUMNS, PER_QUERY_COLUMNS, write_scores
from sfsc.retrieval.pairs import evaluate_pairs, open_files

_NOTHING = Relevance(np.empty(0, np.int64), np.empty(0, np.int64))


def _units(rows, dimension, seed):
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _axes(rows, seed):
    """Unit vectors along four axes: every score is 0 or 1, so nearly all are ties."""
    return np.eye(4, dtype=np.float32)[np.random.default_rng(seed).integers(0, 4, rows)]


def _official_revisited(hits):
    """compute_ap of the Revisited evaluation and its precisions, by a scan of the ranking."""
    positives, area, last = sum(hits), 0.0, 0
    found = 0
    for place, hit in enumerate(hits):
        if hit:
            before = 1.0 if place == 0 else found / place
            found += 1
            last = place + 1
            area += (before + found / (place + 1)) / 2 / positives
    depths = [min(k, last) for k in (1, 5, 10)]
    return [area, *(sum(hits[:depth]) / depth for depth in depths)]


def _precisions(hits):
    return [sum(hits[: place + 1]) / (place + 1) for place, hit in enumerate(hits) if hit]


def _official_landmarks(hits):
    return [sum(_precisions(hits[:100])) / min(sum(hits), 100)]


def _labelled(hits):
    average = sum(_precisions(hits)) / sum(hits)
    return [average, *(float(any(hits[:k])) for k in (1, 5, 10))]


_NAIVE = {
    "revisited": (_official_revisited, ["mAP", "mP@1", "mP@5", "mP@10"]),
    "gldv2": (_official_landmarks, ["mAP@100"]),
    "labelled": (_labelled, ["mAP", "R@1", "R@5", "R@10"]),
}


def _first_alike(ground_truth, row):
    """The first query whose positives are those of `row`, in every protocol."""
    if ground_truth.kind == "labelled":
        return row
    return next(
        other
        for other in range(row + 1)
        if all(
            set(wanted[other].positives.tolist()) == set(wanted[row].positives.tolist())
            for wanted in ground_truth.relevance.values()
        )
    )


def _naive(ground_truth, queries, galleries):
    """Loops over everything: the two frames' rows as dictionaries by their other columns."""
    score, names = _NAIVE[ground_truth.kind]
    means, per_query = {}, {}
    for protocol, relevance in ground_truth.relevance.items():
        for query_model, q in queries.items():
            for gallery_model, g in galleries.items():
                values = []
                for row, query in enumerate(q):
                    wanted = relevance[row]
                    positives, junk = set(wanted.positives.tolist()), set(wanted.junk.tolist())
                    if not positives:
                        continue
                    scores = [float(np.dot(query, image)) for image in g]
                    order = sorted(range(len(g)), key=lambda n, s=scores: (-s[n], n))
                    kept = [n in positives for n in order if n not in junk]
                    values.append(score(kept))
                    key = (protocol, names[0], query_model, gallery_model)
                    alike = _first_alike(ground_truth, row)
                    ids = ground_truth.query_ids[row], ground_truth.query_ids[alike]
                    per_query[*key, *ids] = (values[-1][0], kept[0])
                if values:
                    for name, mean in zip(names, np.mean(values, axis=0), strict=True):
                        means[protocol, name, query_model, gallery_model] = mean
    return means, per_query


@st.composite
def _ground_truths(draw):
    kind = draw(st.sampled_from(["revisited", "gldv2", "labelled"]))
    queries, rows = draw(st.integers(1, 6)), draw(st.integers(1, 130))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def judged():
        # Some queries have no positives, some only junk.
        marks = rng.choice(3, rows, p=rng.dirichlet([1, 0.3, 0.3]))
        return Relevance(np.flatnonzero(marks == 1), np.flatnonzero(marks == 2))

    return GroundTruth(
        kind,
        [f"q{n}" for n in range(queries)],
        [f"g{n}" for n in range(rows)],
        {protocol: [judged() for _ in range(queries)] for protocol in ("one", "two")},
    )


@given(_ground_truths(), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_all_pairs_agree_with_naive_loops(ground_truth, seed):
    rows = len(ground_truth.query_ids), len(ground_truth.gallery_ids)
    queries = {name: _axes(rows[0], seed + n) for n, name in enumerate(["w025", "w100"])}
    galleries = {name: _axes(rows[1], seed + n) for n, name in enumerate(["w050", "w100"], 2)}
    metrics, per_query = evaluate_pairs(ground_truth, queries, galleries)
    means, values = _naive(ground_truth, queries, galleries)

    columns = ["protocol", "metric", "query_model", "gallery_model"]
    assert list(metrics.columns) == [*columns, "value", "low", "high"]
    assert list(per_query.columns) == [*columns, "query", "cluster", "value", "right"]
    assert (metrics["low"] <= metrics["value"] + 1e-12).all()
    assert (metrics["value"] <= metrics["high"] + 1e-12).all()
    right = {key: first for key, (_, first) in values.items()}
    values = {key: value for key, (value, _) in values.items()}
    for frame, expected in (
        (metrics[[*columns, "value"]], means),
        (per_query.drop(columns="right"), values),
        (per_query.drop(columns="value"), right),
    ):
        found = {tuple(row[:-1]): row[-1] for row in frame.itertuples(index=False, name=None)}
        assert len(found) == len(frame)
        assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", ["revisited", "gldv2", "labelled"])
def test_a_flat_faiss_index_gives_what_the_exact_search_gives(kind):
    random = np.random.default_rng(0)

    def judged():
        marks = random.choice(3, 400, p=[0.9, 0.07, 0.03])
        return Relevance(np.flatnonzero(marks == 1), np.flatnonzero(marks == 2))

    ids = [f"q{n}" for n in range(8)], [f"g{n}" for n in range(400)]
    ground_truth = GroundTruth(kind, *ids, {"one": [judged() for _ in range(8)]})
    models = {"q": _units(8, 16, 1)}, {"g": _units(400, 16, 2), "h": _units(400, 16, 3)}
    exact = evaluate_pairs(ground_truth, *models)
    for found, expected in zip(
        evaluate_pairs(ground_truth, *models, index=FaissIndex("Flat")), exact, strict=True
    ):
        pd.testing.assert_frame_equal(found, expected)
    # Few cells of an inverted file probed: what it does not find counts as not retrieved.
    rough = evaluate_pairs(ground_truth, *models, index=FaissIndex("IVF10,Flat", "nprobe=2"))[1]
    assert rough["value"].mean() < exact[1]["value"].mean()


def test_leave_one_out_labels_agree_with_scikit_learn():
    # More queries than one block of the search.
    labels = np.random.default_rng(0).integers(0, 5, 270)
    labels[7] = 9  # no other image of its class: left out of the means
    ids = [f"image{n}" for n in range(270)]
    ground_truth = GroundTruth("labelled", ids, ids, {"all": LabelRelevance(labels, labels, True)})
    models = {"w025": _units(270, 16, 1), "w100": _units(270, 16, 2)}
    metrics, per_query = evaluate_pairs(ground_truth, models, models)
    assert len(per_query) == 4 * 269
    assert "image7" not in set(per_query["query"])
    for query_model, q in models.items():
        for gallery_model, g in models.items():
            precisions, nearest = [], []
            for row in range(270):
                others = np.arange(270) != row
                same, scores = labels[others] == labels[row], (g @ q[row])[others]
                if same.any():
                    precisions.append(average_precision_score(same, scores))
                    nearest.append(same[scores.argmax()])
            pair = metrics[
                (metrics["query_model"] == query_model)
                & (metrics["gallery_model"] == gallery_model)
            ].set_index("metric")["value"]
            assert pair["mAP"] == pytest.approx(np.mean(precisions))
            assert pair["R@1"] == pytest.approx(np.mean(nearest))


def test_queries_of_one_landmark_are_resampled_together():
    """Three landmarks of four queries each, as sure as three queries, not as twelve."""
    positives = [Relevance(np.arange(5) + 5 * (n % 3), np.empty(0, np.int64)) for n in range(12)]
    ids = [f"q{n}" for n in range(12)], [f"g{n}" for n in range(15)]
    truth = GroundTruth("gldv2", *ids, {"private": positives})
    vectors = {"w": np.eye(16, dtype=np.float32)[[n % 3 for n in range(12)]]}
    gallery = {"w": np.eye(16, dtype=np.float32)[[0] * 5 + [1] * 10]}
    metrics, per_query = evaluate_pairs(truth, vectors, gallery)
    assert per_query["cluster"].tolist() == ["q0", "q1", "q2"] * 4
    few = GroundTruth("gldv2", ids[0][:3], ids[1], {"private": positives[:3]})
    expected, _ = evaluate_pairs(few, {"w": vectors["w"][:3]}, gallery)
    pd.testing.assert_frame_equal(metrics, expected)


def _revisited():
    only_junk = Relevance(np.empty(0, np.int64), np.array([2]))
    relevance = [Relevance(np.array([1, 4]), np.array([0])), only_junk]
    nothing = [_NOTHING] * 2
    return GroundTruth("revisited", ["a", "b"], list("vwxyz"), {"easy": relevance, "hard": nothing})


def test_a_protocol_without_scored_queries_is_left_out():
    models = {"w100": _units(2, 8, 0)}, {"w100": _units(5, 8, 1)}
    metrics, per_query = evaluate_pairs(_revisited(), *models)
    assert set(metrics["protocol"]) == {"easy"}
    assert per_query["query"].tolist() == ["a"]

    nothing = GroundTruth("revisited", ["a", "b"], list("vwxyz"), {"hard": [_NOTHING] * 2})
    metrics, per_query = evaluate_pairs(nothing, *models)
    assert metrics.empty
    assert per_query.empty
    assert list(per_query.columns)[-3:] == ["cluster", "value", "right"]


def _save(folder, arrays):
    paths = {}
    for name, array in arrays.items():
        paths[name] = folder / f"{name}.npy"
        np.save(paths[name], array)
    return paths


def test_files_give_what_arrays_give(tmp_path):
    queries = {"w025": _units(2, 8, 0), "w100": _units(2, 8, 1)}
    galleries = {"g025": _units(5, 8, 2), "g100": _units(5, 8, 3)}
    paths = _save(tmp_path, queries), _save(tmp_path, galleries)
    for found, expected in zip(
        evaluate_pairs(_revisited(), *open_files(_revisited(), *paths)),
        evaluate_pairs(_revisited(), queries, galleries),
        strict=True,
    ):
        pd.testing.assert_frame_equal(found, expected)


def test_files_of_other_rows_or_dimensions_are_refused(tmp_path):
    paths = _save(tmp_path, {"q": _units(2, 8, 0), "g": _units(5, 8, 1), "narrow": _units(5, 4, 2)})
    with pytest.raises(InputError, match=r"q\.npy: has 2 rows but 5 are expected"):
        open_files(_revisited(), {"q": paths["q"]}, {"g": paths["q"]})
    with pytest.raises(InputError, match=r"q\.npy: .* dimension 8 .*narrow\.npy have 4"):
        open_files(_revisited(), {"q": paths["q"]}, {"g": paths["g"], "narrow": paths["narrow"]})


@pytest.mark.parametrize("side", ["query", "gallery"])
def test_a_translated_file_counts_for_its_pair_alone(tmp_path, side):
    """Two models of different dimensions, of which one has its first dimensions for the other."""
    truth = _revisited()
    wide = {"query": _units(2, 8, 0), "gallery": _units(5, 8, 1)}
    narrow = {"query": _units(2, 4, 2), "gallery": _units(5, 4, 3)}
    cut = {
        name: each[:, :4] / np.linalg.norm(each[:, :4], axis=1, keepdims=True)
        for name, each in wide.items()
    }
    paths = {
        name: _save(
            tmp_path,
            {f"wide-{name}": wide[name], f"narrow-{name}": narrow[name], f"cut-{name}": cut[name]},
        )
        for name in ("query", "gallery")
    }
    queries, galleries = (
        {model: paths[name][f"{model}-{name}"] for model in ("wide", "narrow")}
        for name in ("query", "gallery")
    )
    translated = [
        {("wide", "narrow"): paths["query"]["cut-query"]},
        {("narrow", "wide"): paths["gallery"]["cut-gallery"]},
    ]
    found, _ = evaluate_pairs(truth, *open_files(truth, queries, galleries, *translated))
    by_pair = {
        key: part["value"].tolist() for key, part in found.groupby(["query_model", "gallery_model"])
    }
    for pair, query, gallery in (
        (("wide", "wide"), wide["query"], wide["gallery"]),
        (("wide", "narrow"), cut["query"], narrow["gallery"]),
        (("narrow", "wide"), narrow["query"], cut["gallery"]),
        (("narrow", "narrow"), narrow["query"], narrow["gallery"]),
    ):
        alone, _ = evaluate_pairs(truth, {"a": query}, {"a": gallery})
        assert by_pair[pair] == alone["value"].tolist()
    left = translated[1:] if side == "query" else translated[:1]
    given = [{}, *left] if side == "query" else [*left, {}]
    with pytest.raises(InputError, match="have translated embeddings for their pair"):
        open_files(truth, queries, galleries, *given)


def _scores():
    pair = ("cifar10", "all", "R@1", "sfsc", 0, "w025", "w100")
    metrics = pd.DataFrame([(*pair, 1 / 3, 0.25, 0.5)], columns=METRIC_COLUMNS)
    return metrics, pd.DataFrame([(*pair, "17", "9", 1 / 3, True)], columns=PER_QUERY_COLUMNS)


def test_the_files_of_scores_read_back(tmp_path):
    path, per_query = tmp_path / "results" / "metrics.csv", tmp_path / "results" / "pq.parquet"
    write_scores(path, per_query, *_scores())
    assert path.read_text().splitlines() == [
        "dataset,protocol,metric,method,seed,query_model,gallery_model,value,low,high",
        "cifar10,all,R@1,sfsc,0,w025,w100,0.33333333,0.25000000,0.50000000",
    ]
    found = pd.read_parquet(per_query)
    assert (found["query"].tolist(), found["cluster"].tolist()) == (["17"], ["9"])
    assert found["value"].tolist() == [np.float32(1 / 3)]


def test_neither_file_of_scores_comes_without_the_other(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pd.DataFrame, "to_parquet", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_scores(tmp_path / "metrics.csv", tmp_path / "pq.parquet", *_scores())
    assert not list(tmp_path.iterdir())
