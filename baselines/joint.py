"""A switchable network without compatibility: shared weights, private classifiers."""

from sfsc.method import Method
from sfsc.options import NoOptions
from sfsc.training.family import Family
from sfsc.training.objectives import PrivateClassifiers


def train(family: Family, options: NoOptions) -> None:
    family.fit_together(PrivateClassifiers)


METHOD = Method(
    train,
    summary="one switchable network, private classifiers: shared weights without a compatibility "
    "constraint",
    families="switchable",
)
