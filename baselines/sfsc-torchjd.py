"""SFSC with any of TorchJD's answers to conflicting gradients that needs the Gram matrix alone.

Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, 2024.
"""

from dataclasses import dataclass

from sfsc.method import Method
from sfsc.training.compatible import with_evidence
from sfsc.training.family import Family
from sfsc.training.jacobian_descent import torchjd
from sfsc.training.objectives import EvidenceOptions


@dataclass(frozen=True)
class Options(EvidenceOptions):
    aggregator: str = "UPGrad"
    """TorchJD's name, such as UPGrad, MGDA, AlignedMTL, DualProj, IMTLG, PCGrad or Random."""


def train(family: Family, options: Options) -> None:
    family.fit_together(with_evidence(options), torchjd(options.aggregator))


METHOD = Method(
    train,
    summary="sfsc, an aggregator of TorchJD's in place of the projection",
    paper="Quinton and Rey, 2024",
    options=Options,
    varies=("sfsc", "an aggregator of TorchJD's in place of the projection"),
    families="switchable",
)
