"""The switchable network: a converted timm backbone and an embedding head, for all widths."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
from torch import Tensor, nn

from sfsc.files import InputError
from sfsc.switchable.convert import channel_counts, make_switchable
from sfsc.switchable.layers import SlicedConv2d, SlicedLinear, SwitchableBatchNorm2d

_SWITCHABLE = (SlicedConv2d, SlicedLinear, SwitchableBatchNorm2d)


@dataclass(frozen=True)
class NetworkSpec:
    """What a backbone is built from; the config's `model` section, without the widths."""

    backbone: str
    """timm's name of a ResNet, such as resnet18."""
    embedding_dim: int
    """D, the same for all sub-models."""
    base_channels: int = 64
    """Channels of the first stage at width 1.0; all of timm's channel counts scale with it."""
    stem_stride: int = 4
    """4 is timm's own stem; 2 and 1 are one 3x3 convolution without pooling, for small images."""
    args: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of timm.create_model, such as layers: [1, 1, 1, 1]."""


class SwitchableNetwork(nn.Module):
    """Sub-models of several widths with nested weights; `network(images, i)` runs the i-th.

    With a single width it is an ordinary static network, which is how independent models train.
    """

    def __init__(self, spec: NetworkSpec, widths: Sequence[float]):
        """Initial weights come from timm's initialisation and torch's global generator."""
        super().__init__()
        self.spec, self.widths = spec, tuple(widths)
        self.backbone, first_convolution, features = _backbone(spec)
        scale = spec.base_channels / 64
        make_switchable(self.backbone, first_convolution, scale, self.widths)
        counts = channel_counts(features, scale, self.widths)
        head = nn.Linear(max(counts), spec.embedding_dim, bias=False)
        self.head = SlicedLinear(head, counts, (spec.embedding_dim,) * len(self.widths))
        self._layers = [layer for layer in self.modules() if isinstance(layer, _SWITCHABLE)]

    def forward(self, images: Tensor, index: int) -> Tensor:
        """Embeddings (B, D), not normalised, of float images (B, 3, H, W) by sub-model `index`."""
        for layer in self._layers:
            layer.index = index
        embeddings: Tensor = self.head(self.backbone(images))
        return embeddings

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that more than one sub-model uses: all but normalisation."""
        for layer in self._layers:
            if not isinstance(layer, SwitchableBatchNorm2d):
                yield from layer.parameters()

    def extract(self, index: int) -> "StaticNetwork":
        """Sub-model `index` as plain torch and timm modules with its own, smaller tensors."""
        backbone, *_ = _backbone(self.spec)
        for name, module in self.backbone.named_modules():
            if isinstance(module, _SWITCHABLE):
                backbone.set_submodule(name, module.extract(index))
        return StaticNetwork(backbone, self.head.extract(index)).train(self.training)


class StaticNetwork(nn.Module):
    """One sub-model on its own: a plain backbone and its embedding head."""

    def __init__(self, backbone: nn.Module, head: nn.Linear):
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings (B, D), not normalised, of float images (B, 3, H, W)."""
        embeddings: Tensor = self.head(self.backbone(images))
        return embeddings


def _backbone(spec: NetworkSpec) -> tuple[nn.Module, str, int]:
    """The timm model without classifier, the name of its first convolution, its feature count."""
    try:
        model: Any = timm.create_model(spec.backbone, num_classes=0, **spec.args)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"model.backbone: {spec.backbone}: {error}") from None
    first = model.pretrained_cfg["first_conv"]
    if spec.stem_stride != 4:
        stem = getattr(model, "conv1", None)
        if type(stem) is not nn.Conv2d or not hasattr(model, "maxpool"):
            raise InputError(
                f"model.stem_stride: {spec.backbone} has no single-convolution ResNet stem "
                "to replace; leave it at 4"
            )
        model.conv1 = nn.Conv2d(
            stem.in_channels, stem.out_channels, 3, spec.stem_stride, 1, bias=False
        )
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
        model.maxpool = nn.Identity()
    return model, first, model.num_features


def build(spec: NetworkSpec, widths: Sequence[float], seed: int) -> SwitchableNetwork:
    """A new network whose initial weights depend on `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SwitchableNetwork(spec, widths)
