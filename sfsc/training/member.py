"""A member of a family: one model, and the data that it may see."""

from dataclasses import dataclass

from sfsc.switchable.backbone import NetworkSpec

Share = tuple[float, float]
"""From where to where: (0, 0.3) is the first 30 %, (0.3, 1) the others."""


@dataclass(frozen=True)
class Member:
    """One model of a family, before it is trained."""

    name: str
    spec: NetworkSpec
    width: float = 1.0
    classes: Share = (0.0, 1.0)
    """Of the training set's classes, in an order drawn at random but always alike."""
    images: Share = (0.0, 1.0)
    """Of the images of each of them, likewise."""

    def __hash__(self) -> int:
        return hash(self.name)
