"""NCCL: soft contrast against a queue of a teacher's embeddings.

Wu et al., Neighborhood Consensus Contrastive Learning for Backward-Compatible Representation, AAAI
2022, by the embeddings; the source adds the same on logits, at a hundredth of the weight.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.training.batch import Batch
from sfsc.training.family import Family
from sfsc.training.imitation import Imitation
from sfsc.training.objectives import Problem
from sfsc.training.upgrade import Tie, one_by_one


@dataclass(frozen=True)
class Options:
    weight: float = at_least(0, 1.0)
    queue: int = at_least(1, 8192)
    """Embeddings that are kept, of the latest batches."""
    temperature: float = at_least(1e-6, 0.1)


class Consensus(Imitation[Options]):
    """Adds -log of the shares of positives in the queue, weighed by what the teacher thinks."""

    queue: Tensor
    queue_labels: Tensor

    def __init__(self, problem: Problem, tie: Tie, options: Options):
        super().__init__(problem, tie, options)
        self.register_buffer("queue", torch.zeros(options.queue, problem.dim))
        self.register_buffer("queue_labels", torch.full((options.queue,), -1))

    def begin(self, batch: Batch) -> None:
        super().begin(batch)
        count = min(len(batch.labels), len(self.queue))
        for stored, new in ((self.queue, self._of_teacher), (self.queue_labels, batch.labels)):
            stored.copy_(torch.cat([new[:count], stored[: len(stored) - count]]))

    def term(self, embeddings: Tensor, of_teacher: Tensor, batch: Batch) -> Tensor:
        known = self.queue_labels >= 0
        old, labels = self.queue[known], self.queue_labels[known]
        shares = (embeddings @ old.T / self.options.temperature).log_softmax(dim=1)
        agreement = (of_teacher @ old.T + 1) / 2 * (batch.labels[:, None] == labels)
        losses = -(agreement * shares).sum(dim=1) / agreement.sum(dim=1).clamp(min=1e-6)
        return self.options.weight * losses.mean()


def train(family: Family, options: Options) -> None:
    one_by_one(family, partial(Consensus, options=options))


METHOD = Method(
    train,
    summary="each model is contrasted with a queue of its teacher's embeddings",
    paper="Wu et al., AAAI 2022",
    options=Options,
)
