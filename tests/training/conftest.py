"""A tiny training task."""

import numpy as np
import pytest

from sfsc.data.loader import Augment
from sfsc.data.sets import ArrayImages, TrainSet
from sfsc.switchable.backbone import NetworkSpec
from sfsc.training.family import Task
from sfsc.training.options import TrainingOptions


@pytest.fixture
def make_task(tmp_path):
    """Tasks on coloured squares: 4 classes told apart by their mean colour."""

    def make(folder="family", **changes):
        random = np.random.default_rng(0)
        labels = np.arange(48) % 4
        colours = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200], [160, 160, 40]])
        noise = random.integers(-30, 30, (48, 16, 16, 3))
        pixels = (colours[labels][:, None, None] + noise).clip(0, 255).astype(np.uint8)
        images = ArrayImages([f"image{i}" for i in range(48)], pixels)
        options = {
            "epochs": 2, "batch_size": 8, "learning_rate": 0.01, "warmup": 0.3,
            "augment": Augment(flip=True, shift=0.1, light=0.1),
        }  # fmt: skip
        args = {"layers": [1, 1, 1, 1], **changes.pop("args", {})}
        return Task(
            changes.pop("train_set", TrainSet(images, labels, ["a", "b", "c", "d"])),
            changes.pop("widths", (0.5, 1.0)),
            changes.pop("seed", 0),
            NetworkSpec("resnet18", 8, 8, 2, args, image_size=16),
            TrainingOptions(**options | changes),
            tmp_path / folder / "models",
            tmp_path / folder / "records",
        )

    return make
