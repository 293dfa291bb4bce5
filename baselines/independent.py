"""Models trained apart: the upper reference for self-tests, the chance level for cross-tests."""

from sfsc.training.family import Family
from sfsc.training.objectives import PrivateCrossEntropy


def train(family: Family) -> None:
    for width in family.task.widths:
        family.fit([width], PrivateCrossEntropy)
