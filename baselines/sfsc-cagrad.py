"""SFSC with another answer to conflicting gradients than its projection.

CAGrad (Liu et al., Conflict-Averse Gradient Descent, NeurIPS 2021), with c = 0.5.
"""

from sfsc.method import train_compatible
from sfsc.training.family import Family
from sfsc.training.jacobian_descent import torchjd


def train(family: Family) -> None:
    train_compatible(family, uncertainty=True, aggregation=torchjd("CAGrad", c=0.5))
