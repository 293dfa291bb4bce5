"""A plain model made switchable, module by module, and made smaller."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sfsc.switchable.cut import NORMS, Cut, leading


class SharedTensors:
    """A module's parameters as its sub-models use them: views of the leading entries.

    Each view is a leaf with a gradient of its own, as large as itself, so that a narrow sub-model
    pays for its own entries alone. They lie in front of the module's parameters, which alone are
    listed, saved and moved.
    """

    def __init__(self, module: nn.Module, cuts: Sequence[Cut]):
        self._module, self._cuts = module, cuts
        self.refresh()

    def refresh(self) -> None:
        """Make the views anew, after the parameters moved to other memory."""
        parameters = dict(self._module.named_parameters(recurse=False))
        buffers = dict(self._module.named_buffers(recurse=False))
        self._views = [
            {
                name: nn.Parameter(leading(parameters[name].detach(), shape, cut.parts))
                for name, shape in cut.shapes.items()
                if name in parameters
            }
            for cut in self._cuts
        ]
        self._buffers = [
            {
                name: leading(buffers[name], shape, cut.parts)
                for name, shape in cut.shapes.items()
                if name in buffers
            }
            for cut in self._cuts
        ]

    def select(self, index: int) -> None:
        """Let the module compute with the views of sub-model `index`."""
        vars(self._module).update(self._views[index] | self._buffers[index])

    def views(self, index: int) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
        """The module's own parameters, and of each the view of sub-model `index`."""
        parameters = dict(self._module.named_parameters(recurse=False))
        return ((parameters[name], view) for name, view in self._views[index].items())


class PartedLinear(nn.Linear):
    """A linear layer whose tensors may have an axis of parts before that of its outputs.

    To whoever asks they are flat: some attentions compute with them themselves.
    """

    def __init__(self, linear: nn.Linear):
        """Takes over the tensors of `linear`."""
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, "meta")
        self.weight, self.bias = linear.weight, linear.bias

    def __getattribute__(self, name: str) -> Any:
        # What the sub-model in use computes with lies in front of the parameters.
        found = super().__getattribute__(name)
        if name == "weight" and found.ndim > 2:
            return found.flatten(0, -2)
        if name == "bias" and found is not None and found.ndim > 1:
            return found.flatten()
        return found


class PrivateNorm(nn.Module):
    """A normalisation for each sub-model, with its own affine parameters and statistics.

    Yu et al., Slimmable Neural Networks, ICLR 2019. Likewise a pooling, with its own power.
    """

    def __init__(self, norms: Sequence[nn.Module]):
        super().__init__()
        self.norms, self.index = nn.ModuleList(norms), 0

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.norms[self.index](x)
        return result


def shrink(model: nn.Module, cuts: Mapping[str, Cut]) -> None:
    """Cut the modules of a plain model in place."""
    for name, cut in cuts.items():
        module = model.get_submodule(name)
        fill(module, cut, module)


def make_switchable(model: nn.Module, cuts: Sequence[Mapping[str, Cut]]) -> list[SharedTensors]:
    """Let a plain model, of the size of the widest sub-model, compute each one, in place.

    `cuts[i]` are those of sub-model i; all start from the model's own tensors. Answers with what
    is to be told which one to compute, as each PrivateNorm in the model is.
    """
    shared = []
    for name in cuts[0]:
        module, own = model.get_submodule(name), [each[name] for each in cuts]
        if type(module) in NORMS:
            norms = [copy.deepcopy(module) for _ in own]
            for norm, cut in zip(norms, own, strict=True):
                fill(norm, cut, norm)
            model.set_submodule(name, PrivateNorm(norms))
            continue
        if isinstance(module, nn.Linear) and own[0].parts > 1:
            module = PartedLinear(module)
            model.set_submodule(name, module)
        shared.append(SharedTensors(module, own))
    return shared


@torch.no_grad()
def fill(module: nn.Module, cut: Cut, source: nn.Module) -> None:
    """Make a plain module what `cut` says, in place, with the leading tensors of `source`.

    `source` is a module of that kind, perhaps itself.
    """
    parameters = dict(source.named_parameters(recurse=False))
    tensors = parameters | dict(source.named_buffers(recurse=False))
    for name, shape in cut.shapes.items():
        if name in tensors:
            part = leading(tensors[name], shape, cut.parts).reshape(shape).detach().clone()
            setattr(module, name, nn.Parameter(part) if name in parameters else part)
    for name, value in cut.attributes.items():
        setattr(module, name, value)
