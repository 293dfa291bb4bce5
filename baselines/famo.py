"""Another answer to magnitude: FAMO weights the members so that their losses fall at one rate."""

from dataclasses import dataclass

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.training.family import Family
from sfsc.training.objectives import SharedClassifier
from sfsc.training.scalarisation import Famo


@dataclass(frozen=True)
class Options:
    rate: float = at_least(0, 0.025)
    """Learning rate of the weights' logits."""
    decay: float = at_least(0, 0.001)
    """Their weight decay."""


def train(family: Family, options: Options) -> None:
    famo = Famo(len(family.members), options.rate, options.decay)
    family.fit_together(SharedClassifier, famo)


METHOD = Method(
    train,
    summary="sfsc-plain, sub-models weighted so that all losses fall at one rate",
    paper="Liu et al., NeurIPS 2023",
    options=Options,
    varies=("sfsc-plain", "FAMO's weights of the sub-models"),
    families="switchable",
)
