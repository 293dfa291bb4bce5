"""Where in a network the members' gradients conflict, over a whole training."""

import itertools

import pandas as pd
import torch
from torch import Tensor, nn

from sfsc.training.aggregation import conflicts
from sfsc.training.objectives import Objective
from sfsc.training.trainable import Trainable


class LayerConflicts(nn.Module):
    """How often, over all steps, two members' gradients conflict in each shared weight tensor.

    Its sums are buffers, so that they are saved and resumed with the weights.
    """

    conflicts: Tensor
    cosines: Tensor
    steps: Tensor

    def __init__(self, network: Trainable, objective: Objective):
        super().__init__()
        shared = [*network.shared_parameters(), *objective.shared_parameters()]
        of_objective = ((f"objective.{name}", p) for name, p in objective.named_parameters())
        names = {id(p): name for name, p in (*network.named_parameters(), *of_objective)}
        self._layers = [names[id(p)].removeprefix("network.") for p in shared]
        self._pairs = [f"{a}-{b}" for a, b in itertools.combinations(network.names, 2)]
        device = shared[0].device
        of_pairs = torch.zeros(len(shared), len(self._pairs), dtype=torch.float64, device=device)
        self.register_buffer("conflicts", of_pairs)
        self.register_buffer("cosines", of_pairs.clone())
        self.register_buffer("steps", torch.zeros((), dtype=torch.float64, device=device))

    def add(self, grams: Tensor) -> None:
        """Count the Gram matrices of one step: (layers, m, m)."""
        _, cosines = conflicts(grams)
        self.conflicts += cosines < 0
        self.cosines += cosines
        self.steps += 1

    def frame(self) -> pd.DataFrame:
        """The columns layer, model (a pair), conflict_share of the steps, and the mean cosine."""
        pairs = itertools.product(self._layers, self._pairs)
        frame = pd.DataFrame(pairs, columns=["layer", "model"])
        shares, cosines = (each.flatten() / self.steps for each in (self.conflicts, self.cosines))
        return frame.assign(conflict_share=shares.cpu().numpy(), cosine=cosines.cpu().numpy())
