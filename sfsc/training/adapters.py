"""Maps between models that are already trained: what they are, how they train, where they go."""

import copy
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from sfsc.layout import SIDES
from sfsc.seeds import generator
from sfsc.switchable.network import StaticNetwork
from sfsc.switchable.translation import Translation, truncation
from sfsc.training.batch import Batch
from sfsc.training.family import Family
from sfsc.training.fitted import Teacher
from sfsc.training.member import Member
from sfsc.training.objectives import Objective, Outcome, PrivateClassifiers, Problem


def trained_alone(family: Family) -> dict[Member, Teacher]:
    """Every member, trained and saved on its own, as it is once nothing changes it any more."""
    return {
        member: family.fit_alone(member, PrivateClassifiers).frozen(member)
        for member in family.members
    }


def save_adapters(family: Family, adapters: Mapping[Member, Translation]) -> None:
    """Save what brings each pair of members together: both meet in the last member's space."""
    for member, adapter in adapters.items():
        for other in family.members:
            if other != member:
                for side in SIDES:
                    family.save_translation(member, side, other, copy.deepcopy(adapter))


def save_truncated(family: Family, network: StaticNetwork) -> None:
    """Save every member as the leading dimensions of one network's embedding.

    Where two meet, the larger keeps the dimensions of the smaller.
    """
    for member in family.members:
        dim = member.spec.embedding_dim
        family.save(member, network.truncated(dim))
        for other in family.members:
            if other.spec.embedding_dim < dim:
                for side in SIDES:
                    cut = truncation(dim, other.spec.embedding_dim)
                    family.save_translation(member, side, other, cut)


def fit_to_embeddings(
    family: Family, fit: Callable[[Tensor, Tensor], Translation], sample: int
) -> None:
    """Train all members alone; then fit a map from each one's embeddings to the last one's.

    `fit` gets the embeddings (N, D) of both for at most `sample` images of the last member's data,
    which are drawn by the family's seed.
    """
    teachers = trained_alone(family)
    last = family.members[-1]
    target = torch.from_numpy(family.embed(teachers[last], last))
    rows = torch.randperm(len(target), generator=generator(family.task.seed, "adapters"))[:sample]
    save_adapters(
        family,
        {
            member: fit(torch.from_numpy(family.embed(teachers[member], last))[rows], target[rows])
            for member in family.members[:-1]
        },
    )


class Adapted(nn.Module):
    """A frozen model and a map of its embeddings, which is all that trains."""

    def __init__(self, member: Member, source: Teacher, translation: Translation):
        super().__init__()
        self.names, self.embedding_dim = (member.name,), translation.dim
        self.source, self.translation = source, translation

    def select(self, index: int) -> None:
        """There is one member."""

    def module(self, index: int) -> nn.Module:
        return self

    def forward(self, images: Tensor) -> Tensor:
        embeddings: Tensor = self.translation(self.source(images))
        return embeddings

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        return self.translation.parameters()

    def leaves(self, index: int) -> list[nn.Parameter]:
        return list(self.translation.parameters())

    def bare_parameters(self) -> Iterator[nn.Parameter]:
        return iter(())

    def extract(self, index: int) -> nn.Module:
        return copy.deepcopy(self.translation)


class Towards(Objective):
    """The mean squared distance to another frozen model's embeddings of the same images."""

    def __init__(self, problem: Problem, target: Teacher):
        super().__init__()
        self._target, self._of_target = target, Tensor()

    def begin(self, batch: Batch) -> None:
        self._of_target = self._target(batch.images)

    def forward(
        self, member: int, embeddings: Tensor, batch: Batch, earlier: Mapping[int, Tensor]
    ) -> Outcome:
        return Outcome((embeddings - self._of_target).square().sum(dim=1).mean())
