"""The compatible loss with uncertainty: logits read as evidence for a Dirichlet.

Sensoy et al., Evidential Deep Learning, NeurIPS 2018, equations 4 and 5; Wu et al., CVPR 2023.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sfsc.training.half_precision import at_least_float32


def evidential_loss(logits: Tensor, labels: Tensor, kl_weight: float) -> tuple[Tensor, Tensor]:
    """The loss of logits (B, K) for labels (B,), and the uncertainty; both are batch means.

    With alpha = softplus(logits) + 1 and S its sum, the loss is the cross entropy expected under
    Dir(alpha), digamma(S) - digamma(alpha_y), plus `kl_weight` * ln K / K times the divergence
    from the uniform Dirichlet of the evidence for wrong classes. At the start the divergence grows
    as K and the expected cross entropy as ln K: the factor lets one weight mean the same for
    10 classes and for 81,313. The uncertainty is K / S, in (0, 1], without gradient. Computed in
    float32 (float64 logits stay float64), whatever the autocast.
    """
    with torch.autocast(logits.device.type, enabled=False):
        logits = at_least_float32(logits)
        alpha = F.softplus(logits) + 1
        strength = alpha.sum(dim=1)
        evidence_for_label = alpha.gather(1, labels[:, None]).squeeze(1)
        expected = torch.digamma(strength) - torch.digamma(evidence_for_label)
        wrong = alpha.scatter(1, labels[:, None], 1.0)
        classes = logits.shape[1]
        loss = expected + kl_weight * math.log(classes) / classes * kl_from_uniform(wrong)
        uncertainty = classes / strength.detach()
        return loss.mean(), uncertainty.mean()


def kl_from_uniform(alpha: Tensor) -> Tensor:
    """KL(Dir(alpha) || Dir(1)) in nats, (B,), for alpha (B, K)."""
    total = alpha.sum(dim=1)
    normaliser = torch.lgamma(total) - math.lgamma(alpha.shape[1]) - torch.lgamma(alpha).sum(dim=1)
    spread = (alpha - 1) * (torch.digamma(alpha) - torch.digamma(total)[:, None])
    return normaliser + spread.sum(dim=1)
