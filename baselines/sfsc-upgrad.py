"""SFSC with another answer to conflicting gradients than its projection.

UPGrad (Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, 2024).
"""

from sfsc.method import train_compatible
from sfsc.training.family import Family
from sfsc.training.jacobian_descent import torchjd


def train(family: Family) -> None:
    train_compatible(family, uncertainty=True, aggregation=torchjd("UPGrad"))
