"""What a method asks of its members: the loss of a batch of embeddings.

An objective is often a choice of classifiers (private, shared, or a frozen one) and of a loss that
reads their logits (cross entropy, or evidence).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sfsc.options import at_least
from sfsc.profile import Margin
from sfsc.training import margins
from sfsc.training.batch import Batch
from sfsc.training.half_precision import at_least_float32
from sfsc.training.uncertainty import evidential_loss


class Problem(NamedTuple):
    """What an objective is made for."""

    members: int
    dim: int
    """D, of the embeddings."""
    classes: int
    """K."""
    scale: float
    """The length that embeddings have for classifiers."""
    margin: Margin | None = None
    """Of cross entropy; None: softmax of the embeddings' products with free prototypes."""
    label_smoothing: float = 0.0
    """Of cross entropy."""


@dataclass(frozen=True)
class Outcome:
    """A member's loss on a batch, and what of it the training log records, by name."""

    loss: Tensor
    records: Mapping[str, Tensor] = field(default_factory=dict)
    """Scalars without gradient."""


class CrossEntropy(nn.Module):
    """Softmax cross entropy, mean over the batch, with the problem's margin and label smoothing."""

    def __init__(self, problem: Problem):
        super().__init__()
        self._problem = problem

    def logits(self, prototypes: Tensor, embeddings: Tensor) -> Tensor:
        """Logits (B, K), without the margin, of unit embeddings (B, D) for prototypes (K, D)."""
        margin = self._problem.margin
        if margin is None:
            return logits(prototypes, embeddings, self._problem.scale)
        with torch.autocast(embeddings.device.type, enabled=False):
            return margin.scale * margins.cosines(prototypes, at_least_float32(embeddings))

    def forward(self, prototypes: Tensor, embeddings: Tensor, labels: Tensor) -> Outcome:
        """The outcome of unit embeddings (B, D) with labels (B,) for prototypes (K, D)."""
        margin = self._problem.margin
        if margin is None:
            found = self.logits(prototypes, embeddings)
        else:
            with torch.autocast(embeddings.device.type, enabled=False):
                embeddings = at_least_float32(embeddings)
                found = margins.logits(margin, prototypes, embeddings, labels)
        smoothing = self._problem.label_smoothing
        return Outcome(F.cross_entropy(found, labels, label_smoothing=smoothing))


@dataclass(frozen=True)
class EvidenceOptions:
    """The options of the evidential loss."""

    kl_weight: float = at_least(0, 0.5)
    """lambda, the weight of the divergence, per class over ln K."""
    learn_temperature: bool = False
    """Learn a factor of the logits."""
    learn_offset: bool = False
    """Learn one number that is added to all logits."""


class Evidence(nn.Module):
    """The evidential loss, which has no margin; see sfsc.training.uncertainty.

    A learnt temperature multiplies the logits, from 1; a learnt offset is added to all of them,
    from 0. Without them, evidence is bounded by the embeddings' length, and softplus(0) of it goes
    to each class from the start.
    """

    def __init__(self, options: EvidenceOptions, problem: Problem):
        super().__init__()
        self._scale = problem.scale
        self.kl_weight = options.kl_weight
        self.log_temperature = nn.Parameter(torch.zeros(1)) if options.learn_temperature else None
        self.offset = nn.Parameter(torch.zeros(1)) if options.learn_offset else None

    def logits(self, prototypes: Tensor, embeddings: Tensor) -> Tensor:
        """Logits (B, K) of unit embeddings (B, D) for prototypes (K, D)."""
        found = logits(prototypes, embeddings, self._scale)
        if self.log_temperature is not None:
            found = self.log_temperature.exp() * found
        if self.offset is not None:
            found = found + self.offset
        return found

    def forward(self, prototypes: Tensor, embeddings: Tensor, labels: Tensor) -> Outcome:
        """The outcome of unit embeddings (B, D) with labels (B,) for prototypes (K, D)."""
        found = self.logits(prototypes, embeddings)
        loss, uncertainty = evidential_loss(found, labels, self.kl_weight)
        return Outcome(loss, {"uncertainty": uncertainty})


Loss = Callable[[Problem], CrossEntropy | Evidence]
"""Makes the loss of an objective."""


class Objective(nn.Module, ABC):
    """Computes each member's loss; what it learns itself, such as classifiers, is its parameters.

    In every step `begin` is called once, then the objective itself for each member that trains.
    """

    def begin(self, batch: Batch) -> None:
        """Compute what all members need of a batch, such as a teacher's embeddings."""

    @abstractmethod
    def forward(
        self, member: int, embeddings: Tensor, batch: Batch, earlier: Mapping[int, Tensor]
    ) -> Outcome:
        """The outcome of member number `member` for its unit embeddings (B, D) of a batch.

        `earlier` holds those of the members that came before it in this step, without gradient.
        """

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that all members use; every other one is private to its member."""
        return iter(())


class Classifiers(Objective):
    """An objective that has a prototype for each class."""

    @abstractmethod
    def prototypes(self, member: int) -> Tensor:
        """The prototype matrix of a member: (K, D), on the CPU, without gradient."""


class PrivateClassifiers(Classifiers):
    """A classifier (prototype matrix, K x D) and a loss for each member: no compatibility."""

    def __init__(self, problem: Problem, loss: Loss = CrossEntropy):
        super().__init__()
        self.classifiers = nn.ModuleList(
            nn.Linear(problem.dim, problem.classes, bias=False) for _ in range(problem.members)
        )
        self.losses = nn.ModuleList(loss(problem) for _ in range(problem.members))

    def forward(
        self, member: int, embeddings: Tensor, batch: Batch, earlier: Mapping[int, Tensor]
    ) -> Outcome:
        own = self.trained_prototypes(member)
        outcome: Outcome = self.losses[member](own, embeddings, batch.labels)
        return outcome

    def prototypes(self, member: int) -> Tensor:
        return self.trained_prototypes(member).detach().cpu()

    def trained_prototypes(self, member: int) -> Tensor:
        """The prototype matrix of a member as it is trained: (K, D)."""
        classifier = self.classifiers[member]
        assert isinstance(classifier, nn.Linear)
        return classifier.weight


class FrozenClassifier(Classifiers):
    """The loss against the classifier of a teacher alone, which does not change."""

    teacher: Tensor

    def __init__(self, problem: Problem, teacher: Tensor, loss: Loss = CrossEntropy):
        """`teacher` is the teacher's prototype matrix, (K, D)."""
        super().__init__()
        self.register_buffer("teacher", teacher.clone())
        self.losses = nn.ModuleList(loss(problem) for _ in range(problem.members))

    def prototypes(self, member: int) -> Tensor:
        return self.teacher.cpu()

    def forward(
        self, member: int, embeddings: Tensor, batch: Batch, earlier: Mapping[int, Tensor]
    ) -> Outcome:
        outcome: Outcome = self.losses[member](self.teacher, embeddings, batch.labels)
        return outcome


class SharedClassifier(Classifiers):
    """The loss against one classifier for all members: the compatibility constraint."""

    def __init__(self, problem: Problem, loss: Loss = CrossEntropy):
        super().__init__()
        self.classifier = nn.Linear(problem.dim, problem.classes, bias=False)
        self.loss = loss(problem)

    def prototypes(self, member: int) -> Tensor:
        return self.classifier.weight.detach().cpu()

    def forward(
        self, member: int, embeddings: Tensor, batch: Batch, earlier: Mapping[int, Tensor]
    ) -> Outcome:
        outcome: Outcome = self.loss(self.classifier.weight, embeddings, batch.labels)
        return outcome

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        yield from self.classifier.parameters()
        yield from self.loss.parameters()


def logits(prototypes: Tensor, embeddings: Tensor, scale: float) -> Tensor:
    """Logits (B, K) of unit embeddings (B, D), which get the length `scale`.

    Computed outside autocast: in bfloat16 they would already be rounded.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        return F.linear(scale * at_least_float32(embeddings), prototypes)
