"""How the sub-models' gradients become one update: functions from Gram matrices to weights.

With the gradients of the m sub-models as the rows of J, an aggregation sees only G = J J^T and
answers with the m weights of the combination of J's rows that is the update. G comes as a batch,
one matrix for each part of the weights (sfsc.training.gradients.Scope).
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
    return project_in_order(gram, random_order(gram.shape[-1], generator))


def project_in_order(gram: Tensor, order: Tensor) -> Tensor:
    """As `project`, where gradient i meets order[i, 0], order[i, 1], ...; order is (m, m - 1)."""
    return projected(gram, order).sum(dim=1)


def random_order(m: int, generator: torch.Generator) -> Tensor:
    """For each of m gradients the others in a random order: (m, m - 1)."""
    return torch.stack([_others(i, m, generator) for i in range(m)])


def projected(gram: Tensor, order: Tensor) -> Tensor:
    """Row i (L, m, m): the projected g_i as a combination of the original gradients."""
    batch, m, _ = gram.shape
    coefficients = torch.eye(m, dtype=gram.dtype, device=gram.device).expand(batch, m, m).clone()
    norms = gram.diagonal(dim1=1, dim2=2)
    for j in order.to(gram.device, non_blocking=True).T:
        inner = (coefficients * gram[:, j]).sum(dim=2)
        # A zero gradient has no inner product below 0; the clamp only keeps 0 / 0 out.
        step = inner.clamp(max=0) / norms[:, j].clamp(min=torch.finfo(gram.dtype).tiny)
        coefficients.scatter_add_(2, j.expand(batch, m)[..., None], -step[..., None])
    return coefficients


def project_intersections(gram: Tensor, generator: torch.Generator) -> Tensor:
    """As `project`, where two gradients meet only over the weights that both sub-models have.

    For Gram matrices of the scope "intersection": part j is of the weights that sub-model j has
    and no narrower one, so that sub-models i and j have parts 0 to min(i, j) in common. There a
    conflicting gradient loses its component along the other; its other entries stay.
    """
    parts, m, _ = gram.shape
    coefficients = torch.eye(m, dtype=gram.dtype, device=gram.device).repeat(parts, 1, 1)
    for i in range(m):
        for j in _others(i, m, generator).tolist():
            common = slice(0, min(i, j) + 1)
            inner = (coefficients[common, i] * gram[common, j]).sum()
            norm = gram[common, j, j].sum().clamp(min=torch.finfo(gram.dtype).tiny)
            coefficients[common, i, j] -= inner.clamp(max=0) / norm
    return coefficients.sum(dim=1)


def equalise(gram: Tensor, generator: torch.Generator) -> Tensor:
    """Each gradient at the mean length of all, then the sum: no sub-model has priority."""
    del generator
    norms = gram.diagonal(dim1=1, dim2=2).sqrt()
    # A zero gradient has no length to change; its weight must not be infinite.
    return torch.where(norms > 0, norms.mean(dim=1, keepdim=True) / norms, 0.0)


def _others(i: int, m: int, generator: torch.Generator) -> Tensor:
    order = torch.randperm(m - 1, generator=generator)
    return order + (order >= i)


def conflicts(gram: Tensor) -> tuple[Tensor, Tensor]:
    """The share of conflicting pairs (...,), and the cosines of the pairs i < j.

    `gram` is (..., m, m) with m > 1; the cosines are (..., m (m - 1) / 2), 0 where a gradient is
    zero.
    """
    m = gram.shape[-1]
    norms = gram.diagonal(dim1=-2, dim2=-1).sqrt()
    products = norms[..., :, None] * norms[..., None, :]
    cosines = gram / products.clamp(min=torch.finfo(gram.dtype).tiny)
    rows, columns = torch.triu_indices(m, m, offset=1, device=gram.device)
    pairs = cosines[..., rows, columns]
    return (pairs < 0).to(gram.dtype).mean(dim=-1), pairs
