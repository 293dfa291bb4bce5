"""KD, a negative control: a teacher's soft labels, which do not tie two spaces.

Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015.
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
from sfsc.training.objectives import CrossEntropy, Problem
from sfsc.training.upgrade import Tie, one_by_one


@dataclass(frozen=True)
class Options:
    weight: float = at_least(0, 1.0)
    temperature: float = at_least(1e-6, 2.0)


class SoftLabels(Imitation[Options]):
    """Adds the divergence of its predictions from the teacher's, at a temperature."""

    teacher: Tensor

    def __init__(self, problem: Problem, tie: Tie, options: Options):
        super().__init__(problem, tie, options)
        self.register_buffer("teacher", tie.prototypes())
        self.logits = CrossEntropy(problem).logits

    def term(self, embeddings: Tensor, of_teacher: Tensor, batch: Batch) -> Tensor:
        T = self.options.temperature
        target = F.softmax(self.logits(self.teacher, of_teacher) / T, dim=1)
        found = F.log_softmax(self.logits(self.trained_prototypes(0), embeddings) / T, dim=1)
        return self.options.weight * T**2 * F.kl_div(found, target, reduction="batchmean")


def train(family: Family, options: Options) -> None:
    one_by_one(family, partial(SoftLabels, options=options))


METHOD = Method(
    train,
    summary="negative control: each model imitates the soft labels of a teacher",
    paper="Hinton et al., 2015",
    options=Options,
)
