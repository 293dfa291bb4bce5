"""Matryoshka Representation Learning (Kusupati et al., NeurIPS 2022).

Members differ in `embedding_dim` alone; where two meet, both keep the dimensions of the smaller.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from sfsc.method import Method
from sfsc.training.adapters import save_truncated
from sfsc.training.batch import Batch
from sfsc.training.family import Family
from sfsc.training.objectives import CrossEntropy, Objective, Outcome, Problem


@dataclass(frozen=True)
class Options:
    shared: bool = False
    """One matrix of prototypes, of which each uses the leading columns (MRL-E)."""


class Nested(Objective):
    """The mean cross entropy of the leading dimensions, each at length 1."""

    def __init__(self, problem: Problem, dims: list[int], options: Options):
        super().__init__()
        self.loss, self.dims = CrossEntropy(problem), dims
        sizes = [problem.dim] if options.shared else dims
        self.W = nn.ParameterList(nn.Linear(d, problem.classes, bias=False).weight for d in sizes)

    def forward(
        self, member: int, embeddings: Tensor, batch: Batch, earlier: Mapping[int, Tensor]
    ) -> Outcome:
        total = embeddings.new_zeros(())
        for place, dim in enumerate(self.dims):
            rows = self.W[min(place, len(self.W) - 1)][:, :dim]
            leading = F.normalize(embeddings[:, :dim], dim=1)
            total = total + self.loss(rows, leading, batch.labels).loss
        return Outcome(total / len(self.dims))


def train(family: Family, options: Options) -> None:
    whole = max(family.members, key=lambda member: member.spec.embedding_dim)
    dims = [member.spec.embedding_dim for member in family.members]
    fitted = family.fit(family.static(whole), partial(Nested, dims=dims, options=options))
    save_truncated(family, fitted.extract(whole))


METHOD = Method(
    train,
    summary="the leading dimensions of one network's embedding are embeddings themselves",
    paper="Kusupati et al., NeurIPS 2022",
    options=Options,
    families="dimensions",
)
