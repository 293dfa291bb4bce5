"""Batches for training, in a random order, augmented as whole batches of tensors."""

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sfsc.data.reading import read_all, squared
from sfsc.data.sets import Images
from sfsc.files import InputError
from sfsc.progress import progress
from sfsc.seeds import generator

_log = logging.getLogger(__name__)

_WINDOW = 64
_COUNTED = 256
"""Images whose pixels are counted at a time: for that, each takes eight bytes."""


@dataclass(frozen=True)
class Augment:
    """Random changes of each training image; every default changes nothing."""

    flip: bool = False
    """Mirror left and right with probability 1/2."""
    shift: float = 0.0
    """Largest translation along each axis, as a share of the image's side."""
    zoom: float = 0.0
    """Scale by exp(u), u uniform in [-zoom, zoom]."""
    light: float = 0.0
    """Multiply by and add u, uniform in [-light, light], in units of the pixels' deviation."""


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


@dataclass(frozen=True)
class Normalisation:
    """The mean and standard deviation of each colour channel, in units of 255."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, pixels: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) to float32 (B, 3, H, W), channels last in memory."""
        scale = 255 * torch.tensor(self.std).to(pixels.device, non_blocking=True)
        offset = 255 * torch.tensor(self.mean).to(pixels.device, non_blocking=True)
        return ((pixels - offset) / scale).permute(0, 3, 1, 2)


class Batches(ABC):
    """Batches of a training set; batch t depends on the seed and on t alone.

    Nothing is carried from one batch to the next, so training resumes at any step.
    """

    digest: str
    """Of the pixels that were read so far: the set's, or a sample of them."""

    def __init__(
        self,
        labels: NDArray[np.int64],
        batch_size: int,
        augment: Augment,
        normalisation: Normalisation,
        device: torch.device,
        together: int = 1,
    ):
        """`labels` are (N,); an epoch leaves out an incomplete last batch.

        With `together` an epoch shuffles blocks of so many rows, and rows within each 64 blocks in
        a row, so that reading stays near where it is.
        """
        if len(labels) < 2:
            raise InputError(
                f"a training set of {len(labels)} image: training takes two or more; add images"
            )
        self._together = together
        self._labels = torch.from_numpy(labels)
        self._augment = augment
        self.normalisation = normalisation
        self.device = device
        self.batch_size = min(batch_size, len(labels))
        self.steps_per_epoch = len(labels) // self.batch_size
        # Two epochs: who reads ahead has begun the next one.
        self._order = lru_cache(maxsize=2)(self._new_order)

    def batch(self, seed: int, step: int, part: int = 0, parts: int = 1) -> tuple[Tensor, Tensor]:
        """Images (B, 3, S, S) float32, normalised and augmented, and labels (B,) int64.

        Of a batch in `parts` equal parts, which several processes share, it is number `part`.
        """
        pixels = self._read(seed, step, part, parts).to(self.device, non_blocking=True)
        images = augmented(
            self.normalisation(pixels),
            self._augment,
            generator(seed, "augment", step),
            part * (self.batch_size // parts),
            self.batch_size,
        )
        labels = self._labels[self.rows(seed, step, part, parts)]
        return images, labels.to(self.device, non_blocking=True)

    @abstractmethod
    def close(self) -> None:
        """End what reads ahead."""

    @abstractmethod
    def _read(self, seed: int, step: int, part: int, parts: int) -> Tensor:
        """The pixels of a part of a batch, uint8 (B, S, S, 3)."""

    def rows(self, seed: int, step: int, part: int, parts: int) -> Tensor:
        """The rows of the images of a part of a batch, int64 (B,)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        size = self.batch_size // parts
        start = place * self.batch_size + part * size
        return self._order(seed, epoch)[start : start + size]

    def _new_order(self, seed: int, epoch: int) -> Tensor:
        random = generator(seed, "order", epoch)
        if self._together == 1:
            return torch.randperm(len(self._labels), generator=random)
        rows = torch.arange(len(self._labels)).split(self._together)
        blocks = [rows[block] for block in torch.randperm(len(rows), generator=random)]
        windows = [
            torch.cat(blocks[start : start + _WINDOW]) for start in range(0, len(blocks), _WINDOW)
        ]
        return torch.cat([w[torch.randperm(len(w), generator=random)] for w in windows])


class MemoryBatches(Batches):
    """Batches of images that are all in memory, or in that of the GPU."""

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        labels: NDArray[np.int64],
        batch_size: int,
        augment: Augment,
        device: torch.device,
        together: int = 1,
    ):
        """`pixels` are (N, S, S, 3)."""
        super().__init__(labels, batch_size, augment, normalisation_of(pixels), device, together)
        self.digest = hashlib.sha256(pixels.data).hexdigest()
        self._pixels = torch.from_numpy(pixels).to(device)

    def close(self) -> None:
        pass

    def _read(self, seed: int, step: int, part: int, parts: int) -> Tensor:
        return self._pixels[self.rows(seed, step, part, parts).to(self.device, non_blocking=True)]


def augmented(
    images: Tensor,
    augment: Augment,
    random: torch.Generator,
    first: int = 0,
    batch_size: int | None = None,
) -> Tensor:
    """Each image of a float batch (B, 3, S, S) changed at random and on its own.

    Shifts are by whole pixels, so that without zoom no pixel is blurred; what comes into view
    mirrors the border. `images` may be those from `first` on of a batch of `batch_size`, and then
    change as they would in it.
    """
    count, _, size, _ = images.shape
    drawn = count if batch_size is None else batch_size

    def uniform(bound: float, *shape: int) -> Tensor:
        own = torch.rand(drawn, *shape, generator=random)[first : first + count]
        return (own * 2 - 1) * bound

    scale = uniform(augment.zoom).exp()
    mirror = uniform(1.0).sign() if augment.flip else torch.ones(count)
    shift = (uniform(augment.shift, 2) * size).round() * (2 / size)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale * mirror, scale, shift
    gain, offset = 1 + uniform(augment.light, 1, 1, 1), uniform(augment.light, 1, 1, 1)
    if augment.flip or augment.shift or augment.zoom:
        theta = theta.to(images.device, non_blocking=True)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    if augment.light:
        gain, offset = (u.to(images.device, non_blocking=True) for u in (gain, offset))
        images = images * gain + offset
    return images.contiguous(memory_format=torch.channels_last)


def normalisation_of(pixels: NDArray[np.uint8]) -> Normalisation:
    """Exact, from the histogram of each channel: no copy of the set is made."""
    values = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(3):
        counts = np.zeros(256, np.int64)
        for start in range(0, len(pixels), _COUNTED):
            some = pixels[start : start + _COUNTED, ..., channel]
            counts += np.bincount(some.ravel(), minlength=256)
        mean = float(np.average(values, weights=counts))
        means.append(mean)
        # At least one grey level, so that a constant channel does not divide by zero.
        deviations.append(
            max(float(np.average((values - mean) ** 2, weights=counts)) ** 0.5, 1 / 255)
        )
    return Normalisation(
        (means[0], means[1], means[2]), (deviations[0], deviations[1], deviations[2])
    )
