"""D3still: differences between similarities, where a teacher orders the nearest images.

Xie et al., D3still: Decoupled Differential Distillation for Asymmetric Image Retrieval, CVPR 2024.
"""

from dataclasses import dataclass
from functools import partial

from torch import Tensor

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.training.batch import Batch
from sfsc.training.family import Family
from sfsc.training.imitation import Imitation
from sfsc.training.upgrade import one_by_one


@dataclass(frozen=True)
class Options:
    feature: float = at_least(0, 50.0)
    """Weight of the distance to the teacher's embedding."""
    hard: float = at_least(0, 2.0)
    """Weight of pairs of images that the model orders otherwise."""
    easy: float = at_least(0, 1.0)
    """Weight of pairs that it orders alike."""
    nearest: int = at_least(2, 10)


class Differences(Imitation[Options]):
    """Adds the errors of the gaps between similarities to the teacher's nearest images."""

    def term(self, embeddings: Tensor, of_teacher: Tensor, batch: Batch) -> Tensor:
        options = self.options
        count = min(options.nearest, len(of_teacher))
        of_teachers, nearest = (of_teacher @ of_teacher.T).topk(count, dim=1)
        own = (embeddings @ of_teacher.T).gather(1, nearest)
        expected = of_teachers[:, :, None] - of_teachers[:, None, :]
        gaps = own[:, :, None] - own[:, None, :]
        errors, reversed_ = (gaps - expected).abs(), gaps * expected < 0
        hard = (errors * reversed_).sum() / reversed_.sum().clamp(min=1)
        easy = (errors * ~reversed_).sum() / (~reversed_).sum().clamp(min=1)
        feature = (1 - (embeddings * of_teacher).sum(dim=1)).mean()
        found: Tensor = options.feature * feature + options.hard * hard + options.easy * easy
        return found


def train(family: Family, options: Options) -> None:
    one_by_one(family, partial(Differences, options=options))


METHOD = Method(
    train,
    summary="each model keeps the gaps between its teacher's similarities to the nearest images",
    paper="Xie et al., CVPR 2024",
    options=Options,
)
