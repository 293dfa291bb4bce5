"""Exported files compute what the sub-model computes, by their own runtimes."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from sfsc.data.folder import loose_images
from sfsc.deploy.export import FORMATS, export
from sfsc.embedding.embed import embed_images
from sfsc.files import InputError
from sfsc.switchable import submodel


def run(path, images):
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(["embeddings"], {"images": images})[0]
    return torch.export.load(path).module()(torch.from_numpy(images)).detach().numpy()


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(
    ("backbone", "head"),
    [
        ("resnet18", {}),
        ("test_vit", {}),
        ("resnet18", {"pooling": "gem", "embedding_norm": True}),
        ("resnet18", {"pooling": "max"}),
        ("test_efficientnet", {"pooling": "gem"}),
    ],
)
def test_the_file_and_its_preprocessing_are_all_one_needs(
    make_model, folder, file_format, backbone, head
):
    """Images by Pillow and the description alone, any number at a time."""
    source = make_model(0.25, backbone, **head)
    path = source.with_suffix(f".{file_format}")
    written = export(submodel.load(source), path, file_format)
    how = json.loads(written.read_text())
    assert how["input"]["shape"] == ["batch", 3, 32, 32]
    assert how["output"]["shape"] == ["batch", 8]
    assert how["model"]["pooling"] == head.get("pooling", "timm's")
    assert how["model"]["embedding_norm"] == head.get("embedding_norm", False)

    images = loose_images(folder)
    prepared = []
    for place in range(len(images.ids)):
        image = Image.open(images.paths[place]).convert(how["colour"])
        image = image.resize((how["resize"]["width"], how["resize"]["height"]), Image.BICUBIC)
        pixels = np.asarray(image) * np.float32(how["scale"])
        pixels = (pixels - np.float32(how["mean"])) / np.float32(how["std"])
        prepared.append(pixels.transpose(2, 0, 1))
    batch = np.stack(prepared).astype(np.float32)
    expected = embed_images(images, submodel.load(source), torch.device("cpu"))
    np.testing.assert_allclose(run(path, batch), expected, atol=1e-5)
    np.testing.assert_allclose(run(path, batch[:1]), expected[:1], atol=1e-5)


def test_the_sub_model_is_left_as_it_was(make_model, tmp_path):
    model = submodel.load(make_model(0.25))
    stride = model.network.backbone.conv1.weight.stride()
    export(model, tmp_path / "m.pt2", "pt2")
    assert model.network.backbone.conv1.weight.stride() == stride


def test_refusals_leave_nothing(make_model, tmp_path):
    model = submodel.load(make_model(0.25))
    with pytest.raises(InputError, match="'tflite'; choose from onnx, pt2"):
        export(model, tmp_path / "out" / "m.tflite", "tflite")
    model.network.head.weight.data.fill_(float("nan"))
    with pytest.raises(InputError, match="differ by nan"):
        export(model, tmp_path / "out" / "m.pt2", "pt2")
    assert not list(tmp_path.glob("out/*"))
