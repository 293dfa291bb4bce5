"""SFSC with another answer to conflicting gradients than its projection.

CAGrad (Liu et al., Conflict-Averse Gradient Descent, NeurIPS 2021), with c = 0.5.
"""

from sfsc.method import Method
from sfsc.training.compatible import with_evidence
from sfsc.training.family import Family
from sfsc.training.jacobian_descent import torchjd
from sfsc.training.objectives import EvidenceOptions


def train(family: Family, options: EvidenceOptions) -> None:
    family.fit_together(with_evidence(options), torchjd("CAGrad", c=0.5))


METHOD = Method(
    train,
    summary="sfsc, CAGrad in place of the projection",
    paper="Liu et al., NeurIPS 2021",
    options=EvidenceOptions,
    varies=("sfsc", "CAGrad in place of the projection"),
    families="switchable",
)
