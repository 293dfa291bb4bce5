"""Weights of the members' gradients that follow from their losses: scalarisations.

The gradient of a scalar s(L_1, ..., L_m) is the sum of the members' gradients, each weighted by the
derivative of s by its loss. Where a source averages losses this sums them: weights are m times its.
"""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from sfsc.files import InputError


class Scalarisation(nn.Module):
    """An aggregation that is shown the losses (m,) of each step first."""

    losses: Tensor

    def observe(self, losses: Tensor) -> None:
        """Called in each step, before the gradients are combined."""
        self.losses = losses

    def forward(self, gram: Tensor, generator: torch.Generator) -> Tensor:
        """The weights (L, m) for Gram matrices (L, m, m)."""
        weights = self.weights(generator).to(gram.dtype)
        return weights.expand(gram.shape[0], -1)

    @abstractmethod
    def weights(self, generator: torch.Generator) -> Tensor:
        """The weights (m,) for the losses that were observed."""


class TorchJD(Scalarisation):
    """TorchJD's scalarisers without memory or weights of their own, by name."""

    def __init__(self, name: str):
        """Raises InputError where TorchJD is not installed or has no such scalariser."""
        super().__init__()
        try:
            from torchjd import scalarization
        except ImportError as error:
            raise InputError(
                f"TorchJD's {name} is not installed ({error}); in the checkout, pip install"
                " --constraint constraints.txt --editable '.[dev]' brings it"
            ) from None
        known = {each: getattr(scalarization, each) for each in ("GeometricMean", "Mean", "Random")}
        if name not in known:
            raise InputError(f"scalariser: {name!r} is not one of {', '.join(known)}")
        self.scalariser = known[name]()

    def weights(self, generator: torch.Generator) -> Tensor:
        losses = self.losses.detach().requires_grad_()
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            (found,) = torch.autograd.grad(self.scalariser(losses), losses)
        return len(losses) * found


class Famo(Scalarisation):
    """FAMO: all losses shall fall at one rate, relative to themselves.

    Liu et al., FAMO: Fast Adaptive Multitask Optimization, NeurIPS 2023, algorithm 2. How much a
    step lowered the losses is read from the next batch, not from the same one again. The moments
    of Adam are buffers, so that checkpoints hold them.
    """

    logits: Tensor
    moments: Tensor
    before: Tensor
    steps: Tensor

    _BETAS = (0.9, 0.999)

    def __init__(self, members: int, rate: float, decay: float):
        """`rate` and `decay` are of Adam, which learns the logits of the weights."""
        super().__init__()
        self.rate, self.decay = rate, decay
        self.register_buffer("logits", torch.zeros(members))
        self.register_buffer("moments", torch.zeros(2, members))
        self.register_buffer("before", torch.zeros(members))
        self.register_buffer("steps", torch.zeros(()))

    def observe(self, losses: Tensor) -> None:
        super().observe(losses)
        now = (losses + 1e-8).log()
        if self.steps > 0:
            self._learn(self.before - now)
        self.before.copy_(now)
        self.steps += 1

    def weights(self, generator: torch.Generator) -> Tensor:
        shares = self.logits.softmax(dim=0) / (self.losses + 1e-8)
        return len(shares) * shares / shares.sum()

    def _learn(self, fallen: Tensor) -> None:
        """A step of Adam on the logits, along the derivative of softmax by them."""
        z = self.logits.softmax(dim=0)
        gradient = z * (fallen - (z * fallen).sum()) + self.decay * self.logits
        first, second = self._BETAS
        self.moments[0].lerp_(gradient, 1 - first)
        self.moments[1].lerp_(gradient.square(), 1 - second)
        mean = self.moments[0] / (1 - first**self.steps)
        spread = (self.moments[1] / (1 - second**self.steps)).sqrt()
        self.logits -= self.rate * mean / (spread + 1e-8)
