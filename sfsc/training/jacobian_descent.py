"""TorchJD's ways to resolve conflicting gradients, as aggregations."""

import torch
from torch import Tensor

from sfsc.files import InputError
from sfsc.training.aggregation import Aggregation


def torchjd(name: str, **options: float) -> Aggregation:
    """The weighting of TorchJD's aggregator `name`, such as UPGrad, MGDA or CAGrad.

    `options` go to its constructor. Where TorchJD averages gradients this sums them, as SFSC does:
    the weights are m times TorchJD's. Quinton and Rey, Jacobian Descent for Multi-Objective
    Optimization, 2024. Raises InputError where TorchJD is not installed or has no such weighting.
    """
    try:
        from torchjd import aggregation

        if not hasattr(aggregation, f"{name}Weighting"):
            raise InputError(f"TorchJD has no aggregator {name!r} that needs the Gram matrix alone")
        weighting = getattr(aggregation, f"{name}Weighting")(**options)
    except ImportError as error:
        raise InputError(
            f"TorchJD's {name} is not installed ({error}); in the checkout, pip install"
            " --constraint constraints.txt --editable '.[dev]' brings it"
        ) from None
    if hasattr(weighting, "reset"):
        raise InputError(f"TorchJD's {name} has a memory, which no checkpoint would hold")

    def aggregate(gram: Tensor, generator: torch.Generator) -> Tensor:
        # Some draw at random from torch's global generator.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            return gram.shape[-1] * torch.stack([weighting(each) for each in gram])

    return aggregate
