"""How the sub-models' gradients become one update: functions from Gram matrices to weights.

With the gradients of the m sub-models as the rows of J, an aggregation sees only G = J J^T and
answers with the m weights of the combination of J's rows that is the update. G comes as a batch,
one matrix for the network or one for each layer.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Aggregation = Callable[[Tensor, torch.Generator], Tensor]
"""Gram matrices (L, m, m), float64, and a generator for random orders, to weights (L, m)."""


def total(gram: Tensor, generator: torch.Generator) -> Tensor:
    """The plain sum of the gradients."""
    del generator
    return gram.new_ones(gram.shape[:2])


def project(gram: Tensor, generator: torch.Generator) -> Tensor:
    """The sum of the gradients after projecting conflicting ones (PCGrad, Yu et al. 2020, alg. 1).

    Each gradient g_i meets the others in a random order; where <g_i, g_j> < 0 it loses its
    component along the original g_j. The order for each i is one draw for the whole batch.
    """
    m = gram.shape[-1]
    return project_in_order(gram, torch.stack([_others(i, m, generator) for i in range(m)]))


def project_in_order(gram: Tensor, order: Tensor) -> Tensor:
    """As `project`, where gradient i meets order[i, 0], order[i, 1], ...; order is (m, m - 1)."""
    batch, m, _ = gram.shape
    # Row i of `coefficients` is the projected g_i as a combination of the original gradients.
    coefficients = torch.eye(m, dtype=gram.dtype, device=gram.device).expand(batch, m, m).clone()
    norms = gram.diagonal(dim1=1, dim2=2)
    for j in order.to(gram.device, non_blocking=True).T:
        inner = (coefficients * gram[:, j]).sum(dim=2)
        # A zero gradient has no inner product below 0; the clamp only keeps 0 / 0 out.
        step = inner.clamp(max=0) / norms[:, j].clamp(min=torch.finfo(gram.dtype).tiny)
        coefficients.scatter_add_(2, j.expand(batch, m)[..., None], -step[..., None])
    return coefficients.sum(dim=1)


def _others(i: int, m: int, generator: torch.Generator) -> Tensor:
    order = torch.randperm(m - 1, generator=generator)
    return order + (order >= i)


def conflicts(gram: Tensor) -> tuple[Tensor, Tensor]:
    """The share of conflicting pairs, a scalar, and the cosines of the pairs i < j.

    `gram` is (m, m) with m > 1; the cosines are (m (m - 1) / 2,), 0 where a gradient is zero.
    """
    norms = gram.diagonal().sqrt()
    cosines = gram / (norms[:, None] * norms).clamp(min=torch.finfo(gram.dtype).tiny)
    rows, columns = torch.triu_indices(len(gram), len(gram), offset=1, device=gram.device)
    pairs = cosines[rows, columns]
    return (pairs < 0).to(gram.dtype).mean(), pairs
