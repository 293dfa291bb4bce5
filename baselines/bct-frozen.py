"""Control: as `bct`, with the teacher's frozen classifier alone, and none of a model's own."""

from functools import partial

from sfsc.training.family import Family
from sfsc.training.objectives import FrozenClassifier, PrivateClassifiers


def train(family: Family) -> None:
    *others, widest = family.task.widths
    teacher = family.fit([widest], PrivateClassifiers).prototypes(0)
    for width in others:
        family.fit([width], partial(FrozenClassifier, teacher=teacher))
