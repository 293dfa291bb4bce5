"""A map of conflict: where the members' gradients conflict, in mini-batches and in the whole set.

Accuracy is not looked at, so that a regime for a study can be chosen from it.
"""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from sfsc import config
from sfsc.config import Config
from sfsc.files import InputError, replacing
from sfsc.seeds import generator
from sfsc.study.figures import draw_map
from sfsc.study.unit import draw
from sfsc.training.aggregation import Aggregation, conflicts, total
from sfsc.training.batch import Batch
from sfsc.training.family import Family
from sfsc.training.fitted import AnObjective, Fitted
from sfsc.training.gradients import Scope
from sfsc.training.objectives import Problem
from sfsc.training.processes import joined
from sfsc.training.schedule import learning_rate
from sfsc.training.step import Step
from sfsc.training.task import task
from sfsc.training.trainable import Trainable

_LOOKS = (0.1, 0.5, 1.0)
"""Shares of the training after which the gradient of the whole set is measured."""


@dataclass(frozen=True)
class Cell:
    """One place of the map: what is varied, and the profile and method that this makes."""

    factor: str
    value: str
    method: str
    profile: Config

    @property
    def file(self) -> str:
        return f"{self.factor}-{self.value}.json"


def cells(path: Path) -> list[Cell]:
    """The cells of a file such as config/study/conflicts.yaml: one change each of its `base`.

    Raises InputError for what is no such file.
    """
    given = config.load(path)
    try:
        base, method, factors = given["base"], given["method"], given["factors"]
        found = [Cell("base", "base", method, config.check(base, str(path)))]
        for factor, values in factors.items():
            for value, change in values.items():
                own = dict(change)
                of = own.pop("method", method)
                profile = config.check(
                    config.merged(base, own), f"{path}: factors.{factor}.{value}"
                )
                found.append(Cell(factor, str(value), of, profile))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path}: has base, method and factors ({error!r})") from None
    return found


def measure_all(path: Path, out: Path) -> None:
    """Measure the cells of a file that `out` does not hold yet, and write the map next to `out`."""
    for cell in cells(path):
        if not (out / cell.file).exists():
            draw(cell.profile)
            measure(cell, out)
    found = table(out)
    with replacing(out.with_suffix(".csv")) as beside:
        found.to_csv(beside, index=False)
    draw_map(found, out.with_suffix(".png"))
    with replacing(out.with_suffix(".md")) as beside:
        beside.write_text(f"{found.to_markdown(index=False, floatfmt='.3f')}\n\n{_LEGEND}\n")


_LEGEND = (
    "Shares of the pairs of members whose gradients have a negative inner product: over all steps"
    " of the training (mini_batches), and in the gradient of the whole training set after 10, 50"
    " and 100 % of it (whole_set), with the lowest cosine found there."
)


def measure(cell: Cell, folder: Path) -> None:
    """Train a cell with each seed of its profile, and write its conflicts below `folder`."""
    rows: list[dict[str, Any]] = []
    (train_set,) = cell.profile["train_sets"]
    torch.set_num_threads(config.typed(cell.profile).threads)
    profile = {**cell.profile, "methods": [cell.method]}
    for seed in profile["seeds"]:
        of = task(profile, train_set, cell.method, seed)
        assert of.method.train is not None
        with joined() as (processes, device):
            family = _Watched(of, processes, device)
            of.method.train(family, of.method_options)
        rows.append({"seed": seed, **family.found})
    text = {"factor": cell.factor, "value": cell.value, "seeds": rows}
    with replacing(folder / cell.file) as beside:
        beside.write_text(json.dumps(text, indent=1) + "\n")


class _Watched(Family):
    """Trains one network, looks at its gradients, and saves nothing."""

    def __init__(self, *what: Any):
        super().__init__(*what)
        self.found: dict[str, Any] = {}

    def fit(
        self,
        network: Trainable,
        objective: Callable[[Problem], AnObjective],
        aggregation: Aggregation = total,
        scope: Scope = "network",
        **how: Any,
    ) -> Fitted[AnObjective]:
        chosen, criterion, order = self.prepared(network, objective, None, None, 1)
        update = Step(network, criterion, aggregation, scope, chosen, self.processes)
        seed, members = self.task.seed, range(len(network.names))
        steps = chosen.epochs * order.steps_per_epoch

        def batch(step: int) -> Batch:
            images, labels, rows = self.batches.batch(order, seed, step)
            return Batch(images, labels, rows, step, steps, generator(seed, "objective", step))

        looks = {max(1, round(share * steps)): share for share in _LOOKS}
        shares: list[float] = []
        whole: dict[str, list[float]] = {}
        for step in range(steps):
            random = generator(seed, "aggregation", step)
            values = update(batch(step), learning_rate(step, steps, chosen), random, members)
            place = [column.quantity for column in update.columns].index("conflict_share")
            shares.append(float(values[place]))
            if step + 1 in looks:
                gram = update.gram(batch(n) for n in range(order.steps_per_epoch))
                whole[f"{looks[step + 1]:g}"] = conflicts(gram)[1].tolist()
        self.found = {
            "pairs": [f"{a}-{b}" for a, b in itertools.combinations(network.names, 2)],
            "mini_batches": sum(shares) / len(shares),
            "whole_set": whole,
        }
        return Fitted(network, criterion, self.device)

    def save(self, *what: Any) -> None:
        pass


def table(folder: Path) -> pd.DataFrame:
    """The map: columns factor, value, mini_batches, whole_set (shares of pairs), lowest_cosine."""
    rows = []
    for path in sorted(folder.glob("*.json")):
        cell = json.loads(path.read_text())
        cosines = [
            each for seed in cell["seeds"] for look in seed["whole_set"].values() for each in look
        ]
        shares = [seed["mini_batches"] for seed in cell["seeds"]]
        rows.append(
            {
                "factor": cell["factor"],
                "value": cell["value"],
                "seeds": len(shares),
                "mini_batches": sum(shares) / len(shares),
                "whole_set": sum(each < 0 for each in cosines) / len(cosines),
                "lowest_cosine": min(cosines),
            }
        )
    return pd.DataFrame(rows)
