"""AML: metric learning with the model's queries and its teacher's gallery.

Budnik and Avrithis, Asymmetric Metric Learning for Knowledge Transfer, CVPR 2021. Here it stands
next to the model's own cross entropy, as the terms of all one-to-one methods do.
"""

from dataclasses import dataclass
from functools import partial
from typing import Literal

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
    form: Literal["contrastive", "contrastive+", "triplet"] = "contrastive"
    """With +, the teacher's embedding of the image itself is the only positive."""
    weight: float = at_least(0, 1.0)
    margin: float = at_least(0, 0.7)
    """A distance; the source has 0.1 for triplets."""
    images_per_class: int = at_least(1, 4)


class Asymmetric(Imitation[Options]):
    """Adds the contrastive or the triplet loss of its embeddings against the teacher's."""

    def term(self, embeddings: Tensor, of_teacher: Tensor, batch: Batch) -> Tensor:
        options, labels = self.options, batch.labels
        apart = (2 - 2 * embeddings @ of_teacher.T).clamp(min=1e-12).sqrt()
        same = labels[:, None] == labels
        if options.form == "contrastive+":
            positive = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        else:
            positive = same
        if options.form == "triplet":
            gaps = apart[:, :, None] - apart[:, None, :] + options.margin
            chosen = positive[:, :, None] & ~same[:, None, :]
            return options.weight * gaps.clamp(min=0)[chosen].sum() / chosen.sum().clamp(min=1)
        near = apart.square()[positive].sum()
        far = (options.margin - apart).clamp(min=0).square()[~same].sum()
        return options.weight * (near + far) / 2 / len(labels)


def train(family: Family, options: Options) -> None:
    one_by_one(
        family, partial(Asymmetric, options=options), images_per_class=options.images_per_class
    )


METHOD = Method(
    train,
    summary="each model's embeddings and its teacher's meet in a contrastive or a triplet loss",
    paper="Budnik and Avrithis, CVPR 2021",
    options=Options,
)
