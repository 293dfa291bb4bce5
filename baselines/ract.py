"""RACT: contrastive imitation of a teacher, against negatives of both models.

Zhang et al., Hot-Refresh Model Upgrades with Regression-Alleviating Compatible Training in Image
Retrieval, ICLR 2022.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.training.batch import Batch
from sfsc.training.family import Family
from sfsc.training.imitation import Imitation
from sfsc.training.upgrade import one_by_one


@dataclass(frozen=True)
class Options:
    weight: float = at_least(0, 1.0)
    temperature: float = at_least(1e-6, 0.01)
    negatives: int = at_least(1, 10)
    """The hardest ones of each model that count."""


class Contrast(Imitation[Options]):
    """Adds -log of the share that the teacher's embedding of the image has among negatives."""

    def term(self, embeddings: Tensor, of_teacher: Tensor, batch: Batch) -> Tensor:
        same = batch.labels[:, None] == batch.labels
        positive = (embeddings * of_teacher).sum(dim=1, keepdim=True)
        found = [positive]
        for others in (of_teacher, embeddings):
            similar = (embeddings @ others.T).masked_fill(same, -torch.inf)
            found.append(similar.topk(min(self.options.negatives, len(same)), dim=1).values)
        logits = torch.cat(found, dim=1) / self.options.temperature
        return self.options.weight * (logits.logsumexp(dim=1) - logits[:, 0]).mean()


def train(family: Family, options: Options) -> None:
    one_by_one(family, partial(Contrast, options=options))


METHOD = Method(
    train,
    summary="each model imitates a teacher by contrast, against the hardest negatives of both",
    paper="Zhang et al., ICLR 2022",
    options=Options,
)
