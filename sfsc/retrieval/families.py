"""The evaluation of a method: the families that it trained, one a seed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sfsc import layout
from sfsc.data.sets import GroundTruth
from sfsc.retrieval.approximate import FaissIndex
from sfsc.retrieval.collect import FLOOR_COLUMNS, write_csv, write_scores
from sfsc.retrieval.floor import random_floor
from sfsc.retrieval.pairs import Translated, evaluate_pairs, open_files, primary_means


def evaluate_method(
    results: Path,
    ground_truth: GroundTruth,
    eval_set: str,
    method: str,
    seeds: Sequence[int],
    models: Sequence[str],
    index: FaissIndex | None = None,
) -> None:
    """Score all pairs of the families of `method`, one per seed, from their embedding files.

    Each seed's queries also search the galleries of the next one, for the floor of compatibility.
    """
    means: list[pd.DataFrame] = []
    per_query: list[pd.DataFrame] = []
    opened = []
    for seed in seeds:  # all files are checked before any is searched
        folders = {
            name: layout.embeddings(results, eval_set, method, seed, name) for name in models
        }
        queries = {name: folder / "query.npy" for name, folder in folders.items()}
        galleries = {name: folder / "gallery.npy" for name, folder in folders.items()}
        translated_queries = {
            (name, other): path
            for name, folder in folders.items()
            for other, path in layout.translated(folder, "query").items()
        }
        translated_galleries = {
            (other, name): path
            for name, folder in folders.items()
            for other, path in layout.translated(folder, "gallery").items()
        }
        opened.append(
            open_files(ground_truth, queries, galleries, translated_queries, translated_galleries)
        )
    floors: list[pd.DataFrame] = []
    random = random_floor(ground_truth)
    for place, (seed, files) in enumerate(zip(seeds, opened, strict=True)):
        whose: dict[str, Any] = {"dataset": eval_set, "method": method, "seed": seed}
        frames = evaluate_pairs(ground_truth, *files, index)
        for frame, parts in zip(frames, (means, per_query), strict=True):
            parts.append(frame.assign(**whose))
        following = (place + 1) % len(seeds)
        if following == place:  # there is no other seed
            primary = [metric for _, metric in random]
            apart = frames[0][frames[0]["metric"].isin(primary)].assign(value=np.nan)
        else:
            other = opened[following]
            mixed = Translated(files.translated.queries, other.translated.galleries)
            apart = primary_means(ground_truth, files.queries, other.galleries, mixed, index)
        apart = apart.assign(
            **whose,
            gallery_seed=seeds[following],
            random=[random[pair] for pair in zip(apart["protocol"], apart["metric"], strict=True)],
        )
        floors.append(apart[FLOOR_COLUMNS])
    folder = layout.evaluation(results, eval_set, method)
    write_csv(folder / "floor.csv", pd.concat(floors, ignore_index=True))
    write_scores(
        folder / "metrics.csv",
        folder / "per_query.parquet",
        pd.concat(means, ignore_index=True),
        pd.concat(per_query, ignore_index=True),
    )
