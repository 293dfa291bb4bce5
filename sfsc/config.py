"""Read a profile, check it, and name what is wrong with it."""

import itertools
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import jsonschema
import yaml

from sfsc import method, options, profile
from sfsc.catalogue import KINDS, SET_NAMES
from sfsc.files import InputError, read_text
from sfsc.options import from_section
from sfsc.profile import REFINING, MemberEntry, Profile, TrainingOptions

ROOT = Path(__file__).resolve().parents[1]
"""The checkout: the baselines live next to the library."""

_RENAMED = {"workers": "decoding_threads"}
"""Keys of `training` in profiles of earlier versions."""

Config = dict[str, Any]


def model_name(width: float) -> str:
    """The name of a width's sub-model: 0.25 is w025."""
    return f"w{round(width * 100):03d}"


def read(path: Path) -> Config:
    """The checked configuration of a YAML file; InputError with one line for each mistake."""
    return check(load(path), str(path))


def load(path: Path) -> Any:
    """What a YAML file says, not checked; InputError for another file, and for a repeated key."""
    text = read_text(path)
    try:
        return yaml.load(text, _Loader)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except (ValueError, RecursionError) as error:  # such as a date that no calendar has
        raise InputError(f"{path}: not valid YAML: {error}") from None


class _Loader(yaml.SafeLoader):
    """YAML whose keys may not repeat; PyYAML would take the last one without a word."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], yaml.Node] = {}
        for key, _ in node.value:
            known = first.setdefault((key.tag, str(key.value)), key)
            if known is not key:
                lines = [mark.line + 1 for mark in (known.start_mark, key.start_mark)]
                raise InputError(
                    f"line {lines[1]}: the key {key.value!r} is already in line {lines[0]}; keep"
                    " one of them"
                )
        return node


def check(config: Config, source: str) -> Config:
    """`config` if it follows the schema and is consistent; else InputError, one line per mistake.

    Numbers that YAML or Snakemake's --config left as text, such as 1e-3, become numbers, in place,
    and so does 1.0 where a whole number belongs.
    """
    try:
        _read_numbers(config)
    except RecursionError:  # YAML's anchors allow that
        raise InputError(f"{source}: a section or list holds itself; write it out") from None
    mistakes = list(_schema_mistakes(config)) or list(_inconsistencies(config))
    if mistakes:
        raise InputError("\n".join(f"{source}: {mistake}" for mistake in mistakes))
    return config


def typed(config: Config) -> Profile:
    """A checked profile as its dataclass, with what it leaves out."""
    return from_section(Profile, config, "profile")


def method_names(config: Config) -> list[str]:
    """The names of the methods, in the order of the profile."""
    return [entry.name for entry in entries(config)]


def all_method_names(config: Config) -> list[str]:
    """The same, with those that only the ablation trains."""
    return [entry.name for entry in all_entries(config)]


def method_file(config: Config, name: str) -> str:
    """The method that an entry of `methods` runs: its own name, unless it says `method`."""
    return next(entry.method for entry in all_entries(config) if entry.name == name)


def method_lines(config: Config) -> dict[str, str]:
    """The methods of a profile by name, each with its line and, if it has some, its options."""
    return {
        entry.name: method.describe(entry.method).summary
        + (f", with {_in_words(entry.options)}" if entry.options else "")
        for entry in entries(config)
    }


def settings(config: Config, train_set: str, name: str | None = None) -> dict[str, Any]:
    """The `model` and `training` sections for one training set and, if given, one method.

    The set's own entries win over the profile's; then come the set's `methods`, then the options
    of the method's entry in `methods`. `training` holds options of methods, too.
    """
    own = config["train_sets"][train_set]
    chosen = {
        section: merged(config[section], own.get(section, {})) for section in ("model", "training")
    }
    for entry in all_entries(config):
        if entry.name == name:
            for more in (own.get("methods", {}).get(name, {}), entry.options):
                chosen["training"] = merged(chosen["training"], more)
    if isinstance(weights := chosen["model"].get("pretrained"), str):
        chosen["model"]["pretrained"] = filled(weights)
    return chosen


class MemberSection(NamedTuple):
    """What a profile says of a member: its width, other keys of `model`, and its data."""

    width: float
    model: dict[str, Any]
    classes: tuple[float, float]
    images: tuple[float, float]


def member_sections(config: Config) -> dict[str, MemberSection]:
    """The members of each family by name: narrow to wide, or old to new.

    `widths` is short for members of one backbone that differ in width alone.
    """
    whole = (0.0, 1.0)
    if "members" not in config:
        widths = sorted(config["widths"])
        return {model_name(width): MemberSection(width, {}, whole, whole) for width in widths}
    found = {}
    for name, given in config["members"].items():
        section = dict(given or {})
        width, *shares = (
            section.pop(key, getattr(MemberEntry, key))
            for key in ("width", "class_fraction", "image_fraction")
        )
        found[name] = MemberSection(width, section, *map(_share, shares))
    return found


def scenario(config: Config) -> str:
    """What orders the members: `capacity` or `generations`."""
    return typed(config).scenario


def _share(fraction: float | list[float]) -> tuple[float, float]:
    """0.3 is the first 30 %, [0.3, 1] the others."""
    return (fraction[0], fraction[1]) if isinstance(fraction, list) else (0.0, fraction)


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
    """The names of the members of each family, in order."""
    return list(member_sections(config))


def embedded(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What of an entry of `eval_sets` decides its embeddings."""
    return {key: entry[key] for key in entry if key not in REFINING} | {"search": None}


def train_set_of(config: Config) -> dict[str, str]:
    """The training set of each evaluation set."""
    return {name: entry["train_set"] for name, entry in config["eval_sets"].items()}


def ablation(config: Config) -> list[str]:
    """Each method that others vary, followed by those: what they vary by is in their files.

    An entry that runs a listed method with options of its own is a variant of it, too.
    """
    found: dict[str, None] = {}
    for base, variants in ablations(config).items():
        found |= dict.fromkeys([base, *variants])
    return list(found)


def ablations(config: Config) -> dict[str, dict[str, str]]:
    """For each method that others vary, these and what they vary it by."""
    listed = all_entries(config)
    names = {entry.name for entry in listed}
    found: dict[str, dict[str, str]] = {}
    asked_for = {entry.name for entry in entries(config, "ablation")}
    for entry in listed:
        varies = method.describe(entry.method).varies
        if entry.name != entry.method and entry.method in names:
            varies = method.Varies(entry.method, _in_words(entry.options))
        if varies and varies.of in names:
            found.setdefault(varies.of, {})[entry.name] = varies.by
        elif entry.name in asked_for and found:  # it is to be compared, whatever its file says
            next(iter(found.values()))[entry.name] = ""
    return found


def _in_words(chosen: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in chosen.items())


class Entry(NamedTuple):
    """An entry of `methods`: what it is called, the method that it runs, and its options."""

    name: str
    method: str
    options: dict[str, Any]
    listed: str
    """Its name without the cell of the grid."""
    cell: dict[str, Any]


def entries(config: Config, section: str = "methods") -> Iterator[Entry]:
    """The entries NAME, {NAME: options} and {name, method, options}, each once per grid cell."""
    grid = config.get("grid", {})
    for listed in config.get(section, []):
        found: list[tuple[str, str, dict[str, Any]]]
        if isinstance(listed, str):
            found = [(listed, listed, {})]
        elif "method" in listed:
            options = {key: listed[key] for key in listed if key not in ("name", "method")}
            method = listed["method"]
            found = [(listed.get("name", method), method, options)]
        else:
            found = [(name, name, dict(given or {})) for name, given in listed.items()]
        for name, method, options in found:
            for values in itertools.product(*grid.values()):
                cell = dict(zip(grid, values, strict=True))
                at = "".join(f"--{value}" for value in values)
                yield Entry(name + at, method, options | cell, name, cell)


def all_entries(config: Config) -> list[Entry]:
    """The entries of `methods` and of `ablation`."""
    return [*entries(config), *entries(config, "ablation")]


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`, section by section."""
    found = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if both else value
    return found


def _is_integer(_: Any, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(_: Any, value: object) -> bool:
    return _is_integer(_, value) or (isinstance(value, float) and math.isfinite(value))


# JSON Schema takes 1.0 for an integer, which Python does not, and nan and infinity for numbers.
_Validator: Any = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": _is_integer, "number": _is_number}
    ),
)
_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a finite number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a section of keys and values",
    "null": "empty",
}


_schema = cache(profile.schema)


def _mistakes_by_schema(
    config: Config,
) -> Iterator[tuple[str, Any, jsonschema.ValidationError]]:
    """Where each mistake is, the part of the profile that its path starts from, and the error."""
    schema = _schema()
    training = {"$defs": schema["$defs"], **schema["$defs"]["TrainingOptions"]}
    entry = training | {"properties": training["properties"] | {"name": {}, "method": {}}}
    schemas = {"profile": schema, "options": training, "entry": entry}
    for above, part, which in [("", config, "profile"), *_options(config)]:
        errors = _Validator(schemas[which]).iter_errors(part)
        for error in sorted(errors, key=lambda error: error.json_path):
            place = (above + error.json_path.removeprefix("$")).removeprefix(".")
            yield place, part, error


def _options(config: Config) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Of a profile that may be wrong anywhere: the options of methods and of the grid.

    Where they stand, the options, and whether they are an `entry` with the method's name.
    """
    profile = config if isinstance(config, dict) else {}
    for section in ("methods", "ablation"):
        listed = profile.get(section)
        for entry in listed if isinstance(listed, list) else []:
            if isinstance(entry, dict) and "method" in entry:
                yield f"{section}.{entry.get('name', entry['method'])}", entry, "entry"
            elif isinstance(entry, dict):
                for name, given in entry.items():
                    if isinstance(given, dict):
                        yield f"{section}.{name}", given, "options"
    grid = profile.get("grid")
    for key, values in grid.items() if isinstance(grid, dict) else []:
        for value in values if isinstance(values, list) else []:
            yield "grid", {key: value}, "options"


def _read_numbers(config: Config) -> None:
    for _, part, error in list(_mistakes_by_schema(config)):
        if error.validator == "type" and error.absolute_path:
            *parents, last = error.absolute_path
            place: Any = part
            for key in parents:
                place = place[key]
            if place[last] is error.instance:  # it may be the key that is of another type
                place[last] = _as_meant(error.instance, _types(error))


def _as_meant(value: Any, types: list[str]) -> Any:
    """The number, or true or false, that text or a whole float stands for; else `value` itself."""
    if isinstance(value, float):
        return int(value) if "integer" in types and value.is_integer() else value
    if not isinstance(value, str) or "string" in types:
        return value
    if "boolean" in types:
        return {"true": True, "false": False}.get(value.lower(), value)
    for name, read_number in (("integer", int), ("number", float)):
        if name in types:
            with suppress(ValueError):
                return read_number(value)
    return value


def _types(error: jsonschema.ValidationError) -> list[str]:
    wanted: Any = error.validator_value
    return [wanted] if isinstance(wanted, str) else wanted


def _schema_mistakes(config: Config) -> Iterator[str]:
    errors = list(_mistakes_by_schema(config))
    of_type = {place for place, _, error in errors if error.validator == "type"}
    for place, _, error in errors:
        if place in of_type and error.validator != "type":
            continue  # what else is wrong with it follows from that
        if error.validator == "additionalProperties":
            schema: Any = error.schema
            known = schema.get("properties", {})
            options_too = bool(schema.get("methodOptions"))
            for key, value in cast(Mapping[str, Any], error.instance).items():
                if key not in known:
                    yield from _unknown(config, place, key, value, known, options_too)
        elif error.validator == "not":
            yield f"{place}: does not belong to this kind; leave it out"
        elif error.validator == "pattern":
            yield f"{place}: {error.instance!r} is no name: letters, digits and . _ - alone"
        elif error.validator == "type":
            message = _of_another_type(error.instance, _types(error))
            yield f"{place or 'the file'}: {message}"
        else:
            yield f"{place or 'the file'}: {error.message}"


def _unknown(
    config: Config, place: str, key: Any, value: Any, known: Iterable[str], options_too: bool
) -> Iterator[str]:
    """What is wrong with a key that the schema does not know: it may be an option of a method."""
    known = list(known)
    if options_too and key in _RENAMED:
        yield f"{place}.{key}".lstrip(".") + f": is called {_RENAMED[key]} now; write that"
        return
    if options_too:
        for listed in dict.fromkeys(entry.method for entry in all_entries(config)):
            if method.is_there(listed):
                of = method.find(listed).options
                if key in options.hints(of):
                    try:
                        options.checked(of, key, value, place)
                    except InputError as error:
                        yield str(error)
                    return
                known += options.hints(of)
    yield f"{place}.{key}".lstrip(".") + f": unknown key; {options.advice(key, known)}"


def _of_another_type(value: object, types: list[str]) -> str:
    if value is None:
        return f"is empty; it needs {_TYPES[types[0]]}"
    shown = repr(value) if isinstance(value, str | float | bytes) else str(value)
    if len(types) < len(_TYPES) - 1:
        wanted = " or ".join(_TYPES[name] for name in types)
        message = f"{shown} is not {wanted}"
    else:
        message = f"{shown} is nothing that a sub-model's file can keep"
    # YAML reads 2024, no and 2024-01-31 as what they look like.
    quote = "string" in types and not isinstance(value, list | dict)
    return f"{message}; put it in quotes" if quote else message


def _inconsistencies(config: Config) -> Iterator[str]:
    if ("members" in config) == ("widths" in config):
        yield "widths: say which models a family has, by either `widths` or `members`"
        return
    if len(model_names(config)) < len(config.get("widths", [])):
        yield f"widths: {config['widths']} do not all differ by 0.01 or more"
    for name, member in member_sections(config).items():
        for key, (first, last) in (("class", member.classes), ("image", member.images)):
            if first >= last:
                yield f"members.{name}.{key}_fraction: [{first}, {last}] is to go from less to more"
    names = [entry.name for entry in all_entries(config)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"methods: {name!r} is listed twice; give one of them another `name`"
    for listed in dict.fromkeys(entry.method for entry in all_entries(config)):
        if not method.is_there(listed):
            advised = options.advice(listed, method.names())
            yield f"methods: {listed!r}: there is no file baselines/{listed}.py; {advised}"
            continue
        try:
            method.describe(listed)
        except InputError as error:
            yield f"methods: {error}"
    for number, contrast in enumerate(config.get("contrasts", [])):
        for key in ("method", "against"):
            if contrast[key] not in method_names(config):
                yield f"contrasts[{number}].{key}: {contrast[key]!r} is not one of methods"
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
        if entry.get("search", {}).get("kind") == "faiss" and any(key in entry for key in REFINING):
            yield f"eval_sets.{name}.search: expansion and re-ranking need an exact search"
        if entry.get("whitening", model_names(config)[-1]) not in model_names(config):
            yield (
                f"eval_sets.{name}.whitening: {entry['whitening']!r} is no member; choose from"
                f" {', '.join(model_names(config))}"
            )
    processes = typed(config).processes * typed(config).nodes
    for name in config["train_sets"]:
        training = options.part(TrainingOptions, settings(config, name)["training"])
        if training.batch_size % processes:
            yield (
                f"train_sets.{name}: training.batch_size: {training.batch_size} images cannot be"
                f" shared equally by {processes} processes; choose a multiple"
            )
        packed = "packed" in config["train_sets"][name]
        if training.decoding_threads and training.on_bad_image == "skip" and not packed:
            yield (
                f"train_sets.{name}: training.on_bad_image: skip needs a packed set or all images"
                " in memory; name a folder in packed, or set training.decoding_threads to 0"
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
