"""AdvBCT: adversarial and elastic-boundary compatible training.

Pan et al., Boundary-Aware Backward-Compatible Representation via Adversarial Learning in Image
Retrieval, CVPR 2023.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.training.batch import Batch
from sfsc.training.family import Family
from sfsc.training.imitation import Imitation
from sfsc.training.objectives import Problem
from sfsc.training.upgrade import Tie, one_by_one


@dataclass(frozen=True)
class Options:
    threshold: float = at_least(0, 1.0)
    """To which the radius of a class is moved."""
    adversarial: float = at_least(0, 1.0)
    """Weight of telling the models apart; it falls to 0 along the training."""


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradient, None


class Adversarial(Imitation[Options]):
    """Adds the distance beyond each class's elastic radius, and a discriminator to be misled."""

    means: Tensor
    radii: Tensor

    def __init__(self, problem: Problem, tie: Tie, options: Options):
        super().__init__(problem, tie, options)
        self.register_buffer("means", tie.means)
        apart = (tie.embeddings - tie.means[tie.labels]).norm(dim=1)
        radii = torch.zeros(problem.classes).scatter_reduce(0, tie.labels, apart, "amax")
        self.register_buffer("radii", radii)
        self.gates = nn.Parameter(torch.zeros(problem.classes))
        self.discriminator = nn.Sequential(
            nn.Linear(problem.dim, 100),
            nn.ReLU(),
            nn.Linear(100, 100),
            nn.ReLU(),
            nn.Linear(100, 2),
        )

    def term(self, embeddings: Tensor, of_teacher: Tensor, batch: Batch) -> Tensor:
        gate = self.gates.sigmoid()[batch.labels]
        radius = (1 - gate) * self.radii[batch.labels] + gate * self.options.threshold
        beyond = ((embeddings - self.means[batch.labels]).norm(dim=1) - radius).clamp(min=0)
        boundary: Tensor = beyond.sum() / (beyond > 0).sum().clamp(min=1)
        done = batch.step / batch.steps
        strength = 2 / (1 + math.exp(-10 * done)) - 1
        both = torch.cat([_Reversed.apply(embeddings, strength), of_teacher])
        whose = torch.arange(2, device=both.device).repeat_interleave(len(embeddings))
        told_apart: Tensor = F.cross_entropy(self.discriminator(both), whose)
        return boundary + self.options.adversarial * (1 - done) * told_apart


def train(family: Family, options: Options) -> None:
    one_by_one(family, partial(Adversarial, options=options))


METHOD = Method(
    train,
    summary="each model stays within the boundaries of a teacher's classes, and misleads a "
    "discriminator that tells the two apart",
    paper="Pan et al., CVPR 2023",
    options=Options,
)
