"""Models trained alone, and a rotation of each one's embeddings onto the last one's.

Schönemann, A generalized solution of the orthogonal Procrustes problem, 1966: R = U V^T from the
singular value decomposition of X^T Y.
"""

from dataclasses import dataclass

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.switchable.maps import rotation
from sfsc.training.adapters import fit_to_embeddings
from sfsc.training.family import Family


@dataclass(frozen=True)
class Options:
    sample: int = at_least(1, 10_000)
    """Training images whose embeddings are paired, at most."""


def train(family: Family, options: Options) -> None:
    fit_to_embeddings(family, rotation, options.sample)


METHOD = Method(
    train,
    summary="models trained alone; a rotation turns the embeddings of each into the last one's",
    paper="Schönemann, 1966",
    options=Options,
)
