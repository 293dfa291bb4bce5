"""Read a profile, check it, and name what is wrong with it."""

import difflib
import itertools
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import yaml

from sfsc.fetch.catalogue import KINDS, SET_NAMES
from sfsc.files import InputError

ROOT = Path(__file__).resolve().parents[1]
"""The checkout: the schema and the baselines live beside the library."""

_SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"

BUILT_IN = ("sfsc", "sfsc-no-projection", "sfsc-no-uncertainty", "sfsc-plain")
"""The methods of sfsc.method; every other one is a file in baselines/."""

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


def method_names(config: Config) -> list[str]:
    """The names of the methods, in the order of the profile."""
    return [entry.name for entry in _entries(config, "methods")]


def all_method_names(config: Config) -> list[str]:
    """The same, with those that only the ablation trains."""
    return [entry.name for entry in _all_entries(config)]


def method_file(config: Config, name: str) -> str:
    """The method that an entry of `methods` runs: its own name, unless it says `method`."""
    return next(entry.method for entry in _all_entries(config) if entry.name == name)


def settings(config: Config, train_set: str, method: str | None = None) -> dict[str, Any]:
    """The `model` and `training` sections for one training set and, if given, one method.

    The set's own entries win over the profile's; then come the set's `methods`, then the options
    of the method's entry in `methods`.
    """
    own = config["train_sets"][train_set]
    chosen = {
        section: _merged(config[section], own.get(section, {})) for section in ("model", "training")
    }
    for entry in _all_entries(config):
        if entry.name == method:
            for more in (own.get("methods", {}).get(method, {}), entry.options):
                chosen["training"] = _merged(chosen["training"], more)
    return chosen


def data_path(entry: Mapping[str, Any]) -> Path:
    """The `path` of a set's entry, environment variables filled in."""
    return expanded(entry["path"])


def expanded(path: str) -> Path:
    """A path of a configuration, environment variables filled in."""
    return Path(os.path.expandvars(path))


def packed_description(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What of an entry of `train_sets` decides which images are packed, and how."""
    return {key: entry.get(key) for key in ("kind", "path", "image_size", "class_fraction")}


def is_generated(config: Config, entry: Mapping[str, Any]) -> bool:
    """Whether the workflow itself makes the data of a set."""
    return (
        "path" in entry
        and "synthetic" in config
        and data_path(entry).is_relative_to(config["synthetic"]["path"])
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


def ablation(config: Config) -> list[str]:
    """SFSC and the methods that change a part of it: sfsc and sfsc-*, and those of `ablation`."""
    names = method_names(config)
    variants = [name for name in names if name == "sfsc" or name.startswith("sfsc-")]
    others = [entry.name for entry in _entries(config, "ablation")]
    return variants + others if variants else []


class _Entry(NamedTuple):
    """An entry of `methods`: what it is called, the method that it runs, and its options."""

    name: str
    method: str
    options: dict[str, Any]


def _entries(config: Config, section: str) -> Iterator[_Entry]:
    """The entries NAME, {NAME: options} and {name, method, options}, each once per grid cell."""
    grid = config.get("grid", {})
    for listed in config.get(section, []):
        if isinstance(listed, str):
            entries = [_Entry(listed, listed, {})]
        elif "method" in listed:
            options = {key: listed[key] for key in listed if key not in ("name", "method")}
            method = listed["method"]
            entries = [_Entry(listed.get("name", method), method, options)]
        else:
            entries = [_Entry(name, name, dict(given or {})) for name, given in listed.items()]
        for name, method, options in entries:
            for values in itertools.product(*grid.values()):
                cell = dict(zip(grid, values, strict=True))
                at = "".join(f"--{value}" for value in values)
                yield _Entry(name + at, method, options | cell)


def _all_entries(config: Config) -> list[_Entry]:
    return [*_entries(config, "methods"), *_entries(config, "ablation")]


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _schema_mistakes(config: Config) -> Iterator[str]:
    schema = yaml.safe_load(_SCHEMA.read_text())
    mistakes = list(_told(schema, config, ""))
    yield from mistakes
    if not mistakes:
        options_schema = {"$defs": schema["$defs"], "$ref": "#/$defs/training"}
        for entry in _all_entries(config):
            yield from _told(options_schema, entry.options, f"methods.{entry.name}")


def _told(schema: Mapping[str, Any], instance: Any, above: str) -> Iterator[str]:
    """The mistakes of what lies at the path `above`."""
    validator = jsonschema.Draft202012Validator(schema)
    for error in sorted(validator.iter_errors(instance), key=lambda error: error.json_path):
        place = (above + error.json_path.removeprefix("$")).removeprefix(".")
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
    names = [entry.name for entry in _all_entries(config)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"methods: {name!r} is listed twice; give one of them another `name`"
    for method in dict.fromkeys(entry.method for entry in _all_entries(config)):
        if method not in BUILT_IN and not (ROOT / "baselines" / f"{method}.py").exists():
            yield (
                f"methods: {method!r} is not built in ({', '.join(BUILT_IN)}) and has no file "
                f"baselines/{method}.py"
            )
    for place, contrast in enumerate(config.get("contrasts", [])):
        for key in ("method", "against"):
            if contrast[key] not in method_names(config):
                yield f"contrasts[{place}].{key}: {contrast[key]!r} is not one of methods"
    for train_set, entry in config["train_sets"].items():
        for name in entry.get("methods", {}):
            if name not in names:
                yield f"train_sets.{train_set}.methods: {name!r} is not one of methods"
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
                mistake = _mistake_of_path(config, entry, key, path)
                if mistake:
                    yield f"{section}.{name}.{key}: {mistake}"
    packers: dict[Path, str] = {}
    for name, entry in config["train_sets"].items():
        if "packed" not in entry:
            continue
        folder = expanded(entry["packed"])
        other = packers.setdefault(folder, name)
        if unset := _unset(folder):
            yield f"train_sets.{name}.packed: {unset}"
        elif packed_description(entry) != packed_description(config["train_sets"][other]):
            yield f"train_sets.{name}.packed: {folder} holds other images, those of {other}"
    for key in ("path", "mirror"):
        unset = _unset(expanded(config.get("fetch", {}).get(key, "")))
        if unset:
            yield f"fetch.{key}: {unset}"


def _mistake_of_path(config: Config, entry: Mapping[str, Any], key: str, path: Path) -> str | None:
    root = fetch_root(config)
    if unset := _unset(path):
        return unset
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


def _unset(path: Path) -> str | None:
    variable = re.search(r"\$\{?(\w+)", str(path))
    if variable is None:
        return None
    return (
        f"the environment variable {variable[1]} is not set; set it to the data's place, or write"
        " the path into the configuration"
    )
