"""Another reading of priorities: homoscedastic uncertainty, learnt with the sub-models.

Kendall, Gal and Cipolla, Multi-Task Learning Using Uncertainty to Weigh Losses, CVPR 2018: the
loss of sub-model i is exp(-s_i) L_i + s_i / 2 with a learnt s_i (their log sigma^2) and cross
entropy L_i. Conflicting gradients are projected as in SFSC.
"""

import torch
from torch import Tensor, nn

from sfsc.method import projection
from sfsc.training.family import Family
from sfsc.training.objectives import Outcome, SharedClassifier


class Homoscedastic(SharedClassifier):
    """SharedClassifier with a learnt variance per sub-model, which is logged as its uncertainty."""

    def __init__(self, sub_models: int, embedding_dim: int, classes: int):
        super().__init__(sub_models, embedding_dim, classes)
        self.log_variances = nn.ParameterList(torch.zeros(1) for _ in range(sub_models))

    def forward(self, index: int, embeddings: Tensor, labels: Tensor) -> Outcome:
        loss = super().forward(index, embeddings, labels).loss
        log_variance = self.log_variances[index].squeeze()
        weighted = loss * torch.exp(-log_variance) + log_variance / 2
        return Outcome(weighted, log_variance.detach().exp())


def train(family: Family) -> None:
    family.fit(family.task.widths, Homoscedastic, projection(family.task.options))
