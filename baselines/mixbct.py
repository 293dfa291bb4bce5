"""MixBCT: a teacher's embeddings take part in the model's own classification.

Liang et al., MixBCT: Towards Self-Adapting Backward-Compatible Training, 2023 (arXiv 2308.06948).
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
    share: float = at_least(0, 0.3)
    """Of a batch, whose embeddings are the teacher's."""
    dropped: float = at_least(0, 0.1)
    """Of the teacher's embeddings: those farthest from their class mean are not used."""
    scale: float = at_least(0, 64.0)
    margin: float = at_least(0, 0.5)
    """Of ArcFace, in radians."""


class Mixed(PrivateClassifiers):
    """One ArcFace classifier for embeddings of which some are the teacher's."""

    least: Tensor
    means: Tensor

    def __init__(self, problem: Problem, tie: Tie, options: Options):
        super().__init__(problem)
        self.options, self.tie, self._of_teacher = options, tie, Tensor()
        near = (tie.embeddings * tie.means[tie.labels]).sum(dim=1)
        self.register_buffer("means", tie.means)
        self.register_buffer("least", torch.quantile(near, options.dropped))

    def begin(self, batch: Batch) -> None:
        self._of_teacher = self.tie.network(batch.images)

    def forward(
        self, member: int, embeddings: Tensor, batch: Batch, earlier: Mapping[int, Tensor]
    ) -> Outcome:
        options, labels = self.options, batch.labels
        drawn = torch.rand(len(labels), generator=batch.generator) < options.share
        near = (self._of_teacher * self.means[labels]).sum(dim=1) >= self.least
        replaced = drawn.to(labels.device) & near
        mixed = torch.where(replaced[:, None], self._of_teacher, embeddings)
        W = self.trained_prototypes(member)
        found = arcface(W, mixed, labels, options.scale, options.margin)
        return Outcome(F.cross_entropy(found, labels), {"replaced": replaced.float().mean()})


def train(family: Family, options: Options) -> None:
    one_by_one(family, partial(Mixed, options=options))


METHOD = Method(
    train,
    summary="each model's classifier sees its teacher's embeddings, in place of some of its own",
    paper="Liang et al., 2023",
    options=Options,
)
