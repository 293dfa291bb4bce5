"""Every method trains, records itself, repeats and resumes."""

import copy
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from running import after, train
from safetensors.torch import load_file
from torch.nn.functional import normalize

from sfsc import tensors
from sfsc.data.batches import MemoryBatches
from sfsc.data.sets import ArrayImages, TrainSet
from sfsc.files import InputError
from sfsc.method import find
from sfsc.switchable import submodel
from sfsc.training.step import Step

UNCERTAIN = [
    "sfsc",
    "sfsc-no-projection",
    "sfsc-upgrad",
    "sfsc-mgda",
    "sfsc-cagrad",
    "sfsc-weighted",
    "sfsc-homoscedastic",
    "equal-voices",
    "independent-evidential",
    "bct-frozen-evidential",
]
SEPARATE = ["independent", "bct", "bct-frozen", "independent-evidential", "bct-frozen-evidential"]
METHODS = [
    *UNCERTAIN,
    "sfsc-no-uncertainty",
    "sfsc-plain",
    "independent",
    "bct",
    "bct-frozen",
    "joint",
]


def model_bytes(task):
    return {path.name: path.read_bytes() for path in sorted(task.models.iterdir())}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_leaves_one_static_sub_model_a_width(make_task, method):
    task = make_task(epochs=1)
    train(task, method)
    assert list(model_bytes(task)) == ["w050.safetensors", "w100.safetensors"]
    pixels = torch.from_numpy(task.train_set.images.pixels[:5])
    for name, width in (("w050", 0.5), ("w100", 1.0)):
        model = submodel.load(task.models / f"{name}.safetensors")
        assert (model.width, model.spec.image_size, model.classes) == (width, 16, 4)
        embeddings = model.embed(pixels)
        assert embeddings.shape == (5, 8)
        torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(5))

    log = pd.read_parquet(task.records / "log.parquet")
    losses = log[log["quantity"] == "loss"]
    assert set(losses["model"]) == {"w050", "w100"}
    assert losses.groupby("model").size().tolist() == [6, 6]
    norms = log[log["quantity"] == "gradient_norm"]
    assert norms.groupby("model").size().tolist() == [6, 6]
    assert (norms["value"] > 0).all()
    assert ("uncertainty" in set(log["quantity"])) == (method in UNCERTAIN)
    assert ("conflict_share" in set(log["quantity"])) == (method not in SEPARATE)
    conflicts = pd.read_csv(task.records / "conflicts.csv")
    assert list(conflicts) == ["layer", "model", "conflict_share", "cosine"]
    assert conflicts.empty == (method in SEPARATE)
    summary = json.loads((task.records / "summary.json").read_text())
    assert summary["train_seconds"] > 0
    assert summary["images"] == 48
    assert not list(task.records.glob("checkpoint*"))


def test_training_learns(make_task):
    task = make_task(epochs=6)
    train(task, "sfsc")
    log = pd.read_parquet(task.records / "log.parquet")
    losses = log[(log["quantity"] == "loss") & (log["model"] == "w050")]["value"].to_numpy()
    assert losses[-5:].mean() < 0.5 * losses[:5].mean()


@pytest.mark.parametrize("method", ["sfsc", "bct"])
def test_the_same_seed_gives_the_same_bytes(make_task, method):
    first, second, other = make_task("a"), make_task("b"), make_task("c", seed=1)
    for task in (first, second, other):
        train(task, method)
    assert model_bytes(first) == model_bytes(second)
    assert model_bytes(first) != model_bytes(other)


@pytest.mark.parametrize(
    ("method", "args"), [("sfsc", {}), ("bct", {}), ("sfsc", {"drop_path_rate": 0.5})]
)
@pytest.mark.parametrize("stop", [1, 7, 11])
def test_a_run_that_was_cut_off_ends_with_the_same_bytes(make_task, method, args, stop):
    undisturbed = make_task("a", args=args)
    train(undisturbed, method)

    # Every step is saved, and the run breaks off after `stop` of them.
    broken = make_task("b", checkpoint_seconds=1e-9, args=args)
    torch.manual_seed(stop)  # what else happened in the process does not matter
    with pytest.raises(KeyboardInterrupt):
        train(broken, method, after(stop))
    assert list(broken.records.glob("checkpoint*"))
    train(broken, method)
    assert model_bytes(broken) == model_bytes(undisturbed)
    columns = ["step", "model", "quantity", "value"]
    logs = [pd.read_parquet(t.records / "log.parquet")[columns] for t in (undisturbed, broken)]
    logs = [log[log["quantity"] != "images_per_second"].reset_index(drop=True) for log in logs]
    pd.testing.assert_frame_equal(*logs)
    conflicts = [task.records / "conflicts.csv" for task in (undisturbed, broken)]
    assert conflicts[0].read_bytes() == conflicts[1].read_bytes()


def test_all_methods_of_a_seed_see_the_same_batches(make_task, monkeypatch):
    seen = []
    original = MemoryBatches.batch

    def batch(self, *arguments):
        images, labels, rows = original(self, *arguments)
        seen.append((images.clone(), labels.clone()))
        return images, labels, rows

    monkeypatch.setattr(MemoryBatches, "batch", batch)
    for method, networks in (("sfsc", 1), ("joint", 1), ("independent", 2), ("bct", 2)):
        train(make_task(method, epochs=1), method)
        assert len(seen) == 6 * (networks + (method != "sfsc"))
        for number, (images, labels) in enumerate(seen):
            assert torch.equal(images, seen[number % 6][0])
            assert torch.equal(labels, seen[number % 6][1])
        del seen[6:]  # those of sfsc stay, to compare with
    train(make_task("other", epochs=1, seed=1), "sfsc")
    assert not torch.equal(seen[0][0], seen[6][0])


def test_gradient_norms_and_conflicts_equal_those_of_separate_backward_passes(
    make_task, monkeypatch
):
    """Before each update, every sub-model's gradient alone, over a copy of the network."""
    widths, expected = (0.5, 0.75, 1.0), []
    original = Step.__call__

    def call(self, batch, rate, random, turn):
        modules = copy.deepcopy(self.modules)
        network, objective = modules["network"], modules["objective"]
        shared = [*network.shared_parameters(), *objective.shared_parameters()]
        of_objective = list(objective.shared_parameters())
        rows = []
        for index in range(len(widths)):
            directions = normalize(network(batch.images, index), dim=1)
            loss = objective(index, directions, batch, {}).loss
            leaves = [*network.leaves(index), *of_objective]
            row = [torch.zeros_like(parameter) for parameter in shared]
            for whole, part in zip(row, torch.autograd.grad(loss, leaves), strict=True):
                whole[tuple(map(slice, part.shape))] = part
            rows.append([part.flatten().double() for part in row])
        expected.append(rows)
        return original(self, batch, rate, random, turn)

    monkeypatch.setattr(Step, "__call__", call)
    task = make_task(widths=widths, epochs=1)
    train(task, "sfsc")

    log = pd.read_parquet(task.records / "log.parquet")
    norms = log[log["quantity"] == "gradient_norm"].pivot(
        index="step", columns="model", values="value"
    )
    for found, rows in zip(norms.to_numpy(), expected, strict=True):
        assert found == pytest.approx([torch.cat(row).norm().item() for row in rows], rel=1e-3)

    conflicts = pd.read_csv(task.records / "conflicts.csv")
    layers = list(dict.fromkeys(conflicts["layer"]))
    assert layers[-1] == "objective.classifier.weight"
    assert len(layers) == len(expected[0][0])
    pairs = {"w050-w075": (0, 1), "w050-w100": (0, 2), "w075-w100": (1, 2)}
    assert len(conflicts) == len(layers) * len(pairs)
    for row in conflicts.itertuples():
        i, j = pairs[row.model]
        place = layers.index(row.layer)
        cosines = [
            torch.cosine_similarity(rows[i][place], rows[j][place], dim=0).item()
            for rows in expected
        ]
        assert row.cosine == pytest.approx(np.mean(cosines), abs=1e-3)
        if min(map(abs, cosines)) > 1e-3:  # one near 0 may fall on either side
            assert row.conflict_share == pytest.approx(np.mean(np.array(cosines) < 0))
    assert 0 < conflicts["conflict_share"].mean() < 1


def test_what_another_loss_left_halfway_is_not_resumed(make_task):
    """An entry of a profile may come to name another method; its checkpoints stay."""
    expected = make_task("a")
    train(expected, "sfsc-no-projection")
    task = make_task("b", checkpoint_seconds=1e-9)
    with pytest.raises(KeyboardInterrupt):
        train(task, "sfsc-plain", after(5))
    assert list(task.records.glob("checkpoint*"))
    train(task, "sfsc-no-projection")
    assert model_bytes(task) == model_bytes(expected)


def test_a_clipped_update_is_the_shortened_gradient(make_task, monkeypatch):
    """What reaches the optimiser points where it did, and is as long as asked."""
    seen = {}

    def look(name):
        original = torch.optim.AdamW.step

        def step(self, *arguments):
            gradients = [p.grad.flatten() for g in self.param_groups for p in g["params"]]
            seen.setdefault(name, torch.cat(gradients).clone())
            return original(self, *arguments)

        return step

    for name, norm in (("free", None), ("clipped", 0.01), ("loose", 1e6)):
        with monkeypatch.context() as patch:
            patch.setattr(torch.optim.AdamW, "step", look(name))
            train(make_task(name, epochs=1, clip_norm=norm), "sfsc")
    torch.testing.assert_close(seen["loose"], seen["free"])
    assert seen["free"].norm() > 0.1
    torch.testing.assert_close(seen["clipped"].norm(), torch.tensor(0.01), rtol=1e-3, atol=0)
    torch.testing.assert_close(
        torch.cosine_similarity(seen["clipped"], seen["free"], dim=0), torch.tensor(1.0)
    )


def test_a_checkpoint_of_other_settings_is_not_resumed(make_task):
    changed = make_task("a", learning_rate=0.02)
    train(changed, "sfsc")
    task = make_task("b")
    train(task, "sfsc-plain")
    # What another method left half-way under the same name.
    mixed = make_task("c", learning_rate=0.02)
    path = mixed.records / "checkpoint-0-w050-w100.safetensors"
    tensors.save(path, {}, {"fingerprint": {}, "step": 3, "seconds": 1.0})
    train(mixed, "sfsc")
    assert model_bytes(mixed) == model_bytes(changed)


def test_models_trained_apart_start_apart(make_task):
    """Equal initial classifiers alone would make independent models compatible."""
    task = make_task(epochs=1, learning_rate=1e-9)
    train(task, "independent")
    narrow, wide = (submodel.load(task.models / f"{name}.safetensors") for name in ("w050", "w100"))
    first = narrow.network.head.weight
    assert not torch.allclose(first, wide.network.head.weight[:, : first.shape[1]], atol=1e-3)


def test_bct_makes_the_others_fit_the_reference_classifier(make_task):
    """The reference equals the independent model of that width; the others are drawn to it."""
    independent, bct = make_task("a", epochs=8), make_task("b", epochs=8)
    train(independent, "independent")
    train(bct, "bct")
    assert model_bytes(bct)["w100.safetensors"] == model_bytes(independent)["w100.safetensors"]
    pixels = torch.from_numpy(bct.train_set.images.pixels)
    agreement = {}
    for name, task in (("independent", independent), ("bct", bct)):
        narrow, wide = (
            submodel.load(task.models / f"{width}.safetensors").embed(pixels)
            for width in ("w050", "w100")
        )
        agreement[name] = (narrow * wide).sum(dim=1).mean().item()
    assert agreement["bct"] > agreement["independent"] + 0.3


def test_a_non_finite_loss_stops_and_keeps_the_last_good_state(make_task):
    task = make_task(learning_rate=1e30, checkpoint_seconds=1e-9)
    with pytest.raises(InputError, match=r"step \d+ of 12: the loss of w\d+ is .* learning rate"):
        train(task, "sfsc-plain")
    assert not task.models.exists()
    assert not (task.records / "log.parquet").exists()
    for path in task.records.glob("checkpoint-*"):
        saved = load_file(path)
        assert all(saved[name].isfinite().all() for name in saved if name != "log")


def test_bad_images_stop_or_are_counted(make_task, tmp_path):
    class Broken(ArrayImages):
        def read(self, row):
            if row == 3:
                raise InputError("3.jpg: cannot be decoded")
            return super().read(row)

    good = make_task().train_set
    broken = TrainSet(Broken(good.images.ids, good.images.pixels), good.labels, good.classes)
    with pytest.raises(InputError, match=r"3\.jpg"):
        train(make_task(train_set=broken), "sfsc")
    task = make_task(train_set=broken, on_bad_image="skip")
    train(task, "sfsc")
    summary = json.loads((task.records / "summary.json").read_text())
    assert (summary["images"], summary["images_skipped"]) == (47, 1)


def test_an_unknown_method_is_named():
    with pytest.raises(InputError, match=r"baselines/no-such-method\.py"):
        find("no-such-method")


def test_labels_follow_their_images_when_some_are_left_out(make_task):
    from sfsc.data.batches import load_pixels

    class Broken(ArrayImages):
        def read(self, row):
            if row in (0, 5):
                raise InputError("cannot be decoded")
            return super().read(row)

    images = make_task().train_set.images
    pixels, rows = load_pixels(Broken(images.ids, images.pixels), range(10), 16, "skip")
    assert rows.tolist() == [1, 2, 3, 4, 6, 7, 8, 9]
    assert np.array_equal(pixels, images.pixels[rows])


def test_compiled_passes_train_what_plain_ones_do(make_task, monkeypatch):
    # The graphs are captured as on a GPU, and run as they are: no code is generated here.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    weights = []
    for compiled in (False, True):
        task = make_task(str(compiled), epochs=1, compile=compiled)
        train(task, "sfsc")
        weights.append(load_file(task.models / "w050.safetensors"))
    for name, plain in weights[0].items():
        torch.testing.assert_close(weights[1][name], plain, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", ["sfsc", "prunnet", "us-nets"])
def test_a_learnt_pooling_and_a_norm_of_the_embedding_reach_the_files(make_task, method):
    task = make_task(epochs=1)
    members = tuple(
        replace(member, spec=replace(member.spec, pooling="gem", embedding_norm=True))
        for member in task.members
    )
    train(replace(task, members=members), method)
    for member in members:
        model = submodel.load(task.models / f"{member.name}.safetensors")
        assert model.spec == replace(member.spec, image_size=16)
        assert model.network.backbone.global_pool.power.item() != 3.0
        assert model.network.head_norm.running_mean.abs().max() > 0
