"""scikit-learn's handwritten digits: a labelled set that needs no download, in CIFAR's place."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfsc.data.labels import leave_one_out
from sfsc.data.sets import ArrayImages, RetrievalSet, TrainSet

_SEED = 0


def train_set() -> TrainSet:
    """Two thirds of each digit's images: uint8, (N, 8, 8, 3), grey in all three channels."""
    images, labels = _split()[0]
    return TrainSet(images, labels, [str(digit) for digit in range(10)])


def retrieval_set() -> RetrievalSet:
    """The other third, whose images query each other (leave one out)."""
    return leave_one_out(*_split()[1])


def _split() -> list[tuple[ArrayImages, NDArray[np.int64]]]:
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
    in_train = np.zeros(len(labels), bool)
    for digit in range(10):
        rows = rng.permutation(np.flatnonzero(labels == digit))
        in_train[rows[: round(len(rows) * 2 / 3)]] = True
    parts = []
    for chosen in (in_train, ~in_train):
        rows = np.flatnonzero(chosen)
        ids = [f"digits/{row:04d}" for row in rows]
        pixels = np.repeat(grey[rows, :, :, np.newaxis], 3, axis=3)
        parts.append((ArrayImages(ids, pixels), labels[rows]))
    return parts
