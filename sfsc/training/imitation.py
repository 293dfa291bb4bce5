"""Objectives that draw a model's embeddings to its teacher's embeddings of the same images."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Generic, TypeVar

from torch import Tensor

from sfsc.training.batch import Batch
from sfsc.training.objectives import Outcome, PrivateClassifiers, Problem
from sfsc.training.upgrade import Tie

TheOptions = TypeVar("TheOptions")


class Imitation(PrivateClassifiers, Generic[TheOptions]):
    """Cross entropy by a classifier of the model's own, and a term that compares it with a teacher.

    The term is recorded as `imitation`.
    """

    def __init__(self, problem: Problem, tie: Tie, options: TheOptions):
        """`options` are the method's."""
        super().__init__(problem)
        self.tie, self.options, self._of_teacher = tie, options, Tensor()

    def begin(self, batch: Batch) -> None:
        self._of_teacher = self.tie.network(batch.images)

    def forward(
        self, member: int, embeddings: Tensor, batch: Batch, earlier: Mapping[int, Tensor]
    ) -> Outcome:
        own = super().forward(member, embeddings, batch, earlier)
        term = self.term(embeddings, self._of_teacher, batch)
        return Outcome(own.loss + term, {"imitation": term.detach()})

    @abstractmethod
    def term(self, embeddings: Tensor, of_teacher: Tensor, batch: Batch) -> Tensor:
        """What is added to the loss, for unit embeddings (B, D) of both; a scalar."""
