"""A training step of a full ResNet-18 on the GPU at hand: `python -m benchmarks.gpu`.

Prints a Markdown table. How long a family takes to train to an accuracy is in the result page of
config/cifar10-gpu.yaml. The quick form runs without a GPU as well, and compiles nothing.
"""

import dataclasses
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import command, steps
from benchmarks.agreement import hold_values
from benchmarks.steps import WIDTHS, separate, sfsc
from benchmarks.timing import Figure, medians
from sfsc.switchable.backbone import NetworkSpec
from sfsc.switchable.network import build

_FULL = NetworkSpec("resnet18", 128, 64, 1, image_size=32)
_SMALL = dataclasses.replace(_FULL, base_channels=8, args={"layers": [1, 1, 1, 1]})
# Forward, and backward to the inputs and to the weights.
_PASSES = 3
_WAYS = (("float32", False), ("bfloat16", False), ("bfloat16", True))
_LOSSES_NEAR = {"float32": 1e-3, "bfloat16": 0.1}
"""Of a first step: how far the losses of one width may be, of about 4, in those precisions."""


def main(out: Path, quick: bool) -> None:
    del out
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not quick:
        sys.exit("benchmarks.gpu: torch sees no GPU here")
    spec, batch, side, repeats = (_SMALL, 16, 256, 1) if quick else (_FULL, 512, 8192, 20)
    steps.check(spec, device)
    rate = _matrix_rate(device, side, repeats)
    figures = [Figure(f"bfloat16 matrix product, side {side}", rate / 1e12, "TFLOP/s")]
    operations = _PASSES * sum(_operations(spec, width) for width in WIDTHS) * batch
    for precision, compiled in _WAYS[: 2 if quick else 3]:
        name = precision + (", compiled" if compiled else "")
        problem = steps.problem(spec, batch, device, precision=precision, compiled=compiled)
        ours, alone = sfsc(problem), [separate(problem, i) for i in range(len(WIDTHS))]
        losses = [torch.stack([way.step() for way in alone]), ours.step()]
        first, second = (each.float().cpu().numpy() for each in losses)
        what = f"losses of static networks and ours, {name},"
        hold_values(what, first, second, _LOSSES_NEAR[precision])
        work = {"sfsc": ours.step} | {str(w): a.step for w, a in zip(WIDTHS, alone, strict=True)}
        seconds = medians({key: partial(_timed, run) for key, run in work.items()}, repeats)
        separately = sum(seconds[str(width)] for width in WIDTHS)
        figures += [
            Figure(f"images trained on by four widths, {name}", batch / seconds["sfsc"], "1/s"),
            Figure(f"ratio to separate static networks, {name}", seconds["sfsc"] / separately),
            Figure(f"share of the matrix rate, {name}", operations / seconds["sfsc"] / rate),
        ]
    machine = torch.cuda.get_device_name() if device == "cuda" else "no GPU"
    print(f"{command.measured_on()} {machine}, torch {torch.__version__}\n")
    print(pd.DataFrame(figures).to_markdown(index=False, floatfmt=".4g"))


def _timed(run: Callable[[], Tensor]) -> None:
    run()
    _wait()


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _matrix_rate(device: str, side: int, repeats: int) -> float:
    """Floating-point operations a second of one large product."""
    matrix = torch.randn(side, side, device=device, dtype=torch.bfloat16)

    def multiply() -> None:
        torch.mm(matrix, matrix)
        _wait()

    return 2 * side**3 / medians({"one": multiply}, repeats)["one"]


def _operations(spec: NetworkSpec, width: float) -> int:
    """Of one image's forward pass."""
    network = build(spec, [width], 0).extract(0).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, spec.image_size, spec.image_size))
    return int(counter.get_total_flops())


if __name__ == "__main__":
    command.run(main)
