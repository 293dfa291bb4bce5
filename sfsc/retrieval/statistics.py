"""How sure a mean over queries is, by resampling the queries."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
LEVEL = 0.95

_SEED = 0
_DRAWS = 2**22


def confidence_intervals(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The bounds of the 95 % interval of each column's mean, for values (queries, columns).

    Percentile bootstrap over the queries (Efron and Tibshirani, An Introduction to the Bootstrap,
    chapter 13), with the same 10,000 resamples for all columns and for every call with as many
    queries.
    """
    low, high = np.quantile(
        _resampled_means(values, _with_replacement), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0
    )
    return low, high


def sign_flip_p(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """The two-sided p-value of each column's mean, for paired differences (queries, columns).

    Randomisation test: where two methods are alike, each difference might as well have the other
    sign (Smucker et al., A Comparison of Statistical Significance Tests for Information Retrieval
    Evaluation, CIKM 2007). 10,000 assignments of signs; the observed one counts among them.
    """
    observed = np.abs(differences.mean(axis=0))
    # Rounding must not make an assignment smaller that is in truth as large as the observed one;
    # stored average precisions are float32.
    as_large = np.abs(_resampled_means(differences, _signs)) >= observed - 2.0**-22
    p: NDArray[np.float64] = (as_large.sum(axis=0) + 1) / (RESAMPLES + 1)
    return p


def _resampled_means(
    values: NDArray[np.float64],
    draw: Callable[[np.random.Generator, int, int], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Means under random weights of the queries: (resamples, columns)."""
    queries = len(values)
    random = np.random.default_rng(_SEED)
    rows = max(1, _DRAWS // queries)
    return np.concatenate(
        [
            draw(random, min(rows, RESAMPLES - start), queries) @ values / queries
            for start in range(0, RESAMPLES, rows)
        ]
    )


def _with_replacement(
    random: np.random.Generator, resamples: int, queries: int
) -> NDArray[np.float64]:
    """How often each resample draws each query."""
    drawn = random.integers(0, queries, (resamples, queries))
    drawn += np.arange(0, resamples * queries, queries)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * queries)
    return counts.reshape(resamples, queries).astype(np.float64)


def _signs(random: np.random.Generator, resamples: int, queries: int) -> NDArray[np.float64]:
    return random.choice([-1.0, 1.0], (resamples, queries))
