"""What of a profile is wrong without being a mistake of its text: networks, data sets, searches."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sfsc import config as profiles
from sfsc.config import Config
from sfsc.data import kinds
from sfsc.embedding.sizes import require_taken, sizes_of
from sfsc.fetch.plan import done_marker, needed_by
from sfsc.files import InputError
from sfsc.method import find
from sfsc.options import part
from sfsc.profile import TrainingOptions
from sfsc.retrieval import approximate
from sfsc.switchable.backbone import NetworkSpec
from sfsc.switchable.network import try_out
from sfsc.training.task import members, options_of


def require_sound(config: Config, source: str) -> None:
    """Build the networks and read the data sets that are there; trains and writes nothing.

    Raises InputError with a line for each network that cannot be built or does not take its images,
    each data set that cannot be read or scored, and each search that its index does not know.
    """
    mistakes: dict[str, None] = {}

    @contextmanager
    def noted(place: str) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            mistakes[f"{source}: {place}: {error}"] = None  # members may share one

    specs: dict[str, list[NetworkSpec]] = {}
    for name, entry in config["train_sets"].items():
        training = part(TrainingOptions, profiles.settings(config, name)["training"])
        with noted(f"train_sets.{name}"):
            family = members(config, name)
            specs[name] = [member.spec for member in family]
            for spec, alike in itertools.groupby(family, lambda member: member.spec):
                try_out(spec, [member.width for member in alike])
        for method in profiles.all_method_names(config):
            with noted(f"train_sets.{name}"):
                options_of(config, name, method)
            with noted(f"methods.{method}"):
                members(config, name, find(profiles.method_file(config, method)))
        with noted(f"train_sets.{name}"):
            if _is_there(config, entry) and not _is_packed(entry):
                kinds.source_set(entry, training.on_bad_image)
    for name, entry in config["eval_sets"].items():
        for spec in specs.get(entry["train_set"], []):
            with noted(f"eval_sets.{name}"):
                require_taken(sizes_of(entry), spec)
            with noted(f"eval_sets.{name}"):
                if index := approximate.index_of(entry):
                    approximate.check(index, spec.embedding_dim)
        with noted(f"eval_sets.{name}"):
            if _is_there(config, entry):
                kinds.retrieval_set(entry)
    if mistakes:
        raise InputError("\n".join(mistakes))


def _is_there(config: Config, entry: Mapping[str, Any]) -> bool:
    """Whether the data of a set is at hand: what is drawn or fetched may come later."""
    root = profiles.fetch_root(config) or Path()
    fetched = all(done_marker(root, item.name).exists() for item in needed_by(config, entry))
    return fetched and all(path.exists() for path in profiles.data_paths(entry).values())


def _is_packed(entry: Mapping[str, Any]) -> bool:
    return "packed" in entry and (profiles.expanded(entry["packed"]) / "manifest.json").exists()
