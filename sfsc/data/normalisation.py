"""Images as networks take them: the mean of each colour channel 0, its deviation 1."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_COUNTED = 256
"""Images whose pixels are counted at a time: for that, each takes eight bytes."""


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
