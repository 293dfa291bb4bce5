"""A tiny training task."""

import numpy as np
import pytest

from sfsc.data.sets import ArrayImages, TrainSet
from sfsc.method import Method
from sfsc.options import NoOptions
from sfsc.profile import Augment, TrainingOptions
from sfsc.switchable.backbone import NetworkSpec
from sfsc.switchable.network import model_name
from sfsc.training.member import Member
from sfsc.training.task import Task


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
            "epochs": 2,
            "batch_size": 8,
            "learning_rate": 0.01,
            "warmup": 0.3,
            "augment": Augment(flip=True, shift=0.1, light=0.1),
        }
        args = {"layers": [1, 1, 1, 1], **changes.pop("args", {})}
        spec = NetworkSpec("resnet18", 8, 8, 2, args, image_size=16)
        widths = changes.pop("widths", (0.5, 1.0))
        members = tuple(Member(model_name(width), spec, width) for width in widths)
        return Task(
            Method(None, "which training gives it"),
            NoOptions(),
            changes.pop("members", members),
            changes.pop("scenario", "capacity"),
            changes.pop("train_set", TrainSet(images, labels, ["a", "b", "c", "d"])),
            changes.pop("seed", 0),
            TrainingOptions(**options | changes),
            tmp_path / folder / "models",
            tmp_path / folder / "records",
        )

    return make
