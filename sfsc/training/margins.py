"""Margins: the right class must win by more."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from sfsc.profile import Margin


def logits(margin: Margin, prototypes: Tensor, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Logits (B, K) of unit embeddings (B, D), labels (B,), for prototypes (K, D)."""
    return _KINDS[margin.kind](prototypes, embeddings, labels, margin.scale, margin.margin)


def cosines(prototypes: Tensor, embeddings: Tensor) -> Tensor:
    """The cosines (B, K) of unit embeddings (B, D) with prototypes (K, D)."""
    return F.linear(embeddings, F.normalize(prototypes, dim=1))


def arcface(
    prototypes: Tensor, embeddings: Tensor, labels: Tensor, scale: float, margin: float
) -> Tensor:
    """Logits (B, K): `scale` times the cosine, of the angle plus `margin` for the right class.

    Deng et al., ArcFace, CVPR 2019. Where the angle would pass pi, the cosine falls on in a line,
    so that the logit never rises with the angle.
    """
    found = cosines(prototypes, embeddings)
    if margin == 0:
        return scale * found
    found = found.clamp(-1 + 1e-6, 1 - 1e-6)
    right = found.gather(1, labels[:, None])
    angle = torch.acos(right)
    limit = torch.pi - margin
    beyond = torch.cos(torch.tensor(limit + margin)) - (angle - limit)
    moved = torch.where(angle < limit, torch.cos(angle + margin), beyond)
    return scale * found.scatter(1, labels[:, None], moved)


def cosface(
    prototypes: Tensor, embeddings: Tensor, labels: Tensor, scale: float, margin: float
) -> Tensor:
    """Logits (B, K): `scale` times the cosine, less `margin` for the right class.

    Wang et al., CosFace, CVPR 2018.
    """
    found = cosines(prototypes, embeddings)
    return scale * (found - margin * F.one_hot(labels, found.shape[1]))


_KINDS: Mapping[str, Callable[[Tensor, Tensor, Tensor, float, float], Tensor]] = {
    "arcface": arcface,
    "cosface": cosface,
}
