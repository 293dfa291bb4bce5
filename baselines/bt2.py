"""BT2: a model keeps what an unconstrained one knows, and its teacher's space, by basis changes.

Zhou et al., BT^2: Backward-Compatible Training with Basis Transformation, ICCV 2023. All members
have one dimension here, so that the further dimensions of the source, which hold what the old
space cannot, are left out.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.training.batch import Batch
from sfsc.training.family import Family
from sfsc.training.fitted import Fitted, Teacher
from sfsc.training.imitation import Imitation
from sfsc.training.member import Member
from sfsc.training.objectives import Classifiers, FrozenClassifier, PrivateClassifiers, Problem
from sfsc.training.upgrade import Tie


@dataclass(frozen=True)
class Options:
    own: float = at_least(0, 1.0)
    """Weight of the likeness to a model of the member's own that nothing constrains."""
    classifier: float = at_least(0, 10.0)
    """Weight of the cross entropy against the teacher's classifier."""
    teacher: float = at_least(0, 5.0)
    """Weight of the likeness to the teacher."""


class BasisTransformation(Imitation[Options]):
    """Adds 1 - cos to two frozen models, to the free one after a learnt rotation."""

    def __init__(self, problem: Problem, tie: Tie, options: Options, free: Teacher):
        super().__init__(problem, tie, options)
        self.free, self._of_free = free, Tensor()
        self.influence = FrozenClassifier(problem, tie.prototypes())
        self.rotation = orthogonal(nn.Linear(problem.dim, problem.dim, bias=False))
        with torch.no_grad():
            self.rotation.weight = torch.eye(problem.dim)

    def begin(self, batch: Batch) -> None:
        super().begin(batch)
        self._of_free = self.free(batch.images)

    def term(self, embeddings: Tensor, of_teacher: Tensor, batch: Batch) -> Tensor:
        own = 1 - (self.rotation(embeddings) * self._of_free).sum(dim=1).mean()
        old = 1 - (embeddings * of_teacher).sum(dim=1).mean()
        influence = self.influence(0, embeddings, batch, {}).loss
        chosen = self.options
        total: Tensor = chosen.own * own + chosen.classifier * influence + chosen.teacher * old
        return total


def train(family: Family, options: Options) -> None:
    fitted: dict[Member, Fitted[Classifiers]] = {}
    for member, teacher in family.ties():
        if teacher is None:
            fitted[member] = family.fit_alone(member, PrivateClassifiers)
            continue
        free = family.fit(family.static(member), PrivateClassifiers, data=member).frozen(member)
        tie = Tie(family, member, teacher, fitted[teacher])
        objective = partial(BasisTransformation, tie=tie, options=options, free=free)
        fitted[member] = family.fit_alone(member, objective)


METHOD = Method(
    train,
    summary="each model is trained alone, and then once more: to keep what that one knows, in "
    "another basis, and its teacher's space",
    paper="Zhou et al., ICCV 2023",
    options=Options,
)
