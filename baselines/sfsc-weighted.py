"""Another reading of priorities: SFSC's losses, weighted explicitly by the uncertainties u.

The weight of a sub-model is its u over the mean u of all, each a running mean without gradient.
"""

from functools import partial

import torch
from torch import Tensor

from sfsc.method import projection
from sfsc.training.family import Family
from sfsc.training.objectives import Loss, Outcome, SharedClassifier, evidence

_MEMORY = 0.9
"""Of the running mean of u, per step."""


class WeightedByUncertainty(SharedClassifier):
    """SharedClassifier whose loss for sub-model i is multiplied by u_i over the mean of all u."""

    uncertainties: Tensor

    def __init__(self, sub_models: int, embedding_dim: int, classes: int, loss: Loss):
        super().__init__(sub_models, embedding_dim, classes, loss)
        self.register_buffer("uncertainties", torch.ones(sub_models))

    def forward(self, index: int, embeddings: Tensor, labels: Tensor) -> Outcome:
        outcome = super().forward(index, embeddings, labels)
        assert outcome.uncertainty is not None
        self.uncertainties[index].lerp_(outcome.uncertainty, 1 - _MEMORY)
        weight = self.uncertainties[index] / self.uncertainties.mean()
        return Outcome(weight * outcome.loss, outcome.uncertainty)


def train(family: Family) -> None:
    loss = evidence(family.task.options)
    family.fit(
        family.task.widths,
        partial(WeightedByUncertainty, loss=loss),
        projection(family.task.options),
    )
