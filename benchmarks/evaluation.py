"""All-pairs evaluation at full scale against the tools at hand.

Embeddings are random unit vectors, with true positives planted where a metric needs some.
"""

import gc
from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure as Drawing
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from benchmarks.agreement import Lists, hold_lists, hold_values
from benchmarks.timing import Clock, Figure, PeakMemory, medians
from sfsc.data.sets import GroundTruth, LabelRelevance, Relevance
from sfsc.files import replacing
from sfsc.progress import progress
from sfsc.retrieval.counts import places_by_counting
from sfsc.retrieval.embeddings import EmbeddingFile, Embeddings, blocks
from sfsc.retrieval.mixed import refresh
from sfsc.retrieval.pairs import evaluate_pairs, primary_means
from sfsc.retrieval.precision import average_precision_trapezoidal
from sfsc.retrieval.rankings import rank
from sfsc.retrieval.search import top_k
from sfsc.retrieval.statistics import confidence_intervals

_BLOCK_ROWS = 2**14
_PRODUCT_ROWS = 2048
_NEAR = 1e-6
"""How far float32 products may be from the exact scores."""
_AS_PRECISE = 1e-5
"""How far an average precision of such products may be from the exact one."""
_SAME = 1e-9
"""How far two average precisions of one ranking may be."""

Array = NDArray[np.float32]


def check(folder: Path) -> None:
    """Hold ours and every peer to the same lists and precisions, on small galleries."""
    check_search()
    check_revisited(folder)
    check_labelled()


def check_search(
    rows: int = 10_000, queries: int = 50, models: int = 2, dimension: int = 512
) -> None:
    """Exact lists by definition, by ours, for all models at once and alone, and by faiss."""
    k = 100
    gallery, stacked = _units(rows, dimension, seed=1), _units(models * queries, dimension, seed=0)
    exact = _exact_lists(stacked, gallery, k)
    ours = Lists(*top_k(stacked, gallery, k))
    alone = [
        top_k(stacked[start : start + queries], gallery, k)
        for start in range(0, models * queries, queries)
    ]
    apart = Lists(*(np.concatenate(parts) for parts in zip(*alone, strict=True)))
    for what, lists in (("our search", ours), ("our search, model by model,", apart)):
        hold_values(f"the rows of {what} and of a float64 sort", lists.rows, exact.rows, 0)
        hold_values(f"the scores of {what} and of a float64 sort", lists.scores, exact.scores, 0)
    hold_lists("faiss and our search", _lists_by_faiss(stacked, gallery, k), ours, _NEAR)
    for name, products in (("torch", _products_by_torch), ("numpy", _products_by_numpy)):
        last, start = products(stacked, gallery), rows - rows % _PRODUCT_ROWS
        expected = _exact_scores(stacked, gallery[start:])
        hold_values(f"{name}'s products and exact scores", last, expected, _NEAR)


def landmarks(
    folder: Path, rows: int = 761_757, queries: int = 1129, models: int = 5, dimension: int = 512
) -> list[Figure]:
    """Google Landmarks v2's size: the 100 best for every query model and gallery model."""
    k, asked = 100, models * queries
    stacked = _units(asked, dimension, seed=0)
    top_k(stacked, stacked, k)  # compiled once an installation: not timed
    clock, memory = Clock(), PeakMemory()
    largest = 0.0
    for model in range(models):
        path = _gallery(folder / "gallery.npy", rows, dimension, seed=model + 1)
        with clock("check"):
            gallery = EmbeddingFile(path, rows)
        with memory, clock("search"):
            found = Lists(*top_k(stacked, gallery, k))
        with clock("torch"):
            _products_by_torch(stacked, gallery)
        if model == 0:
            with clock("numpy"):
                _products_by_numpy(stacked, gallery)
        index = _by_faiss(gallery)
        with clock("faiss"):
            scores, lists = index.search(stacked[:queries], k)
        del index
        gc.collect()
        first = Lists(found.rows[:queries], found.scores[:queries])
        theirs = Lists(lists, scores)
        hold_lists("faiss and our search", theirs, first, _NEAR)
        largest = max(largest, float(np.abs(first.scores - scores).max()))
    by_numpy = models * clock.seconds["numpy"]
    bare = min(clock.seconds["torch"], by_numpy)
    searches = models * clock.seconds["faiss"]
    return [
        Figure(
            f"top {k} of {models} x {models} pairs, {queries} queries, {rows} rows, {dimension} "
            "dimensions",
            clock.seconds["search"],
            "s",
        ),
        Figure("bare blocked products, torch", clock.seconds["torch"], "s"),
        Figure(f"bare blocked products, numpy (timed: 1 of {models})", by_numpy, "s"),
        Figure("ratio to the faster of both", clock.seconds["search"] / bare),
        Figure(f"faiss IndexFlatIP, {models**2} searches (timed: {models})", searches, "s"),
        Figure("times faster than faiss", searches / clock.seconds["search"]),
        Figure("checking the files before", clock.seconds["check"], "s"),
        Figure("peak resident memory of the search", memory.gib, "GiB"),
        Figure("largest difference of a score from faiss's (its lists are ours)", largest),
    ]


def refreshed(
    folder: Path,
    rows: int = 761_757,
    queries: int = 1129,
    models: int = 5,
    dimension: int = 512,
    repeats: int = 3,
) -> list[Figure]:
    """Refresh curves of a family at Google Landmarks v2's size, next to all its pairs.

    Timed are the curves of one pair of the family's, and the searches of one gallery.
    """
    random = np.random.default_rng(3)
    relevance = [
        Relevance(np.sort(random.choice(rows, min(40, rows), replace=False)), np.empty(0, np.int64))
        for _ in range(queries)
    ]
    names = [f"q{row}" for row in range(queries)], [f"g{row}" for row in range(rows)]
    truth = GroundTruth("gldv2", names[0], names[1], {"private": relevance})
    paths = [
        _gallery(folder / f"{name}.npy", rows, dimension, seed)
        for seed, name in enumerate(("old", "new"), 1)
    ]
    old, new = (EmbeddingFile(path, rows) for path in paths)
    stacked = _units(models * queries, dimension, seed=0)
    asked = {f"m{k}": stacked[k * queries : (k + 1) * queries] for k in range(models)}
    memory = {"curves": PeakMemory(), "pairs": PeakMemory()}

    def curves() -> None:
        with memory["curves"]:
            refresh(truth, asked["m0"], old, new)

    def pairs() -> None:
        with memory["pairs"]:
            primary_means(truth, asked, {"old": old})

    seconds = medians({"curves": curves, "pairs": pairs}, repeats)
    for path in paths:
        path.unlink()
    of_family = models * (models - 1) // 2 * seconds["curves"]
    of_pairs = models * seconds["pairs"]
    return [
        Figure(f"all {models} x {models} pairs (timed: 1 gallery)", of_pairs, "s"),
        Figure("two refresh curves of each older and newer model (timed: 1 pair)", of_family, "s"),
        Figure("ratio", of_family / of_pairs),
        Figure("peak resident memory of the pairs", memory["pairs"].gib, "GiB"),
        Figure("peak resident memory of the curves", memory["curves"].gib, "GiB"),
    ]


def check_revisited(folder: Path, rows: int = 5_000, queries: int = 8, dimension: int = 64) -> None:
    """Average precisions by ours and by a sort and a scan."""
    path = _gallery(folder / "small.npy", rows, dimension, seed=1)
    truth, stacked = _plant(path, queries, models=1, seed=2)
    found = evaluate_pairs(truth, {"m0": stacked[0]}, {"m0": EmbeddingFile(path, rows)})[1]
    _hold_precisions(truth, stacked[0], np.load(path), found)
    path.unlink()


def revisited(
    folder: Path, rows: int = 1_004_993, queries: int = 70, models: int = 5, dimension: int = 512
) -> list[Figure]:
    """Revisited Oxford with a million distractors: easy, medium and hard of all pairs."""
    path = _gallery(folder / "gallery.npy", rows, dimension, seed=1)
    truth, stacked = _plant(path, queries, models, seed=2)
    asked = {f"m{model}": stacked[model] for model in range(models)}
    clock, memory = Clock(), PeakMemory()
    # Compiled once an installation: not timed.
    list(places_by_counting(stacked[0], stacked[0], [np.arange(queries)] * queries))
    with clock("check"):
        gallery = EmbeddingFile(path, rows)
    with memory, clock("all"):
        per_query = evaluate_pairs(truth, asked, {f"m{n}": gallery for n in range(models)})[1]
    whole = np.load(path)
    with clock("naive"):
        naive = _naive_precisions(stacked[0] @ whole.T, truth)
    mine = per_query[(per_query["query_model"] == "m0") & (per_query["gallery_model"] == "m0")]
    same, off = _hold_precisions(truth, stacked[0], whole, mine, naive)
    naive_seconds = models**2 * clock.seconds["naive"]
    return [
        Figure(
            f"{models} x {models} pairs, {queries} queries, {rows} rows, {dimension} dimensions",
            clock.seconds["all"],
            "s",
        ),
        Figure(f"argsort and scan, {models**2} pairs (timed: 1)", naive_seconds, "s"),
        Figure("times faster", naive_seconds / clock.seconds["all"]),
        Figure("checking the file before", clock.seconds["check"], "s"),
        Figure("peak resident memory", memory.gib, "GiB"),
        Figure("largest difference of an average precision, given the same scores", same),
        Figure("largest difference, given the scores of a float32 product", off),
    ]


def check_labelled(rows: int = 1_000, dimension: int = 64) -> None:
    """Average precisions by ours and by scikit-learn; bare products and exact scores."""
    labels, first = _labels(rows), _units(rows, dimension, seed=0)
    found = evaluate_pairs(_label_truth(labels), {"m0": first}, {"m0": first})[1]
    asked = np.arange(0, rows, rows // 20)
    scores = _exact_scores(first, first)
    expected = _precisions_by_scikit_learn(scores[asked], labels, asked)
    values = found["value"].to_numpy()[asked]
    hold_values("scikit-learn's precisions and ours", expected, values, _SAME)
    products = _all_products([first], [first]).numpy()
    hold_values("torch's products and exact scores", products, scores, _NEAR)


def labelled(rows: int = 10_000, models: int = 4, dimension: int = 128) -> list[Figure]:
    """CIFAR-10's size: every image queries all others, full ranking."""
    labels = _labels(rows)
    embeddings = {f"m{n}": _units(rows, dimension, seed=n) for n in range(models)}
    truth, first = _label_truth(labels), embeddings["m0"]
    found = evaluate_pairs(truth, {"m0": first}, {"m0": first})[1]["value"].to_numpy()
    sample = np.arange(0, rows, rows // 50)
    scores = _without_ties(_exact_scores(first[sample], first))
    clock = Clock()
    with clock("all"):
        evaluate_pairs(truth, embeddings, embeddings)
    with clock("bare"):
        _all_products(list(embeddings.values()), list(embeddings.values()))
    with clock("scikit-learn"):
        expected = _precisions_by_scikit_learn(scores, labels, sample)
    what = "scikit-learn's precisions and ours"
    largest = hold_values(what, expected, found[sample], _SAME)
    seconds = clock.seconds
    scaled = seconds["scikit-learn"] / len(sample) * rows * models**2
    return [
        Figure(
            f"{models} x {models} pairs, {rows} x {rows}, {dimension} dimensions",
            seconds["all"],
            "s",
        ),
        Figure("bare products, torch", seconds["bare"], "s"),
        Figure("ratio", seconds["all"] / seconds["bare"]),
        Figure(f"average precision by scikit-learn (timed: {len(sample)} queries)", scaled, "s"),
        Figure("largest difference from it", largest),
    ]


def bootstrap(queries: int = 1129) -> list[Figure]:
    """The 95 % interval of one pair of Google Landmarks v2."""
    values = np.random.default_rng(0).random((queries, 1))
    seconds = medians({"one": lambda: confidence_intervals(values)}, repeats=5)
    return [Figure(f"10,000 resamples of {queries} queries", seconds["one"], "s")]


def growth(
    folder: Path,
    out: Path,
    sizes: Sequence[int] = (10_000, 30_000, 100_000, 300_000, 1_000_000),
    queries: int = 1129,
    dimension: int = 128,
) -> list[Figure]:
    """Draw how the time of a search grows with the gallery's rows and the number of pairs."""
    everything = EmbeddingFile(_gallery(folder / "gallery.npy", max(sizes), dimension, 1), None)
    stacked = _units(4 * queries, dimension, seed=0)
    points = []
    for models in (1, 2, 4):
        for rows in sizes:
            gallery, clock = everything[:rows], Clock()
            with clock("search"):
                for _ in range(models):
                    top_k(stacked[: models * queries], gallery, 100)
            points.append((models, rows, clock.seconds["search"]))
    table = pd.DataFrame(points, columns=["models", "rows", "seconds"])
    _draw_growth(table, out)
    large = table[table["rows"] >= max(sizes) / 10]
    slopes = [
        np.polyfit(np.log(part["rows"]), np.log(part["seconds"]), 1)[0]
        for _, part in large.groupby("models")
    ]
    largest = table[table["rows"] == max(sizes)].set_index("models")["seconds"]
    return [
        Figure(
            f"exponent of the time in the rows, {max(sizes) // 10} to {max(sizes)} (1: linear)",
            float(np.mean(slopes)),
        ),
        Figure("time of 16 pairs / time of 1 pair, largest gallery", largest[4] / largest[1]),
    ]


def _units(rows: int, dimension: int, seed: int) -> Array:
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _gallery(path: Path, rows: int, dimension: int, seed: int) -> Path:
    """Write random unit vectors, a block at a time."""
    shape = (rows, dimension)
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    for start in progress(range(0, rows, _BLOCK_ROWS), "gallery", "block"):
        stop = min(start + _BLOCK_ROWS, rows)
        file[start:stop] = _units(stop - start, dimension, seed=10**6 * seed + start)
    file.flush()
    return path


def _plant(
    path: Path, queries: int, models: int, seed: int
) -> tuple[GroundTruth, NDArray[np.float32]]:
    """Turn 80 gallery rows for each query into its positives: cosines uniform in [0, 0.9]."""
    random = np.random.default_rng(seed)
    gallery = np.lib.format.open_memmap(path, mode="r+")
    rows, dimension = gallery.shape
    centres = _units(queries, dimension, seed)
    chosen = random.choice(rows, (queries, 80), replace=False)
    for centre, own in zip(centres, chosen, strict=True):
        cosine = random.uniform(0, 0.9, (80, 1))
        noise = gallery[own] - (gallery[own] @ centre)[:, None] * centre
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        gallery[own] = cosine * centre + np.sqrt(1 - cosine**2) * noise
    gallery.flush()
    chosen.sort(axis=1)
    easy, hard, junk = chosen[:, ::3], chosen[:, 1::3], chosen[:, 2::3]
    pairs = {
        "easy": [(e, np.sort([*h, *j])) for e, h, j in zip(easy, hard, junk, strict=True)],
        "medium": [(np.sort([*e, *h]), j) for e, h, j in zip(easy, hard, junk, strict=True)],
        "hard": [(h, np.sort([*e, *j])) for e, h, j in zip(easy, hard, junk, strict=True)],
    }
    truth = GroundTruth(
        "revisited",
        [f"q{n}" for n in range(queries)],
        [str(n) for n in range(rows)],
        {name: [Relevance(p, j) for p, j in each] for name, each in pairs.items()},
    )
    # Each model embeds the queries a little differently.
    seen = [centres + 0.3 * _units(queries, dimension, seed + n) for n in range(1, models + 1)]
    return truth, np.stack(
        [(each / np.linalg.norm(each, axis=1, keepdims=True)).astype(np.float32) for each in seen]
    )


def _labels(rows: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(0, 10, rows)


def _label_truth(labels: NDArray[np.int64]) -> GroundTruth:
    ids = [str(row) for row in range(len(labels))]
    return GroundTruth("labelled", ids, ids, {"all": LabelRelevance(labels, labels, True)})


def _precisions_by_scikit_learn(
    scores: NDArray[np.floating], labels: NDArray[np.int64], asked: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Of some rows, given their scores."""
    values = []
    for own, row in zip(scores, asked, strict=True):
        others = np.arange(len(labels)) != row
        values.append(average_precision_score(labels[others] == labels[row], own[others]))
    return np.array(values)


def _without_ties(scores: Array) -> NDArray[np.float64]:
    """Scores in the same order, ties in gallery order; scikit-learn ranks tied ones together."""
    strict = np.empty(scores.shape)
    order = np.argsort(-scores, axis=1, kind="stable")
    np.put_along_axis(strict, order, -np.arange(scores.shape[1], dtype=np.float64)[None], axis=1)
    return strict


def _all_products(queries: Sequence[Array], galleries: Sequence[Array]) -> torch.Tensor:
    """The products of all pairs, one after the other; answers with the last."""
    for left in queries:
        for right in galleries:
            last = torch.mm(torch.from_numpy(left), torch.from_numpy(right).T)
    return last


def _exact_scores(queries: Array, gallery: Array) -> Array:
    """Scores by their definition: products of multiples of 2^-26, rounded once, to float32."""
    left, right = (np.rint(vectors.astype(np.float64) * 2**26) for vectors in (queries, gallery))
    return (left @ right.T * 2.0**-52).astype(np.float32)


def _exact_lists(queries: Array, gallery: Array, k: int) -> Lists:
    scores = _exact_scores(queries, gallery)
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return Lists(rows, np.take_along_axis(scores, rows, axis=1))


def _by_faiss(gallery: Embeddings) -> faiss.IndexFlatIP:
    index = faiss.IndexFlatIP(gallery.shape[1])
    for _, block in blocks(gallery, _BLOCK_ROWS):
        index.add(np.ascontiguousarray(block))
    return index


def _lists_by_faiss(queries: Array, gallery: Array, k: int) -> Lists:
    scores, rows = _by_faiss(gallery).search(queries, k)
    return Lists(rows, scores)


def _hold_precisions(
    truth: GroundTruth,
    queries: Array,
    gallery: Array,
    found: pd.DataFrame,
    naive: dict[str, NDArray[np.float64]] | None = None,
) -> tuple[float, float]:
    """Hold ours to a sort and a scan, of the exact ranking (of a few queries) and of float32.

    Answers with the largest difference from both.
    """
    few = queries[:5]
    exact = _naive_precisions(_scores_of_ranking(few, gallery), truth)
    naive = naive or _naive_precisions(queries @ gallery.T, truth)
    same = off = 0.0
    for protocol in truth.relevance:
        mine = found.loc[found["protocol"] == protocol, "value"].to_numpy()
        what = f"{protocol}: precisions by a sort and ours"
        same = max(same, hold_values(what, exact[protocol], mine[: len(few)], _SAME))
        off = max(off, hold_values(what, naive[protocol], mine, _AS_PRECISE))
    return same, off


def _naive_precisions(scores: Array, truth: GroundTruth) -> dict[str, NDArray[np.float64]]:
    """The common way: sort all scores of each query, then scan the ranking for each protocol."""
    rankings = np.argsort(-scores, axis=1, kind="stable")
    return {
        protocol: np.array(
            [_scan(ranking, relevance[query]) for query, ranking in enumerate(rankings)]
        )
        for protocol, relevance in truth.relevance.items()
    }


def _scan(ranking: NDArray[np.int64], relevance: Relevance) -> float:
    kept = ranking[~np.isin(ranking, relevance.junk)]
    ranks = np.flatnonzero(np.isin(kept, relevance.positives))
    return average_precision_trapezoidal(ranks, len(relevance.positives))


def _scores_of_ranking(queries: Array, gallery: Array) -> Array:
    """Scores whose argsort is the exact ranking."""
    orders = rank(queries, gallery)
    scores = np.empty(orders.shape, np.float32)
    np.put_along_axis(scores, orders, -np.arange(orders.shape[1], dtype=np.float32)[None], 1)
    return scores


def _products_by_torch(queries: Array, gallery: Embeddings) -> Array:
    """All products, block by block; answers with the last block's."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    left = torch.from_numpy(queries).to(device)
    out = torch.empty(len(queries), _PRODUCT_ROWS, device=device)
    for _, block in blocks(gallery, _PRODUCT_ROWS):
        right = torch.from_numpy(np.array(block)).to(device)
        last = torch.mm(left, right.T, out=out[:, : len(block)])
    return last.cpu().numpy()


def _products_by_numpy(queries: Array, gallery: Embeddings) -> Array:
    out = np.empty((len(queries), _PRODUCT_ROWS), np.float32)
    for _, block in blocks(gallery, _PRODUCT_ROWS):
        last: Array = np.matmul(queries, np.array(block).T, out=out[:, : len(block)])
    return last


def _draw_growth(table: pd.DataFrame, out: Path) -> None:
    figure = Drawing(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    for models, part in table.groupby("models"):
        axes.loglog(part["rows"], part["seconds"], "o-", label=f"{models} x {models} pairs")
    axes.set(xlabel="gallery rows", ylabel="seconds", title="Exact search, top 100")
    axes.legend()
    with replacing(out) as path:
        figure.savefig(path, dpi=150)
