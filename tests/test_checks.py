"""`sfsc check`: what is found before the first job."""

from pathlib import Path

import pytest
import yaml
from PIL import Image

from sfsc import config
from sfsc.checks import require_sound
from sfsc.files import InputError

PROFILE = """
profile: test
seeds: [0]
methods: [sfsc]
widths: [0.5, 1.0]
model:
  {backbone: resnet18, base_channels: 8, stem_stride: 2, embedding_dim: 8,
   args: {layers: [1, 1, 1, 1]}}
training: {epochs: 1, batch_size: 8, learning_rate: 0.05}
train_sets: {a: {kind: digits, image_size: 8}}
eval_sets: {b: {kind: digits, train_set: a}}
"""
VIT = {"backbone": "test_vit", "embedding_dim": 8}


def mistakes(profile):
    try:
        require_sound(config.check(profile, "p.yaml"), "p.yaml")
    except InputError as error:
        return str(error).splitlines()
    return []


@pytest.fixture
def profile():
    return yaml.safe_load(PROFILE)


@pytest.mark.parametrize("widths", [[0.5, 1.0], [1.0]])
def test_a_sound_profile(profile, widths):
    assert mistakes(profile | {"widths": widths}) == []


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"backbone": "resnet81"}, "timm has no such model; did you mean"),
        ({"args": {"layer": [1, 1, 1, 1]}}, "unexpected keyword argument 'layer'"),
        ({"args": {"layers": [1, 1]}}, "model.backbone: resnet18 does not run at width 0.5"),
        ({"args": {"layers": 4}}, "model.args: resnet18 does not take"),
        ({"args": {"layers": [1, 1, 1, -1]}}, "resnet18"),
        ({"args": {"block": "basic"}}, "model.args: resnet18 does not take"),
        (VIT | {"args": {"depth": "2"}}, "model.args: test_vit does not take"),
        (VIT, "test_vit"),  # its patches are larger than the images
    ],
)
def test_a_network_that_cannot_be_is_one_line(profile, model, message):
    profile["model"] = profile["model"] | model if "embedding_dim" not in model else model
    (line,) = mistakes(profile)
    assert line.startswith("p.yaml: train_sets.a: model.")
    assert message in line


def test_a_network_of_one_width_is_tried_too(profile):
    profile["model"]["args"] = {"layers": [1, 1]}
    (line,) = mistakes(profile | {"widths": [1.0]})
    assert "model.backbone: resnet18 does not run at width 1.0" in line


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"search": {"kind": "faiss", "factory": "Flut"}}, "faiss refuses factory 'Flut'"),
        ({"search": {"kind": "faiss", "factory": "PQ3"}}, "for dimension 8"),
        (
            {"search": {"kind": "faiss", "factory": "IVF8,Flat", "parameters": "probes=2"}},
            "'probes=2'",
        ),
    ],
)
def test_a_search_that_faiss_does_not_know(profile, entry, message):
    profile["eval_sets"]["b"] |= entry
    (line,) = mistakes(profile)
    assert line.startswith("p.yaml: eval_sets.b: search: ")
    assert message in line


def test_sizes_that_a_transformer_does_not_take(profile):
    profile["model"] = VIT
    profile["train_sets"]["a"]["image_size"] = 32
    profile["eval_sets"]["b"]["scales"] = [0.5, 1.0]
    (line,) = mistakes(profile)
    assert line.startswith("p.yaml: eval_sets.b: long_side, scales: test_vit takes")


def test_sets_that_cannot_be_read_or_scored_are_a_line_each(profile, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("train/cat/0.jpg", "test/cat/0.jpg", "test/dog/0.jpg"):
        Path("data", name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(Path("data", name))
    Path("gldv2").mkdir()
    Path("gldv2/train_clean.csv").write_text("landmark_id,pictures\n1,a\n")
    profile["train_sets"] |= {
        "c": {"kind": "folder", "path": "data", "image_size": 8},
        "d": {"kind": "gldv2", "path": "gldv2", "image_size": 8},
    }
    profile["eval_sets"] |= {"e": {"kind": "folder", "path": "data", "train_set": "c"}}
    lines = mistakes(profile)
    assert len(lines) == 2
    assert "train_sets.d: gldv2/train_clean.csv: has no column 'images'" in lines[0]
    assert "eval_sets.e: data: none of its 2 queries has a positive" in lines[1]
    assert not Path("results").exists()


def test_what_is_still_to_be_drawn_is_not_read(profile, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    profile["synthetic"] = {"path": "drawn"}
    profile["train_sets"]["a"] = {"kind": "gldv2", "path": "drawn/gldv2", "image_size": 8}
    assert mistakes(profile) == []
