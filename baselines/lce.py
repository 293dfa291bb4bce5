"""LCE: the classifier is aligned with a teacher's class means, and classes keep their boundaries.

Meng et al., Learning Compatible Embeddings, ICCV 2021, without its maps between the spaces.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.training.batch import Batch
from sfsc.training.family import Family
from sfsc.training.margins import arcface
from sfsc.training.objectives import Outcome, PrivateClassifiers, Problem
from sfsc.training.upgrade import Tie, one_by_one


@dataclass(frozen=True)
class Options:
    scale: float = at_least(0, 16.0)
    margin: float = at_least(0, 0.1)
    """Of ArcFace, in radians."""
    alignment: float = at_least(0, 100.0)
    boundary: float = at_least(0, 1.0)


class Aligned(PrivateClassifiers):
    """ArcFace, the squared distance of prototypes to the means, and what leaves a class's cone."""

    means: Tensor
    least: Tensor

    def __init__(self, problem: Problem, tie: Tie, options: Options):
        super().__init__(problem)
        self.options = options
        self.register_buffer("means", tie.means)
        cosines = (tie.embeddings * tie.means[tie.labels]).sum(dim=1)
        least = torch.ones(problem.classes).scatter_reduce(0, tie.labels, cosines, "amin")
        self.register_buffer("least", least)

    def forward(
        self, member: int, embeddings: Tensor, batch: Batch, earlier: Mapping[int, Tensor]
    ) -> Outcome:
        options, labels, W = self.options, batch.labels, self.trained_prototypes(member)
        own = F.cross_entropy(arcface(W, embeddings, labels, options.scale, options.margin), labels)
        apart = (F.normalize(W, dim=1) - self.means).square().mean()
        cosines = (embeddings * self.means[labels]).sum(dim=1)
        outside = (self.least[labels] - cosines).clamp(min=0).mean()
        loss = own + options.alignment * apart + options.boundary * outside
        return Outcome(loss, {"alignment": apart.detach(), "boundary": outside.detach()})


def train(family: Family, options: Options) -> None:
    one_by_one(family, partial(Aligned, options=options))


METHOD = Method(
    train,
    summary="each model's prototypes are aligned with a teacher's class means, and embeddings stay "
    "within the boundaries of its classes",
    paper="Meng et al., ICCV 2021",
    options=Options,
)
