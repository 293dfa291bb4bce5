"""A switchable network without compatibility: shared weights, private classifiers."""

from sfsc.training.family import Family
from sfsc.training.objectives import PrivateClassifiers


def train(family: Family) -> None:
    family.fit(family.task.widths, PrivateClassifiers)
