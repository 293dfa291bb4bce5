"""What a network must offer to be trained here: one network that holds one or more members."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from torch import nn


class Trainable(Protocol):
    """An nn.Module that holds members, which may share weights.

    SwitchableNetwork and SeparateNetworks are two; a method may bring its own.
    """

    @property
    def names(self) -> Sequence[str]:
        """Of its members, in order."""
        ...

    @property
    def embedding_dim(self) -> int: ...

    def select(self, index: int) -> None:
        """Make `module(index)` compute member `index`."""
        ...

    def module(self, index: int) -> nn.Module:
        """What maps images (B, 3, S, S) to embeddings (B, D), not normalised."""
        ...

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters whose gradients are combined; every other one belongs to one member."""
        ...

    def leaves(self, index: int) -> Sequence[nn.Parameter]:
        """For each shared parameter, in order, what member `index` computes with: it, or a view."""
        ...

    def bare_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that weight decay leaves alone, next to biases and normalisation."""
        ...

    def extract(self, index: int) -> nn.Module:
        """Member `index` on its own, with its own tensors."""
        ...

    # Of nn.Module, which a protocol cannot inherit from.
    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...

    def train(self, mode: bool = True) -> Any: ...

    def to(self, *args: Any, **kwargs: Any) -> Any: ...
