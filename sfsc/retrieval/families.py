"""The evaluation of a method: the families that it trained, one per seed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sfsc import layout
from sfsc.data.sets import GroundTruth
from sfsc.profile import Refinement
from sfsc.retrieval.approximate import FaissIndex
from sfsc.retrieval.collect import (
    FLOOR_COLUMNS,
    MIXED_COLUMNS,
    REFRESH_COLUMNS,
    write_csv,
    write_scores,
)
from sfsc.retrieval.floor import random_floor
from sfsc.retrieval.mixed import mixed, refresh
from sfsc.retrieval.pairs import Opened, Translated, evaluate_pairs, open_files, primary_means
from sfsc.retrieval.refinement import NONE


def evaluate_method(
    results: Path,
    ground_truth: GroundTruth,
    eval_set: str,
    method: str,
    seeds: Sequence[int],
    models: Sequence[str],
    index: FaissIndex | None = None,
    with_mixed: bool = False,
    refinement: Refinement = NONE,
) -> None:
    """Score all pairs of the families of `method`, one per seed, from their embedding files.

    Each seed's queries also search the galleries of the next one, for the floor of compatibility.
    With `with_mixed` galleries of several models are scored, too: refresh.csv and mixed.csv, by
    plain search.
    """
    means: list[pd.DataFrame] = []
    per_query: list[pd.DataFrame] = []
    opened = [  # all files are checked before any is searched
        open_family(results, ground_truth, eval_set, method, seed, models) for seed in seeds
    ]
    floors: list[pd.DataFrame] = []
    random = random_floor(ground_truth)
    for place, (seed, files) in enumerate(zip(seeds, opened, strict=True)):
        whose: dict[str, Any] = {"dataset": eval_set, "method": method, "seed": seed}
        frames = evaluate_pairs(ground_truth, *files, index, refinement)
        for frame, parts in zip(frames, (means, per_query), strict=True):
            parts.append(frame.assign(**whose))
        following = (place + 1) % len(seeds)
        if following == place:  # there is no other seed
            primary = [metric for _, metric in random]
            apart = frames[0][frames[0]["metric"].isin(primary)].assign(value=np.nan)
        else:
            other = opened[following]
            mixed = Translated(files.translated.queries, other.translated.galleries)
            apart = primary_means(
                ground_truth, files.queries, other.galleries, mixed, index, refinement
            )
        apart = apart.assign(
            **whose,
            gallery_seed=seeds[following],
            random=[random[pair] for pair in zip(apart["protocol"], apart["metric"], strict=True)],
        )
        floors.append(apart[FLOOR_COLUMNS])
    folder = layout.evaluation(results, eval_set, method)
    if with_mixed:
        whose = {"dataset": eval_set, "method": method}
        pairs = zip(seeds, opened, strict=True)
        both = [_mixed(ground_truth, files, {**whose, "seed": seed}) for seed, files in pairs]
        write_csv(folder / "refresh.csv", pd.concat(curves for curves, _ in both)[REFRESH_COLUMNS])
        write_csv(folder / "mixed.csv", pd.concat(scores for _, scores in both)[MIXED_COLUMNS])
    write_csv(folder / "floor.csv", pd.concat(floors, ignore_index=True))
    write_scores(
        folder / "metrics.csv",
        folder / "per_query.parquet",
        pd.concat(means, ignore_index=True),
        pd.concat(per_query, ignore_index=True),
    )


def open_family(
    results: Path,
    ground_truth: GroundTruth,
    eval_set: str,
    method: str,
    seed: int,
    models: Sequence[str],
) -> Opened:
    """The embedding files of a family, those of translated embeddings among them, checked."""
    folders = {name: layout.embeddings(results, eval_set, method, seed, name) for name in models}
    return open_files(
        ground_truth,
        {name: folder / "query.npy" for name, folder in folders.items()},
        {name: folder / "gallery.npy" for name, folder in folders.items()},
        {
            (name, other): path
            for name, folder in folders.items()
            for other, path in layout.translated(folder, "query").items()
        },
        {
            (other, name): path
            for name, folder in folders.items()
            for other, path in layout.translated(folder, "gallery").items()
        },
    )


def _mixed(
    ground_truth: GroundTruth, files: Opened, whose: Mapping[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A family's refresh curves of each older and newer model, and its scores on mixed galleries.

    A pair whose queries are translated has no gallery that could hold both models' embeddings.
    """
    queries, galleries, translated = files
    curves = [pd.DataFrame(columns=REFRESH_COLUMNS)]
    names = list(queries)
    for place, new in enumerate(names):
        for old in names[:place]:
            if (new, old) not in translated.queries:
                gallery = translated.galleries.get((new, old), galleries[old])
                curve = refresh(
                    ground_truth, queries[new], gallery, galleries[new], seed=whose["seed"]
                )
                curves.append(curve.assign(**whose, old_model=old, new_model=new))
    scores = pd.DataFrame(columns=MIXED_COLUMNS)
    if not translated.queries and not translated.galleries:
        scores = mixed(ground_truth, queries, galleries, seed=whose["seed"]).assign(**whose)
    return pd.concat(curves), scores
