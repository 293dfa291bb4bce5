"""Models trained alone, and a residual network from each one's embeddings to the last one's.

As in Drift-Adapter; it learns from embeddings of the training images, by the squared error.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from sfsc.method import Method
from sfsc.options import at_least
from sfsc.seeds import generator
from sfsc.switchable.translation import Translation
from sfsc.training.adapters import fit_to_embeddings
from sfsc.training.family import Family


@dataclass(frozen=True)
class Options:
    sample: int = at_least(1, 10_000)
    """Training images whose embeddings are paired, at most."""
    hidden: int = at_least(1, 256)
    steps: int = at_least(1, 500)
    rate: float = at_least(0, 1e-3)


def residual(source: Tensor, target: Tensor, options: Options, seed: int) -> Translation:
    """The map from (N, D) to (N, D'), which adds to the embedding where D is D'."""
    random = generator(seed, "mlp-adapter")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [
            nn.Linear(source.shape[1], options.hidden),
            nn.Linear(options.hidden, target.shape[1]),
        ]
    network = Translation(layers, residual=source.shape[1] == target.shape[1])
    optimiser = torch.optim.Adam(network.parameters(), options.rate)
    for _ in range(options.steps):
        rows = torch.randint(len(source), (256,), generator=random)
        optimiser.zero_grad()
        (network(source[rows]) - target[rows]).square().sum(dim=1).mean().backward()
        optimiser.step()
    return network


def train(family: Family, options: Options) -> None:
    fit = partial(residual, options=options, seed=family.task.seed)
    fit_to_embeddings(family, fit, options.sample)


METHOD = Method(
    train,
    summary="models trained alone; a residual network turns the embeddings of each into the last "
    "one's",
    options=Options,
)
