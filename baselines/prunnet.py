"""PrunNet: members keep the weights with the highest learnt scores of one network.

Sun et al., Prunable Network for Compatible Learning, CVPR 2025. A member of width 0.25 keeps a
quarter of each layer's weights. Conflicting gradients are projected filter by filter, then weighed
by how much of them was left.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sfsc.method import Method
from sfsc.options import NoOptions
from sfsc.switchable.network import StaticNetwork
from sfsc.training.aggregation import projected, random_order
from sfsc.training.family import Family
from sfsc.training.objectives import SharedClassifier


class _Kept(torch.autograd.Function):
    """Weights whose scores are among the highest; the gradient reaches the scores as well."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, scores: Tensor, kept: int) -> Tensor:
        lowest = scores.detach().flatten().kthvalue(scores.numel() - kept + 1).values
        mask = scores >= lowest
        ctx.save_for_backward(weight, mask)
        return weight * mask

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        weight, mask = ctx.saved_tensors
        return gradient * mask, gradient * weight, None


_kept: Callable[[Tensor, Tensor, int], Tensor] = _Kept.apply


class Prunable(nn.Module):
    """One network, a score for each weight, and normalisation of its own for each member."""

    def __init__(self, network: StaticNetwork, names: Sequence[str], shares: Sequence[float]):
        super().__init__()
        self.network, self.names, self.shares = network, tuple(names), tuple(shares)
        self.embedding_dim = network.spec.embedding_dim
        self._norms = {n for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
        self._weights = {n: p for n, p in network.named_parameters() if p.ndim > 1}
        self.scores = nn.ParameterList(
            nn.init.kaiming_uniform_(torch.empty_like(p), a=math.sqrt(5))
            for p in self._weights.values()
        )
        self.norms = nn.ModuleList(
            nn.ModuleDict(
                {
                    name.replace(".", "/"): nn.BatchNorm2d(module.num_features, module.eps)
                    for name, module in network.named_modules()
                    if isinstance(module, nn.BatchNorm2d)
                }
            )
            for _ in shares
        )
        for name in self._norms:
            network.get_submodule(name).requires_grad_(False)
        self._passes = [_Member(self, index) for index in range(len(shares))]

    def tensors(self, index: int) -> dict[str, Tensor]:
        """What the network computes member `index` with, by name."""
        found: dict[str, Tensor] = {}
        for (name, weight), scores in zip(self._weights.items(), self.scores, strict=True):
            kept = max(1, round(self.shares[index] * scores.numel()))
            found[name] = weight if kept == scores.numel() else _kept(weight, scores, kept)
        for name in self._norms:
            norm = self.norms.get_submodule(f"{index}.{name.replace('.', '/')}")
            own = (*norm.named_parameters(), *norm.named_buffers())
            found |= {f"{name}.{key}": tensor for key, tensor in own}
        return found

    def select(self, index: int) -> None:
        """Nothing to do: each member has a module of its own."""

    def module(self, index: int) -> nn.Module:
        return self._passes[index]

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        yield from self._weights.values()
        yield from self.scores

    def leaves(self, index: int) -> list[nn.Parameter]:
        return list(self.shared_parameters())

    def bare_parameters(self) -> Iterator[nn.Parameter]:
        return iter(self.scores)

    def extract(self, index: int) -> StaticNetwork:
        with torch.no_grad():
            tensors = {name: tensor.clone() for name, tensor in self.tensors(index).items()}
        network = copy.deepcopy(self.network)
        network.load_state_dict(network.state_dict() | tensors)
        return network


class _Member(nn.Module):
    """A member of a prunable network, which it does not own."""

    def __init__(self, whole: Prunable, index: int):
        super().__init__()
        self._of: Callable[[], Prunable] = lambda: whole
        self.index = index

    def forward(self, images: Tensor) -> Tensor:
        whole = self._of()
        found: Tensor = functional_call(whole.network, whole.tensors(self.index), (images,))
        return found


def weighed(gram: Tensor, generator: torch.Generator) -> Tensor:
    """The projected gradients, weighed by ((1 + cosine to the original) / 2)^(1/2), mean 1."""
    rows = projected(gram, random_order(gram.shape[-1], generator))
    along = (rows * gram).sum(dim=2)
    norms = torch.einsum("lij,ljk,lik->li", rows, gram, rows).clamp(min=0).sqrt()
    lengths = norms * gram.diagonal(dim1=1, dim2=2).sqrt()
    cosines = (along / lengths.clamp(min=torch.finfo(gram.dtype).tiny)).clamp(-1, 1)
    weights = ((1 + cosines) / 2).sqrt()
    weights = weights * gram.shape[-1] / weights.sum(dim=1, keepdim=True)
    return (weights[..., None] * rows).sum(dim=1)


def train(family: Family, options: NoOptions) -> None:
    widest = family.members[-1]
    names, shares = zip(*((member.name, member.width) for member in family.members), strict=True)
    network = Prunable(family.static(widest).extract(0), names, shares)
    fitted = family.fit(network, SharedClassifier, weighed, "kernel", recalibrated=True)
    for member in family.members:
        family.save(member, fitted.extract(member))


METHOD = Method(
    train,
    summary="members keep the weights of one network with the highest learnt scores, and share a "
    "classifier; conflicting gradients are projected for each filter",
    paper="Sun et al., CVPR 2025",
    families="switchable",
)
