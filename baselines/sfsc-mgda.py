"""SFSC with another answer to conflicting gradients than its projection.

MGDA (Sener and Koltun, Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018).
"""

from sfsc.method import Method
from sfsc.training.compatible import with_evidence
from sfsc.training.family import Family
from sfsc.training.jacobian_descent import torchjd
from sfsc.training.objectives import EvidenceOptions


def train(family: Family, options: EvidenceOptions) -> None:
    family.fit_together(with_evidence(options), torchjd("MGDA"))


METHOD = Method(
    train,
    summary="sfsc, MGDA in place of the projection",
    paper="Sener and Koltun, NeurIPS 2018",
    options=EvidenceOptions,
    varies=("sfsc", "MGDA in place of the projection"),
    families="switchable",
)
