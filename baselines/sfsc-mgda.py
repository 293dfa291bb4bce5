"""SFSC with another answer to conflicting gradients than its projection.

MGDA (Sener and Koltun, Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018).
"""

from sfsc.method import train_compatible
from sfsc.training.family import Family
from sfsc.training.jacobian_descent import torchjd


def train(family: Family) -> None:
    train_compatible(family, uncertainty=True, aggregation=torchjd("MGDA"))
