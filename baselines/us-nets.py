"""US-Nets: the widest learns the labels, the others the widest's predictions.

Yu and Huang, Universally Slimmable Networks and Improved Training Techniques, ICCV 2019. Each step
trains the widest, the narrowest and some others (the sandwich rule). Normalisation is measured anew
at the end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.training.aggregation import total
from sfsc.training.batch import Batch
from sfsc.training.family import Family
from sfsc.training.objectives import CrossEntropy, Outcome, Problem, SharedClassifier


@dataclass(frozen=True)
class Options:
    members_per_step: int = at_least(2, 4)
    """How many train in a step, where there are as many."""


class InPlace(SharedClassifier):
    """Cross entropy with the labels for the last member, with its soft predictions for others."""

    def __init__(self, problem: Problem):
        super().__init__(problem)
        self.last, self._soft = problem.members - 1, Tensor()
        self.logits = CrossEntropy(problem).logits

    def forward(
        self, member: int, embeddings: Tensor, batch: Batch, earlier: Mapping[int, Tensor]
    ) -> Outcome:
        found = self.logits(self.classifier.weight, embeddings)
        if member == self.last:
            self._soft = found.detach().softmax(dim=1)
            return super().forward(member, embeddings, batch, earlier)
        return Outcome(F.cross_entropy(found, self._soft))


def train(family: Family, options: Options) -> None:
    widest = len(family.members) - 1
    others = min(options.members_per_step - 2, max(0, widest - 1))

    def sandwich(step: int, random: torch.Generator) -> Sequence[int]:
        between = (1 + torch.randperm(max(0, widest - 1), generator=random)[:others]).tolist()
        return list(dict.fromkeys([widest, *between, 0]))

    family.fit_together(InPlace, total, turns=sandwich, recalibrated=True)


METHOD = Method(
    train,
    summary="one switchable network with a shared classifier: the widest learns the labels, the "
    "others its predictions",
    paper="Yu and Huang, ICCV 2019",
    options=Options,
    families="switchable",
)
