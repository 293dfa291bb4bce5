"""HVS's training: a margin of its own, and the gallery model's frozen classifier.

Duggal et al., Compatibility-aware Heterogeneous Visual Search, CVPR 2021, without its search for an
architecture.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.training.batch import Batch
from sfsc.training.family import Family
from sfsc.training.margins import arcface
from sfsc.training.objectives import FrozenClassifier, Outcome, PrivateClassifiers, Problem
from sfsc.training.upgrade import one_by_one


@dataclass(frozen=True)
class Options:
    margin: float = at_least(0, 0.15)
    """In radians."""
    weight: float = at_least(0, 1.0)
    """Of the teacher's classifier."""


class Heterogeneous(PrivateClassifiers):
    """A margin softmax of scale sqrt(D), and cross entropy against the teacher's classifier."""

    def __init__(self, problem: Problem, teacher: Tensor, options: Options):
        """`teacher` is the teacher's prototype matrix, (K, D)."""
        super().__init__(problem)
        self.options, self.length = options, problem.dim**0.5
        self.influence = FrozenClassifier(problem, teacher)

    def forward(
        self, member: int, embeddings: Tensor, batch: Batch, earlier: Mapping[int, Tensor]
    ) -> Outcome:
        W, labels = self.trained_prototypes(member), batch.labels
        own = arcface(W, embeddings, labels, self.length, self.options.margin)
        influence: Outcome = self.influence(member, embeddings, batch, earlier)
        return Outcome(F.cross_entropy(own, labels) + self.options.weight * influence.loss)


def train(family: Family, options: Options) -> None:
    one_by_one(family, lambda problem, tie: Heterogeneous(problem, tie.prototypes(), options))


METHOD = Method(
    train,
    summary="each model has a margin softmax of its own, and its teacher's frozen classifier",
    paper="Duggal et al., CVPR 2021",
    options=Options,
)
