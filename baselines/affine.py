"""Models trained alone, and an affine map of each one's embeddings to the last one's.

The map is that of ridge regression.
"""

from dataclasses import dataclass
from functools import partial

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
    ridge: float = at_least(0, 1e-3)
    """Weight of the map's squared length, per image."""


def affine(source: Tensor, target: Tensor, ridge: float) -> Translation:
    """The map x W + b, by ridge regression from (N, D) to (N, D'); b is not shortened."""
    x, y = source.double(), target.double()
    centred, mean = x - x.mean(0), x.mean(0)
    shortened = centred.T @ centred + ridge * len(x) * torch.eye(x.shape[1], dtype=x.dtype)
    weights = torch.linalg.solve(shortened, centred.T @ (y - y.mean(0)))
    layer = nn.Linear(x.shape[1], y.shape[1])
    with torch.no_grad():
        layer.weight.copy_(weights.T)
        layer.bias.copy_(y.mean(0) - mean @ weights)
    return Translation([layer])


def train(family: Family, options: Options) -> None:
    fit_to_embeddings(family, partial(affine, ridge=options.ridge), options.sample)


METHOD = Method(
    train,
    summary="models trained alone; an affine map turns the embeddings of each into the last one's",
    options=Options,
)
