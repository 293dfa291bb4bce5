"""Read a profile, check it, and name what is wrong with it."""

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from sfsc.fetch.catalogue import KINDS, SET_NAMES
from sfsc.files import InputError

ROOT = Path(__file__).resolve().parents[1]
"""The checkout: the schema and the baselines live beside the library."""

_SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"

BUILT_IN = ("sfsc", "sfsc-no-projection", "sfsc-no-uncertainty", "sfsc-plain")
"""The methods of sfsc.method; every other one is a baseline with files of its own."""

Config = dict[str, Any]


def model_name(width: float) -> str:
    """The name of a width's sub-model: 0.25 is w025."""
    return f"w{round(width * 100):03d}"


def read(path: Path) -> Config:
    """The checked configuration of a YAML file; InputError with one line for each mistake."""
    try:
        config = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such configuration file") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    return check(config, str(path))


def check(config: Config, source: str) -> Config:
    """`config` if it follows the schema and is consistent; else InputError, a line a mistake."""
    mistakes = list(_schema_mistakes(config)) or list(_inconsistencies(config))
    if mistakes:
        raise InputError("\n".join(f"{source}: {mistake}" for mistake in mistakes))
    return config


def settings(config: Config, train_set: str) -> dict[str, Any]:
    """The `model` and `training` sections for one training set, its own entries winning."""
    own = config["train_sets"][train_set]
    chosen = {
        section: _merged(config[section], own.get(section, {})) for section in ("model", "training")
    }
    if isinstance(weights := chosen["model"].get("pretrained"), str):
        chosen["model"]["pretrained"] = filled(weights)
    return chosen


def data_path(entry: Mapping[str, Any]) -> Path:
    """The `path` of a set's entry, as `expanded`."""
    return expanded(entry["path"])


def expanded(path: str) -> Path:
    """A path of a configuration, `filled`."""
    return Path(filled(path))


def filled(path: str) -> str:
    """A path or an address of a configuration, environment variables and a leading ~ filled in."""
    return os.path.expanduser(os.path.expandvars(path))  # noqa: PTH111 (for addresses, too)


def packed_description(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What of an entry of `train_sets` decides which images are packed, and how."""
    return {key: entry.get(key) for key in ("kind", "path", "image_size", "class_fraction")}


def is_generated(config: Config, entry: Mapping[str, Any]) -> bool:
    """Whether the workflow itself makes the data of a set."""
    return (
        "path" in entry
        and "synthetic" in config
        and data_path(entry).is_relative_to(expanded(config["synthetic"]["path"]))
    )


def fetch_root(config: Config) -> Path | None:
    """Where a profile's sets are fetched to; None where it fetches none."""
    return expanded(config["fetch"]["path"]) if "fetch" in config else None


def is_fetched(config: Config, path: Path) -> bool:
    """Whether the workflow fetches what is at `path`."""
    root = fetch_root(config)
    return root is not None and path.is_relative_to(root)


def data_paths(entry: Mapping[str, Any]) -> dict[str, Path]:
    """The paths that a set's entry names, by their keys: `path` and `distractors`."""
    return {key: expanded(entry[key]) for key in ("path", "distractors") if key in entry}


def results(config: Config) -> Path:
    """The folder of a profile's results."""
    return Path("results", config["profile"])


def model_names(config: Config) -> list[str]:
    """The names of the sub-models of each family, narrow to wide."""
    return [model_name(width) for width in sorted(config["widths"])]


def train_set_of(config: Config) -> dict[str, str]:
    """The training set of each evaluation set."""
    return {name: entry["train_set"] for name, entry in config["eval_sets"].items()}


def ablation(methods: Iterable[str]) -> list[str]:
    """SFSC and the methods that change a part of it, by their names: sfsc and sfsc-*."""
    return [method for method in methods if method == "sfsc" or method.startswith("sfsc-")]


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _schema_mistakes(config: Config) -> Iterator[str]:
    validator = jsonschema.Draft202012Validator(yaml.safe_load(_SCHEMA.read_text()))
    for error in sorted(validator.iter_errors(config), key=lambda error: error.json_path):
        place = error.json_path.removeprefix("$").removeprefix(".")
        if error.validator == "additionalProperties":
            known = error.schema.get("properties", {})
            pattern = error.schema.get("patternProperties", {})
            for key in error.instance:
                if key not in known and not any(re.search(p, key) for p in pattern):
                    near = difflib.get_close_matches(str(key), known, n=1)
                    advice = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                    yield f"{place}.{key}".lstrip(".") + f": unknown key; {advice}"
        else:
            yield f"{place or 'the file'}: {error.message}"


def _inconsistencies(config: Config) -> Iterator[str]:
    if len(set(model_names(config))) < len(config["widths"]):
        yield f"widths: {config['widths']} do not all differ by 0.01 or more"
    for name in config["methods"]:
        if name not in BUILT_IN and not (ROOT / "baselines" / f"{name}.smk").exists():
            yield (
                f"methods: {name!r} is not built in ({', '.join(BUILT_IN)}) and has no rule "
                f"baselines/{name}.smk"
            )
    for name, entry in config["eval_sets"].items():
        if entry["train_set"] not in config["train_sets"]:
            yield (
                f"eval_sets.{name}.train_set: {entry['train_set']!r} is not one of train_sets "
                f"({', '.join(config['train_sets'])})"
            )
    for name in config["train_sets"]:
        training = settings(config, name)["training"]
        packed = "packed" in config["train_sets"][name]
        if training.get("workers") and training.get("on_bad_image") == "skip" and not packed:
            yield (
                f"train_sets.{name}: training.on_bad_image: skip needs a packed set or all images"
                " in memory; name a folder in packed, or set training.workers to 0"
            )
    for section in ("train_sets", "eval_sets"):
        for name, entry in config[section].items():
            for key, path in data_paths(entry).items():
                mistake = _unset(entry[key]) or _mistake_of_path(config, entry, key, path)
                if mistake:
                    yield f"{section}.{name}.{key}: {mistake}"
    packers: dict[Path, str] = {}
    for name, entry in config["train_sets"].items():
        if "packed" not in entry:
            continue
        folder = expanded(entry["packed"])
        other = packers.setdefault(folder, name)
        if unset := _unset(entry["packed"]):
            yield f"train_sets.{name}.packed: {unset}"
        elif packed_description(entry) != packed_description(config["train_sets"][other]):
            yield f"train_sets.{name}.packed: {folder} holds other images, those of {other}"
    for section, key in (("fetch", "path"), ("fetch", "mirror"), ("synthetic", "path")):
        path = config.get(section, {}).get(key, "")
        if unset := _unset(path):
            yield f"{section}.{key}: {unset}"
        elif set(filled(path)) & set("{}"):
            yield f"{section}.{key}: {path} has braces, wildcards to Snakemake; leave them out"
    of_sets = [(f"train_sets.{name}.", own) for name, own in config["train_sets"].items()]
    for place, own in [("", config), *of_sets]:
        weights = own.get("model", {}).get("pretrained")
        if not isinstance(weights, str):
            continue
        if unset := _unset(weights):
            yield f"{place}model.pretrained: {unset}"
        elif not expanded(weights).is_file():
            yield f"{place}model.pretrained: {weights} is no file; write the path of the weights"


def _mistake_of_path(config: Config, entry: Mapping[str, Any], key: str, path: Path) -> str | None:
    root = fetch_root(config)
    if root is not None and path.is_relative_to(root):
        return _mistake_of_fetched(entry, key, str(path.relative_to(root)))
    if not path.exists() and not is_generated(config, entry):
        return f"{path} does not exist; see docs/datasets.md"
    return None


def _mistake_of_fetched(entry: Mapping[str, Any], key: str, name: str) -> str | None:
    if name not in SET_NAMES:
        known = ", ".join(SET_NAMES)
        return f"{name} below fetch.path is no set that can be fetched; choose from {known}"
    if (key == "distractors") != (name == "revisitop1m"):
        return f"{name} is fetched for distractors alone, and for them nothing else"
    if key == "path" and entry["kind"] != KINDS[name]:
        return f"{name} is of the kind {KINDS[name]}, not {entry['kind']}"
    if key == "path" and entry.get("name", name) != name:
        return f"{name} has the name {name}, not {entry['name']}"
    return None


def _unset(path: str) -> str | None:
    """What in a path of the configuration cannot be filled in."""
    for variable in re.findall(r"\$\{?(\w+)", path):
        if variable not in os.environ:
            return (
                f"the environment variable {variable} is not set; set it to the data's place, or"
                " write the path into the configuration"
            )
    if (home := filled(path)).startswith("~"):
        return f"there is no home folder {home.split('/')[0]}; set HOME, or write the path itself"
    return None
