"""Ablation: the shared classifier alone."""

from sfsc.method import Method
from sfsc.options import NoOptions
from sfsc.training.family import Family
from sfsc.training.objectives import SharedClassifier


def train(family: Family, options: NoOptions) -> None:
    family.fit_together(SharedClassifier)


METHOD = Method(
    train,
    summary="the shared classifier alone: cross entropy, gradients summed as they are",
    varies=("sfsc", "cross entropy, gradients summed as they are"),
    families="switchable",
)
