"""Ablation: SFSC without its projection."""

from sfsc.method import Method
from sfsc.training.compatible import with_evidence
from sfsc.training.family import Family
from sfsc.training.objectives import EvidenceOptions


def train(family: Family, options: EvidenceOptions) -> None:
    family.fit_together(with_evidence(options))


METHOD = Method(
    train,
    summary="sfsc, gradients summed as they are",
    options=EvidenceOptions,
    varies=("sfsc", "gradients summed as they are"),
    families="switchable",
)
