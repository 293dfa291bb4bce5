"""A map from one model's embeddings to another's space, and its file."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sfsc import tensors
from sfsc.files import InputError
from sfsc.layout import SIDES, Side

_FORMAT_VERSION = 1


class Translation(nn.Module):
    """Linear layers with ReLU between them, of unit embeddings to unit embeddings.

    With `residual` the embedding itself is added before the result is normalised.
    """

    def __init__(self, layers: Sequence[nn.Linear], residual: bool = False):
        super().__init__()
        self.layers, self.residual = nn.ModuleList(layers), residual

    @property
    def dim(self) -> int:
        """The dimension of the other space."""
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        return last.out_features

    def forward(self, embeddings: Tensor) -> Tensor:
        """Unit embeddings (B, D) to unit embeddings (B, D') of the other space."""
        x = embeddings
        for place, layer in enumerate(self.layers):
            x = layer(F.relu(x) if place else x)
        return F.normalize(x + embeddings if self.residual else x, dim=1)


def truncation(dim: int, kept: int) -> Translation:
    """The first `kept` of `dim` dimensions."""
    layer = nn.Linear(dim, kept, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(kept, dim))
    return Translation([layer])


def translation_file(models: Path, of: str, side: Side, other: str) -> Path:
    """The file, among a family's sub-models, that translates those of `of` for model `other`."""
    return models / f"{of}.{side}-for-{other}.safetensors"


def translation_files(models: Path) -> list[Path]:
    """All such files of a family."""
    return sorted(path for side in SIDES for path in models.glob(f"*.{side}-for-*"))


def save(path: Path, translation: Translation) -> None:
    """Write the file; the same weights give the same bytes."""
    info = {"format_version": _FORMAT_VERSION, "residual": translation.residual}
    tensors.save(path, translation.state_dict(), info)


def load(path: Path) -> Translation:
    """Read a file that `save` wrote; InputError where it is broken."""
    state, info = tensors.load(path)
    if info.get("format_version") != _FORMAT_VERSION:
        raise InputError(f"{path}: not a translation of this version; train the method again")
    layers = []
    for place in range(sum(key.endswith(".weight") for key in state)):
        outs, ins = state[f"layers.{place}.weight"].shape
        layers.append(nn.Linear(ins, outs, bias=f"layers.{place}.bias" in state))
    translation = Translation(layers, bool(info["residual"]))
    translation.load_state_dict(state)
    return translation.eval()
