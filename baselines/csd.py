"""CSD: a teacher's neighbours stay neighbours.

Wu et al., Contextual Similarity Distillation for Asymmetric Image Retrieval, CVPR 2022. The
neighbours are those in the batch; the source takes them from a gallery of the teacher's embeddings.
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
    weight: float = at_least(0, 1.0)
    neighbours: int = at_least(1, 96)
    teacher_temperature: float = at_least(1e-6, 0.01)
    temperature: float = at_least(1e-6, 1.0)


class Context(Imitation[Options]):
    """Adds the divergence of its similarities to the teacher's neighbours from the teacher's."""

    def term(self, embeddings: Tensor, of_teacher: Tensor, batch: Batch) -> Tensor:
        options = self.options
        count = min(options.neighbours, len(of_teacher))
        of_teachers, nearest = (of_teacher @ of_teacher.T).topk(count, dim=1)
        own = (embeddings @ of_teacher.T).gather(1, nearest)
        target = F.softmax(of_teachers / options.teacher_temperature, dim=1)
        found = F.log_softmax(own / options.temperature, dim=1)
        return options.weight * F.kl_div(found, target, reduction="batchmean")


def train(family: Family, options: Options) -> None:
    one_by_one(family, partial(Context, options=options))


METHOD = Method(
    train,
    summary="each model keeps its teacher's similarities to the images nearest to a query",
    paper="Wu et al., CVPR 2022",
    options=Options,
)
