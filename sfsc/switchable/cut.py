"""How each kind of module becomes the same module with fewer channels: its leading ones."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from timm.layers import (
    BatchNormAct2d,
    Conv2dSame,
    GroupNorm1,
    GroupNormAct,
    LayerNorm,
    LayerNorm2d,
    LayerNormAct,
    LayerNormAct2d,
    RmsNorm,
    RmsNorm2d,
    RmsNormAct2d,
    ScaledStdConv2d,
    ScaledStdConv2dSame,
    SimpleNorm,
    SimpleNorm2d,
    StdConv2d,
    StdConv2dSame,
)
from timm.models import swin_transformer, swin_transformer_v2, swin_transformer_v2_cr
from timm.models.metaformer import GroupNorm1NoBias, LayerNorm2dNoBias, LayerNormNoBias
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
_COORDINATES = 3
"""A linear layer of so few inputs reads relative positions, not channels."""


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
    model: nn.Module, width: float, image_readers: Collection[str], head: Collection[str] = ()
) -> dict[str, Cut]:
    """A cut for each module of `model` that changes at `width`, by its name.

    A layer of C channels keeps round(width * C), at least one. Where channels belong together, in
    the groups of a convolution or the heads of an attention, it is whole groups and heads that are
    kept, and all layers with as many channels follow, as they may be connected.

    `image_readers` name the convolutions whose inputs are the image's channels, `head` the layers
    whose outputs are all kept. Raises InputError that names a module that cannot be cut.
    """
    units = _units(model)

    def narrowed(channels: int) -> int:
        unit = units.get(channels, 1)
        return max(1, round(width * (channels // unit))) * unit

    known = _channels(model)
    found: dict[str, Cut] = {}
    parts: dict[str, int] = {}
    inside: dict[str, Count] = {}
    """What counts the channels of modules that something above them gives another number."""
    for name, module in model.named_modules():
        inputs: Count = _all if name in image_readers else inside.get(name, narrowed)
        outputs: Count = _all if name in head else narrowed
        # Exact types: a subclass may compute something else.
        kind = type(module)
        if kind in CONVOLUTIONS:
            found[name] = _convolution(name, module, inputs, outputs)
        elif kind is nn.Linear:
            found[name] = _linear(module, inputs, outputs, parts.get(name, 1))
        elif kind in NORMS:
            found[name] = _norm(module, _all if name in head else inputs)
        elif isinstance(module, _LAYERS):
            raise _refusal(name, module)
        elif kind in _MERGING:
            of_four = _fourfold(module.reduction.in_features // 4, narrowed)
            inside |= {f"{name}.norm": of_four, f"{name}.reduction": of_four}
        elif hasattr(
            module, "rel_indices"
        ):  # ConViT's: its extracted models compute something else
            raise _refusal(name, module)
        elif heads := _heads(module):
            left = _heads_left(heads, narrowed, width)
            found[name] = _attention(module, heads, left)
            qkv = getattr(module, "qkv", None)
            if type(qkv) is nn.Linear and heads.channels and not _is_by_heads(module):
                parts[f"{name}.qkv"] = qkv.out_features // heads.channels
            inside |= {f"{name}.{each}": _all for each in ("q_norm", "k_norm")}
        else:
            found |= _splits(name, module, narrowed)
            if own := _own(module):
                found[name] = _bare(module, own, known, narrowed)
    return found


CONVOLUTIONS: tuple[type[nn.Module], ...] = (
    nn.Conv2d,
    StridedPointwise,
    Conv2dSame,
    StdConv2d,
    StdConv2dSame,
    ScaledStdConv2d,
    ScaledStdConv2dSame,
)
NORMS: tuple[type[nn.Module], ...] = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    BatchNormAct2d,
    nn.LayerNorm,
    LayerNorm,
    LayerNorm2d,
    LayerNormAct,
    LayerNormAct2d,
    LayerNorm2dNoBias,
    LayerNormNoBias,
    RmsNorm,
    RmsNorm2d,
    RmsNormAct2d,
    SimpleNorm,
    SimpleNorm2d,
    nn.GroupNorm,
    GroupNorm1,
    GroupNorm1NoBias,
    GroupNormAct,
    GeM,
)
"""Modules that are private to each sub-model: all normalisation, and a pooling that learns."""

# timm's Swin transformers put the channels of four neighbours next to each other.
_MERGING = (
    swin_transformer.PatchMerging,
    swin_transformer_v2.PatchMerging,
    swin_transformer_v2_cr.PatchMerging,
)

_LAYERS = (
    nn.modules.conv._ConvNd,
    nn.RNNBase,
    nn.Linear,
    nn.modules.batchnorm._NormBase,
)
"""What computes with its tensors in a way of its own, and so is refused where it is not known."""


def _fourfold(dim: int, count: Count) -> Count:
    """Counts the channels of four neighbours together: four times those of each, `dim`."""
    return lambda channels: 4 * count(dim) if channels == 4 * dim else count(channels)


def _all(channels: int) -> int:
    return channels


def is_bare(module: nn.Module) -> bool:
    """Whether a module's own tensors are no layer's weights: tokens, positions, layer scales."""
    return not isinstance(module, (*CONVOLUTIONS, *NORMS, nn.Linear))


def _own(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors of a module itself, without those of the modules in it."""
    tensors = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    return {name: tuple(tensor.shape) for name, tensor in tensors if tensor.is_floating_point()}


def _channels(model: nn.Module) -> set[int]:
    """The numbers of channels between the layers of a model."""
    found: set[int] = set()
    module: Any
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            found |= {module.in_channels, module.out_channels}
        elif isinstance(module, nn.Linear):
            found |= {module.in_features, module.out_features}
    return found - {1, 3}


def _bare(
    module: nn.Module, own: Mapping[str, tuple[int, ...]], known: set[int], count: Count
) -> Cut:
    """Tensors with one axis of channels each: the last if it may be, else the first."""
    shapes, changed = {}, {}
    buffers = dict(module.named_buffers(recurse=False))
    for name, shape in own.items():
        if name in buffers and getattr(module, "channels", None) not in shape:
            shapes[name] = shape  # of positions or frequencies
            continue
        axes = [axis for axis, size in enumerate(shape) if size in known]
        axis = axes[-1] if axes and axes[-1] == len(shape) - 1 else next(iter(axes), None)
        if axis is not None:
            changed[shape[axis]] = count(shape[axis])
            shape = (*shape[:axis], changed[shape[axis]], *shape[axis + 1 :])
        shapes[name] = shape
    attributes: dict[str, Any] = {}
    for key, value in vars(module).items():
        if key in ("channels", "dim") and value in changed:
            attributes[key] = changed[value]
        elif key == "shape" and isinstance(value, tuple):
            attributes[key] = tuple(changed.get(size, size) for size in value)
    return Cut(shapes, attributes)


def _splits(name: str, module: nn.Module, count: Count) -> dict[str, Cut]:
    """The module's numbers of channels by which it splits an input into parts."""
    for keys in (("split_indexes",), ("split_indices",), ("dim_conv3", "dim_untouched")):
        if not all(hasattr(module, key) for key in keys):
            continue
        sizes = (
            list(getattr(module, keys[0])) if len(keys) == 1 else [getattr(module, k) for k in keys]
        )
        left = [count(size) for size in sizes]
        # The largest part takes what rounding leaves.
        left[sizes.index(max(sizes))] += count(sum(sizes)) - sum(left)
        values: Any = [tuple(left)] if len(keys) == 1 else left
        return {name: Cut({}, dict(zip(keys, values, strict=True)))}
    return {}


@dataclass(frozen=True)
class Heads:
    """The heads of an attention, whatever its class calls them."""

    name: str
    """Of the attribute that counts them; "" where there is none."""
    count: int
    channels: int
    """Of all heads together; 0 where the module has no projection that says so."""


def _heads(module: Any) -> Heads | None:
    """The heads of a module that has some: an integer attribute counts them."""
    for name in ("num_heads", "n_heads", "num_head", "heads", "n_head"):
        count = getattr(module, name, None)
        if isinstance(count, int) and not isinstance(count, bool):
            return Heads(name, count, _head_channels(module, count))
    if hasattr(module, "bias_shape"):  # of relative positions: (pixels, pixels, heads)
        return Heads("", int(module.bias_shape[-1]), 0)
    return None


def _head_channels(module: Any, count: int) -> int:
    if hasattr(module, "val_attn_dim"):
        return int(module.val_attn_dim)
    size = getattr(module, "head_dim", None)
    if isinstance(size, int) and isinstance(getattr(module, "qkv", None), nn.Linear | nn.Conv2d):
        return size * count
    for name, parts in (("qkv", 3), ("kv", 2), ("q", 1), ("q_proj", 1), ("query", 1)):
        layer = getattr(module, name, None)
        if isinstance(layer, nn.Linear):
            return layer.out_features // parts
        if isinstance(layer, nn.Conv2d):
            return layer.out_channels // parts
    return 0


def _is_by_heads(module: nn.Module) -> bool:
    """Whether a projection holds queries, keys and values head by head, not one after the other."""
    return hasattr(module, "key_attn_dim") or bool(getattr(module, "head_first", False))


def _units(model: nn.Module) -> dict[int, int]:
    """For numbers of channels that some layer cannot cut one by one: how many go together."""
    units: dict[int, int] = {}
    module: Any
    for module in model.modules():
        needs: list[tuple[int, int]] = []
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            needs = [(c, c // module.groups) for c in (module.in_channels, module.out_channels)]
        elif (heads := _heads(module)) and heads.channels:
            size = heads.channels // heads.count
            needs = [(heads.channels, size)]
            if isinstance(getattr(module, "qkv", None), nn.Conv2d) or _is_by_heads(module):
                needs.append((3 * heads.channels, 3 * size))
            if hasattr(module, "key_attn_dim"):
                keys = module.key_attn_dim // heads.count
                for unit in (keys, 2 * keys + size, keys + size):
                    needs.append((unit * heads.count, unit))
        elif isinstance(module, nn.GroupNorm) and not isinstance(module, GroupNorm1):
            needs = [(module.num_channels, module.num_channels // module.num_groups)]
        for channels, unit in needs:
            units[channels] = math.lcm(units.get(channels, 1), unit)
    return units


def _convolution(name: str, conv: nn.Conv2d, inputs: Count, outputs: Count) -> Cut:
    ins, outs = inputs(conv.in_channels), outputs(conv.out_channels)
    groups = 1 if conv.groups == 1 else ins // (conv.in_channels // conv.groups)
    if outs % groups:
        raise _refusal(name, conv)
    shapes = {"weight": (outs, ins // groups, *conv.kernel_size), "bias": (outs,)}
    attributes: dict[str, Any] = {"in_channels": ins, "out_channels": outs, "groups": groups}
    if isinstance(conv, ScaledStdConv2d | ScaledStdConv2dSame):
        # Its factor is the inverse root of the inputs of an output.
        fewer = (conv.in_channels // conv.groups) / (ins // groups)
        shapes["gain"], attributes["scale"] = (outs, 1, 1, 1), conv.scale * math.sqrt(fewer)
    return Cut(shapes, attributes)


def _linear(linear: nn.Linear, inputs: Count, outputs: Count, parts: int) -> Cut:
    few = linear.in_features <= _COORDINATES
    ins = linear.in_features if few else inputs(linear.in_features)
    outs = parts * outputs(linear.out_features // parts)
    return Cut(
        {"weight": (outs, ins), "bias": (outs,)},
        {"in_features": ins, "out_features": outs},
        parts,
    )


def _norm(norm: Any, count: Count) -> Cut:
    attributes: dict[str, Any]
    if isinstance(norm, GeM):
        return Cut({"power": (1,)})
    if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
        channels = count(norm.num_features)
        attributes = {"num_features": channels}
    elif isinstance(norm, nn.GroupNorm):
        channels = count(norm.num_channels)
        attributes = {"num_channels": channels}
        if norm.num_groups > 1:
            attributes["num_groups"] = channels // (norm.num_channels // norm.num_groups)
    else:
        channels = count(norm.normalized_shape[0])
        attributes = {"normalized_shape": (channels,)}
    names = ("weight", "bias", "running_mean", "running_var")
    return Cut({**dict.fromkeys(names, (channels,)), "num_batches_tracked": ()}, attributes)


def _heads_left(heads: Heads, count: Count, width: float) -> dict[int, int]:
    """The numbers of heads and of their channels, and what is left of each."""
    if not heads.channels:
        return {heads.count: max(1, round(width * heads.count))}
    channels = count(heads.channels)
    size = heads.channels // heads.count
    return {heads.channels: channels, heads.count: channels // size}


def _attention(module: nn.Module, heads: Heads, left: Mapping[int, int]) -> Cut:
    """Whole heads are left, and of the module's own tensors and numbers what is theirs."""

    def cut(shape: tuple[int, ...]) -> tuple[int, ...]:
        for axis in (len(shape) - 1, *range(len(shape) - 1)) if shape else ():
            if shape[axis] in left and shape[axis] > 1:
                return (*shape[:axis], left[shape[axis]], *shape[axis + 1 :])
        return shape

    follows: dict[str, Any] = {}
    for key, value in vars(module).items():
        if key == "bias_shape":
            follows[key] = cut(value)
        elif key.endswith("_attn_dim"):
            follows[key] = value // heads.count * left[heads.count]
        elif heads.channels and type(value) is int and value == heads.channels:
            follows[key] = left[value]
    return Cut(
        {tensor: cut(shape) for tensor, shape in _own(module).items()},
        follows | ({heads.name: left[heads.count]} if heads.name else {}),
    )


def _refusal(name: str, module: nn.Module) -> InputError:
    return InputError(
        f"model.backbone: its module {name!r} ({type(module).__name__}) cannot be sliced; choose"
        " another backbone (docs/backbones.md)"
    )
