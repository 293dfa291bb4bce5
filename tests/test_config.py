"""Profiles: what is accepted, and one line that names the key for what is not."""

from pathlib import Path

import pytest
import yaml

from sfsc import config
from sfsc.files import InputError

ROOT = Path(__file__).parents[1]
MINI = yaml.safe_load((ROOT / "config" / "mini.yaml").read_text())


def changed(path, value):
    copy = yaml.safe_load(yaml.safe_dump(MINI))
    *parents, last = path.split("/")
    place = copy
    for key in parents:
        place = place[key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return copy


@pytest.mark.parametrize("name", ["mini", "cifar10"])
def test_the_profiles_are_in_order(name, monkeypatch, tmp_path):
    monkeypatch.setenv("SFSC_CIFAR10", str(tmp_path))
    assert config.read(ROOT / "config" / f"{name}.yaml")["profile"] == name


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("epochs", 3, "epochs: unknown key; known: profile"),
        ("training/epoch", 3, "training.epoch: unknown key; did you mean 'epochs'?"),
        ("train_sets/digits/training/augment/flips", True, "did you mean 'flip'?"),
        ("widths", [0, 1.0], "widths[0]: 0 is less than or equal to the minimum of 0"),
        ("widths", [0.5, 1.5], "widths[1]: 1.5 is greater than the maximum of 1"),
        ("widths", [0.5, 0.501], "do not all differ by 0.01"),
        ("seeds", [], "seeds: []"),
        ("model/backbone", None, "model: 'backbone' is a required property"),
        ("training/learning_rate", "fast", "training.learning_rate: 'fast' is not of type"),
        ("train_sets/landmarks/path", None, "train_sets.landmarks: 'path' is a required"),
        ("train_sets/landmarks/path", "no/such/place", "no/such/place does not exist"),
        ("train_sets/landmarks/path", "${NOT_SET_ANYWHERE}/x", "NOT_SET_ANYWHERE is not set"),
        ("eval_sets/digits/train_set", "letters", "'letters' is not one of train_sets"),
        (
            "train_sets/landmarks/path",
            "~no-such-user/x",
            "train_sets.landmarks.path: there is no home folder ~no-such-user",
        ),
        ("model/pretrained", "~/no-such.pth", "model.pretrained: ~/no-such.pth is no file"),
        ("eval_sets/roxford-synthetic/name", None, "'name' is a required property"),
        ("eval_sets/digits/search", {"kind": "faiss"}, "search: 'factory' is a required property"),
        ("eval_sets/digits/search", {"kind": "fast"}, "search.kind: 'fast' is not one of"),
        ("methods", ["sfsc", "mine"], "methods: 'mine' is not built in"),
        ("synthetic/views", -1, "synthetic.views: -1 is less than the minimum"),
        ("profile", "../elsewhere", "profile: '../elsewhere' does not match"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(path, value, message):
    with pytest.raises(InputError) as caught:
        config.check(changed(path, value), "my.yaml")
    lines = str(caught.value).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("my.yaml: ")
    assert message in lines[0]


def test_where_synthetic_data_cannot_be_drawn():
    for path, message in (
        ("${NOT_SET_ANYWHERE}", "synthetic.path: the environment variable NOT_SET_ANYWHERE is"),
        ("data/{x}", "synthetic.path: data/{x} has braces"),
    ):
        with pytest.raises(InputError) as caught:
            config.check(changed("synthetic/path", path), "my.yaml")
        assert message in str(caught.value)


def test_several_mistakes_are_a_line_each():
    wrong = changed("widths", [0]) | {"extra": 1}
    with pytest.raises(InputError) as caught:
        config.check(wrong, "my.yaml")
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("text", ["a: [1", "- just\n- a list", ""])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"c\.yaml: "):
        config.read(path)
    with pytest.raises(InputError, match="no such configuration file"):
        config.read(tmp_path / "absent.yaml")


def test_a_training_set_overrides_single_values():
    copy = changed("train_sets/digits/training", {"augment": {"flip": True}, "epochs": 99})
    copy["training"]["augment"] = {"shift": 0.25}
    training = config.settings(copy, "digits")["training"]
    assert training["epochs"] == 99
    assert training["augment"] == {"shift": 0.25, "flip": True}
    assert training["batch_size"] == MINI["training"]["batch_size"]


def test_paths_take_environment_variables(monkeypatch):
    monkeypatch.setenv("SOMEWHERE", "/data")
    assert config.data_path({"path": "${SOMEWHERE}/x"}) == Path("/data/x")
    assert config.data_path({"path": "$SOMEWHERE/x"}) == Path("/data/x")


def test_models_are_named_by_their_width():
    assert [config.model_name(w) for w in (0.25, 1.0, 0.07)] == ["w025", "w100", "w007"]


def test_conda_users_get_the_same_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = environment["dependencies"][-1]["pip"]
    assert "--constraint constraints.txt" in pip
    assert "--editable .[dev]" in pip


@pytest.mark.parametrize(
    "file", sorted((config.ROOT / "config").glob("*.yaml")), ids=lambda f: f.stem
)
def test_the_shipped_profiles_are_in_order(file, tmp_path, monkeypatch):
    monkeypatch.setenv("SFSC_CIFAR10", str(tmp_path))
    assert config.read(file)["profile"]


def test_home_and_variables_are_filled_in_every_path(tmp_path, monkeypatch):
    """What a variable holds is taken as it is, a dollar sign included."""
    odd = tmp_path / "it's $HOME"
    (odd / "drawn").mkdir(parents=True)
    (odd / "weights.pth").touch()
    monkeypatch.setenv("HOME", str(odd))
    monkeypatch.setenv("ODD", str(odd))
    for start in ("~", "${ODD}"):
        profile = changed("synthetic/path", f"{start}/drawn")
        profile["train_sets"]["landmarks"] |= {
            "path": f"{start}/drawn/gldv2", "packed": f"{start}/packed"
        }  # fmt: skip
        profile["eval_sets"]["roxford-synthetic"]["distractors"] = f"{start}"
        profile["model"]["pretrained"] = f"{start}/weights.pth"
        profile["fetch"] = {"path": f"{start}/sets", "mirror": f"{start}/mirror"}
        for entry in profile["eval_sets"].values():
            if "path" in entry:
                entry["path"] = entry["path"].replace("data/synthetic", f"{start}/drawn")
        config.check(profile, "my.yaml")
        assert config.is_generated(profile, profile["train_sets"]["landmarks"])
        assert config.fetch_root(profile) == odd / "sets"
        weights = config.settings(profile, "landmarks")["model"]["pretrained"]
        assert weights == str(odd / "weights.pth")
