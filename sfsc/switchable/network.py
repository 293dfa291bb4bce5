"""The switchable network: a converted timm backbone and an embedding head, for all widths."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from sfsc.config import model_name
from sfsc.files import InputError
from sfsc.switchable.backbone import RESNET_STAGE, NetworkSpec, backbone
from sfsc.switchable.convert import PrivateNorm, fill, make_switchable, shrink
from sfsc.switchable.cut import NORMS, cuts, guard_strided_pointwise, is_bare

_HEAD = ("head", "head_norm")


class StaticNetwork(nn.Module):
    """One sub-model on its own: a plain backbone and its embedding head."""

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Linear,
        spec: NetworkSpec,
        width: float = 1.0,
        head_norm: nn.BatchNorm2d | None = None,
    ):
        """`spec` and `width` say how to build such a network again; `head_norm` ends it."""
        super().__init__()
        self.backbone, self.head, self.head_norm = backbone, head, head_norm
        self.spec, self.width = spec, width

    def truncated(self, dim: int) -> "StaticNetwork":
        """The same with the first `dim` dimensions of the embedding."""
        head = nn.Linear(self.head.in_features, dim, bias=False)
        with torch.no_grad():
            head.weight.copy_(self.head.weight[:dim])
        norm = None
        if self.head_norm is not None:
            norm, tensors = nn.BatchNorm2d(dim, self.head_norm.eps), self.head_norm.state_dict()
            norm.load_state_dict({name: x[:dim] if x.ndim else x for name, x in tensors.items()})
        spec = dataclasses.replace(self.spec, embedding_dim=dim)
        return StaticNetwork(self.backbone, head, spec, self.width, norm)

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings (B, D), not normalised, of float images (B, 3, H, W)."""
        embeddings: Tensor = self.head(self.backbone(images))
        if self.head_norm is not None:
            # As of an image of one pixel: what holds of the backbone's normalisation holds of it.
            embeddings = self.head_norm(embeddings[:, :, None, None]).flatten(1)
        return embeddings


class SwitchableNetwork(nn.Module):
    """Sub-models of several widths with nested weights; `network(images, i)` runs the i-th.

    With a single width it is an ordinary static network, which is how independent models train.
    """

    def __init__(self, spec: NetworkSpec, widths: Sequence[float], names: Sequence[str] = ()):
        """Initial weights come from `spec`, or timm's initialisation by torch's global generator.

        `names` are those of the sub-models, by default w025 for width 0.25.

        Raises InputError for a specification that timm does not know, or that cannot be sliced.
        """
        super().__init__()
        self.spec, self.widths = spec, tuple(widths)
        self.names = tuple(names) or tuple(model_name(width) for width in widths)
        self.embedding_dim = spec.embedding_dim
        self.network, readers = _full_network(spec)
        self._cuts = [cuts(self.network, width, readers, _HEAD) for width in self.widths]
        kinds = {name: type(self.network.get_submodule(name)) for name in self._cuts[0]}
        self._norms = [name for name, kind in kinds.items() if kind in NORMS]
        self._bare = [name for name in kinds if is_bare(self.network.get_submodule(name))]
        shrink(self.network, self._cuts[self._widest])
        switchable = len(self.widths) > 1
        self._shared = make_switchable(self.network, self._cuts) if switchable else []
        self._private = [m for m in self.modules() if isinstance(m, PrivateNorm)]
        self._attributes = [
            (self.network.get_submodule(name), [each[name].attributes for each in self._cuts])
            for name in kinds
            if name not in self._norms
        ]
        # Some attentions keep, in evaluation, what follows from their weights.
        self._caching: list[Any] = [
            module for module in self.modules() if hasattr(module, "attention_bias_cache")
        ]
        self._selected: int | None = None
        if switchable:
            _try(self, spec)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._refresh()
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._refresh()

    def _refresh(self) -> None:
        """The parameters have moved to other memory: their views follow."""
        for shared in self._shared:
            shared.refresh()
        self._selected = None

    def select(self, index: int) -> None:
        """Let `self.network` compute sub-model `index`."""
        if index == self._selected:
            return
        for shared in self._shared:
            shared.select(index)
        for norm in self._private:
            norm.index = index
        for module in self._caching:
            module.attention_bias_cache.clear()
        for module, of_sub_models in self._attributes:
            for name, value in of_sub_models[index].items():
                setattr(module, name, value)
        self._selected = index

    def module(self, index: int) -> StaticNetwork:
        """What computes a sub-model once it is selected: one module for all."""
        return self.network

    def forward(self, images: Tensor, index: int) -> Tensor:
        """Embeddings (B, D), not normalised, of float images (B, 3, H, W) by sub-model `index`."""
        self.select(index)
        embeddings: Tensor = self.network(images)
        return embeddings

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that more than one sub-model uses: all but the private ones."""
        norms = [self.network.get_submodule(name) for name in self._norms]
        private = {id(p) for norm in norms for p in norm.parameters()}
        return (p for p in self.parameters() if id(p) not in private)

    def leaves(self, index: int) -> list[nn.Parameter]:
        """What sub-model `index` computes with: the leading entries of each shared parameter.

        They are views: what changes the one changes the other. But a backward pass leaves their
        gradients in their own `.grad`, and sfsc.training.gradients adds them up. A network of one
        width computes with its parameters themselves.
        """
        views = {
            id(parameter): view
            for shared in self._shared
            for parameter, view in shared.views(index)
        }
        return [views.get(id(parameter), parameter) for parameter in self.shared_parameters()]

    def bare_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that are no layer's: class token, positions, layer scales."""
        for name in self._bare:
            module = self.network.get_submodule(name)
            parameters = dict(module.named_parameters(recurse=False))
            yield from parameters.values()

    def extract(self, index: int) -> StaticNetwork:
        """Sub-model `index` as plain torch and timm modules with its own, smaller tensors."""
        static, _ = _full_network(dataclasses.replace(self.spec, pretrained=False))
        for name, cut in self._cuts[index].items():
            source = self.network.get_submodule(name)
            if isinstance(source, PrivateNorm):
                source = source.norms[index]
            fill(static.get_submodule(name), cut, source)
        static.width = self.widths[index]
        return static.train(self.training)

    @property
    def _widest(self) -> int:
        return self.widths.index(max(self.widths))


def build(
    spec: NetworkSpec, widths: Sequence[float], seed: int, names: Sequence[str] = ()
) -> SwitchableNetwork:
    """A new network whose initial weights depend on `spec` and `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SwitchableNetwork(spec, widths, names)


def try_out(spec: NetworkSpec, widths: Sequence[float]) -> None:
    """Build a network and embed an image with its first sub-model; InputError where that fails.

    Weights that timm would have to fetch are left out.
    """
    if spec.pretrained is True:
        spec = dataclasses.replace(spec, pretrained=False)
    network = build(spec, widths, seed=0)
    if len(widths) == 1:  # of several, it has been tried
        _try(network, spec)


def _full_network(spec: NetworkSpec) -> tuple[StaticNetwork, tuple[str, ...]]:
    """The network at width 1.0, plain, and the names of the convolutions that read the image."""
    model, readers = backbone(spec)
    guard_strided_pointwise(model)
    features = getattr(model, "head_hidden_size", model.num_features)
    head = nn.Linear(features, spec.embedding_dim, bias=False)
    norm = nn.BatchNorm2d(spec.embedding_dim) if spec.embedding_norm else None
    network = StaticNetwork(model, head, spec, head_norm=norm)
    readers = tuple(f"backbone.{name}" for name in readers)
    if spec.base_channels != RESNET_STAGE:
        scale = spec.base_channels / RESNET_STAGE
        shrink(network, cuts(network, scale, readers, _HEAD))
    return network, readers


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
    except Exception as error:  # whatever a module raises whose parts do not fit
        reason = " ".join(str(error).split())
        raise InputError(
            f"model.backbone: {spec.backbone} does not run at width {network.widths[0]} and"
            f" {spec.image_size} pixels: its module {entered[-1]!r} fails: {reason}"
        ) from None
    finally:
        for hook in hooks:
            hook.remove()
        network.train(training)
