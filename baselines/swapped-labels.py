"""Control: sub-models whose gradients must conflict, since all but the widest learn swapped labels.

Where the projection of conflicting gradients can help at all, it should help the widest here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.training.aggregation import project, total
from sfsc.training.batch import Batch
from sfsc.training.family import Family
from sfsc.training.objectives import Outcome, Problem, SharedClassifier


class SwappedLabels(SharedClassifier):
    """The shared classifier, for labels that all members but the last see swapped in pairs."""

    seen: Tensor

    def __init__(self, problem: Problem, share: float):
        """`share` is that of the classes whose labels are swapped, each with one other."""
        super().__init__(problem)
        self.last = problem.members - 1
        pairs = round(share * problem.classes) // 2
        seen = torch.arange(problem.classes)
        seen[: 2 * pairs] = seen[: 2 * pairs].reshape(pairs, 2).flip(1).flatten()
        self.register_buffer("seen", seen)

    def forward(
        self, member: int, embeddings: Tensor, batch: Batch, earlier: Mapping[int, Tensor]
    ) -> Outcome:
        if member == self.last:
            return super().forward(member, embeddings, batch, earlier)
        swapped = self.seen[batch.labels]
        outcome: Outcome = self.loss(self.classifier.weight, embeddings, swapped)
        return outcome


@dataclass(frozen=True)
class Options:
    share: float = at_least(0, 0.5)
    """Of the classes, whose labels are swapped in pairs."""
    project: bool = False
    """Project conflicting gradients, as SFSC does."""


def train(family: Family, options: Options) -> None:
    family.fit_together(
        lambda problem: SwappedLabels(problem, options.share), project if options.project else total
    )


METHOD = Method(
    train,
    summary="control: sfsc-plain, where all sub-models but the widest learn swapped labels",
    options=Options,
    varies=("sfsc-plain", "labels swapped for all but the widest"),
    families="switchable",
)
