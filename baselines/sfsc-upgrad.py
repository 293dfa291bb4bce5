"""SFSC with another answer to conflicting gradients than its projection.

UPGrad (Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, 2024).
"""

from sfsc.method import Method
from sfsc.training.compatible import with_evidence
from sfsc.training.family import Family
from sfsc.training.jacobian_descent import torchjd
from sfsc.training.objectives import EvidenceOptions


def train(family: Family, options: EvidenceOptions) -> None:
    family.fit_together(with_evidence(options), torchjd("UPGrad"))


METHOD = Method(
    train,
    summary="sfsc, UPGrad in place of the projection",
    paper="Quinton and Rey, 2024",
    options=EvidenceOptions,
    varies=("sfsc", "UPGrad in place of the projection"),
    families="switchable",
)
