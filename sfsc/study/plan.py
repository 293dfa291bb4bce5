"""What a study consists of: sets, their units, and the hypotheses that the units decide."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sfsc import config
from sfsc.config import Config
from sfsc.files import InputError
from sfsc.options import from_section

EQUIVALENT = 0.01
"""A smaller difference is none: one point."""


@dataclass(frozen=True)
class StudySet:
    """A data set with a profile of its own; its `methods` are the arms."""

    profile: str
    protocol: str
    """The one that decides."""
    seeds: tuple[int, ...]
    """The first and the last training seed; each is a unit."""
    generators: tuple[int, ...] = ()
    """Of generated data: generator seeds, each for an equal share of the units, in order."""
    change: Mapping[str, Any] = field(default_factory=dict)
    """What of the profile is otherwise, section by section, such as the optimiser."""


@dataclass(frozen=True)
class Hypothesis:
    """A claim: that a weighted sum of arms, in one measure, is above a bound."""

    name: str
    claim: str
    contrast: Mapping[str, float]
    measure: str
    """One of sfsc.retrieval.compatibility, or `widest`: the self-test of the last member."""
    above: float = 0.0


class Unit(NamedTuple):
    """One training of one arm on one draw of the data."""

    set: str
    arm: str
    seed: int

    @property
    def file(self) -> Path:
        """Where its scores are, below the folder of units."""
        return Path(self.set, self.arm, f"{self.seed}.json")


@dataclass(frozen=True)
class Study:
    """A file such as config/study/study.yaml."""

    units: Path
    sets: Mapping[str, StudySet]
    hypotheses: tuple[Hypothesis, ...]

    def arms(self, name: str) -> list[str]:
        """The arms of a set: the methods of its profile, whether or not its data are there."""
        return config.method_names(config.load(Path(self.sets[name].profile)))

    def missing(self, name: str) -> list[Unit]:
        """The units of a set that nobody has run yet; all arms of a seed before the next seed.

        Raises InputError where there are some and the profile is not in order, as without its data.
        """
        units = (
            Unit(name, arm, seed) for seed in _seeds(self.sets[name]) for arm in self.arms(name)
        )
        missing = [unit for unit in units if not (self.units / unit.file).exists()]
        if missing:
            self._profile_of(name)
        return missing

    def draw_of(self, unit: Unit) -> int:
        """The first training seed of the units that share this one's data."""
        of = self.sets[unit.set]
        units = len(_seeds(of)) // max(1, len(of.generators))
        return unit.seed - (unit.seed - of.seeds[0]) % units

    def profile(self, unit: Unit) -> Config:
        """The profile of one unit: of its seed alone, on the data of its generator seed."""
        of = self.sets[unit.set]
        profile = self._profile_of(unit.set) | {"seeds": [unit.seed]}
        if not of.generators:
            return profile
        units = len(_seeds(of)) // len(of.generators)
        return _drawn_by(profile, of.generators[(unit.seed - of.seeds[0]) // units])

    def _profile_of(self, name: str) -> Config:
        """The checked profile of a set; its results have the set's name."""
        of = self.sets[name]
        given = config.merged(config.read(Path(of.profile)), of.change)
        return config.check(given | {"profile": f"study-{name}"}, f"{of.profile}, for {name}")


def read_study(path: Path) -> Study:
    """The study of a YAML file; InputError, which names the key, for what does not fit."""
    given = config.load(path)
    if not isinstance(given, dict) or set(given) != {"units", "sets", "hypotheses"}:
        raise InputError(f"{path}: has the sections units, sets and hypotheses, and no others")
    sets = {
        name: from_section(StudySet, section, f"{path}: sets.{name}")
        for name, section in given["sets"].items()
    }
    for name, each in sets.items():
        if len(each.seeds) != 2 or each.seeds[0] > each.seeds[1]:
            raise InputError(f"{path}: sets.{name}.seeds: write the first and the last one")
        if each.generators and len(_seeds(each)) % len(each.generators):
            raise InputError(f"{path}: sets.{name}.generators: each must have as many units")
    hypotheses = tuple(
        _hypothesis(each, f"{path}: hypotheses[{number}]")
        for number, each in enumerate(given["hypotheses"])
    )
    return Study(Path(given["units"]), sets, hypotheses)


def _hypothesis(given: Any, place: str) -> Hypothesis:
    try:
        return Hypothesis(**given)
    except TypeError as error:
        raise InputError(f"{place}: {error}; see sfsc.study.plan.Hypothesis") from None


def _seeds(of: StudySet) -> range:
    return range(of.seeds[0], of.seeds[1] + 1)


def _drawn_by(profile: Config, generator: int) -> Config:
    """The profile with the data of another generator seed, in a folder of its own."""
    root = profile["synthetic"]["path"]
    own = f"{root}-{generator}"

    def moved(entries: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: entry | {"path": own + entry["path"].removeprefix(root)}
            for name, entry in entries.items()
        }

    return {
        **profile,
        "synthetic": profile["synthetic"] | {"path": own, "seed": generator},
        "train_sets": moved(profile["train_sets"]),
        "eval_sets": moved(profile["eval_sets"]),
    }
