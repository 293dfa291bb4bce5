"""Models trained alone, and an affine map of each one's embeddings to the last one's.

The map is that of ridge regression.
"""

from dataclasses import dataclass
from functools import partial

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.switchable.maps import affine
from sfsc.training.adapters import fit_to_embeddings
from sfsc.training.family import Family


@dataclass(frozen=True)
class Options:
    sample: int = at_least(1, 10_000)
    """Training images whose embeddings are paired, at most."""
    ridge: float = at_least(0, 1e-3)
    """Weight of the map's squared length, per image."""


def train(family: Family, options: Options) -> None:
    fit_to_embeddings(family, partial(affine, ridge=options.ridge), options.sample)


METHOD = Method(
    train,
    summary="models trained alone; an affine map turns the embeddings of each into the last one's",
    options=Options,
)
