"""SSP: a model places each part of an embedding among centroids as its teacher does.

Wu et al., structure similarity preserving, CVPR 2023. The source trains without labels; here cross
entropy stays, as in all methods.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor

from sfsc.files import InputError
from sfsc.method import Method
from sfsc.options import at_least
from sfsc.training.batch import Batch
from sfsc.training.family import Family
from sfsc.training.imitation import Imitation
from sfsc.training.objectives import Problem
from sfsc.training.upgrade import Tie, one_by_one


@dataclass(frozen=True)
class Options:
    weight: float = at_least(0, 1.0)
    parts: int = at_least(1, 32)
    """Into which an embedding is cut."""
    centroids: int = at_least(2, 256)
    """Of each part, at most; a quarter of the images if these are fewer."""
    scale: float = at_least(0, 10.0)
    """Of the similarities, before the softmax."""


class Structure(Imitation[Options]):
    """Adds the divergence of the similarities to centroids, between teacher and model."""

    centroids: Tensor

    def __init__(self, problem: Problem, tie: Tie, options: Options):
        super().__init__(problem, tie, options)
        if problem.dim % options.parts:
            raise InputError(
                f"ssp: parts: embeddings of {problem.dim} dimensions cannot be cut into"
                f" {options.parts} equal parts; choose a divisor"
            )
        count = min(options.centroids, max(2, len(tie.embeddings) // 4))
        with threadpool_limits(torch.get_num_threads()):
            fitted = [
                KMeans(count, n_init=1, random_state=0).fit(part.numpy()).cluster_centers_
                for part in self._parts(tie.embeddings).unbind(dim=1)
            ]
        centroids = torch.from_numpy(np.stack(fitted)).to(tie.embeddings.dtype)
        self.register_buffer("centroids", F.normalize(centroids, dim=2))

    def term(self, embeddings: Tensor, of_teacher: Tensor, batch: Batch) -> Tensor:
        logits = [
            self.options.scale * torch.einsum("bpd,pkd->bpk", self._parts(each), self.centroids)
            for each in (embeddings, of_teacher)
        ]
        mine, wanted = (each.log_softmax(dim=2) for each in logits)
        apart = F.kl_div(mine, wanted, reduction="none", log_target=True).sum(dim=2)
        return self.options.weight * apart.mean()

    def _parts(self, embeddings: Tensor) -> Tensor:
        """(N, parts, D / parts), each part at length 1."""
        return F.normalize(embeddings.unflatten(1, (self.options.parts, -1)), dim=2)


def train(family: Family, options: Options) -> None:
    one_by_one(family, partial(Structure, options=options))


METHOD = Method(
    train,
    summary="each model places the parts of an embedding among the centroids of a product "
    "quantiser as its teacher does",
    paper="Wu et al., CVPR 2023 (SSP)",
    options=Options,
)
