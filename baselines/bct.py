"""Backward-compatible training: every model is made compatible with one reference model.

Shen et al., Towards Backward-Compatible Representation Learning, CVPR 2020. The reference is the
largest model, trained first and alone.
"""

from functools import partial

from sfsc.training.family import Family
from sfsc.training.objectives import BackwardCompatible, PrivateCrossEntropy


def train(family: Family) -> None:
    *others, largest = sorted(family.task.widths)
    reference = family.fit([largest], PrivateCrossEntropy)
    assert isinstance(reference, PrivateCrossEntropy)
    prototypes = reference.state_dict()["classifiers.0.weight"]
    for width in others:
        family.fit([width], partial(BackwardCompatible, reference=prototypes.cpu()))
