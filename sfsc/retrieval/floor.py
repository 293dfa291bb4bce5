"""What a search scores that knows nothing: positives at random places of the ranking."""

import numpy as np

from sfsc.data.sets import GroundTruth
from sfsc.retrieval.places import Tracked, positive_ranks
from sfsc.retrieval.precision import METRICS

_RANKINGS = 16
"""Random rankings per query; the mean over all queries varies far less than one query's."""

_SEED = 0


def random_floor(ground_truth: GroundTruth) -> dict[tuple[str, str], float]:
    """The mean of each protocol's primary metric over random rankings, by (protocol, metric)."""
    metric, score = next(iter(METRICS[ground_truth.kind].items()))
    random = np.random.default_rng(_SEED)
    gallery = len(ground_truth.gallery_ids)
    floor = {}
    for protocol, relevance in ground_truth.relevance.items():
        rows = [row for row in range(len(relevance)) if relevance[row].positives.size]
        values = []
        for row, tracked in zip(rows, Tracked(ground_truth, rows), strict=True):
            for _ in range(_RANKINGS):
                places = random.choice(gallery, len(tracked), replace=False, shuffle=True)
                ranks = positive_ranks(relevance[row], (tracked, places))
                values.append(score(ranks, len(relevance[row].positives)))
        if values:
            floor[protocol, metric] = float(np.mean(values))
    return floor
