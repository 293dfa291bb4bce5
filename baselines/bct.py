"""Backward-compatible training: every model is made compatible with one teacher.

Shen et al., Towards Backward-Compatible Representation Learning, CVPR 2020, equation 4, with its
influence weight at 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.training.batch import Batch
from sfsc.training.family import Family, TheTeacher
from sfsc.training.objectives import FrozenClassifier, Outcome, PrivateClassifiers, Problem
from sfsc.training.upgrade import one_by_one


class BackwardCompatible(PrivateClassifiers):
    """Adds cross entropy against the frozen classifier of a teacher."""

    def __init__(self, problem: Problem, teacher: Tensor, weight: float = 1.0):
        """`teacher` is the teacher's prototype matrix, (K, D)."""
        super().__init__(problem)
        self.influence, self.weight = FrozenClassifier(problem, teacher), weight

    def forward(
        self, member: int, embeddings: Tensor, batch: Batch, earlier: Mapping[int, Tensor]
    ) -> Outcome:
        own = super().forward(member, embeddings, batch, earlier)
        influence: Outcome = self.influence(member, embeddings, batch, earlier)
        return Outcome(own.loss + self.weight * influence.loss)


@dataclass(frozen=True)
class Options:
    weight: float = at_least(0, 1.0)
    """lambda, of the cross entropy against the teacher's classifier."""
    teacher: TheTeacher = "scenario"
    """The last member (the widest, or newest), the first, the one before, or as the scenario has
    it: the last by capacity, the one before by generations."""


def train(family: Family, options: Options) -> None:
    one_by_one(
        family,
        lambda problem, tie: BackwardCompatible(problem, tie.prototypes(), options.weight),
        teacher=options.teacher,
    )


METHOD = Method(
    train,
    summary="each model is trained alone, with a classifier of its own and the frozen one of its "
    "teacher, which is the widest model or the generation before",
    paper="Shen et al., CVPR 2020",
    options=Options,
)
