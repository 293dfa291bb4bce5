"""Tiny sub-models of one family, as files, and images to search."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sfsc.data.normalisation import Normalisation
from sfsc.switchable import submodel
from sfsc.switchable.backbone import NetworkSpec
from sfsc.switchable.network import build
from sfsc.switchable.submodel import SubModel


@pytest.fixture
def make_model(tmp_path):
    """Write one width of an untrained family; returns the path of its file."""

    def make(width, backbone="resnet18", dimension=8, size=32, **head) -> Path:
        args = {"layers": [1, 1, 1, 1]} if backbone == "resnet18" else {}
        spec = NetworkSpec(backbone, dimension, args=args, image_size=size, **head)
        widths = (0.25, 1.0)
        network = build(spec, widths, 0)
        if head:  # statistics and powers leave their initial values
            network(torch.randn(8, 3, size, size), widths.index(width))
        network = network.extract(widths.index(width)).eval()
        colours = Normalisation((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
        path = tmp_path / f"w{round(100 * width):03d}-{backbone}-{dimension}.safetensors"
        submodel.save(path, SubModel(network, spec, width, colours, classes=3))
        return path

    return make


@pytest.fixture
def folder(tmp_path):
    """Images of several sizes and kinds below a folder, and a file that is none."""
    random = np.random.default_rng(0)
    names = ["b/two.png", "a/one.jpg", "a/deep/three.jpeg", "four.PNG"]
    for place, name in enumerate(names):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (40 + place, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images"
