"""Control: the models of `independent` with SFSC's uncertainty loss.

What they gain over `independent` is the loss, not compatible training.
"""

from functools import partial

from sfsc.training.family import Family
from sfsc.training.objectives import PrivateClassifiers, evidence


def train(family: Family) -> None:
    loss = evidence(family.task.options)
    for width in family.task.widths:
        family.fit([width], partial(PrivateClassifiers, loss=loss))
