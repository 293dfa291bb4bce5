"""One-to-one training: each model on its own, tied to a teacher that was trained before it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sfsc.training.family import Family, TheTeacher
from sfsc.training.fitted import Fitted, Teacher
from sfsc.training.member import Member
from sfsc.training.objectives import Classifiers, PrivateClassifiers, Problem


@dataclass(frozen=True)
class Tie:
    """A member and what its teacher knows. Classes are numbered as in the member's batches."""

    family: Family
    member: Member
    teacher: Member
    fitted: Fitted[Classifiers]
    """The teacher's."""

    @cached_property
    def network(self) -> Teacher:
        """The teacher, frozen: images to unit embeddings."""
        return self.fitted.frozen(self.teacher)

    @cached_property
    def embeddings(self) -> Tensor:
        """The teacher's unit embeddings of the member's images, (N, D), on the CPU."""
        return torch.from_numpy(self.family.embed(self.network, self.member))

    @cached_property
    def labels(self) -> Tensor:
        """The labels of the member's images, int64 (N,)."""
        family = self.family
        own = family.labels[family.rows(self.member)]
        return torch.from_numpy(np.searchsorted(family.classes(self.member), own))

    @cached_property
    def means(self) -> Tensor:
        """The mean of the teacher's embeddings of each class, at length 1: (K, D)."""
        sums = torch.zeros(len(self.family.classes(self.member)), self.embeddings.shape[1])
        sums.index_add_(0, self.labels, self.embeddings)
        return F.normalize(sums, dim=1)

    def prototypes(self) -> Tensor:
        """A prototype for each class, (K, D): the rows of the teacher's classifier.

        For a class that the teacher does not know it is the mean of its embeddings of the class, at
        the mean length of the rows (Shen et al., CVPR 2020, section 3.2).
        """
        known, seen = self.family.classes(self.teacher), self.family.classes(self.member)
        rows: Tensor = self.fitted.objective.prototypes(0)
        if np.isin(seen, known).all():
            return rows.index_select(0, torch.from_numpy(np.searchsorted(known, seen)))
        found: Tensor = self.means * rows.norm(dim=1).mean()
        for place, label in enumerate(seen.tolist()):
            if label in known:
                found[place] = rows[int(np.searchsorted(known, label))]
        return found


def one_by_one(
    family: Family,
    tied: Callable[[Problem, Tie], Classifiers],
    first: Callable[[Problem], Classifiers] = PrivateClassifiers,
    teacher: TheTeacher = "scenario",
    **how: Any,
) -> dict[Member, Fitted[Classifiers]]:
    """Train and save every member: the one without a teacher first, the others with their ties.

    `teacher` is as in `Family.ties`, `how` what `Family.fit` takes, for the tied members. Returns
    what was trained.
    """
    fitted: dict[Member, Fitted[Classifiers]] = {}
    for member, known in family.ties(teacher):
        if known is None:
            fitted[member] = family.fit_alone(member, first)
        else:
            tie = Tie(family, member, known, fitted[known])
            fitted[member] = family.fit_alone(member, _bound(tied, tie), **how)
    return fitted


def _bound(
    tied: Callable[[Problem, Tie], Classifiers], tie: Tie
) -> Callable[[Problem], Classifiers]:
    return lambda problem: tied(problem, tie)
