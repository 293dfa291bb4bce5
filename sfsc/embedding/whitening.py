"""Whitening by principal components: one map for all members of a family."""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfsc import layout
from sfsc.data.sets import Images, SomeImages
from sfsc.files import InputError, replacing
from sfsc.retrieval.embeddings import EmbeddingFile, blocks

_IMAGES = 2**14
"""That a map is learnt from, at most."""

_LEAST = 1e-10
"""Share of the largest variance below which a direction holds rounding alone."""

_ROWS = 2**14


class Whitening(NamedTuple):
    """Turns an embedding x into (x - mean) matrix, at length 1."""

    mean: NDArray[np.float64]
    """(D,)"""
    matrix: NDArray[np.float64]
    """(D, D'); D' is D, less the directions in which the embeddings do not vary."""

    def __call__(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Unit embeddings (N, D') float32 of embeddings (N, D)."""
        found = (embeddings - self.mean) @ self.matrix
        found /= np.linalg.norm(found, axis=1, keepdims=True).clip(np.finfo(np.float64).tiny)
        return found.astype(np.float32)


def learnt(embeddings: NDArray[np.float32]) -> Whitening:
    """The whitening of embeddings (N, D): their principal components, each at variance 1.

    Jégou and Chum, Negative Evidences and Co-occurrences in Image Retrieval, ECCV 2012. It is
    computed in float64.
    """
    points = embeddings.astype(np.float64)
    mean = points.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov(points - mean, rowvar=False))
    kept = variances > _LEAST * variances.max()
    return Whitening(mean, (axes[:, kept] / np.sqrt(variances[kept]))[:, ::-1])


def sample(images: Images) -> Images:
    """At most 16,384 of a training set's images, evenly spaced, to learn a map from."""
    count = len(images.ids)
    return SomeImages(images, np.arange(0, count, -(-count // _IMAGES)))


def whiten(source: Path, folder: Path, by: Whitening) -> None:
    """Write the whitened embeddings of `source`, translated ones included, to `folder`.

    `source` is removed, and what an earlier run left in `folder`. Raises InputError for embeddings
    of another dimension than the map's.
    """
    for path in sorted(source.glob("*.npy")):
        embeddings = EmbeddingFile(path, None)
        if embeddings.shape[1] != len(by.mean):
            raise InputError(
                f"{folder / path.name}: whitening: has dimension {embeddings.shape[1]}, but the"
                f" map is of dimension {len(by.mean)}; name it for families of one dimension"
            )
        with replacing(folder / path.name) as beside:
            shape = (embeddings.shape[0], by.matrix.shape[1])
            target = np.lib.format.open_memmap(beside, "w+", np.float32, shape)
            for first, rows in blocks(embeddings, _ROWS):
                target[first : first + len(rows)] = by(rows)
            target.flush()
    for side in layout.SIDES:
        for path in layout.translated(folder, side).values():
            if not (source / path.name).exists():
                path.unlink()
    shutil.rmtree(source)
