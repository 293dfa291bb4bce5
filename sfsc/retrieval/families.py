"""The evaluation of a method: the families that it trained, one a seed."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sfsc import layout
from sfsc.data.sets import GroundTruth
from sfsc.retrieval.approximate import FaissIndex
from sfsc.retrieval.collect import write_scores
from sfsc.retrieval.pairs import evaluate_pairs, open_files


def evaluate_method(
    results: Path,
    ground_truth: GroundTruth,
    eval_set: str,
    method: str,
    seeds: Sequence[int],
    models: Sequence[str],
    index: FaissIndex | None = None,
) -> None:
    """Score all pairs of the families of `method`, one a seed, from their embedding files."""
    means: list[pd.DataFrame] = []
    per_query: list[pd.DataFrame] = []
    opened = []
    for seed in seeds:  # all files are checked before any is searched
        folders = {
            name: layout.embeddings(results, eval_set, method, seed, name) for name in models
        }
        queries = {name: folder / "query.npy" for name, folder in folders.items()}
        galleries = {name: folder / "gallery.npy" for name, folder in folders.items()}
        opened.append(open_files(ground_truth, queries, galleries))
    for seed, files in zip(seeds, opened, strict=True):
        frames = evaluate_pairs(ground_truth, *files, index)
        for frame, parts in zip(frames, (means, per_query), strict=True):
            parts.append(frame.assign(dataset=eval_set, method=method, seed=seed))
    folder = layout.evaluation(results, eval_set, method)
    write_scores(
        folder / "metrics.csv",
        folder / "per_query.parquet",
        pd.concat(means, ignore_index=True),
        pd.concat(per_query, ignore_index=True),
    )
