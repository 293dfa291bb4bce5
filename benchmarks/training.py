"""A training step of SFSC against the steps of separate static networks."""

from collections.abc import Callable
from functools import partial

import torch

from benchmarks.timing import Figure, medians
from sfsc.switchable.network import NetworkSpec, build
from sfsc.training.aggregation import project
from sfsc.training.gradients import SharedGradients
from sfsc.training.objectives import SharedEvidence

_WIDTHS = (0.25, 0.5, 0.75, 1.0)
_SPEC = NetworkSpec("resnet18", 128, 32, 2, {"layers": [1, 1, 1, 1]})


def step(batch: int = 128, repeats: int = 15) -> list[Figure]:
    """Forward and backward passes of four widths, and the projection."""
    images = torch.randn(batch, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (batch,))
    switchable = build(_SPEC, _WIDTHS, 0).to(memory_format=torch.channels_last)
    objective = SharedEvidence(len(_WIDTHS), _SPEC.embedding_dim, 10, 5e-4)
    shared = [*switchable.shared_parameters(), *objective.shared_parameters()]
    gradients = SharedGradients(shared, len(_WIDTHS), "network")
    random = torch.Generator().manual_seed(0)

    def resolve() -> None:
        gradients.combine(project(gradients.gram(), random))

    def sfsc() -> None:
        gradients.clear()
        for index in range(len(_WIDTHS)):
            gradients.select(index)
            objective(index, switchable(images, index), labels).loss.backward()
        resolve()

    def alone(network: torch.nn.Module) -> None:
        criterion(0, network(images), labels).loss.backward()

    criterion = SharedEvidence(1, _SPEC.embedding_dim, 10, 5e-4)
    work: dict[str, Callable[[], None]] = {"sfsc": sfsc, "projection": resolve}
    for index, width in enumerate(_WIDTHS):
        static = switchable.extract(index).to(memory_format=torch.channels_last)
        work[f"static {width}"] = partial(alone, static)
    seconds = medians(work, repeats)
    separate = sum(seconds[f"static {width}"] for width in _WIDTHS)
    return [
        Figure(f"sfsc, 4 widths, batch {batch}", seconds["sfsc"], "s"),
        Figure("the same widths as separate static networks", separate, "s"),
        Figure("ratio", seconds["sfsc"] / separate),
        Figure("share of the projection in it", seconds["projection"] / seconds["sfsc"]),
    ]
