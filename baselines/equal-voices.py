"""Control: SFSC's loss, with gradients of equal length in place of priorities and projection.

What `sfsc-no-projection` gains over it is the priority that the loss gives the members.
"""

from sfsc.method import Method
from sfsc.training.aggregation import equalise
from sfsc.training.compatible import with_evidence
from sfsc.training.family import Family
from sfsc.training.objectives import EvidenceOptions


def train(family: Family, options: EvidenceOptions) -> None:
    family.fit_together(with_evidence(options), equalise)


METHOD = Method(
    train,
    summary="control: sfsc, gradients brought to one length and summed, so that no sub-model has "
    "priority",
    options=EvidenceOptions,
    varies=("sfsc", "gradients brought to one length and summed"),
    families="switchable",
)
