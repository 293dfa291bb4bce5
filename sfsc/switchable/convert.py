"""A timm backbone made switchable, module by module."""

from collections.abc import Sequence

from torch import nn

from sfsc.files import InputError
from sfsc.switchable.layers import SlicedConv2d, SlicedLinear, SwitchableBatchNorm2d


def channel_counts(channels: int, scale: float, widths: Sequence[float]) -> tuple[int, ...]:
    """How many of a layer's `channels`, scaled by `scale`, the sub-model of each width uses."""
    full = max(1, round(scale * channels))
    return tuple(max(1, round(width * full)) for width in widths)


def make_switchable(
    backbone: nn.Module, first_convolution: str, scale: float, widths: Sequence[float]
) -> None:
    """Replace, in place, every layer of `backbone` with weights by its switchable counterpart.

    The tensors have the size of the widest sub-model and start as the leading slices of
    `backbone`'s own. `first_convolution` names the module that reads the image, whose input
    channels are not sliced. Raises InputError that names a module that cannot be sliced.
    """

    def counts(channels: int) -> tuple[int, ...]:
        return channel_counts(channels, scale, widths)

    replacements: dict[str, nn.Module] = {}
    for name, module in backbone.named_modules():
        # Exact types: a subclass may compute something that slicing would change.
        if type(module) is nn.Conv2d and module.groups == 1:
            is_first = name == first_convolution
            inputs = (module.in_channels,) * len(widths) if is_first else counts(module.in_channels)
            replacements[name] = SlicedConv2d(module, inputs, counts(module.out_channels))
        elif type(module) is nn.Linear:
            replacements[name] = SlicedLinear(
                module, counts(module.in_features), counts(module.out_features)
            )
        elif type(module) is nn.BatchNorm2d:
            replacements[name] = SwitchableBatchNorm2d(module, counts(module.num_features))
        elif [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
            raise InputError(
                f"model.backbone: {type(backbone).__name__} has the module {name!r} "
                f"({type(module).__name__}), which cannot be sliced; choose a plain ResNet"
            )
    for name, module in replacements.items():
        backbone.set_submodule(name, module)
