"""What config/landmarks.yaml takes, stage by stage, from rates measured on one core.

python -m benchmarks.expectations writes expectations.md to results/benchmarks/, where
benchmarks.preparation has left the rate of packing.
"""

from pathlib import Path

import pandas as pd
import torch

from benchmarks import command
from benchmarks.timing import medians
from sfsc import config as profiles
from sfsc import resources
from sfsc.fetch.plan import needed
from sfsc.files import replacing
from sfsc.switchable.backbone import NetworkSpec
from sfsc.switchable.network import build

_PUBLISHED = profiles.ROOT / "results" / "published" / "benchmarks"
_CORES, _BATCH, _REPEATS = 16, 8, 3
_LINE = 1e9 / 8
"""Bytes a second."""


def main(out: Path, quick: bool) -> None:
    torch.set_num_threads(1)
    profile = profiles.read(profiles.ROOT / "config" / "landmarks.yaml")
    epochs = profile["training"]["epochs"]
    packing = (
        pd.read_csv((_PUBLISHED if quick else out) / "preparation.csv").query("cores == 1").iloc[0]
    )
    fetched = sum(item.bytes for item in needed(profile))
    entry = profile["train_sets"]["resnet18"]
    rows: list[_Row] = [
        ("fetch all, by a line of 1 Gbit/s", "", "", fetched / _LINE, fetched / 1e9),
        _row(
            "pack the training set",
            resources.CLEAN_IMAGES,
            packing["images a second"],
            resources.pack(entry, 16)[0],
            1000 * packing["kB an image"],
        ),
    ]
    for name in profile["train_sets"]:
        training, embedding = _rates(profile, name, quick)
        memory = resources.train(profile, name)[0]
        passes = epochs * resources.CLEAN_IMAGES
        rows.append(_row(f"train a method, {name}, {epochs} epochs", passes, training, memory))
        memory = resources.embed(profile, f"gldv2-{name}")[0]
        rows.append(
            _row(
                f"embed GLDv2, {name}",
                resources.INDEX_IMAGES,
                embedding,
                memory,
                4 * profile["model"]["embedding_dim"] * len(profile["widths"]),
            )
        )
    frame = pd.DataFrame(
        rows, columns=["stage", "images a second and core", "MB asked", "hours", "GB on disk"]
    )
    frame["hours"] /= 3600
    text = (
        f"{command.measured_on()} One core measured, hours for {_CORES} such cores if they scale"
        " alike. All widths together, one seed. No GPU was measured: with one, training takes what"
        " its `images_per_second` in log.parquet says.\n\n"
        f"{frame.to_markdown(index=False, floatfmt=('', '.1f', '', '.2f', '.1f'))}\n"
    )
    with replacing(out / "expectations.md") as beside:
        beside.write_text(text)
    print(text)


_Row = tuple[str, float | str, int | str, float, float | str]


def _row(stage: str, images: int, rate: float, memory: int, size: float = 0) -> _Row:
    """`rate` is that of a core, `size` the bytes that each image leaves on the disk."""
    return stage, rate, memory, images / rate / _CORES, images * size / 1e9 if size else ""


def _rates(profile: profiles.Config, train_set: str, quick: bool) -> tuple[float, float]:
    """Images a second of a training pass, and of embedding at 512 x 384, by all widths."""
    spec = NetworkSpec(**profiles.settings(profile, train_set)["model"])
    network = build(spec, profile["widths"], 0).to(memory_format=torch.channels_last)
    batch, repeats, shrunk = (2, 1, 8) if quick else (_BATCH, _REPEATS, 1)
    small = torch.randn(batch, 3, 224 // shrunk, 224 // shrunk)
    large = torch.randn(batch, 3, 384 // shrunk, 512 // shrunk)

    def train() -> None:
        network.train().zero_grad()
        for index in range(len(network.widths)):
            network(small, index).square().mean().backward()

    @torch.no_grad()
    def embed() -> None:
        network.eval()
        for index in range(len(network.widths)):
            network(large, index)

    seconds = medians({"train": train, "embed": embed}, repeats)
    return batch / seconds["train"], batch / seconds["embed"]


if __name__ == "__main__":
    command.run(main)
