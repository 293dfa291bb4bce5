"""Another reading of priorities: SFSC's losses, weighted explicitly by the uncertainties u.

The weight of a member is its u over the mean u of all, each a running mean without gradient.
"""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from sfsc.method import Method
from sfsc.training.batch import Batch
from sfsc.training.compatible import CompatibleOptions, projected
from sfsc.training.family import Family
from sfsc.training.objectives import Evidence, Loss, Outcome, Problem, SharedClassifier

_MEMORY = 0.9
"""Of the running mean of u, per step."""


class WeightedByUncertainty(SharedClassifier):
    """SharedClassifier whose loss for member i is multiplied by u_i over the mean of all u."""

    uncertainties: Tensor

    def __init__(self, problem: Problem, loss: Loss):
        super().__init__(problem, loss)
        self.register_buffer("uncertainties", torch.ones(problem.members))

    def forward(
        self, member: int, embeddings: Tensor, batch: Batch, earlier: Mapping[int, Tensor]
    ) -> Outcome:
        outcome = super().forward(member, embeddings, batch, earlier)
        self.uncertainties[member].lerp_(outcome.records["uncertainty"], 1 - _MEMORY)
        weight = self.uncertainties[member] / self.uncertainties.mean()
        return Outcome(weight * outcome.loss, outcome.records)


def train(family: Family, options: CompatibleOptions) -> None:
    objective = partial(WeightedByUncertainty, loss=partial(Evidence, options))
    family.fit_together(objective, *projected(options))


METHOD = Method(
    train,
    summary="sfsc, each loss weighted by its sub-model's uncertainty",
    options=CompatibleOptions,
    varies=("sfsc", "losses weighted by u"),
    families="switchable",
)
