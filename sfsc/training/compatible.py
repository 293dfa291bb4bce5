"""What SFSC and its variants have in common: their options, and the answer to conflicts."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sfsc.training.aggregation import Aggregation, project, project_intersections
from sfsc.training.gradients import Scope
from sfsc.training.objectives import Evidence, EvidenceOptions, Problem, SharedClassifier


@dataclass(frozen=True)
class ProjectionOptions:
    """The options of the projection."""

    projection: Scope = "network"
    """What one Gram matrix is of: the whole network, one weight tensor (layer), one filter
    (kernel), or the weights that two members both have (intersection)."""


@dataclass(frozen=True)
class CompatibleOptions(EvidenceOptions, ProjectionOptions):
    """The options of SFSC: of its loss and of its projection."""


def projected(options: ProjectionOptions) -> tuple[Aggregation, Scope]:
    """SFSC's answer to conflicting gradients, for `Family.fit`."""
    scope = options.projection
    return (project_intersections if scope == "intersection" else project), scope


def with_evidence(options: EvidenceOptions) -> Callable[[Problem], SharedClassifier]:
    """SFSC's objective: one classifier for all members, and the uncertainty loss."""
    return partial(SharedClassifier, loss=partial(Evidence, options))
