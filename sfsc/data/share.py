"""A share of a training set: some of its classes, and some of the images of each."""

import numpy as np
from numpy.typing import NDArray

from sfsc.files import InputError

_SEED = 0


def some_labels(count: int, share: tuple[float, float]) -> NDArray[np.int64]:
    """A share of `count` labels, at least one, sorted, drawn at random but always alike.

    (0, 0.3) and (0.3, 1) are disjoint, and all labels together.
    """
    first, last = (round(end * count) for end in share)
    chosen = np.random.default_rng(_SEED).permutation(count)[first : max(last, first + 1)]
    return np.sort(chosen)


def some_rows(
    labels: NDArray[np.int64], chosen: NDArray[np.int64], share: tuple[float, float]
) -> NDArray[np.int64]:
    """The rows of a share of the images of each of the `chosen` labels, sorted."""
    rows = np.flatnonzero(np.isin(labels, chosen))
    if share == (0.0, 1.0):
        return rows
    random = np.random.default_rng(_SEED)
    kept: list[NDArray[np.int64]] = []
    for label in chosen.tolist():
        of_class = random.permutation(rows[labels[rows] == label])
        first, last = (round(end * len(of_class)) for end in share)
        kept.append(of_class[first:last])
    found = np.sort(np.concatenate(kept))
    if not found.size:
        raise InputError(f"members: a share of {share} of the images leaves none; take more")
    return found
