"""What each method asks of its sub-models: the loss of a batch of embeddings.

An objective is a choice of classifiers (private, shared, or a frozen one) and of a loss that reads
their logits (cross entropy, or evidence).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sfsc.training.options import TrainingOptions
from sfsc.training.precision import at_least_float32
from sfsc.training.uncertainty import evidential_loss


class Outcome(NamedTuple):
    """A sub-model's loss on a batch and, where the objective has one, its uncertainty."""

    loss: Tensor
    uncertainty: Tensor | None = None


class CrossEntropy(nn.Module):
    """Softmax cross entropy of logits (B, K) for labels (B,), mean over the batch."""

    def forward(self, logits: Tensor, labels: Tensor) -> Outcome:
        return Outcome(F.cross_entropy(logits, labels))


class Evidence(nn.Module):
    """The evidential loss of logits (B, K) for labels (B,); see sfsc.training.uncertainty.

    A learnt temperature multiplies the logits, from 1; a learnt offset is added to all of them,
    from 0. Without them, evidence is bounded by the embeddings' length, and softplus(0) of it goes
    to each class from the start.
    """

    def __init__(
        self, kl_weight: float, learn_temperature: bool = False, learn_offset: bool = False
    ):
        super().__init__()
        self.kl_weight = kl_weight
        self.log_temperature = nn.Parameter(torch.zeros(1)) if learn_temperature else None
        self.offset = nn.Parameter(torch.zeros(1)) if learn_offset else None

    def forward(self, logits: Tensor, labels: Tensor) -> Outcome:
        logits = at_least_float32(logits)
        if self.log_temperature is not None:
            logits = self.log_temperature.exp() * logits
        if self.offset is not None:
            logits = logits + self.offset
        return Outcome(*evidential_loss(logits, labels, self.kl_weight))


Loss = Callable[[], CrossEntropy | Evidence]
"""Makes the loss of an objective."""


def evidence(options: TrainingOptions) -> Loss:
    """The evidential loss as the profile has it."""
    return lambda: Evidence(options.kl_weight, options.learn_temperature, options.learn_offset)


class Objective(nn.Module, ABC):
    """Holds the classifiers (prototype matrices, K x D) and computes each sub-model's loss."""

    @abstractmethod
    def forward(self, index: int, embeddings: Tensor, labels: Tensor) -> Outcome:
        """The outcome of sub-model `index` for embeddings (B, D) and labels (B,) int64."""

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that all sub-models use; every other one is private to its sub-model."""
        return iter(())


class PrivateClassifiers(Objective):
    """A classifier and a loss of each sub-model's own: no compatibility."""

    def __init__(
        self, sub_models: int, embedding_dim: int, classes: int, loss: Loss = CrossEntropy
    ):
        super().__init__()
        self.classifiers = nn.ModuleList(
            nn.Linear(embedding_dim, classes, bias=False) for _ in range(sub_models)
        )
        self.losses = nn.ModuleList(loss() for _ in range(sub_models))

    def forward(self, index: int, embeddings: Tensor, labels: Tensor) -> Outcome:
        logits = _logits(self._weight(index), embeddings)
        outcome: Outcome = self.losses[index](logits, labels)
        return outcome

    def prototypes(self, index: int) -> Tensor:
        """The prototype matrix of sub-model `index`: (K, D), on the CPU, without gradient."""
        return self._weight(index).detach().cpu()

    def _weight(self, index: int) -> Tensor:
        classifier = self.classifiers[index]
        assert isinstance(classifier, nn.Linear)
        return classifier.weight


class FrozenClassifier(Objective):
    """The loss against the classifier of a teacher alone, which does not change."""

    teacher: Tensor

    def __init__(
        self, sub_models: int, embedding_dim: int, classes: int, teacher: Tensor,
        loss: Loss = CrossEntropy,
    ):  # fmt: skip
        """`teacher` is the teacher's prototype matrix, (K, D)."""
        del embedding_dim, classes
        super().__init__()
        self.register_buffer("teacher", teacher.clone())
        self.losses = nn.ModuleList(loss() for _ in range(sub_models))

    def forward(self, index: int, embeddings: Tensor, labels: Tensor) -> Outcome:
        outcome: Outcome = self.losses[index](_logits(self.teacher, embeddings), labels)
        return outcome


class BackwardCompatible(PrivateClassifiers):
    """Adds cross entropy against the frozen classifier of a teacher.

    Shen et al., Towards Backward-Compatible Representation Learning (BCT), CVPR 2020, equation 4,
    with its influence weight at 1.
    """

    def __init__(self, sub_models: int, embedding_dim: int, classes: int, teacher: Tensor):
        """`teacher` is the teacher's prototype matrix, (K, D)."""
        super().__init__(sub_models, embedding_dim, classes)
        self.influence = FrozenClassifier(sub_models, embedding_dim, classes, teacher)

    def forward(self, index: int, embeddings: Tensor, labels: Tensor) -> Outcome:
        own = super().forward(index, embeddings, labels)
        influence: Outcome = self.influence(index, embeddings, labels)
        return Outcome(own.loss + influence.loss)


class SharedClassifier(Objective):
    """The loss against one classifier for all sub-models: the compatibility constraint."""

    def __init__(
        self, sub_models: int, embedding_dim: int, classes: int, loss: Loss = CrossEntropy
    ):
        del sub_models
        super().__init__()
        self.classifier = nn.Linear(embedding_dim, classes, bias=False)
        self.loss = loss()

    def forward(self, index: int, embeddings: Tensor, labels: Tensor) -> Outcome:
        outcome: Outcome = self.loss(_logits(self.classifier.weight, embeddings), labels)
        return outcome

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        yield from self.classifier.parameters()
        yield from self.loss.parameters()


def _logits(prototypes: Tensor, embeddings: Tensor) -> Tensor:
    # Outside autocast: in bfloat16 the logits would already be rounded.
    with torch.autocast(embeddings.device.type, enabled=False):
        return F.linear(at_least_float32(embeddings), prototypes)
