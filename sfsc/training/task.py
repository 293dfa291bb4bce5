"""Everything that the training of a family depends on."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sfsc import layout
from sfsc.config import (
    Config,
    all_entries,
    member_sections,
    method_file,
    results,
    scenario,
    settings,
)
from sfsc.data import kinds
from sfsc.data.sets import TrainSet
from sfsc.files import InputError
from sfsc.method import Families, Method, find, path
from sfsc.options import from_section, hints, part
from sfsc.profile import TrainingOptions, TrainSetEntry
from sfsc.switchable.backbone import NetworkSpec
from sfsc.training.member import Member


@dataclass(frozen=True)
class Task:
    """A method with its options, the family that it is to train, on what, and where files go."""

    method: Method
    method_options: Any
    members: tuple[Member, ...]
    scenario: str
    """What orders the members: "capacity" or "generations"."""
    train_set: TrainSet
    seed: int
    options: TrainingOptions
    models: Path
    """Folder of the sub-model files, <member>.safetensors."""
    records: Path
    """Folder of log.parquet, conflicts.csv, summary.json and, while training, the checkpoints."""
    code: str = ""
    """A digest of the method's file; what another version of it left halfway does not count."""


def task(config: Config, train_set: str, name: str, seed: int) -> Task:
    """The task of a method and a seed on one of a profile's training sets.

    `name` is that of an entry of `methods`. Raises InputError for a method or an option that there
    is not, and for a family that the method does not train.
    """
    method = find(method_file(config, name))
    if method.train is None:
        raise InputError(f"{name}: is not trained; the rule in baselines/{name}.smk makes it")
    training, options = options_of(config, train_set, name)
    return Task(
        method,
        options,
        members(config, train_set, method),
        scenario(config),
        kinds.train_set(config["train_sets"][train_set], training.on_bad_image),
        seed,
        training,
        layout.models(results(config), train_set, name, seed),
        layout.records(results(config), train_set, name, seed),
        hashlib.sha256(path(method_file(config, name)).read_bytes()).hexdigest(),
    )


def members(config: Config, train_set: str, method: Method | None = None) -> tuple[Member, ...]:
    """The members that a profile's families have on a training set.

    Raises InputError where they are not what `method` trains.
    """
    entry, model = config["train_sets"][train_set], settings(config, train_set)["model"]
    found = tuple(
        Member(
            name,
            NetworkSpec(**model | section.model, image_size=entry["image_size"]),
            section.width,
            section.classes,
            section.images,
        )
        for name, section in member_sections(config).items()
    )
    if method is not None:
        _require(method.families, found)
    return found


def _require(families: Families, found: tuple[Member, ...]) -> None:
    """Raise InputError where the members differ in more than a method can train."""
    first = found[0]
    if families == "switchable":
        alike = tuple(replace(member, name=first.name, width=first.width) for member in found)
        what = "width"
    elif families == "dimensions":
        dim = first.spec.embedding_dim
        alike = tuple(
            replace(member, name=first.name, spec=replace(member.spec, embedding_dim=dim))
            for member in found
        )
        what = "embedding_dim"
    else:
        return
    if any(member != first for member in alike):
        names = ", ".join(member.name for member in found)
        raise InputError(f"members: {names} differ in more than {what}; this method trains others")


def options_of(config: Config, train_set: str, name: str) -> tuple[TrainingOptions, Any]:
    """The training options, and the method's own, of an entry of `methods` on a training set."""
    method = find(method_file(config, name))
    of_training, of_method = hints(TrainingOptions), hints(method.options)
    entry = next(entry for entry in all_entries(config) if entry.name == name)
    own = part(TrainSetEntry, config["train_sets"][train_set]).methods.get(name, {})
    for key in (*entry.options, *own):
        if key not in of_training and key not in of_method and key not in entry.cell:
            # One that other methods have may stand in `training`, but not among a method's own.
            from_section(method.options, {key: None}, f"methods.{name}")
    chosen, place = settings(config, train_set, name)["training"], f"training (of {name})"
    return part(TrainingOptions, chosen, place), part(method.options, chosen, place)
