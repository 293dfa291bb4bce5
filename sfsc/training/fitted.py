"""What a training leaves: its members as plain networks, and as teachers of later ones."""

import hashlib
from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sfsc.switchable.network import StaticNetwork
from sfsc.training.half_precision import at_least_float32
from sfsc.training.member import Member
from sfsc.training.objectives import Objective
from sfsc.training.trainable import Trainable

AnObjective = TypeVar("AnObjective", bound=Objective, covariant=True)


class Teacher:
    """A trained network that does not change any more. It is no nn.Module, so that an objective
    that holds one neither trains nor saves it."""

    def __init__(self, network: nn.Module):
        self._network = network.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Unit embeddings float32 (B, D), without gradient, of images (B, 3, S, S)."""
        return F.normalize(at_least_float32(self._network(images)), dim=1)


class Fitted(Generic[AnObjective]):
    """A trained network and its objective."""

    def __init__(self, network: Trainable, objective: AnObjective, device: torch.device):
        self.network, self.objective, self._device = network, objective, device

    def extract(self, member: Member) -> StaticNetwork:
        """The member as a plain network, on the CPU."""
        found = self.network.extract(list(self.network.names).index(member.name)).cpu()
        assert isinstance(found, StaticNetwork)
        return found

    def frozen(self, member: Member) -> Teacher:
        """The member as a teacher, on the device of the training."""
        network = self.extract(member).to(memory_format=torch.channels_last)
        return Teacher(network.to(self._device))

    def digest(self) -> str:
        """Of all that was trained, in hexadecimal digits."""
        found = hashlib.sha256()
        for module in (self.network, self.objective):
            assert isinstance(module, nn.Module)
            for name, tensor in sorted(module.state_dict().items()):
                found.update(name.encode())
                found.update(
                    tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
                )
        return found.hexdigest()
