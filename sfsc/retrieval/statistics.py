"""How sure the mean over the queries of one run is, by resampling the queries."""

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
LEVEL = 0.95

_SEED = 0
_DRAWS = 2**22


def confidence_intervals(
    values: NDArray[np.float64], clusters: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The bounds of the 95 % interval of each column's mean, for values (queries, columns).

    Percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13), with
    the same 10,000 resamples for all columns and for every call with as many clusters. Queries of
    equal `clusters` (queries,), such as those of one landmark, are drawn together; by default each
    query is drawn separately. The interval is of this run's models; it does not hold for another.
    """
    if clusters is None:
        sums, sizes = values, np.ones(len(values))
    else:
        _, members = np.unique(clusters, return_inverse=True)
        sizes = np.bincount(members).astype(np.float64)
        sums = np.zeros((len(sizes), values.shape[1]))
        np.add.at(sums, members, values)
    low, high = np.quantile(
        _resampled_means(sums, sizes), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0
    )
    return low, high


def _resampled_means(sums: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over randomly drawn clusters, from their sums and sizes: (resamples, columns)."""
    clusters = len(sizes)
    random = np.random.default_rng(_SEED)
    rows = max(1, _DRAWS // clusters)
    means = []
    for start in range(0, RESAMPLES, rows):
        weights = _with_replacement(random, min(rows, RESAMPLES - start), clusters)
        means.append(weights @ sums / (weights @ sizes)[:, None])
    return np.concatenate(means)


def _with_replacement(
    random: np.random.Generator, resamples: int, clusters: int
) -> NDArray[np.float64]:
    """How often each resample draws each cluster."""
    drawn = random.integers(0, clusters, (resamples, clusters))
    drawn += np.arange(0, resamples * clusters, clusters)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * clusters)
    return counts.reshape(resamples, clusters).astype(np.float64)
