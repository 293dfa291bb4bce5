"""Which of timm's architecture families convert: the smallest model of each.

python -m benchmarks.census writes census.csv and census.md to results/benchmarks/, in some minutes.
Weights are random; nothing is fetched.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import timm
import torch
from timm.models._registry import _module_to_models

from benchmarks import command
from sfsc.files import InputError, replacing
from sfsc.progress import progress
from sfsc.switchable.backbone import NetworkSpec, takes_any_size
from sfsc.switchable.network import build

_WIDTHS = (0.5, 1.0)
_LARGER = (
    *("large", "huge", "giant", "gigantic", "so400m", "xxl", "_xl", "_h_"),
    *("101", "152", "200", "269", "350"),
)
"""In names of models that are not the smallest of their family."""
_MOST_SECONDS = 60
_NEAR = 1e-5
"""How far outputs may be from each other, as a share of the largest."""


def main(out: Path, quick: bool) -> None:
    torch.set_num_threads(1)
    families = sorted(_module_to_models)[: 3 if quick else None]
    rows = [_row(family) for family in progress(families, "families", "family")]
    frame = pd.DataFrame(rows)
    converts = int((frame["converts"] == "yes").sum())
    text = (
        f"{command.measured_on()} {converts} of {len(frame)} families convert. Differences at width"
        " 0.5 and 1.0 are shares of the largest output: of the switchable network from the"
        " extracted model, and of width 1.0 from timm's own.\n\n"
        f"{frame.to_markdown(index=False, floatfmt='.1e')}\n"
    )
    for name, content in (("census.csv", frame.to_csv(index=False)), ("census.md", text)):
        with replacing(out / name) as beside:
            beside.write_text(content)
    print(text)


def _row(family: str) -> dict[str, Any]:
    name = _smallest(family)
    row: dict[str, Any] = {"family": family, "model": name}
    reason = ""
    for size in _sizes(name):
        try:
            with _at_most(_MOST_SECONDS):
                found = _differences(name, size)
        except InputError as error:
            reason = str(error).removeprefix("model.backbone: ").split("; choose")[0]
        except TimeoutError:
            reason = f"takes more than {_MOST_SECONDS} s"
        else:
            agree = max(found.values()) <= _NEAR
            return row | {"pixels": size, "converts": "yes" if agree else "no: differs", **found}
    return row | {"pixels": size, "converts": f"no: {reason[:100]}"}


def _smallest(family: str) -> str:
    """The model with the fewest parameters, of those whose names do not say that they are large."""
    names = sorted(_module_to_models[family])
    asked = [name for name in names if not any(mark in name for mark in _LARGER)] or names
    sizes: dict[str, int] = {}
    for name in asked:
        with torch.device("meta"):
            try:
                model = timm.create_model(name, num_classes=0)
            except (RuntimeError, NotImplementedError, TypeError):  # it computes as it is built
                continue
        sizes[name] = sum(parameter.numel() for parameter in model.parameters())
    return min(sizes, key=lambda name: sizes[name])


def _sizes(name: str) -> list[int]:
    """A small size where a model takes any, then its own."""
    known = timm.get_pretrained_cfg(name)
    size = int(known.input_size[-1]) if known else 224
    return sorted({min(size, 128), size}) if takes_any_size(name) else [size]


@torch.no_grad()
def _differences(name: str, size: int) -> dict[str, float]:
    network = build(NetworkSpec(name, 16, image_size=size), _WIDTHS, 0).eval()
    images = torch.randn(2, 3, size, size)
    found = {}
    for index, width in enumerate(_WIDTHS):
        switchable, static = network(images, index), network.extract(index).eval()(images)
        found[f"at {width}"] = _apart(switchable, static)
    network.select(1)
    args = {} if takes_any_size(name) else {"img_size": size}
    original = timm.create_model(name, num_classes=0, **args).eval()
    whole = network.extract(1).backbone
    original.load_state_dict(whole.state_dict())
    return found | {"timm's own": _apart(whole.eval()(images), original(images))}


def _apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError

    earlier = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, earlier)


if __name__ == "__main__":
    command.run(main)
