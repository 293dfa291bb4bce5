"""SFSC: one switchable network, one classifier, uncertainty, and projection.

Wu et al., Switchable Representation Learning Framework with Self-Compatibility, CVPR 2023.
"""

from sfsc.method import Method
from sfsc.training.compatible import CompatibleOptions, projected, with_evidence
from sfsc.training.family import Family


def train(family: Family, options: CompatibleOptions) -> None:
    family.fit_together(with_evidence(options), *projected(options))


METHOD = Method(
    train,
    summary="one switchable network with a shared classifier, the uncertainty loss and gradient "
    "projection",
    paper="Wu et al., CVPR 2023",
    options=CompatibleOptions,
    families="switchable",
)
