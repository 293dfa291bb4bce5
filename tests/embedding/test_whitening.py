"""Whitening against scikit-learn's, and one map for a family."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

from sfsc.data.normalisation import Normalisation
from sfsc.data.sets import ArrayImages, GroundTruth, LabelRelevance, RetrievalSet
from sfsc.embedding.embed import WhitenedBy, embed_set
from sfsc.embedding.whitening import learnt, sample
from sfsc.files import InputError
from sfsc.switchable import submodel, translation
from sfsc.switchable.backbone import NetworkSpec
from sfsc.switchable.network import build
from sfsc.switchable.submodel import SubModel
from sfsc.switchable.translation import Translation

SPEC = NetworkSpec("resnet18", 8, 8, 2, {"layers": [1, 1, 1, 1]}, image_size=16)
COLOURS = Normalisation((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


def units(rows, dimension=8, seed=0):
    random = np.random.default_rng(seed)
    mixed = random.standard_normal((rows, dimension)) @ random.standard_normal((dimension,) * 2)
    return normalize(mixed + 1).astype(np.float32)


def test_it_is_that_of_scikit_learn():
    training, others = units(200), units(50, seed=1)
    by = learnt(training)
    expected = PCA(whiten=True).fit(training.astype(np.float64))
    signs = np.sign(np.sum(by.matrix * expected.components_.T, axis=0))
    found = by(others) * signs
    np.testing.assert_allclose(found, normalize(expected.transform(others)), atol=1e-5)


def test_directions_without_variance_are_left_out():
    training = np.concatenate([units(200, 5), np.zeros((200, 3), np.float32)], axis=1)
    by = learnt(training)
    assert by.matrix.shape == (8, 5)
    np.testing.assert_allclose(np.linalg.norm(by(training), axis=1), 1, atol=1e-6)
    few = units(4)  # they span three directions from their mean
    assert learnt(few).matrix.shape == (8, 3)


def images(count, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    return ArrayImages([f"{seed}-{n}" for n in range(count)], pixels)


def test_a_large_training_set_is_sampled_evenly():
    class Many:
        ids = range(40_000)

    assert list(sample(Many()).ids) == list(range(0, 40_000, 3))


def test_all_members_and_translations_are_whitened_by_the_named_ones_map(tmp_path):
    gallery, training = images(20, 0), images(60, 1)
    labels = np.zeros(20, np.int64)
    truth = GroundTruth(
        "labelled", gallery.ids, gallery.ids, {"all": LabelRelevance(labels, labels, True)}
    )
    whole = RetrievalSet(gallery, gallery, truth)
    models = {}
    for seed in (0, 1):
        network = build(SPEC, (0.5, 1.0), seed).train()
        with torch.no_grad():  # no unit is dead by accident
            for parameter in network.parameters():
                parameter += 0.1 * torch.rand(parameter.shape)
            for index in (0, 1):
                network(torch.randn(8, 3, 16, 16), index)
        for index, name in enumerate(("w050", "w100")):
            path = tmp_path / f"models{seed}" / f"{name}.safetensors"
            static = network.extract(index).eval()
            submodel.save(path, SubModel(static, SPEC, network.widths[index], COLOURS, 3))
            models[tmp_path / f"{name}-{seed}"] = path
    turned = Translation([torch.nn.Linear(8, 8)])
    translation.save(tmp_path / "models0" / "w050.gallery-for-w100.safetensors", turned)
    (tmp_path / "w050-1").mkdir()
    np.save(tmp_path / "w050-1" / "gallery-for-w100.npy", units(20))  # of an earlier run

    embed_set(whole, models, whitened=WhitenedBy("w100", training))
    plain = {tmp_path / "plain" / folder.name: path for folder, path in models.items()}
    embed_set(whole, plain)
    for seed in (0, 1):
        teacher = submodel.load(tmp_path / f"models{seed}" / "w100.safetensors")
        by = learnt(teacher.embed(torch.from_numpy(training.pixels)).numpy())
        for name in ("w050", "w100"):
            folder, before = tmp_path / f"{name}-{seed}", tmp_path / "plain" / f"{name}-{seed}"
            assert [p.name for p in sorted(folder.iterdir())] == [
                p.name for p in sorted(before.iterdir())
            ]
            for path in before.iterdir():
                expected = by(np.load(path))
                np.testing.assert_allclose(np.load(folder / path.name), expected, atol=1e-4)
    assert (tmp_path / "w050-0" / "gallery-for-w100.npy").exists()


def test_a_family_of_several_dimensions_is_refused(tmp_path):
    models = {}
    for name, dim in (("small", 4), ("large", 8)):
        spec = replace(SPEC, embedding_dim=dim)
        static = build(spec, (1.0,), 0).extract(0).eval()
        submodel.save(
            tmp_path / "models" / f"{name}.safetensors", SubModel(static, spec, 1.0, COLOURS, 3)
        )
        models[tmp_path / name] = tmp_path / "models" / f"{name}.safetensors"
    data = images(5, 0)
    truth = GroundTruth("labelled", data.ids, data.ids, {})
    with pytest.raises(InputError, match="whitening: has dimension 4, but the map is of dimension"):
        embed_set(RetrievalSet(data, data, truth), models, None, WhitenedBy("large", data))
