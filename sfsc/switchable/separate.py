"""Members that share no weights, trained together: each a network of its own."""

from collections.abc import Iterator, Sequence

from torch import nn

from sfsc.switchable.network import StaticNetwork, SwitchableNetwork


class SeparateNetworks(nn.Module):
    """Networks of one member each that see the same batches; what they share is the objective's."""

    def __init__(self, networks: Sequence[SwitchableNetwork]):
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self._networks = tuple(networks)
        self.names = tuple(name for network in networks for name in network.names)
        self.embedding_dim = networks[0].embedding_dim

    def select(self, index: int) -> None:
        """Nothing to do: each member has a module of its own."""

    def module(self, index: int) -> nn.Module:
        return self._networks[index].network

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        return iter(())

    def leaves(self, index: int) -> list[nn.Parameter]:
        return []

    def bare_parameters(self) -> Iterator[nn.Parameter]:
        for network in self._networks:
            yield from network.bare_parameters()

    def extract(self, index: int) -> StaticNetwork:
        return self._networks[index].extract(0)
