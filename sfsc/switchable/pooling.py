"""How a backbone's map of features becomes one vector."""

import torch
from timm.layers import SelectAdaptivePool2d
from timm.layers.adaptive_avgmax_pool import FastAdaptiveAvgPool, FastAdaptiveMaxPool
from torch import Tensor, nn

from sfsc.files import InputError

_LEAST = 1e-6


class GeM(nn.Module):
    """The generalised mean of each channel, with a learnt power: (mean of x^p)^(1/p).

    Radenović et al., Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2019,
    equation 3. A power of 1 averages, a large one takes the maximum. Features count as 1e-6 at
    least. In a switchable network each sub-model has a power of its own, as it has normalisation of
    its own: how its activations spread depends on its width, and they are not what members share.
    """

    def __init__(self, average: nn.Module, power: float = 3.0):
        """`average` is the average pooling that it wraps, of any layout."""
        super().__init__()
        self.average, self.power = average, nn.Parameter(torch.tensor([power]))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            powers = x.float().clamp(min=_LEAST).pow(self.power)
            found: Tensor = self.average(powers).pow(1 / self.power)
        return found.to(x.dtype)


def set_pooling(model: nn.Module, backbone: str, pooling: str) -> None:
    """Let timm's model of the name `backbone` pool by avg, gem or max, in place.

    Raises InputError for one that pools in another way than by an average, as transformers do.
    """
    pools = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, SelectAdaptivePool2d)
        and isinstance(module.pool, nn.AdaptiveAvgPool2d | FastAdaptiveAvgPool)
    ]
    if len(pools) != 1:
        raise InputError(
            f"model.pooling: {backbone} does not end in one average pooling, so none can take"
            " its place; leave it out"
        )
    ((name, pool),) = pools
    if pooling == "gem":
        model.set_submodule(name, GeM(pool))
    elif pooling == "max":
        average = pool.pool
        if isinstance(average, FastAdaptiveAvgPool):
            pool.pool = FastAdaptiveMaxPool(average.flatten)
            pool.pool.dim = average.dim
        else:
            pool.pool = nn.AdaptiveMaxPool2d(1)
        pool.pool_type = "max"
