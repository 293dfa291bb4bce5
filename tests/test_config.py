"""Profiles: what is accepted, and one line that names the key for what is not."""

import copy
from datetime import date
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from sfsc import config
from sfsc.files import InputError
from sfsc.profile import Reranking, as_yaml

ROOT = Path(__file__).parents[1]
MINI = yaml.safe_load((ROOT / "config" / "mini.yaml").read_text())
# What the profile asks of its own methods does not matter here.
MINI = {key: MINI[key] for key in MINI if key not in ("contrasts", "grid", "ablation")}
MINI["methods"] = ["chance", "independent", "bct", "sfsc", "sfsc-plain"]
for entry in MINI["train_sets"].values():
    entry.pop("methods", None)


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
        ("training/learning_rate", "fast", "training.learning_rate: 'fast' is not a finite number"),
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
        ("methods", ["sfsc", "mine"], "methods: 'mine': there is no file baselines"),
        ("synthetic/test_landmarks", 1, "synthetic.test_landmarks: 1 is less than the minimum"),
        (
            "synthetic/train_view",
            1,
            "synthetic.train_view: unknown key; did you mean 'train_views'",
        ),
        ("profile", "../elsewhere", "profile: '../elsewhere' is no name"),
        ("profile", "mini\n", "is no name"),
        ("profile", 2024, "profile: 2024 is not text; put it in quotes"),
        ("title", True, "title: True is not text; put it in quotes"),
        ("methods", ["sfsc", None], "methods[1]: is empty; it needs text"),
        ("training/learning_rate", float("nan"), "training.learning_rate: nan is not a finite"),
        ("training/clip_norm", float("inf"), "training.clip_norm: inf is not a finite number"),
        ("widths", [float("nan"), 1.0], "widths[0]: nan is not a finite number"),
        ("training/epochs", 1.5, "training.epochs: 1.5 is not a whole number"),
        ("seeds", [True], "seeds[0]: True is not a whole number"),
        ("seeds", [2**64], "seeds[0]: 18446744073709551616 is greater than the maximum"),
        ("model/stem_stride", "wide", "model.stem_stride: 'wide' is not a whole number"),
        ("model/args", {"layers": [date(2024, 1, 1)]}, "model.args.layers[0]: 2024-01-01 is noth"),
        ("eval_sets/digits/path", "data", "eval_sets.digits.path: does not belong to this kind"),
        ("eval_sets/digits/name", "x", "eval_sets.digits.name: does not belong to this kind"),
        ("eval_sets/digits/kind", "digit", "eval_sets.digits.kind: 'digit' is not one of"),
        (
            "methods",
            ["sfsc", {"name": "x", "method": "mine"}],
            "methods: 'mine': there is no file baselines",
        ),
        ("methods", ["sfsc", "sfsc"], "methods: 'sfsc' is listed twice; give one of them another"),
        ("methods", ["sfsc", {"sfsc": {"kl_weight": 1}}], "methods: 'sfsc' is listed twice"),
        ("ablation", ["bct"], "methods: 'bct' is listed twice"),
        ("methods", [{"sfsc": {"kl_wieght": 1}}], "methods.sfsc.kl_wieght: unknown key; did you"),
        (
            "methods",
            [{"name": "x", "method": "sfsc", "augment": {"flips": True}}],
            "methods.x.augment.flips: unknown key; did you mean 'flip'?",
        ),
        ("methods", [{"sfsc": {"kl_weight": -1}}], "methods.sfsc.kl_weight: -1 is less than"),
        ("methods", [{"sfsc": 3}], "methods[0].sfsc: 3 is not a section of keys"),
        ("methods", [{"name": "../x", "method": "sfsc"}], "methods[0].name: '../x' is no name"),
        ("grid", {"kl_weight": []}, "grid.kl_weight: [] should be non-empty"),
        ("grid", {}, "grid: {} should be non-empty"),
        (
            "contrasts",
            [{"claim": "?", "method": "sfsc", "against": "sfsc-x", "measure": "C"}],
            "contrasts[0].against: 'sfsc-x' is not one of methods",
        ),
        (
            "contrasts",
            [{"method": "sfsc", "against": "bct", "measure": "C"}],
            "contrasts[0]: 'claim' is a required property",
        ),
        (
            "train_sets/digits/methods",
            {"sfcs": {"kl_weight": 1}},
            "train_sets.digits.methods: 'sfcs' is not one of methods",
        ),
        ("train_sets/landmarks/tuning", True, "landmarks.tuning: does not belong to this kind"),
        ("eval_sets/roxford-synthetic/tuning", True, "tuning: does not belong to this kind"),
        ("training/margin", {"scale": 16}, "training.margin: 'kind' is a required property"),
        ("training/margin", {"kind": "angular"}, "training.margin.kind: 'angular' is not one of"),
        ("model/pooling", "mean", "model.pooling: 'mean' is not one of"),
        ("eval_sets/digits/whitening", "w099", "digits.whitening: 'w099' is no member; choose"),
        ("eval_sets/digits/query_crop", False, "query_crop: does not belong to this kind"),
        ("eval_sets/digits/reranking", {"dept": 3}, "dept: unknown key; did you mean 'depth'?"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(path, value, message):
    with pytest.raises(InputError) as caught:
        config.check(changed(path, value), "my.yaml")
    lines = str(caught.value).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("my.yaml: ")
    assert message in lines[0]


def test_a_batch_that_the_processes_cannot_share_is_refused():
    wrong = changed("training/batch_size", 33) | {"processes": 2}
    message = r"^p: train_sets\.landmarks: .* 33 images cannot be shared"
    with pytest.raises(InputError, match=message):
        config.check(wrong, "p")


def test_names_that_are_no_text_are_refused():
    wrong = changed("train_sets/digits", None)
    wrong["train_sets"][2024] = {"kind": "digits", "image_size": 8}
    with pytest.raises(InputError, match="train_sets: 2024 is not text; put it in quotes"):
        config.check(wrong, "my.yaml")


def test_numbers_that_arrive_as_text_or_as_whole_floats_are_numbers():
    """YAML 1.1 takes 1e-3 for text, and so does snakemake --config for what is in lists."""
    given = changed("training", {"epochs": 8.0, "batch_size": "32", "learning_rate": "1e-3"})
    given |= {"seeds": ["5"], "widths": ["0.5", "1"], "gpu": "false"}
    checked = config.check(given, "config")
    assert checked["training"] == {"epochs": 8, "batch_size": 32, "learning_rate": 0.001}
    assert type(checked["training"]["epochs"]) is int
    assert (checked["seeds"], checked["widths"], checked["gpu"]) == ([5], [0.5, 1.0], False)


def test_the_schema_that_editors_read_is_of_the_profile_as_it_is():
    file = ROOT / "workflow/schemas/config.schema.yaml"
    assert file.read_text() == as_yaml(), "sfsc schema > workflow/schemas/config.schema.yaml"
    Draft202012Validator.check_schema(yaml.safe_load(as_yaml()))


def test_what_a_profile_leaves_out_is_as_its_class_says():
    profile = config.typed(config.check(changed("eval_sets/digits/reranking", {"k1": 8}), "p"))
    assert (profile.processes, profile.gpu, profile.scenario) == (1, False, "capacity")
    digits = profile.eval_sets["digits"]
    assert digits.reranking == Reranking(k1=8)
    assert digits.scales == (1.0,)
    assert digits.search.kind == "exact"
    assert profile.train_sets["digits"].packed is None
    assert profile.model.stem_stride == MINI["model"]["stem_stride"]


@pytest.mark.parametrize("key", ["packed", "class_fraction", "model"])
def test_a_key_that_may_be_left_out_may_not_be_empty(key, profile):
    profile["train_sets"]["digits"][key] = None
    with pytest.raises(InputError, match=rf"train_sets\.digits\.{key}: is empty; it needs"):
        config.check(profile, "p.yaml")


def test_a_margin_and_a_pooling_may_be_taken_back(profile):
    profile["model"]["pooling"] = profile["training"]["margin"] = None
    assert config.typed(config.check(profile, "p.yaml")).model.pooling is None


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a: 1\nb: 2\na: 3\n", (3, 1)),
        ("train:\n  x: {b: 1, 'b': 2}\n", (2, 2)),
        ("- a: 1\n  c: 1\n  a: 2\n", (3, 1)),
    ],
)
def test_a_repeated_key_is_refused_at_every_level(tmp_path, text, lines):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    message = rf"p\.yaml: line {lines[0]}: the key '.' is already in line {lines[1]}"
    with pytest.raises(InputError, match=message):
        config.read(path)


def test_a_profile_in_another_encoding_or_a_folder_is_one_line(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_bytes(b"profile: p\ntitle: M\xfcnster\n")
    with pytest.raises(InputError, match=r"p\.yaml: line 2 is not UTF-8 text"):
        config.read(path)
    with pytest.raises(InputError, match="is a folder; name the file itself"):
        config.read(tmp_path)
    path.write_text("a: 2024-13-45")
    with pytest.raises(InputError, match="not valid YAML"):
        config.read(path)
    itself = yaml.safe_load("&a {layers: [*a]}")
    with pytest.raises(InputError, match="p: a section or list holds itself"):
        config.check(changed("model/args", itself), "p")
    path.write_text("\ufeff" + yaml.safe_dump(MINI), encoding="utf-8")
    assert config.read(path) == MINI


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
    with pytest.raises(InputError, match="no such file"):
        config.read(tmp_path / "absent.yaml")


def test_a_training_set_overrides_single_values():
    copy = changed("train_sets/digits/training", {"augment": {"flip": True}, "epochs": 99})
    copy["training"]["augment"] = {"shift": 0.25}
    training = config.settings(copy, "digits")["training"]
    assert training["epochs"] == 99
    assert training["augment"] == {"shift": 0.25, "flip": True}
    assert training["batch_size"] == MINI["training"]["batch_size"]


FORMS = [
    "joint",
    {"bct": None},
    {"sfsc": {"kl_weight": 0.3, "augment": {"light": 0.4}}},
    {"name": "sfsc-cold", "method": "sfsc", "embedding_scale": 4},
    {"method": "independent"},
]


def test_an_entry_of_methods_has_three_forms():
    profile = config.check(changed("methods", FORMS), "my.yaml")
    names = ["joint", "bct", "sfsc", "sfsc-cold", "independent"]
    assert config.method_names(profile) == names
    assert [config.method_file(profile, name) for name in names] == [
        "joint",
        "bct",
        "sfsc",
        "sfsc",
        "independent",
    ]
    assert config.ablation(profile) == ["sfsc", "sfsc-cold"]


def test_options_win_from_the_profile_to_the_method():
    profile = changed("methods", FORMS)
    profile["training"] |= {"kl_weight": 0.1, "embedding_scale": 16, "augment": {"shift": 0.1}}
    profile["train_sets"]["landmarks"].pop("training", None)
    profile["train_sets"]["digits"]["training"] = {"kl_weight": 0.2, "epochs": 3}
    profile["train_sets"]["digits"]["methods"] = {
        "sfsc": {"kl_weight": 0.25, "embedding_scale": 8, "augment": {"zoom": 0.2}},
        "joint": {"kl_weight": 0.25},
    }
    config.check(profile, "my.yaml")

    def of(*key, method=None):
        training = config.settings(profile, "digits", method)["training"]
        return tuple(training[name] for name in key)

    # The profile, then the set, then the set's own for a method, then the method's entry.
    assert of("kl_weight", "embedding_scale", "epochs") == (0.2, 16, 3)
    assert of("kl_weight", "epochs", method="joint") == (0.25, 3)
    assert of("kl_weight", "embedding_scale", method="bct") == (0.2, 16)
    assert of("kl_weight", "embedding_scale", method="sfsc") == (0.3, 8)
    assert of("augment", method="sfsc")[0] == {"shift": 0.1, "zoom": 0.2, "light": 0.4}
    assert of("kl_weight", "embedding_scale", method="sfsc-cold") == (0.2, 4)
    landmarks = config.settings(profile, "landmarks", "sfsc")["training"]
    assert (landmarks["kl_weight"], landmarks["embedding_scale"]) == (0.3, 16)


def test_a_grid_trains_each_method_with_each_combination():
    profile = changed("methods", ["joint", {"sfsc": {"embedding_scale": 4}}])
    profile["grid"] = {"learning_rate": [0.002, 0.004], "kl_weight": [0, 0.5]}
    config.check(profile, "my.yaml")
    cells = [f"--{rate}--{weight}" for rate in (0.002, 0.004) for weight in (0, 0.5)]
    names = config.method_names(profile)
    assert names == [method + cell for method in ("joint", "sfsc") for cell in cells]
    assert {config.method_file(profile, name) for name in names} == {"joint", "sfsc"}
    training = config.settings(profile, "digits", "sfsc--0.002--0.5")["training"]
    assert (training["learning_rate"], training["kl_weight"]) == (0.002, 0.5)
    assert training["embedding_scale"] == 4


def test_methods_of_the_ablation_are_trained_for_it_alone():
    profile = changed("methods", ["bct", "sfsc", "sfsc-plain"])
    profile["ablation"] = ["equal-voices", {"name": "warm", "method": "sfsc", "kl_weight": 1}]
    config.check(profile, "my.yaml")
    assert config.method_names(profile) == ["bct", "sfsc", "sfsc-plain"]
    assert config.ablation(profile) == ["sfsc", "sfsc-plain", "equal-voices", "warm"]
    assert config.method_file(profile, "warm") == "sfsc"
    assert config.settings(profile, "digits", "warm")["training"]["kl_weight"] == 1
    # Without SFSC there is nothing that they could change.
    assert config.ablation(profile | {"methods": ["bct"]}) == []


def test_the_digits_can_be_split_for_tuning():
    profile = changed("train_sets/digits/tuning", True)
    profile["eval_sets"]["digits"]["tuning"] = True
    config.check(profile, "my.yaml")


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
    for variable in ("SFSC_CIFAR10", "SFSC_GROCERY"):
        monkeypatch.setenv(variable, str(tmp_path))
    assert config.read(file)["profile"]


def test_refinements_are_of_exact_search():
    profile = changed("eval_sets/digits/search", {"kind": "faiss", "factory": "Flat"})
    profile["eval_sets"]["digits"]["query_expansion"] = {"neighbours": 3}
    with pytest.raises(InputError, match="need an exact search"):
        config.check(profile, "p.yaml")


def test_only_what_embeds_counts_for_embeddings():
    entry = {"kind": "digits", "train_set": "digits"}
    searched = entry | {"reranking": {}, "search": {"kind": "exact"}}
    assert config.embedded(searched) == config.embedded(entry) == entry | {"search": None}
    assert config.embedded(entry | {"whitening": "w100"}) != config.embedded(entry)


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
            "path": f"{start}/drawn/gldv2",
            "packed": f"{start}/packed",
        }
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


@pytest.fixture
def profile():
    return copy.deepcopy(MINI)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("METHOD = (", "mine.py: line 1: "),
        ("def train(family): ...", "mine.py: has no METHOD = Method(...) with a summary"),
        (
            "METHOD = Method(None, summary=f'{1 + 1}')",
            "mine.py: summary is to be plain text, not computed",
        ),
    ],
)
def test_a_file_that_is_no_method_is_one_line(tmp_path, monkeypatch, profile, source, message):
    from sfsc import method

    (tmp_path / "mine.py").write_text(source)
    monkeypatch.setattr(method, "FOLDERS", (*method.FOLDERS, tmp_path))
    profile["methods"].append("mine")
    with pytest.raises(InputError) as caught:
        config.check(profile, "p.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_that_was_renamed_is_named(profile):
    profile["training"]["workers"] = 2
    with pytest.raises(InputError, match=r"training\.workers: is called decoding_threads now"):
        config.check(profile, "p.yaml")


def test_members_and_widths_are_two_ways_to_say_one_thing(profile):
    profile["members"] = {"old": {"class_fraction": [0.5, 0.2]}, "new": None}
    with pytest.raises(InputError, match="by either `widths` or `members`"):
        config.check(profile, "p.yaml")
    del profile["widths"]
    with pytest.raises(InputError, match=r"members\.old\.class_fraction: \[0\.5, 0\.2\]"):
        config.check(profile, "p.yaml")
    profile["members"]["old"]["class_fraction"] = 0.3
    assert config.model_names(config.check(profile, "p.yaml")) == ["old", "new"]
