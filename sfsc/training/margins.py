"""Angular margins: the right class must win by more."""

import torch
import torch.nn.functional as F
from torch import Tensor


def arcface(
    prototypes: Tensor, embeddings: Tensor, labels: Tensor, scale: float, margin: float
) -> Tensor:
    """Logits (B, K): `scale` times the cosine, of the angle plus `margin` for the right class.

    Deng et al., ArcFace, CVPR 2019. Where the angle would pass pi, the cosine falls on in a line,
    so that the logit never rises with the angle.
    """
    cosines = F.linear(embeddings, F.normalize(prototypes, dim=1)).clamp(-1 + 1e-6, 1 - 1e-6)
    if margin == 0:
        return scale * cosines
    right = cosines.gather(1, labels[:, None])
    angle = torch.acos(right)
    limit = torch.pi - margin
    beyond = torch.cos(torch.tensor(limit + margin)) - (angle - limit)
    moved = torch.where(angle < limit, torch.cos(angle + margin), beyond)
    return scale * cosines.scatter(1, labels[:, None], moved)
