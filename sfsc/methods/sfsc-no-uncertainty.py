"""Ablation: SFSC with cross entropy."""

from sfsc.method import Method
from sfsc.training.compatible import ProjectionOptions, projected
from sfsc.training.family import Family
from sfsc.training.objectives import SharedClassifier


def train(family: Family, options: ProjectionOptions) -> None:
    family.fit_together(SharedClassifier, *projected(options))


METHOD = Method(
    train,
    summary="sfsc, cross entropy in place of the uncertainty loss",
    options=ProjectionOptions,
    varies=("sfsc", "cross entropy"),
    families="switchable",
)
