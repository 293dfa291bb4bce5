"""A plain model made switchable, module by module, and made smaller."""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sfsc.switchable.cut import NORMS, Cut, leading


class Leading(nn.Module):
    """The leading entries of a tensor that sub-model `index` uses, as a parametrization."""

    def __init__(self, shapes: Sequence[tuple[int, ...]], parts: int, index: int):
        super().__init__()
        self._shapes, self._parts, self.index = tuple(shapes), parts, index

    def forward(self, full: Tensor) -> Tensor:
        return leading(full, self._shapes[self.index], self._parts)


class PrivateNorm(nn.Module):
    """A normalisation for each sub-model, with its own affine parameters and statistics.

    Yu et al., Slimmable Neural Networks, ICLR 2019.
    """

    def __init__(self, norms: Sequence[nn.Module], index: int):
        super().__init__()
        self.norms, self.index = nn.ModuleList(norms), index

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.norms[self.index](x)
        return result


def shrink(model: nn.Module, cuts: Mapping[str, Cut]) -> None:
    """Cut the modules of a plain model in place."""
    for name, cut in cuts.items():
        module = model.get_submodule(name)
        fill(module, cut, module)


def make_switchable(model: nn.Module, cuts: Sequence[Mapping[str, Cut]], widest: int) -> None:
    """Let a plain model, of the size of the widest sub-model, compute each one, in place.

    `cuts[i]` are those of sub-model i, `widest` is the one that it computes at first. All start
    from the model's own tensors.
    """
    for name in cuts[0]:
        module, own = model.get_submodule(name), [each[name] for each in cuts]
        if type(module) in NORMS:
            norms = [copy.deepcopy(module) for _ in own]
            for norm, cut in zip(norms, own, strict=True):
                fill(norm, cut, norm)
            model.set_submodule(name, PrivateNorm(norms, widest))
            continue
        for tensor in own[0].shapes:
            if getattr(module, tensor) is not None:
                part = Leading([cut.shapes[tensor] for cut in own], own[0].parts, widest)
                # `unsafe` permits the change of shape.
                parametrize.register_parametrization(module, tensor, part, unsafe=True)


@torch.no_grad()
def fill(module: nn.Module, cut: Cut, source: nn.Module) -> None:
    """Make a plain module what `cut` says, in place, with the leading tensors of `source`.

    `source` is a module of that kind, perhaps itself, or the switchable one in its place, and
    then gives what its selected sub-model has.
    """
    if isinstance(source, PrivateNorm):
        source = source.norms[source.index]
    parameters = dict(module.named_parameters(recurse=False))
    for name, shape in cut.shapes.items():
        tensor = getattr(source, name, None)
        if tensor is not None:
            part = leading(tensor, shape, cut.parts).detach().clone()
            setattr(module, name, nn.Parameter(part) if name in parameters else part)
    for name, value in cut.attributes.items():
        setattr(module, name, value)
