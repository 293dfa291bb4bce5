"""Every listed backbone at every width: size, agreement and speed.

python -m benchmarks.backbones writes backbones.csv and backbones.md to results/benchmarks/. What is
compared must agree: else it ends with one line.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import onnxruntime
import pandas as pd
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import command
from benchmarks.agreement import hold
from benchmarks.timing import medians
from sfsc.data.normalisation import Normalisation
from sfsc.deploy.export import INPUT, OUTPUT, export
from sfsc.files import replacing
from sfsc.progress import progress
from sfsc.switchable.backbone import NetworkSpec
from sfsc.switchable.cut import StridedPointwise
from sfsc.switchable.network import StaticNetwork, SwitchableNetwork, build
from sfsc.switchable.submodel import SubModel

_WIDTHS = (0.25, 0.5, 0.75, 1.0)
_DIMENSION = 128
_NEAR = 1e-5
"""How far outputs may be from each other, as a share of the largest."""


class _Sizes(NamedTuple):
    """How large and how often."""

    image: int = 128
    batch: int = 8
    repeats: int = 40


_BACKBONES = (
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "mobilenetv2_100",
    "mobilenetv3_large_100",
    "efficientnet_b0",
    "convnext_tiny",
    "vit_small_patch16_224",
    "deit3_small_patch16_224",
)
_TRANSFORMERS = ("vit_small_patch16_224", "deit3_small_patch16_224")
_GREY = Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def main(out: Path, quick: bool) -> None:
    torch.set_num_threads(1)
    sizes = _Sizes(64, 2, 1) if quick else _Sizes()
    names = _BACKBONES[:1] if quick else _BACKBONES
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=out) as folder:
        for name in progress(names, "backbones", "backbone"):
            rows += _measured(name, Path(folder), sizes)
            frame = pd.DataFrame(rows)  # after each: what was measured stays
            _write(frame, out)
    print(frame.to_markdown(index=False, floatfmt=".3g"))


@torch.no_grad()
def _measured(name: str, folder: Path, sizes: _Sizes) -> list[dict[str, Any]]:
    size = sizes.image
    args = {"img_size": size} if name in _TRANSFORMERS else {}
    torch.manual_seed(1)
    original = _unlike_new(timm.create_model(name, num_classes=0, **args)).eval()
    save_file(original.state_dict(), folder / "weights.safetensors")
    spec = NetworkSpec(
        name, _DIMENSION, image_size=size, pretrained=str(folder / "weights.safetensors")
    )
    network = build(spec, _WIDTHS, 0).eval()
    images = torch.randn(sizes.batch, 3, size, size)
    network.select(_WIDTHS.index(1.0))
    to_timm = _difference(network.network.backbone(images), original(images))
    hold(f"{name}: the widest backbone and timm's", to_timm, _NEAR)
    _, whole_body = _multiply_adds(network.extract(_WIDTHS.index(1.0)).eval(), size)
    rows = []
    for index, width in enumerate(_WIDTHS):
        static = network.extract(index).eval()
        adds, body = _multiply_adds(static, size)
        to_switchable = _difference(network(images, index), static(images))
        hold(f"{name}, {width}: the switchable network and the extracted", to_switchable, _NEAR)
        model = SubModel(static, spec, width, _GREY, 1)
        to_onnx = _onnx_difference(model, images, folder)
        hold(f"{name}, {width}: ONNX Runtime's embeddings and torch's", to_onnx, _NEAR)
        built = original if width == 1.0 else _built(static.backbone, size)
        apart = _difference(built(images), static.backbone(images))
        hold(f"{name}, {width}: the model as timm builds it and the extracted", apart, _NEAR)
        seconds = _seconds(network, index, static, built, images, sizes.repeats)
        rows.append(
            {
                "backbone": name,
                "width": width,
                "parameters": sum(p.numel() for p in static.parameters()),
                "multiply_adds": adds,
                "body_over_w2": body / whole_body / width**2,
                "switchable_difference": to_switchable,
                "timm_difference": to_timm if width == 1.0 else np.nan,
                "onnx_difference": to_onnx,
                "extracted_over_built": seconds["extracted"] / seconds["built"],
                "switchable_over_built": seconds["switchable"] / seconds["built"],
            }
        )
    return rows


def _unlike_new(model: nn.Module) -> nn.Module:
    """Scales, shifts and statistics at random: new ones of 0 and 1 would hide mistakes."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point() and tensor.ndim <= 1:
            tensor.copy_(torch.rand_like(tensor) * 0.5 + 0.5)
    return model


def _difference(actual: Tensor, expected: Tensor) -> float:
    """The largest absolute difference, as a share of the largest value."""
    return float((actual - expected).abs().max() / expected.abs().max())


def _onnx_difference(model: SubModel, images: Tensor, folder: Path) -> float:
    path = folder / "model.onnx"
    export(model, path, "onnx")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    exported = session.run([OUTPUT], {INPUT: images.numpy()})[0]
    expected = nn.functional.normalize(model.network(images), dim=1)
    return float(np.abs(exported - expected.numpy()).max())


def _multiply_adds(static: StaticNetwork, size: int) -> tuple[int, int]:
    """For one image: of the whole, and without the layer that reads it and the embedding."""
    backbone: Any = static.backbone
    reader = backbone.get_submodule(backbone.pretrained_cfg["first_conv"])
    with FlopCounterMode(display=False) as whole:
        static(torch.zeros(1, 3, size, size))
    outside = 0

    def count(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal outside
        with FlopCounterMode(display=False) as counter:
            module.forward(*inputs)
        outside += counter.get_total_flops()

    hooks = [module.register_forward_hook(count) for module in (reader, static.head)]
    static(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    # The counter counts a multiply-add as two operations.
    return whole.get_total_flops() // 2, (whole.get_total_flops() - outside) // 2


def _seconds(
    network: SwitchableNetwork,
    index: int,
    static: StaticNetwork,
    built: nn.Module,
    images: Tensor,
    repeats: int,
) -> dict[str, float]:
    """Medians of a forward pass of the backbone: switchable, extracted, and built that way."""
    network.select(index)
    work: Mapping[str, Callable[[], Any]] = {
        "switchable": lambda: network.network.backbone(images),
        "extracted": lambda: static.backbone(images),
        "built": lambda: built(images),
    }
    return medians(work, repeats)


def _built(backbone: Any, size: int) -> nn.Module:
    """timm's model with layers that torch makes in the sizes of `backbone`, and its weights."""
    args = {"img_size": size} if hasattr(backbone, "pos_embed") else {}
    model: Any = timm.create_model(backbone.pretrained_cfg["architecture"], num_classes=0, **args)
    for name, own in backbone.named_modules():
        kind: Any = type(own)
        if kind in (nn.Conv2d, StridedPointwise):
            layer: nn.Module = nn.Conv2d(
                own.in_channels,
                own.out_channels,
                own.kernel_size,
                own.stride,
                own.padding,
                own.dilation,
                own.groups,
                own.bias is not None,
            )
            model.set_submodule(name, layer)
        elif kind is nn.Linear:
            bias = own.bias is not None
            model.set_submodule(name, kind(own.in_features, own.out_features, bias))
        else:
            _take_sizes(model.get_submodule(name), own)
    model.load_state_dict(backbone.state_dict())
    return cast(nn.Module, model.eval())


def _take_sizes(module: nn.Module, like: nn.Module) -> None:
    for name, tensor in like.named_parameters(recurse=False):
        setattr(module, name, nn.Parameter(torch.rand_like(tensor)))
    for name, buffer in like.named_buffers(recurse=False):
        setattr(module, name, buffer.clone())
    for name in ("num_features", "normalized_shape", "num_heads", "attn_dim"):
        if hasattr(like, name):
            setattr(module, name, getattr(like, name))


def _write(frame: pd.DataFrame, out: Path) -> None:
    with replacing(out / "backbones.csv") as beside:
        frame.to_csv(beside, index=False)
    shown = frame.assign(
        parameters=frame["parameters"].map("{:,}".format),
        multiply_adds=(frame["multiply_adds"] / 1e6).map("{:,.1f}".format),
    ).rename(columns={"multiply_adds": "multiply-adds (millions)"})
    table = shown.to_markdown(index=False, floatfmt=".3g")
    with replacing(out / "backbones.md") as beside:
        beside.write_text(f"{command.measured_on()}\n\n{table}\n")


if __name__ == "__main__":
    command.run(main)
