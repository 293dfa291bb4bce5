"""What a training step sees of the data."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Augmented images with what belongs to them; with several processes, this process's part."""

    images: Tensor
    """float32 (B, 3, S, S), normalised."""
    labels: Tensor
    """int64 (B,), on the device of the images."""
    rows: Tensor
    """int64 (B,), on the CPU: the images' places in the training set."""
    step: int
    steps: int
    """Of the whole training."""
    generator: torch.Generator
    """On the CPU, for what an objective or an aggregation draws; seeded by step and rank."""
