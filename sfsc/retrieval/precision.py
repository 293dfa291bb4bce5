"""The metrics of one query, each a function of the ranks of its positives.

`ranks` is an int64 array: the sorted ranks, from 0, of the positives in the ranking without junk.
`positives` is their number in the ground truth, at least 1. Fewer ranks than that mean positives
that were not retrieved, which count as behind all others. Every value is in [0, 1].
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

Metric = Callable[[NDArray[np.int64], int], float]


def average_precision(ranks: NDArray[np.int64], positives: int) -> float:
    """Mean over the positives of the precision at their rank."""
    return float(np.sum(_precisions(ranks)) / positives)


def average_precision_trapezoidal(ranks: NDArray[np.int64], positives: int) -> float:
    """Area under the precision-recall curve by trapezoids.

    As `compute_ap` of the official Revisited Oxford/Paris evaluation (Radenović et al. 2018).
    """
    hits = np.arange(len(ranks))
    before = np.where(ranks == 0, 1.0, hits / np.maximum(ranks, 1))
    return float(np.sum(before + _precisions(ranks)) / (2 * positives))


def average_precision_at(ranks: NDArray[np.int64], positives: int, k: int = 100) -> float:
    """Sum of the precisions at the hits among the first `k`, by min(positives, k).

    As `MeanAveragePrecision` of the official Google Landmarks v2 evaluation (Weyand et al. 2020).
    """
    return float(np.sum(_precisions(ranks[ranks < k])) / min(positives, k))


def precision_at(ranks: NDArray[np.int64], positives: int, k: int) -> float:
    """Precision among the first min(k, rank of the last positive), ranks from 1.

    As `compute_map` of the official Revisited Oxford/Paris evaluation (its mP@k).
    """
    depth = min(k, int(ranks[-1]) + 1) if len(ranks) == positives else k
    return int(np.searchsorted(ranks, depth)) / depth


def recall_at(ranks: NDArray[np.int64], positives: int, k: int) -> float:
    """1 if a positive is among the first `k`, else 0 (the R@k of metric learning)."""
    return float(len(ranks) > 0 and ranks[0] < k)


def _precisions(ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.arange(1, len(ranks) + 1) / (ranks + 1)


METRICS: Mapping[str, Mapping[str, Metric]] = {
    "revisited": {
        "mAP": average_precision_trapezoidal,
        "mP@1": partial(precision_at, k=1),
        "mP@5": partial(precision_at, k=5),
        "mP@10": partial(precision_at, k=10),
    },
    "gldv2": {"mAP@100": average_precision_at},
    "labelled": {
        "mAP": average_precision,
        "R@1": partial(recall_at, k=1),
        "R@5": partial(recall_at, k=5),
        "R@10": partial(recall_at, k=10),
    },
}
"""The metrics of each kind of ground truth by name; the first is its average precision."""
