"""UniBCT: the frozen classifier is a teacher's class means, of embeddings that neighbours smooth.

Zhang et al., Towards Universal Backward-Compatible Representation Learning, IJCAI 2022. The source
takes the neighbours from the model in training, anew at some epochs; here they are the teacher's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.training.batch import Batch
from sfsc.training.family import Family
from sfsc.training.objectives import FrozenClassifier, Outcome, PrivateClassifiers, Problem
from sfsc.training.upgrade import Tie, one_by_one


@dataclass(frozen=True)
class Options:
    weight: float = at_least(0, 1.0)
    smoothing: float = at_least(0, 0.9)
    temperature: float = at_least(1e-6, 0.05)
    start: float = at_least(0, 0.3)
    """Share of the training before which the term is off."""


class Universal(PrivateClassifiers):
    """Adds cross entropy against the refined class means, once the model knows something."""

    def __init__(self, problem: Problem, tie: Tie, options: Options):
        super().__init__(problem)
        self.options = options
        means = [
            refined(tie.embeddings[tie.labels == label], options).mean(0)
            for label in range(problem.classes)
        ]
        self.influence = FrozenClassifier(problem, F.normalize(torch.stack(means), dim=1))

    def forward(
        self, member: int, embeddings: Tensor, batch: Batch, earlier: Mapping[int, Tensor]
    ) -> Outcome:
        own = super().forward(member, embeddings, batch, earlier)
        if batch.step < self.options.start * batch.steps:
            return own
        influence: Outcome = self.influence(member, embeddings, batch, earlier)
        return Outcome(own.loss + self.options.weight * influence.loss)


def refined(embeddings: Tensor, options: Options) -> Tensor:
    """(1 - a) (I - a A)^-1 F for the embeddings F (N, D) of a class, A their soft neighbours."""
    count = len(embeddings)
    if count == 1:
        return embeddings
    similar = (embeddings @ embeddings.T / options.temperature).fill_diagonal_(-torch.inf)
    system = torch.eye(count) - options.smoothing * similar.softmax(dim=1)
    found: Tensor = torch.linalg.solve(system, embeddings)
    return (1 - options.smoothing) * found


def train(family: Family, options: Options) -> None:
    one_by_one(family, lambda problem, tie: Universal(problem, tie, options))


METHOD = Method(
    train,
    summary="each model has a classifier of its own, and smoothed class means of its teacher",
    paper="Zhang et al., IJCAI 2022",
    options=Options,
)
