"""Regression: a model's embeddings are drawn to those of its teacher.

The weight is that of MixBCT's comparison (arXiv 2308.06948). With a slack, embeddings that are as
near as that cost nothing.
"""

from dataclasses import dataclass
from functools import partial

from torch import Tensor

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.training.batch import Batch
from sfsc.training.family import Family
from sfsc.training.imitation import Imitation
from sfsc.training.upgrade import one_by_one


@dataclass(frozen=True)
class Options:
    weight: float = at_least(0, 10.0)
    slack: float = at_least(0, 0.0)
    """A distance."""


class Regression(Imitation[Options]):
    """Adds the mean squared distance, or with a slack the mean distance beyond it."""

    def term(self, embeddings: Tensor, of_teacher: Tensor, batch: Batch) -> Tensor:
        apart = (embeddings - of_teacher).square().sum(dim=1)
        if self.options.slack:
            apart = (apart.clamp(min=1e-12).sqrt() - self.options.slack).clamp(min=0)
        return self.options.weight * apart.mean()


def train(family: Family, options: Options) -> None:
    one_by_one(family, partial(Regression, options=options))


METHOD = Method(
    train,
    summary="each model imitates the embeddings of a teacher, by their squared distance",
    paper="Romero et al. (FitNets), ICLR 2015",
    options=Options,
)
