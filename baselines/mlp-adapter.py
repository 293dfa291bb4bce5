"""Models trained alone, and a residual network from each one's embeddings to the last one's.

As in Drift-Adapter; it learns from embeddings of the training images, by the squared error.
"""

from dataclasses import dataclass
from functools import partial

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.switchable.maps import residual
from sfsc.training.adapters import fit_to_embeddings
from sfsc.training.family import Family


@dataclass(frozen=True)
class Options:
    sample: int = at_least(1, 10_000)
    """Training images whose embeddings are paired, at most."""
    hidden: int = at_least(1, 256)
    steps: int = at_least(1, 500)
    rate: float = at_least(0, 1e-3)


def train(family: Family, options: Options) -> None:
    fit = partial(
        residual,
        seed=family.task.seed,
        hidden=options.hidden,
        steps=options.steps,
        rate=options.rate,
    )
    fit_to_embeddings(family, fit, options.sample)


METHOD = Method(
    train,
    summary="models trained alone; a residual network turns the embeddings of each into the last "
    "one's",
    options=Options,
)
