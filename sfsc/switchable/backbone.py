"""What a network is built from: timm's model of that name, without its classifier."""

import difflib
import json
from dataclasses import dataclass
from typing import Any

import timm
import torch
from timm.models.resnet import ResNet
from torch import nn

from sfsc.files import InputError
from sfsc.profile import Model
from sfsc.switchable.pooling import set_pooling

RESNET_STAGE = Model.base_channels
"""Channels of the first stage of timm's ResNets."""


@dataclass(frozen=True)
class NetworkSpec(Model):
    """What a network is built from: the config's `model` section and the images' size."""

    image_size: int = 224
    """Height and width of the images, in pixels."""


def takes_any_size(name: str) -> bool:
    """Whether timm's model of that name embeds images of several sizes: transformers do not."""
    known = timm.get_pretrained_cfg(name)
    return known is None or not known.fixed_input_size


def backbone(spec: NetworkSpec) -> tuple[Any, tuple[str, ...]]:
    """timm's model without classifier, and the names of the convolutions that read the image.

    Raises InputError for what timm does not know, and for weights that cannot be had or do not fit.
    """
    args = dict(spec.args)
    try:
        if not takes_any_size(spec.backbone):
            args = {"img_size": spec.image_size} | args
        with torch.random.fork_rng(devices=[], enabled=bool(spec.pretrained)):
            model: Any = timm.create_model(spec.backbone, num_classes=0, **args)
        if spec.pretrained:
            model = _with_weights(model, spec, args)
    except Exception as error:  # arguments that do not fit raise nearly anything
        if spec.pretrained:
            raise InputError(_no_weights(spec, error)) from None
        raise InputError(_no_model(spec, error)) from None
    if spec.base_channels != RESNET_STAGE and not isinstance(model, ResNet):
        raise InputError(
            f"model.base_channels: {spec.backbone} is not a ResNet; leave it out, and give other"
            " channels by model.args"
        )
    first = model.pretrained_cfg.get("first_conv")
    readers = (first,) if isinstance(first, str) else tuple(first or ())
    if not readers or not hasattr(model, "num_features"):
        raise InputError(
            f"model.backbone: {spec.backbone}: timm does not say how it begins and ends; choose"
            " another (docs/backbones.md)"
        )
    if spec.stem_stride != 4:
        stem = getattr(model, "conv1", None)
        if not isinstance(model, ResNet) or type(stem) is not nn.Conv2d:
            raise InputError(
                f"model.stem_stride: {spec.backbone} has no single-convolution ResNet stem "
                "to replace; leave it at 4"
            )
        model.conv1 = nn.Conv2d(
            stem.in_channels, stem.out_channels, 3, spec.stem_stride, 1, bias=False
        )
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
        model.maxpool = nn.Identity()
    if spec.pooling is not None:
        set_pooling(model, spec.backbone, spec.pooling)
    return model, readers


def _with_weights(fresh: nn.Module, spec: NetworkSpec, args: dict[str, Any]) -> nn.Module:
    """A model of pretrained weights; `fresh` is what its initialisation alone would give."""
    if isinstance(spec.pretrained, str):
        args = args | {"pretrained_cfg_overlay": {"file": spec.pretrained}}
    model: nn.Module = timm.create_model(spec.backbone, num_classes=0, pretrained=True, **args)
    # timm only logs which tensors it did not find.
    initial = fresh.state_dict()
    for name, tensor in model.named_parameters():
        if tensor.ndim > 1 and torch.equal(tensor, initial[name]):
            raise ValueError(f"it has no tensor {name}")
    return model


def _no_model(spec: NetworkSpec, error: Exception) -> str:
    reason = " ".join(str(error).split())
    if not timm.is_model(spec.backbone):
        near = difflib.get_close_matches(spec.backbone, timm.list_models(), n=1)
        advice = f"did you mean {near[0]!r}?" if near else "see docs/backbones.md"
        return f"model.backbone: {spec.backbone}: timm has no such model; {advice}"
    if spec.args:
        return (
            f"model.args: {spec.backbone} does not take {json.dumps(dict(spec.args))} for images of"
            f" {spec.image_size} pixels: {type(error).__name__}: {reason}"
        )
    return f"model.backbone: {spec.backbone}: {reason}"


def _no_weights(spec: NetworkSpec, error: Exception) -> str:
    reason = " ".join(str(error).split()) or "no such file"
    if isinstance(spec.pretrained, str):
        return f"model.pretrained: {spec.pretrained}: not weights of {spec.backbone}: {reason}"
    source = timm.get_pretrained_cfg(spec.backbone)
    where = source and (source.hf_hub_id or source.url)
    if not where:
        return f"model.pretrained: timm has no weights of {spec.backbone}; leave it out"
    return (
        f"model.pretrained: the weights of {spec.backbone} could not be fetched ({reason}); on a"
        f" machine with a network get the file of {where}, and write its path here"
    )
