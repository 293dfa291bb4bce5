"""scikit-learn's handwritten digits: a labelled set that needs no download, in CIFAR's place."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfsc.data.labels import leave_one_out
from sfsc.data.sets import ArrayImages, RetrievalSet, TrainSet

_SEED = 0


def train_set(tuning: bool = False) -> TrainSet:
    """Two thirds of each digit's images: uint8, (N, 8, 8, 3), grey in all three channels.

    For `tuning` two thirds of those, so that settings can be chosen on images that no table
    reports.
    """
    images, labels = _split(tuning)[0]
    return TrainSet(images, labels, [str(digit) for digit in range(10)])


def retrieval_set(tuning: bool = False) -> RetrievalSet:
    """The other third, whose images query each other (leave one out)."""
    return leave_one_out(*_split(tuning)[1])


def _split(tuning: bool) -> list[tuple[ArrayImages, NDArray[np.int64]]]:
    """The train and the test part, each in the order of scikit-learn's rows."""
    package = find_spec("sklearn")
    assert package is not None
    assert package.origin is not None
    # Its file alone: importing scikit-learn would take more than a second of each job.
    table = np.loadtxt(Path(package.origin).parent / "datasets/data/digits.csv.gz", delimiter=",")
    brightest = 16
    grey = np.rint(table[:, :-1].reshape(-1, 8, 8) * (255 / brightest)).astype(np.uint8)
    labels = table[:, -1].astype(np.int64)
    rng = np.random.default_rng(_SEED)
    train, test = _two_thirds(np.arange(len(labels)), labels, rng)
    if tuning:
        train, test = _two_thirds(train, labels, rng)
    parts = []
    for rows in (train, test):
        ids = [f"digits/{row:04d}" for row in rows]
        pixels = np.repeat(grey[rows, :, :, np.newaxis], 3, axis=3)
        parts.append((ArrayImages(ids, pixels), labels[rows]))
    return parts


def _two_thirds(
    rows: NDArray[np.int64], labels: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two thirds of each digit's `rows`, and the others, each in order."""
    first: list[int] = []
    for digit in range(10):
        of_digit = rng.permutation(rows[labels[rows] == digit])
        first.extend(of_digit[: round(len(of_digit) * 2 / 3)])
    return np.sort(first), np.setdiff1d(rows, first)
