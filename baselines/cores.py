"""CoReS: one classifier for all models that nobody learns, the corners of a regular simplex.

Biondi et al., CoReS: Compatible Representations via Stationarity, TPAMI 2023. As a simplex of K
corners has K - 1 dimensions, it is the embedding's dimension that says how many classes fit.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from sfsc.files import InputError
from sfsc.method import Method
from sfsc.options import NoOptions
from sfsc.training.batch import Batch
from sfsc.training.family import Family
from sfsc.training.objectives import CrossEntropy, Objective, Outcome, Problem


class Stationary(Objective):
    """Cross entropy against the corners of a simplex; those without a class wait for one."""

    corners: Tensor

    def __init__(self, problem: Problem):
        super().__init__()
        if problem.classes > problem.dim + 1:
            raise InputError(
                f"cores: {problem.classes} classes need model.embedding_dim of at least"
                f" {problem.classes - 1}"
            )
        self.loss = CrossEntropy(problem)
        self.register_buffer("corners", simplex(problem.dim))

    def forward(
        self, member: int, embeddings: Tensor, batch: Batch, earlier: Mapping[int, Tensor]
    ) -> Outcome:
        outcome: Outcome = self.loss(self.corners, embeddings, batch.labels)
        return outcome


def simplex(dim: int) -> Tensor:
    """The unit vectors to the `dim` + 1 corners of a regular simplex: (dim + 1, dim)."""
    last = torch.full((1, dim), (1 - math.sqrt(dim + 1)) / dim)
    corners = torch.cat([torch.eye(dim), last])
    return F.normalize(corners - corners.mean(0), dim=1)


def train(family: Family, options: NoOptions) -> None:
    for member in family.members:
        family.fit_alone(member, Stationary)


METHOD = Method(
    train,
    summary="each model is trained alone, against one fixed classifier: the corners of a simplex",
    paper="Biondi et al., TPAMI 2023",
)
