"""The sub-model file: a static network in safetensors, and how to build and feed it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sfsc import tensors
from sfsc.data.normalisation import Normalisation
from sfsc.files import InputError
from sfsc.switchable.backbone import NetworkSpec, takes_any_size
from sfsc.switchable.network import StaticNetwork, build

_FORMAT_VERSION = 2

_LATER = ("pooling", "embedding_norm")
"""Keys of the spec that came after the format; left out where unset, so that bytes stay."""


@dataclass(frozen=True)
class SubModel:
    """A static network, how it is built, and the images it expects."""

    network: StaticNetwork
    spec: NetworkSpec
    width: float
    normalisation: Normalisation
    classes: int
    """How many classes it was trained on."""

    @property
    def takes_any_size(self) -> bool:
        """Whether it embeds images of another size than the spec's: transformers do not."""
        return takes_any_size(self.spec.backbone)

    @torch.inference_mode()
    def embed(self, pixels: Tensor, scales: Sequence[float] = (1.0,)) -> Tensor:
        """uint8 images (B, H, W, 3), of the spec's size or any, to L2-normalised float32 (B, D).

        With several `scales` images are embedded at each of these factors of their size, and the
        normalised embeddings are averaged and normalised.
        """
        self.network.eval()
        images = self.normalisation(pixels)
        embeddings = [
            F.normalize(self.network(_scaled(images, scale)).float(), dim=1) for scale in scales
        ]
        if len(embeddings) == 1:
            return embeddings[0]
        return F.normalize(torch.stack(embeddings).mean(dim=0), dim=1)


def save(path: Path, model: SubModel) -> None:
    """Write the file; the same weights give the same bytes."""
    info = {
        "format_version": _FORMAT_VERSION,
        "spec": {
            key: value
            for key, value in asdict(replace(model.spec, pretrained=False)).items()
            if value or key not in _LATER
        },
        "width": model.width,
        "normalisation": asdict(model.normalisation),
        "classes": model.classes,
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "multiply_adds": _multiply_adds(model.network, model.spec.image_size),
    }
    tensors.save(path, model.network.state_dict(), info)


def load(path: Path, device: torch.device | None = None) -> SubModel:
    """Read a file that `save` wrote; InputError where it is broken or of another format version."""
    weights, info = tensors.load(path)
    if info.get("format_version") != _FORMAT_VERSION:
        raise InputError(
            f"{path}: format version {info.get('format_version')}, this suite reads "
            f"{_FORMAT_VERSION}; train the model again"
        )
    spec, width = NetworkSpec(**info["spec"]), info["width"]
    network = build(spec, [width], seed=0).network
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{path}: weights do not fit {spec.backbone} at {width}: {' '.join(str(error).split())}"
        ) from None
    normalisation = Normalisation(*(tuple(info["normalisation"][key]) for key in ("mean", "std")))
    network = network.to(memory_format=torch.channels_last).to(device).eval()
    return SubModel(network, spec, width, normalisation, info["classes"])


def _scaled(images: Tensor, scale: float) -> Tensor:
    if scale == 1.0:
        return images
    return F.interpolate(images, scale_factor=scale, mode="bilinear", align_corners=False)


@torch.no_grad()
def _multiply_adds(network: StaticNetwork, image_size: int) -> int:
    image = torch.zeros(1, 3, image_size, image_size, device=next(network.parameters()).device)
    training = network.training
    with FlopCounterMode(display=False) as counter:
        network.eval()(image)
    network.train(training)
    # The counter counts a multiply-add as two operations.
    return int(counter.get_total_flops()) // 2
