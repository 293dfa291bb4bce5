"""Sub-model files and embedding files."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from sfsc import tensors
from sfsc.data.normalisation import Normalisation
from sfsc.data.sets import ArrayImages, GroundTruth, LabelRelevance, RetrievalSet
from sfsc.embedding.embed import embed_set
from sfsc.files import InputError
from sfsc.profile import Sizes
from sfsc.switchable import submodel
from sfsc.switchable.backbone import NetworkSpec
from sfsc.switchable.network import build
from sfsc.switchable.submodel import SubModel

SPEC = NetworkSpec("resnet18", 8, 8, 2, {"layers": [1, 1, 1, 1]}, image_size=16)
COLOURS = Normalisation((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


def make_model(width=0.5, seed=0, size=16):
    spec = replace(SPEC, image_size=size)
    network = build(spec, [width], seed).extract(0)
    return SubModel(network, spec, width, COLOURS, classes=3)


def make_set(queries=5, gallery=600):
    random = np.random.default_rng(0)

    def images(prefix, count):
        pixels = random.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
        return ArrayImages([f"{prefix}{i}" for i in range(count)], pixels)

    q, g = images("q", queries), images("g", gallery)
    relevance = LabelRelevance(np.zeros(queries, np.int64), np.zeros(gallery, np.int64), False)
    return RetrievalSet(q, g, GroundTruth("labelled", q.ids, g.ids, {"all": relevance}))


def test_a_saved_sub_model_computes_the_same(tmp_path):
    model = make_model()
    submodel.save(tmp_path / "a.safetensors", model)
    submodel.save(tmp_path / "b.safetensors", model)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    loaded = submodel.load(tmp_path / "a.safetensors")
    pixels = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8)
    torch.testing.assert_close(loaded.embed(pixels), model.embed(pixels))
    assert loaded.normalisation == COLOURS


def test_cost_in_the_header_is_that_of_the_layers(tmp_path):
    """Multiply-adds by hooks on the layers of the plain network, one image."""
    model = make_model(width=1.0)
    submodel.save(tmp_path / "m.safetensors", model)
    info = tensors.load(tmp_path / "m.safetensors")[1]
    total = 0

    def count(layer, inputs, output):
        nonlocal total
        total += layer.weight.numel() * (output[0, 0].numel() if output.ndim == 4 else 1)

    for layer in model.network.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(count)
    model.network.eval()(torch.zeros(1, 3, 16, 16))
    assert info["multiply_adds"] == total
    assert info["parameters"] == sum(p.numel() for p in model.network.parameters())


def test_embeddings_follow_the_contract(tmp_path):
    data, models = make_set(), {}
    for name, seed in (("a", 0), ("b", 1)):
        submodel.save(tmp_path / f"{name}.safetensors", make_model(seed=seed))
        models[tmp_path / name] = tmp_path / f"{name}.safetensors"
    embed_set(data, models)
    for folder, path in models.items():
        for part, images in (("query", data.queries), ("gallery", data.gallery)):
            array = np.load(folder / f"{part}.npy")
            assert array.dtype == np.float32
            assert array.flags.c_contiguous
            assert array.shape == (len(images.ids), 8)
            expected = submodel.load(path).embed(torch.from_numpy(images.pixels)).numpy()
            np.testing.assert_allclose(array, expected, atol=1e-5)
    assert [p.name for p in sorted((tmp_path / "a").iterdir())] == ["gallery.npy", "query.npy"]


def test_a_gallery_that_queries_itself_is_embedded_once_and_written_twice(tmp_path):
    data = make_set()
    own = RetrievalSet(data.gallery, data.gallery, data.ground_truth)
    submodel.save(tmp_path / "m.safetensors", make_model())
    embed_set(own, {tmp_path / "m": tmp_path / "m.safetensors"})
    files = [(tmp_path / "m" / f"{part}.npy").read_bytes() for part in ("query", "gallery")]
    assert files[0] == files[1]


class Broken(ArrayImages):
    def read(self, row, least=0):
        if row == 500:
            raise InputError("g500: cannot be decoded")
        return super().read(row)


def test_a_broken_image_leaves_no_embeddings(tmp_path):
    data = make_set()
    broken = Broken(data.gallery.ids, data.gallery.pixels)
    submodel.save(tmp_path / "m.safetensors", make_model())
    with pytest.raises(InputError, match="g500"):
        embed_set(
            RetrievalSet(data.queries, broken, data.ground_truth),
            {tmp_path / "m": tmp_path / "m.safetensors"},
        )
    assert not list((tmp_path / "m").glob("[!.]*"))


class Interrupted(ArrayImages):
    """Counts what is read, and is interrupted at one row; it counts as the images it is of."""

    def __init__(self, images, row=None):
        super().__init__(images.ids, images.pixels)
        object.__setattr__(self, "row", row)
        object.__setattr__(self, "seen", [])

    def __reduce__(self):
        return ArrayImages, (self.ids, self.pixels)

    def read(self, row, least=0):
        if row == self.row:
            raise KeyboardInterrupt
        self.seen.append(row)
        return super().read(row)


def test_what_was_cut_off_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr("sfsc.embedding.embed._SECONDS_BETWEEN_SAVES", 0)
    data = make_set()
    submodel.save(tmp_path / "m.safetensors", make_model())
    embed_set(data, {tmp_path / "whole": tmp_path / "m.safetensors"})

    def go_on(row=None, model="m", images=data.gallery):
        gallery = Interrupted(images, row)
        embed_set(
            RetrievalSet(data.queries, gallery, data.ground_truth),
            {tmp_path / "parts": tmp_path / f"{model}.safetensors"},
        )
        return sorted(gallery.seen)

    with pytest.raises(KeyboardInterrupt):
        go_on(row=400)
    assert not list((tmp_path / "parts").glob("[!.]*"))
    assert go_on() == list(range(256, 600))
    for part in ("query", "gallery"):
        parts, whole = (tmp_path / name / f"{part}.npy" for name in ("parts", "whole"))
        assert parts.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == [
        "gallery.npy",
        "query.npy",
    ]

    # A torn state, other images and another sub-model start anew, and the first rows are then gone.
    with pytest.raises(KeyboardInterrupt):
        go_on(row=400)
    (tmp_path / "parts" / ".growing.gallery.json").write_text("")
    with pytest.raises(KeyboardInterrupt):
        go_on(row=400)
    others = ArrayImages(data.gallery.ids, 255 - data.gallery.pixels)
    assert go_on(images=others) == list(range(600))
    submodel.save(tmp_path / "other.safetensors", make_model(seed=1))
    with pytest.raises(KeyboardInterrupt):
        go_on(row=400)
    with pytest.raises(KeyboardInterrupt):
        go_on(row=100, model="other")
    assert go_on() == list(range(600))
    assert (tmp_path / "parts" / "gallery.npy").read_bytes() == (
        tmp_path / "whole" / "gallery.npy"
    ).read_bytes()


@pytest.mark.parametrize("content", [b"", b"not a safetensors file", b"\xff" * 64])
def test_a_broken_sub_model_file_is_named(tmp_path, content):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.safetensors: not a safetensors file"):
        submodel.load(path)


def test_another_format_version_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    submodel.save(path, make_model())
    weights, info = tensors.load(path)
    tensors.save(path, weights, info | {"format_version": 99})
    with pytest.raises(InputError, match="format version 99"):
        submodel.load(path)
    tensors.save(path, weights, info | {"width": 1.0})
    with pytest.raises(InputError, match="weights do not fit"):
        submodel.load(path)


def test_sub_models_of_different_image_sizes_are_refused(tmp_path):
    models = {}
    for size in (16, 24):
        submodel.save(tmp_path / f"{size}.safetensors", make_model(size=size))
        models[tmp_path / str(size)] = tmp_path / f"{size}.safetensors"
    with pytest.raises(InputError, match=r"\[16, 24\]"):
        embed_set(make_set(), models)


class Sized:
    """Images of several sizes and shapes; `read` as the protocol says."""

    def __init__(self, sizes):
        random = np.random.default_rng(1)
        self.pixels = [random.integers(0, 256, (h, w, 3), dtype=np.uint8) for w, h in sizes]
        self.ids = [str(place) for place in range(len(sizes))]

    def read(self, row, least=0):
        return self.pixels[row]


def test_images_of_any_shape_at_several_scales(tmp_path, monkeypatch):
    """Against one image at a time: Pillow, torch's interpolation, the plain network."""
    images = Sized([(64, 40), (40, 64), (64, 40), (20, 30), (100, 50), (64, 40)])
    truth = GroundTruth("labelled", images.ids, images.ids, {})
    submodel.save(tmp_path / "m.safetensors", make_model())
    monkeypatch.setattr("sfsc.embedding.embed._LARGEST_BATCH", 2 * 48 * 30)  # two at a time
    models = {tmp_path / "m": tmp_path / "m.safetensors"}
    embed_set(RetrievalSet(images, images, truth), models, Sizes(48, (1.0, 0.5)))
    found = np.load(tmp_path / "m" / "gallery.npy")

    model = submodel.load(tmp_path / "m.safetensors")
    mean, std = (torch.tensor(x)[:, None, None] for x in (COLOURS.mean, COLOURS.std))
    sizes = [(48, 30), (30, 48), (48, 30), (20, 30), (48, 24), (48, 30)]
    for row, size in enumerate(sizes):
        image = Image.fromarray(images.read(row)).resize(size, Image.Resampling.BICUBIC)
        x = (torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255 - mean) / std
        small = torch.nn.functional.interpolate(x[None], scale_factor=0.5, mode="bilinear")
        with torch.no_grad():
            both = [torch.nn.functional.normalize(model.network(y)) for y in (x[None], small)]
        expected = torch.nn.functional.normalize(both[0] + both[1])[0]
        np.testing.assert_allclose(found[row], expected.numpy(), atol=1e-5)


def test_transformers_take_their_own_size_alone(tmp_path):
    spec = NetworkSpec("test_vit", 8, image_size=32)
    network = build(spec, [1.0], 0).extract(0)
    submodel.save(tmp_path / "m.safetensors", SubModel(network, spec, 1.0, COLOURS, classes=3))
    with pytest.raises(InputError, match="long_side, scales: test_vit takes images of 32 pixels"):
        embed_set(make_set(), {tmp_path / "m": tmp_path / "m.safetensors"}, Sizes(48))
    assert not (tmp_path / "m").exists()
