"""One model per width, each trained alone, with its own initial weights: nothing ties them."""

from sfsc.training.family import Family
from sfsc.training.objectives import PrivateClassifiers


def train(family: Family) -> None:
    for width in family.task.widths:
        family.fit([width], PrivateClassifiers)
