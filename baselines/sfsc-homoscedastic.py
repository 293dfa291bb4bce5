"""Another reading of priorities: homoscedastic uncertainty, learnt with the members.

Kendall, Gal and Cipolla, Multi-Task Learning Using Uncertainty to Weigh Losses, CVPR 2018: the
loss of member i is exp(-s_i) L_i + s_i / 2 with a learnt s_i (their log sigma^2) and cross
entropy L_i. Conflicting gradients are projected as in SFSC.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sfsc.method import Method
from sfsc.training.batch import Batch
from sfsc.training.compatible import ProjectionOptions, projected
from sfsc.training.family import Family
from sfsc.training.objectives import Outcome, Problem, SharedClassifier


class Homoscedastic(SharedClassifier):
    """SharedClassifier with a learnt variance per member, which is logged as its uncertainty."""

    def __init__(self, problem: Problem):
        super().__init__(problem)
        self.log_variances = nn.ParameterList(torch.zeros(1) for _ in range(problem.members))

    def forward(
        self, member: int, embeddings: Tensor, batch: Batch, earlier: Mapping[int, Tensor]
    ) -> Outcome:
        loss = super().forward(member, embeddings, batch, earlier).loss
        log_variance = self.log_variances[member].squeeze()
        weighted = loss * torch.exp(-log_variance) + log_variance / 2
        return Outcome(weighted, {"uncertainty": log_variance.detach().exp()})


def train(family: Family, options: ProjectionOptions) -> None:
    family.fit_together(Homoscedastic, *projected(options))


METHOD = Method(
    train,
    summary="sfsc, cross entropies with learnt weights (Kendall et al., CVPR 2018) "
    "in place of the uncertainty loss",
    paper="Kendall, Gal and Cipolla, CVPR 2018",
    options=ProjectionOptions,
    varies=("sfsc", "cross entropies with learnt weights"),
    families="switchable",
)
