"""How each kind of module becomes the same module with fewer channels: its leading ones."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from timm.layers import Attention, BatchNormAct2d, LayerNorm, LayerNorm2d, LayerScale, LayerScale2d
from timm.models.convnext import ConvNeXtBlock
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from sfsc.files import InputError
from sfsc.switchable.pooling import GeM

Count = Callable[[int], int]
"""How many of a layer's channels are left."""


@dataclass(frozen=True)
class Cut:
    """A module with fewer channels: the shapes of its tensors and the attributes that follow."""

    shapes: Mapping[str, tuple[int, ...]]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    parts: int = 1
    """The first axis holds so many equal parts, each cut by itself: queries, keys, values."""


def leading(tensor: Tensor, shape: tuple[int, ...], parts: int) -> Tensor:
    """A view of the leading entries of `tensor` along each axis.

    Where the first axis has several parts, the view has an axis of parts before the others.
    """
    if parts > 1:
        tensor, shape = tensor.unflatten(0, (parts, -1)), (parts, shape[0] // parts, *shape[1:])
    return tensor[tuple(map(slice, shape))]


class StridedPointwise(nn.Conv2d):
    """A convolution of 1 x 1 with a stride, which looks at the pixels that it needs first.

    For fewer than eight input channels last, on processors with AVX2 and no more, oneDNN's
    gradient of the weights writes over other memory: seen with torch 2.14.1, in_channels 1 to 7.
    """

    def __init__(self, convolution: nn.Conv2d):
        """Takes over the tensors and sizes of `convolution`."""
        super().__init__(
            convolution.in_channels,
            convolution.out_channels,
            1,
            stride=(convolution.stride[0], convolution.stride[1]),
            bias=convolution.bias is not None,
            device="meta",
        )
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] >= _FEW_CHANNELS:
            return super().forward(x)
        return F.conv2d(x[..., :: self.stride[0], :: self.stride[1]], self.weight, self.bias)


_FEW_CHANNELS = 8


def guard_strided_pointwise(model: nn.Module) -> None:
    """Replace the convolutions of 1 x 1 that have a stride by StridedPointwise, in place."""
    for name, module in list(model.named_modules()):
        if (
            type(module) is nn.Conv2d
            and module.kernel_size == (1, 1)
            and module.stride != (1, 1)
            and module.padding == (0, 0)
            and module.groups == 1
        ):
            model.set_submodule(name, StridedPointwise(module))


def cuts(
    model: nn.Module, width: float, image_reader: str, head: Collection[str] = ()
) -> dict[str, Cut]:
    """A cut for each module of `model` that changes at `width`, by its name.

    A layer of C channels keeps round(width * C), at least one. Where channels belong together, in
    the groups of a convolution or the heads of an attention, it is whole groups and heads that are
    kept, and all layers with as many channels follow, as they may be connected.

    `image_reader` names the convolution whose inputs are the image's channels, `head` the layers
    whose outputs are all kept. Raises InputError that names a module that cannot be cut.
    """
    units = _units(model)

    def narrowed(channels: int) -> int:
        unit = units.get(channels, 1)
        return max(1, round(width * (channels // unit))) * unit

    found: dict[str, Cut] = {}
    threefold: set[str] = set()
    for name, module in model.named_modules():
        inputs: Count = _all if name == image_reader else narrowed
        outputs: Count = _all if name in head else narrowed
        # Exact types: a subclass may compute something else.
        kind = type(module)
        if kind in (nn.Conv2d, StridedPointwise):
            found[name] = _convolution(name, module, inputs, outputs)
        elif kind is nn.Linear:
            found[name] = _linear(module, inputs, outputs, 3 if name in threefold else 1)
        elif kind in NORMS:
            found[name] = _norm(module, outputs)
        elif kind is Attention:
            found[name] = _attention(name, module, narrowed)
            threefold.add(f"{name}.qkv")
        elif kind in _LAST_AXIS:
            found[name] = _last_axis(module, narrowed)
        elif [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
            raise _refusal(name, module)
    return found


NORMS = (nn.BatchNorm2d, BatchNormAct2d, nn.LayerNorm, LayerNorm, LayerNorm2d, GeM)
"""Modules that are private to each sub-model: all normalisation, and a pooling that learns."""

# Modules with tensors that are no layer's weights; their last axis is that of the channels.
_LAST_AXIS: Mapping[type[nn.Module], tuple[str, ...]] = {
    ConvNeXtBlock: ("gamma",),
    LayerScale: ("gamma",),
    LayerScale2d: ("gamma",),
    VisionTransformer: ("cls_token", "reg_token", "pos_embed"),
}

BARE = tuple(_LAST_AXIS)


def _all(channels: int) -> int:
    return channels


def _units(model: nn.Module) -> dict[int, int]:
    """For numbers of channels that some layer cannot cut one by one: how many go together."""
    units: dict[int, int] = {}
    module: Any
    for module in model.modules():
        if type(module) is nn.Conv2d and module.groups > 1:
            needs = [(c, c // module.groups) for c in (module.in_channels, module.out_channels)]
        elif type(module) is Attention:
            needs = [(module.attn_dim, module.head_dim)]
        else:
            needs = []
        for channels, unit in needs:
            units[channels] = math.lcm(units.get(channels, 1), unit)
    return units


def _convolution(name: str, conv: nn.Conv2d, inputs: Count, outputs: Count) -> Cut:
    ins, outs = inputs(conv.in_channels), outputs(conv.out_channels)
    groups = 1 if conv.groups == 1 else ins // (conv.in_channels // conv.groups)
    if outs % groups:
        raise _refusal(name, conv)
    return Cut(
        {"weight": (outs, ins // groups, *conv.kernel_size), "bias": (outs,)},
        {"in_channels": ins, "out_channels": outs, "groups": groups},
    )


def _linear(linear: nn.Linear, inputs: Count, outputs: Count, parts: int) -> Cut:
    ins, outs = inputs(linear.in_features), parts * outputs(linear.out_features // parts)
    return Cut(
        {"weight": (outs, ins), "bias": (outs,)},
        {"in_features": ins, "out_features": outs},
        parts,
    )


def _norm(norm: nn.Module, count: Count) -> Cut:
    attributes: dict[str, Any]
    if isinstance(norm, GeM):
        return Cut({"power": (1,)})
    if isinstance(norm, nn.BatchNorm2d):
        channels = count(norm.num_features)
        attributes = {"num_features": channels}
    else:
        assert isinstance(norm, nn.LayerNorm)
        channels = count(norm.normalized_shape[0])
        attributes = {"normalized_shape": (channels,)}
    names = ("weight", "bias", "running_mean", "running_var")
    return Cut({**dict.fromkeys(names, (channels,)), "num_batches_tracked": ()}, attributes)


def _attention(name: str, attention: Attention, count: Count) -> Cut:
    inner = (attention.q_norm, attention.k_norm, attention.norm)
    if attention.gate is not None or any(type(module) is not nn.Identity for module in inner):
        raise _refusal(name, attention)
    channels = count(attention.attn_dim)
    return Cut({}, {"num_heads": channels // attention.head_dim, "attn_dim": channels})


def _last_axis(module: nn.Module, count: Count) -> Cut:
    tensors = {name: getattr(module, name) for name in _LAST_AXIS[type(module)]}
    return Cut(
        {
            name: (*tensor.shape[:-1], count(tensor.shape[-1]))
            for name, tensor in tensors.items()
            if tensor is not None
        }
    )


def _refusal(name: str, module: nn.Module) -> InputError:
    return InputError(
        f"model.backbone: its module {name!r} ({type(module).__name__}) cannot be sliced; choose"
        " another backbone (docs/backbones.md)"
    )
