"""What a training set and a retrieval set are, whatever format they come from."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfsc.data.pixels import decode
from sfsc.data.share import some_labels
from sfsc.files import InputError

_LARGEST_BOX = 2**26
"""Pixels; most of so large a box would be black."""

_log = logging.getLogger(__name__)

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels, as in the Revisited ground truth's `bbx`."""


class Images(Protocol):
    """An ordered collection of images; `ids` are unique and name the rows of embeddings."""

    @property
    def ids(self) -> Sequence[str]: ...

    def read(self, row: int, least: int = 0) -> NDArray[np.uint8]:
        """One image, RGB (H, W, 3); raises InputError that names a file that is absent or broken.

        With `least` it may come smaller, where that is faster, but of that many pixels a side.
        Several threads may read at once.
        """
        ...


@dataclass(frozen=True)
class ArrayImages:
    """Images held in memory: `pixels` is uint8, (N, H, W, 3)."""

    ids: Sequence[str]
    pixels: NDArray[np.uint8]

    def read(self, row: int, least: int = 0) -> NDArray[np.uint8]:
        pixels: NDArray[np.uint8] = self.pixels[row]
        return pixels


@dataclass(frozen=True)
class FileImages:
    """Images in files, each cropped to its box, in stored pixels, where `boxes` gives one."""

    ids: Sequence[str]
    paths: Sequence[Path]
    boxes: Sequence[Box] | None = None
    as_shown: bool = False
    """As viewers show them: turned as EXIF says, over white. Without: as they are stored."""

    def read(self, row: int, least: int = 0) -> NDArray[np.uint8]:
        path = self.paths[row]
        try:
            with path.open("rb") as file:
                least = least if self.boxes is None else 0
                pixels = decode(f"{path}:", file, least, self.as_shown)
        except FileNotFoundError:
            raise InputError(f"{path}: no such image (listed as {self.ids[row]!r})") from None
        except (OSError, ValueError) as error:  # ValueError: a name that no file can have
            raise InputError(f"{path}: cannot be read: {error}") from None
        if self.boxes is not None:
            box = self.boxes[row]
            pixels = _cropped(f"{path}: the box {box} of {self.ids[row]!r}", pixels, box)
        return pixels


def _cropped(where: str, pixels: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    x1, y1, x2, y2 = (round(corner) for corner in box)
    height, width, _ = pixels.shape
    of = f"the image of {width}x{height} pixels"
    if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
        raise InputError(f"{where} lies outside {of}")
    if x1 >= x2 or y1 >= y2:
        raise InputError(f"{where} holds not one pixel of {of}")
    if (x2 - x1) * (y2 - y1) > max(_LARGEST_BOX, width * height):
        raise InputError(f"{where} reaches too far beyond {of}; correct it")
    if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
        _log.warning("%s reaches beyond %s; the rest is black", where, of)
    return np.array(Image.fromarray(pixels).crop((x1, y1, x2, y2)))


@dataclass(frozen=True)
class TrainSet:
    """Labelled images: `labels` is int64, (N,), indices into `classes`."""

    images: Images
    labels: NDArray[np.int64]
    classes: Sequence[str]
    together: int = 1
    """So many images in a row are best read together, since they lie together on disk."""


@dataclass(frozen=True)
class SomeImages:
    """The images of the given rows of others."""

    whole: Images
    rows: NDArray[np.int64]

    @cached_property
    def ids(self) -> list[str]:
        return [self.whole.ids[row] for row in self.rows.tolist()]

    def read(self, row: int, least: int = 0) -> NDArray[np.uint8]:
        return self.whole.read(int(self.rows[row]), least)


def some_classes(whole: TrainSet, fraction: float) -> TrainSet:
    """A `fraction` of the classes, at least one, chosen at random but always alike, all images."""
    chosen = some_labels(len(whole.classes), (0.0, fraction))
    rows = np.flatnonzero(np.isin(whole.labels, chosen))
    return TrainSet(
        SomeImages(whole.images, rows),
        np.searchsorted(chosen, whole.labels[rows]),
        [whole.classes[label] for label in chosen.tolist()],
    )


@dataclass(frozen=True)
class Relevance:
    """What one protocol counts for one query: gallery rows, int64, sorted, without repeats.

    Junk is taken out of the ranking; every other row is a negative.
    """

    positives: NDArray[np.int64]
    junk: NDArray[np.int64]


@dataclass(frozen=True)
class GroundTruth:
    """Ids in the order of the embeddings' rows and, for each protocol, the queries' relevance.

    `kind` decides the metrics (sfsc.retrieval.precision). A query without positives under a
    protocol is left out of that protocol's means.
    """

    kind: Literal["revisited", "gldv2", "labelled"]
    query_ids: Sequence[str]
    gallery_ids: Sequence[str]
    relevance: Mapping[str, Sequence[Relevance]]


def require_scored(truth: GroundTruth, source: Path | str) -> None:
    """Raise InputError, naming `source`, where no query has a positive under any protocol."""
    for relevance in truth.relevance.values():
        if any(relevance[row].positives.size for row in range(len(relevance))):
            return
    raise InputError(
        f"{source}: none of its {len(truth.query_ids)} queries has a positive in the gallery, so"
        " nothing can be scored; check the labels, or add images"
    )


class LabelRelevance(Sequence[Relevance]):
    """The relevance that labels imply, computed when asked for.

    `query_labels` (Q,) and `gallery_labels` (N,) are integer arrays; with `leave_one_out` the
    queries are the gallery itself and each query's own row is junk.
    """

    def __init__(
        self,
        query_labels: NDArray[np.int64],
        gallery_labels: NDArray[np.int64],
        leave_one_out: bool,
    ) -> None:
        self._query_labels = query_labels
        self._leave_one_out = leave_one_out
        self._rows = {
            label: np.flatnonzero(gallery_labels == label)
            for label in np.unique(query_labels).tolist()
        }

    def __len__(self) -> int:
        return len(self._query_labels)

    def __getitem__(self, query: int) -> Relevance:  # type: ignore[override]
        rows = self._rows[int(self._query_labels[query])]
        if not self._leave_one_out:
            return Relevance(rows, np.empty(0, np.int64))
        return Relevance(rows[rows != query], np.array([query]))


@dataclass(frozen=True)
class RetrievalSet:
    """Queries and gallery; `queries is gallery` where every image queries the others."""

    queries: Images
    gallery: Images
    ground_truth: GroundTruth
