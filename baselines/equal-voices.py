"""Control: SFSC's loss, with gradients of equal length in place of priorities and projection.

What `sfsc-no-projection` gains over it is the priority that the loss gives the sub-models.
"""

from sfsc.method import train_compatible
from sfsc.training.aggregation import equalise
from sfsc.training.family import Family


def train(family: Family) -> None:
    train_compatible(family, uncertainty=True, aggregation=equalise)
