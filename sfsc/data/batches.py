"""Batches of training images, and of a set that is held in memory."""

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sfsc.data.augment import augmented
from sfsc.data.normalisation import Normalisation, normalisation_of
from sfsc.data.order import Order
from sfsc.data.reading import read_all, squared
from sfsc.data.sets import Images
from sfsc.files import InputError
from sfsc.profile import Augment
from sfsc.progress import progress
from sfsc.seeds import generator

_log = logging.getLogger(__name__)


def load_pixels(
    images: Images,
    rows: Sequence[int],
    size: int,
    on_bad_image: Literal["stop", "skip"] = "stop",
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read images resized to (size, size): pixels (N, size, size, 3), and the rows they are of.

    A broken image stops with InputError; with "skip" it is left out and counted in the log.
    """
    pixels = np.empty((len(rows), size, size, 3), np.uint8)
    kept: list[int] = []
    with closing(read_all(images, rows, squared(size))) as found:
        for row, image in zip(progress(rows, "images", "image"), found, strict=True):
            if isinstance(image, InputError):
                if on_bad_image == "stop":
                    raise image
                _log.warning("left out: %s", image)
                continue
            pixels[len(kept)] = image
            kept.append(row)
    if len(kept) < len(rows):
        _log.warning("left out %d of %d images", len(rows) - len(kept), len(rows))
    if not kept:
        raise InputError(f"not one of {len(rows)} images can be decoded")
    return pixels[: len(kept)], np.array(kept, np.int64)


class Batches(ABC):
    """A data set's images, as augmented batches in a given order.

    Nothing is carried from one batch to the next, so training resumes at any step.
    """

    digest: str
    """Of the pixels that were read so far: the set's, or a sample of them."""

    def __init__(self, augment: Augment, normalisation: Normalisation, device: torch.device):
        self._augment = augment
        self.normalisation = normalisation
        self.device = device

    def batch(
        self, order: Order, seed: int, step: int, part: int = 0, parts: int = 1
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, 3, S, S) float32, normalised and augmented, labels and rows (B,) int64.

        Of a batch in `parts` equal parts, which several processes share, it is number `part`.
        """
        rows, labels = order.batch(step, part, parts)
        pixels = self._read(order, step, part, parts).to(self.device, non_blocking=True)
        images = augmented(
            self.normalisation(pixels),
            self._augment,
            generator(seed, "augment", step),
            part * (order.batch_size // parts),
            order.batch_size,
        )
        return images, labels.to(self.device, non_blocking=True), rows

    @abstractmethod
    def plain(self, rows: Tensor) -> Tensor:
        """The images of some rows, normalised and not augmented: float32 (B, 3, S, S)."""

    @abstractmethod
    def close(self) -> None:
        """End what reads ahead."""

    @abstractmethod
    def _read(self, order: Order, step: int, part: int, parts: int) -> Tensor:
        """The pixels of a part of a batch, uint8 (B, S, S, 3)."""


class MemoryBatches(Batches):
    """Batches of images that are all in memory, or in that of the GPU."""

    def __init__(self, pixels: NDArray[np.uint8], augment: Augment, device: torch.device):
        """`pixels` are (N, S, S, 3)."""
        super().__init__(augment, normalisation_of(pixels), device)
        self.digest = hashlib.sha256(pixels.data).hexdigest()
        self._pixels = torch.from_numpy(pixels).to(device)

    def plain(self, rows: Tensor) -> Tensor:
        return self.normalisation(self._pixels[rows.to(self.device)])

    def close(self) -> None:
        pass

    def _read(self, order: Order, step: int, part: int, parts: int) -> Tensor:
        rows, _ = order.batch(step, part, parts)
        return self._pixels[rows.to(self.device, non_blocking=True)]
