"""A training step of a full ResNet-18 on the GPU at hand: `python -m benchmarks.gpu`.

Prints a Markdown table. How long a family takes to train to an accuracy is in the result page of
config/cifar10-gpu.yaml.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import pandas as pd
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import Figure, medians
from sfsc.seeds import generator
from sfsc.switchable.backbone import NetworkSpec
from sfsc.switchable.network import build
from sfsc.training.aggregation import project
from sfsc.training.objectives import Evidence, SharedClassifier
from sfsc.training.options import TrainingOptions
from sfsc.training.processes import Processes
from sfsc.training.step import Step

_WIDTHS = (0.25, 0.5, 0.75, 1.0)
_SPEC = NetworkSpec("resnet18", 128, 64, 1)
_CLASSES, _SIZE, _BATCH, _SIDE = 10, 32, 512, 8192
# Forward, and backward to the inputs and to the weights.
_PASSES = 3
_Precision = Literal["float32", "bfloat16"]
_WAYS: tuple[tuple[_Precision, bool], ...] = (
    ("float32", False),
    ("bfloat16", False),
    ("bfloat16", True),
)


def main() -> None:
    if not torch.cuda.is_available():
        sys.exit("benchmarks.gpu: torch sees no GPU here")
    random = torch.Generator().manual_seed(0)
    images = torch.randn(_BATCH, 3, _SIZE, _SIZE, generator=random).cuda()
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(_CLASSES, (_BATCH,), generator=random).cuda()
    rate = _matrix_rate()
    figures = [Figure(f"bfloat16 matrix product, side {_SIDE}", rate / 1e12, "TFLOP/s")]
    operations = _PASSES * sum(_operations(width) for width in _WIDTHS) * _BATCH
    for precision, compiled in _WAYS:
        name = precision + (", compiled" if compiled else "")
        step = partial(_step, images, labels, precision, compiled)
        work = {"sfsc": step(_WIDTHS)} | {str(width): step([width]) for width in _WIDTHS}
        seconds = medians({key: partial(_timed, run) for key, run in work.items()}, repeats=20)
        separate = sum(seconds[str(width)] for width in _WIDTHS)
        figures += [
            Figure(f"images trained on by four widths, {name}", _BATCH / seconds["sfsc"], "1/s"),
            Figure(f"ratio to separate static networks, {name}", seconds["sfsc"] / separate),
            Figure(f"share of the matrix rate, {name}", operations / seconds["sfsc"] / rate),
        ]
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    print(pd.DataFrame(figures).to_markdown(index=False, floatfmt=".4g"))


def _step(
    images: Tensor,
    labels: Tensor,
    precision: _Precision,
    compiled: bool,
    widths: Sequence[float],
) -> Callable[[], Tensor]:
    objective = SharedClassifier(
        len(widths), _SPEC.embedding_dim, _CLASSES, lambda: Evidence(0.5)
    ).cuda()
    options = TrainingOptions(1, _BATCH, 1e-3, precision=precision, compile=compiled)
    update = Step(build(_SPEC, widths, 0).cuda(), objective, project, options, Processes())
    return partial(update, images, labels, 1e-3, generator(0))


def _timed(run: Callable[[], Tensor]) -> None:
    run()
    torch.cuda.synchronize()


def _matrix_rate() -> float:
    """Floating-point operations a second of one large product."""
    matrix = torch.randn(_SIDE, _SIDE, device="cuda", dtype=torch.bfloat16)

    def multiply() -> None:
        torch.mm(matrix, matrix)
        torch.cuda.synchronize()

    return 2 * _SIDE**3 / medians({"one": multiply}, repeats=20)["one"]


def _operations(width: float) -> int:
    """Of one image's forward pass."""
    network = build(_SPEC, [width], 0).extract(0).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, _SIZE, _SIZE))
    return int(counter.get_total_flops())


if __name__ == "__main__":
    main()
