"""The switchable network: a converted timm backbone and an embedding head, for all widths."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
from timm.models.resnet import ResNet
from torch import Tensor, nn

from sfsc.files import InputError
from sfsc.switchable.convert import Leading, PrivateNorm, fill, make_switchable, shrink
from sfsc.switchable.cut import BARE, NORMS, cuts

_RESNET_STAGE = 64
"""Channels of the first stage of timm's ResNets."""


@dataclass(frozen=True)
class NetworkSpec:
    """What a network is built from: the config's `model` section and the images' size."""

    backbone: str
    """timm's name of a model, such as resnet18."""
    embedding_dim: int
    """D, the same for all sub-models."""
    base_channels: int = _RESNET_STAGE
    """Of ResNets: channels of the first stage at width 1.0; all channel counts scale with it."""
    stem_stride: int = 4
    """4 is timm's own stem; 2 and 1 are one 3x3 convolution without pooling, for small images."""
    args: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of timm.create_model, such as layers: [1, 1, 1, 1]."""
    image_size: int = 224
    """Height and width of the images, in pixels."""
    pretrained: bool | str = False
    """Initial weights of the backbone: timm's own, or those of a file."""


class StaticNetwork(nn.Module):
    """One sub-model on its own: a plain backbone and its embedding head."""

    def __init__(self, backbone: nn.Module, head: nn.Linear):
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings (B, D), not normalised, of float images (B, 3, H, W)."""
        embeddings: Tensor = self.head(self.backbone(images))
        return embeddings


class SwitchableNetwork(nn.Module):
    """Sub-models of several widths with nested weights; `network(images, i)` runs the i-th.

    With a single width it is an ordinary static network, which is how independent models train.
    """

    def __init__(self, spec: NetworkSpec, widths: Sequence[float]):
        """Initial weights come from `spec`, or timm's initialisation by torch's global generator.

        Raises InputError for a specification that timm does not know, or that cannot be sliced.
        """
        super().__init__()
        self.spec, self.widths = spec, tuple(widths)
        self.network, image_reader = _full_network(spec)
        self._cuts = [cuts(self.network, width, image_reader, "head") for width in self.widths]
        kinds = {name: type(self.network.get_submodule(name)) for name in self._cuts[0]}
        self._norms = [name for name, kind in kinds.items() if kind in NORMS]
        self._bare = [name for name, kind in kinds.items() if kind in BARE]
        shrink(self.network, self._cuts[self._widest])
        if len(self.widths) > 1:
            make_switchable(self.network, self._cuts, self._widest)
        self._switches = [m for m in self.modules() if isinstance(m, (Leading, PrivateNorm))]
        self._attributes = [
            (self.network.get_submodule(name), [each[name].attributes for each in self._cuts])
            for name in kinds
            if name not in self._norms
        ]
        self._selected = self._widest
        if len(self.widths) > 1:
            _try(self, spec)

    def select(self, index: int) -> None:
        """Let `self.network` compute sub-model `index`."""
        if index == self._selected:
            return
        for switch in self._switches:
            switch.index = index
        for module, of_sub_models in self._attributes:
            for name, value in of_sub_models[index].items():
                setattr(module, name, value)
        self._selected = index

    def forward(self, images: Tensor, index: int) -> Tensor:
        """Embeddings (B, D), not normalised, of float images (B, 3, H, W) by sub-model `index`."""
        self.select(index)
        embeddings: Tensor = self.network(images)
        return embeddings

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that more than one sub-model uses: all but normalisation."""
        private = set(map(id, self._parameters_of(self._norms)))
        return (p for p in self.parameters() if id(p) not in private)

    def bare_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that are no layer's: class token, positions, layer scales."""
        return self._parameters_of(self._bare, recurse=False)

    def extract(self, index: int) -> StaticNetwork:
        """Sub-model `index` as plain torch and timm modules with its own, smaller tensors."""
        self.select(index)
        static, _ = _full_network(dataclasses.replace(self.spec, pretrained=False))
        for name, cut in self._cuts[index].items():
            fill(static.get_submodule(name), cut, self.network.get_submodule(name))
        return static.train(self.training)

    @property
    def _widest(self) -> int:
        return self.widths.index(max(self.widths))

    def _parameters_of(self, names: list[str], recurse: bool = True) -> Iterator[nn.Parameter]:
        for name in names:
            yield from self.network.get_submodule(name).parameters(recurse)


def build(spec: NetworkSpec, widths: Sequence[float], seed: int) -> SwitchableNetwork:
    """A new network whose initial weights depend on `spec` and `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SwitchableNetwork(spec, widths)


def _full_network(spec: NetworkSpec) -> tuple[StaticNetwork, str]:
    """The network at width 1.0, plain, and the name of the convolution that reads the image."""
    backbone, image_reader = _backbone(spec)
    features = getattr(backbone, "head_hidden_size", backbone.num_features)
    network = StaticNetwork(backbone, nn.Linear(features, spec.embedding_dim, bias=False))
    image_reader = f"backbone.{image_reader}"
    if spec.base_channels != _RESNET_STAGE:
        scale = spec.base_channels / _RESNET_STAGE
        shrink(network, cuts(network, scale, image_reader, "head"))
    return network, image_reader


def _backbone(spec: NetworkSpec) -> tuple[Any, str]:
    """timm's model without classifier, and the name of its first convolution."""
    args = dict(spec.args)
    try:
        known = timm.get_pretrained_cfg(spec.backbone)
        if known is not None and known.fixed_input_size:
            args = {"img_size": spec.image_size} | args
        with torch.random.fork_rng(devices=[], enabled=bool(spec.pretrained)):
            model: Any = timm.create_model(spec.backbone, num_classes=0, **args)
        if spec.pretrained:
            model = _with_weights(model, spec, args)
    except _TIMM_ERRORS as error:
        if spec.pretrained:
            raise InputError(_no_weights(spec, error)) from None
        raise InputError(f"model.backbone: {spec.backbone}: {error}") from None
    if spec.base_channels != _RESNET_STAGE and not isinstance(model, ResNet):
        raise InputError(
            f"model.base_channels: {spec.backbone} is not a ResNet; leave it out, and give other"
            " channels by model.args"
        )
    first: str = model.pretrained_cfg["first_conv"]
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
    return model, first


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


_TIMM_ERRORS = (RuntimeError, TypeError, OSError, ValueError, AssertionError)


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


def _try(network: SwitchableNetwork, spec: NetworkSpec) -> None:
    """Run the first sub-model once, so that a model whose parts do not fit is refused by name."""
    entered: list[str] = []
    hooks: list[Any] = []
    for name, module in network.network.named_modules():
        hooks += [
            module.register_forward_pre_hook(lambda *_, name=name: entered.append(name)),
            module.register_forward_hook(lambda *_: entered.pop() and None),
        ]
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, spec.image_size, spec.image_size), 0)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"model.backbone: {spec.backbone} does not run at width {network.widths[0]} and"
            f" {spec.image_size} pixels: its module {entered[-1]!r} fails: {reason}"
        ) from None
    finally:
        for hook in hooks:
            hook.remove()
        network.train(training)
