"""SFSC and its ablations as recipes; each of the other methods is a file in baselines/."""

import importlib.util
from collections.abc import Mapping
from functools import partial

from sfsc.config import ROOT
from sfsc.files import InputError
from sfsc.training.aggregation import Aggregation, project, project_intersections, total
from sfsc.training.family import Family, Recipe
from sfsc.training.objectives import CrossEntropy, SharedClassifier, evidence
from sfsc.training.options import TrainingOptions


def projection(options: TrainingOptions) -> Aggregation:
    """SFSC's answer to conflicting gradients, in the profile's scope."""
    return project_intersections if options.projection == "intersection" else project


def train_compatible(
    family: Family, uncertainty: bool, aggregation: Aggregation | None = None
) -> None:
    """One switchable network whose sub-models share a classifier.

    Without an `aggregation`, conflicting gradients are projected.
    """
    options = family.task.options
    loss = evidence(options) if uncertainty else CrossEntropy
    objective = partial(SharedClassifier, loss=loss)
    family.fit(family.task.widths, objective, aggregation or projection(options))


RECIPES: Mapping[str, Recipe] = {
    "sfsc": partial(train_compatible, uncertainty=True),
    "sfsc-no-projection": partial(train_compatible, uncertainty=True, aggregation=total),
    "sfsc-no-uncertainty": partial(train_compatible, uncertainty=False),
    "sfsc-plain": partial(train_compatible, uncertainty=False, aggregation=total),
}
"""Wu et al., CVPR 2023: one classifier for all sub-models, the uncertainty loss, the projection."""


def find_recipe(method: str) -> Recipe:
    """The recipe of a method: one of RECIPES, or `train` of baselines/<method>.py."""
    if method in RECIPES:
        return RECIPES[method]
    path = ROOT / "baselines" / f"{method}.py"
    spec = importlib.util.spec_from_file_location(f"baselines.{method}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise InputError(f"method {method}: no such file: baselines/{method}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "train"):
        raise InputError(f"baselines/{method}.py: has no function `train(family)`")
    recipe: Recipe = module.train
    return recipe
