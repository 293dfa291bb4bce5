"""RKD, a negative control: relations between embeddings, which do not tie two spaces.

Park et al., Relational Knowledge Distillation, CVPR 2019.
"""

from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.training.batch import Batch
from sfsc.training.family import Family
from sfsc.training.imitation import Imitation
from sfsc.training.upgrade import one_by_one


@dataclass(frozen=True)
class Options:
    distances: float = at_least(0, 25.0)
    angles: float = at_least(0, 50.0)


class Relational(Imitation[Options]):
    """Adds smooth errors of the distances in the batch, over their mean, and of the angles."""

    def term(self, embeddings: Tensor, of_teacher: Tensor, batch: Batch) -> Tensor:
        distances = F.smooth_l1_loss(_distances(embeddings), _distances(of_teacher))
        angles = F.smooth_l1_loss(_angles(embeddings), _angles(of_teacher))
        return self.options.distances * distances + self.options.angles * angles


def _distances(x: Tensor) -> Tensor:
    """The distances between rows over their mean, (B, B)."""
    found = (x[:, None] - x).square().sum(dim=2).clamp(min=1e-12).sqrt()
    return found / found[found > 1e-5].mean()


def _angles(x: Tensor) -> Tensor:
    """The cosine of the angle at each row between any two others, (B, B, B)."""
    apart = F.normalize(x[None] - x[:, None], dim=2)
    return apart @ apart.transpose(1, 2)


def train(family: Family, options: Options) -> None:
    one_by_one(family, partial(Relational, options=options))


METHOD = Method(
    train,
    summary="negative control: each model imitates distances and angles of a teacher's embeddings",
    paper="Park et al., CVPR 2019",
    options=Options,
)
