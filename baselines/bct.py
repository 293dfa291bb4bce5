"""Backward-compatible training: every model is made compatible with one teacher.

Shen et al., Towards Backward-Compatible Representation Learning, CVPR 2020. The teacher is the
widest model, trained first and alone.
"""

from functools import partial

from sfsc.training.family import Family
from sfsc.training.objectives import BackwardCompatible, PrivateClassifiers


def train(family: Family) -> None:
    *others, widest = family.task.widths
    teacher = family.fit([widest], PrivateClassifiers).prototypes(0)
    for width in others:
        family.fit([width], partial(BackwardCompatible, teacher=teacher))
