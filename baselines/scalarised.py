"""Other answers to magnitude: TorchJD's scalarisations of the members' losses, by name."""

from dataclasses import dataclass
from typing import Literal

from sfsc.method import Method
from sfsc.training.family import Family
from sfsc.training.objectives import SharedClassifier
from sfsc.training.scalarisation import TorchJD


@dataclass(frozen=True)
class Options:
    scalariser: Literal["GeometricMean", "Random", "Mean"] = "GeometricMean"
    """Chennupati et al. 2019, Lin et al. 2022 (random weights), or the plain mean."""


def train(family: Family, options: Options) -> None:
    family.fit_together(SharedClassifier, TorchJD(options.scalariser))


METHOD = Method(
    train,
    summary="sfsc-plain, the geometric mean of the losses, or another scalarisation, in place of "
    "their sum",
    paper="Chennupati et al., CVPRW 2019",
    options=Options,
    varies=("sfsc-plain", "a scalarisation of the losses in place of their sum"),
    families="switchable",
)
