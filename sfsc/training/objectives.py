"""What each method asks of its sub-models: the loss of a batch of embeddings."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sfsc.training.precision import at_least_float32
from sfsc.training.uncertainty import evidential_loss


class Outcome(NamedTuple):
    """A sub-model's loss on a batch and, where the objective has one, its uncertainty."""

    loss: Tensor
    uncertainty: Tensor | None = None


class Objective(nn.Module, ABC):
    """Holds the classifiers (prototype matrices, K x D) and computes each sub-model's loss."""

    @abstractmethod
    def forward(self, index: int, embeddings: Tensor, labels: Tensor) -> Outcome:
        """The outcome of sub-model `index` for embeddings (B, D) and labels (B,) int64."""

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that all sub-models use; every other one is private to its sub-model."""
        return iter(())


class PrivateCrossEntropy(Objective):
    """Cross entropy against a classifier of each sub-model's own: no compatibility."""

    def __init__(self, sub_models: int, embedding_dim: int, classes: int):
        super().__init__()
        self.classifiers = nn.ModuleList(
            nn.Linear(embedding_dim, classes, bias=False) for _ in range(sub_models)
        )

    def forward(self, index: int, embeddings: Tensor, labels: Tensor) -> Outcome:
        return Outcome(F.cross_entropy(self.classifiers[index](embeddings), labels))


class BackwardCompatible(PrivateCrossEntropy):
    """Adds cross entropy against the frozen classifier of a reference model.

    Shen et al., Towards Backward-Compatible Representation Learning (BCT), CVPR 2020, equation 4,
    with its influence weight at 1.
    """

    def __init__(self, sub_models: int, embedding_dim: int, classes: int, reference: Tensor):
        """`reference` is the reference model's prototype matrix, (K, D)."""
        super().__init__(sub_models, embedding_dim, classes)
        self.register_buffer("reference", reference.detach().clone())

    def forward(self, index: int, embeddings: Tensor, labels: Tensor) -> Outcome:
        own = super().forward(index, embeddings, labels)
        assert isinstance(self.reference, Tensor)
        influence = F.cross_entropy(F.linear(embeddings, self.reference), labels)
        return Outcome(own.loss + influence)


class SharedCrossEntropy(Objective):
    """Cross entropy against one classifier for all sub-models: the compatibility constraint."""

    def __init__(self, sub_models: int, embedding_dim: int, classes: int):
        del sub_models
        super().__init__()
        self.classifier = nn.Linear(embedding_dim, classes, bias=False)

    def forward(self, index: int, embeddings: Tensor, labels: Tensor) -> Outcome:
        return Outcome(F.cross_entropy(self.classifier(embeddings), labels))

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        return self.classifier.parameters()


class SharedEvidence(SharedCrossEntropy):
    """The compatible loss with uncertainty against one classifier for all sub-models."""

    def __init__(self, sub_models: int, embedding_dim: int, classes: int, kl_weight: float):
        super().__init__(sub_models, embedding_dim, classes)
        self.kl_weight = kl_weight

    def forward(self, index: int, embeddings: Tensor, labels: Tensor) -> Outcome:
        # Outside autocast: in bfloat16 the classifier's logits would already be rounded.
        with torch.autocast(embeddings.device.type, enabled=False):
            logits = self.classifier(at_least_float32(embeddings))
        return Outcome(*evidential_loss(logits, labels, self.kl_weight))
