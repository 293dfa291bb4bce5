"""Maps from one model's embeddings to another's, fitted to both models' of the same images."""

import torch
from torch import Tensor, nn

from sfsc.seeds import generator
from sfsc.switchable.translation import Translation


def rotation(source: Tensor, target: Tensor) -> Translation:
    """The orthogonal map (D, D') with the least squared error from (N, D) to (N, D').

    Schönemann, 1966: U V^T from the singular value decomposition of X^T Y.
    """
    left, _, right = torch.linalg.svd(source.T.double() @ target.double(), full_matrices=False)
    layer = nn.Linear(source.shape[1], target.shape[1], bias=False)
    with torch.no_grad():
        layer.weight.copy_((left @ right).T)
    return Translation([layer])


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


def residual(
    source: Tensor,
    target: Tensor,
    seed: int,
    hidden: int = 256,
    steps: int = 500,
    rate: float = 1e-3,
) -> Translation:
    """A network from (N, D) to (N, D'), which adds to the embedding where D is D'.

    It learns the squared error from batches of 256 pairs, by Adam, as Drift-Adapter does.
    """
    random = generator(seed, "mlp-adapter")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [
            nn.Linear(source.shape[1], hidden),
            nn.Linear(hidden, target.shape[1]),
        ]
    network = Translation(layers, residual=source.shape[1] == target.shape[1])
    optimiser = torch.optim.Adam(network.parameters(), rate)
    for _ in range(steps):
        rows = torch.randint(len(source), (256,), generator=random)
        optimiser.zero_grad()
        (network(source[rows]) - target[rows]).square().sum(dim=1).mean().backward()
        optimiser.step()
    return network
