"""Control: `bct-frozen` with SFSC's uncertainty loss, for the teacher too."""

from functools import partial

from sfsc.training.family import Family
from sfsc.training.objectives import FrozenClassifier, PrivateClassifiers, evidence


def train(family: Family) -> None:
    loss = evidence(family.task.options)
    *others, widest = family.task.widths
    teacher = family.fit([widest], partial(PrivateClassifiers, loss=loss)).prototypes(0)
    for width in others:
        family.fit([width], partial(FrozenClassifier, teacher=teacher, loss=loss))
