"""Models trained alone, and a rotation of each one's embeddings onto the last one's.

Schönemann, A generalized solution of the orthogonal Procrustes problem, 1966: R = U V^T from the
singular value decomposition of X^T Y.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.switchable.translation import Translation
from sfsc.training.adapters import fit_to_embeddings
from sfsc.training.family import Family


@dataclass(frozen=True)
class Options:
    sample: int = at_least(1, 10_000)
    """Training images whose embeddings are paired, at most."""


def rotation(source: Tensor, target: Tensor) -> Translation:
    """The orthogonal map (D, D') with the least squared error from (N, D) to (N, D')."""
    left, _, right = torch.linalg.svd(source.T.double() @ target.double(), full_matrices=False)
    layer = nn.Linear(source.shape[1], target.shape[1], bias=False)
    with torch.no_grad():
        layer.weight.copy_((left @ right).T)
    return Translation([layer])


def train(family: Family, options: Options) -> None:
    fit_to_embeddings(family, rotation, options.sample)


METHOD = Method(
    train,
    summary="models trained alone; a rotation turns the embeddings of each into the last one's",
    paper="Schönemann, 1966",
    options=Options,
)
