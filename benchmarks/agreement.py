"""Only what agrees is compared: a peer that computes something else is no peer."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Disagreement(SystemExit):
    """Ends a benchmark with one line, before it prints a ratio."""


class Lists(NamedTuple):
    """What a search answers: each query's best rows, (Q, k) int64, and their scores, (Q, k)."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]


def hold(what: str, apart: float, limit: float) -> None:
    """Go on only where `apart`, the distance between two ways to do one thing, is in `limit`."""
    if not apart <= limit:  # so that no number, nan, is too large as well
        raise Disagreement(
            f"benchmarks: {what} differ by {apart:.3g}, which is more than {limit:g}: not compared"
        )


def hold_lists(what: str, found: Lists, expected: Lists, near: float) -> None:
    """Hold two searches to the same lists: scores within `near`, and rows wherever that decides."""
    hold(f"the scores of {what}", _largest(found.scores, expected.scores), near)
    close = np.diff(expected.scores.astype(np.float64), axis=1) > -2 * near
    free = np.zeros(expected.rows.shape, bool)
    free[:, 1:] |= close
    free[:, :-1] |= close
    free[:, -1] = True  # what comes after it may be as close
    differ = (found.rows != expected.rows) & ~free
    hold(f"the lists of {what}, in rows,", int(differ.sum()), 0)


def hold_values(what: str, found: NDArray[Any], expected: NDArray[Any], limit: float) -> float:
    """Hold numbers to each other; answers with the largest difference."""
    apart = _largest(found, expected)
    hold(what, apart, limit)
    return apart


def _largest(found: NDArray[Any], expected: NDArray[Any]) -> float:
    return float(np.abs(found.astype(np.float64) - expected).max())
