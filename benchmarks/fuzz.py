"""Damaged images of each format, through all that reads images: python -m benchmarks.fuzz

Bits are flipped, ends cut off, headers overwritten, pieces swapped, always alike for a seed. Each
damaged image must be decoded or refused by an InputError that names it, within a bound of time.
"""

import csv
import faulthandler
import io
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from click.testing import CliRunner
from PIL import Image, features

from sfsc.cli import main as cli
from sfsc.data import folder, packing
from sfsc.data.normalisation import Normalisation
from sfsc.data.reading import read_all, squared
from sfsc.data.sets import Images, SomeImages, TrainSet
from sfsc.deploy.search import search
from sfsc.embedding.embed import embed_images
from sfsc.files import InputError
from sfsc.switchable import submodel
from sfsc.switchable.backbone import NetworkSpec
from sfsc.switchable.network import build
from sfsc.switchable.submodel import SubModel

SIZE = 32
_BOUND = 20.0
"""Seconds of computing that one image may take: those with forged sizes are large."""

_HANGS = 600
"""Seconds by the clock after which an image counts as one that never ends."""

_COMMANDS = 5
"""Refusals for which the command line is tried as well."""


@dataclass
class Outcome:
    """What became of the damaged images of one format."""

    decoded: int = 0
    refused: int = 0
    slowest: float = 0.0
    """Seconds of computing for one image."""
    faults: list[str] = field(default_factory=list)
    """Images that raised something else, were not named, or took too long."""


def examples(form: str) -> list[bytes]:
    """Small images of a format, as its writers vary."""
    random = np.random.default_rng(1)
    colours = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8)).resize((40, 30))
    clear = Image.merge("RGBA", [*colours.split(), colours.getchannel(0)])
    deep = Image.fromarray(random.integers(0, 65536, (30, 40), np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    variants: dict[str, list[tuple[Image.Image, dict[str, Any]]]] = {
        "JPEG": [
            (colours, {"exif": exif}),
            (colours, {"progressive": True}),
            (colours.convert("L"), {}),
            (colours.convert("CMYK"), {}),
        ],
        "PNG": [
            (colours, {"exif": exif}),
            (clear, {}),
            (deep, {}),
            (colours.convert("LA"), {}),
            (colours.quantize(16), {"transparency": 3}),
        ],
        "WEBP": [(colours, {"exif": exif}), (clear, {}), (clear, {"lossless": True})],
        "GIF": [(colours, {}), (colours.quantize(16), {"transparency": 3})],
        "TIFF": [
            (colours, {"exif": exif}),
            (colours, {"compression": "tiff_lzw"}),
            (colours, {"compression": "jpeg"}),
            (deep, {}),
            (clear, {"compression": "packbits"}),
            (colours.convert("F"), {}),
        ],
        "BMP": [(colours, {}), (colours.quantize(16), {}), (clear, {})],
        "AVIF": [(colours, {"exif": exif}), (clear, {})],
        "JPEG2000": [(colours, {}), (deep, {}), (clear, {})],
        "PPM": [(colours, {}), (deep, {}), (colours.convert("1"), {})],
    }
    return [_encoded(image, form, options) for image, options in variants[form]]


FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "JPEG2000", "PPM"]
if features.check("avif"):
    FORMATS.append("AVIF")


def damaged(content: bytes, other: bytes, random: np.random.Generator) -> bytes:
    """A copy of `content` with one kind of damage; `other` is a whole image of the format."""
    data = bytearray(content)
    places = np.sort(random.integers(0, len(data), 4)).tolist()
    header = int(random.integers(0, min(64, len(data))))
    match random.integers(0, 8):
        case 0:
            for place in random.integers(0, len(data), random.integers(1, 9)).tolist():
                data[place] ^= 1 << int(random.integers(0, 8))
        case 1:
            data = data[: places[0]]
        case 2:
            data[header : header + 4] = random.bytes(4)
        case 3:
            data[header : header + 4] = b"\xff\xff\xff\x7f"[:: random.choice([-1, 1])]
        case 4:
            a, b, c, d = places
            data = data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]
        case 5:
            data[places[0] : places[0] + 20] = bytes(20)
        case 6:
            del data[places[0] : places[0] + int(random.integers(1, 9))]
        case 7:
            data = data[: places[0]] + bytearray(other[places[0] :])
    return bytes(data)


def fuzz(place: Path, form: str, count: int, seed: int) -> Outcome:
    """Send `count` damaged images of a format through folder sets, packing, embedding, search."""
    outcome = Outcome()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about what is damaged
        _write(place, form, count, seed)
        source = folder.train_set(place)
        good = _read(source.images, outcome)
        _pack(place / "packed", source, outcome)
        _embed_and_search(place, source.images, good, outcome)
    return outcome


def _encoded(image: Image.Image, form: str, options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _write(place: Path, form: str, count: int, seed: int) -> None:
    whole, random = examples(form), np.random.default_rng(seed)
    (place / "train/a").mkdir(parents=True)
    for number in range(count):
        one, other = (whole[row] for row in random.integers(0, len(whole), 2))
        (place / f"train/a/{number:05d}.jpg").write_bytes(damaged(one, other, random))


def _read(images: Images, outcome: Outcome) -> list[int]:
    """The rows of the images that are decoded."""
    good = []
    for row, name in enumerate(images.ids):
        start = time.process_time()
        # What hangs in a decoder, no exception can interrupt.
        faulthandler.dump_traceback_later(_HANGS, exit=True)
        if _refusal(name, partial(images.read, row), outcome) is None:
            good.append(row)
        faulthandler.cancel_dump_traceback_later()
        took = time.process_time() - start
        outcome.slowest = max(outcome.slowest, took)
        if took > _BOUND:
            outcome.faults.append(f"{name}: took {took:.0f} s")
    outcome.decoded, outcome.refused = len(good), len(images.ids) - len(good)
    return good


def _pack(place: Path, source: TrainSet, outcome: Outcome) -> None:
    # Smaller than the images, so that JPEG files may be decoded in part.
    with suppress(InputError):  # where not one could be decoded
        packing.pack(source, place, SIZE // 4, {}, on_bad_image="skip")
    with (place / "broken.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["id"] not in row["reason"]:
                outcome.faults.append(f"{row['id']}: packing says {row['reason']}")


def _embed_and_search(place: Path, images: Images, good: list[int], outcome: Outcome) -> None:
    model = _model(place / "w100.safetensors")
    some = SomeImages(images, np.array(good, np.int64))
    embed_images(some, submodel.load(model), torch.device("cpu"))
    if good:
        query = folder.loose_images(place / images.ids[good[0]])
        search(query, model, some, model, k=1)
    bad = sorted(set(range(len(images.ids))) - set(good))
    found = read_all(images, bad, squared(SIZE))
    for row, answer in zip(bad, found, strict=True):
        if not isinstance(answer, InputError):
            outcome.faults.append(f"{images.ids[row]}: read alone it was refused, now it is not")
    for row in bad[:_COMMANDS]:
        path = str(place / images.ids[row])
        models = ["--query-model", model, "--gallery-model", model, "--gallery", path]
        result = CliRunner().invoke(cli, ["search", path, *map(str, models)])
        if result.exit_code != 1 or not isinstance(result.exception, SystemExit):
            outcome.faults.append(f"{path}: search ends with {result.exception!r}")


def _refusal(name: str, step: Callable[[], object], outcome: Outcome) -> Exception | None:
    """What a step raises; a fault unless it is an InputError of one line that names the image."""
    try:
        step()
    except Exception as error:
        said = str(error)
        if not isinstance(error, InputError) or name not in said or "\n" in said:
            outcome.faults.append(f"{name}: {type(error).__name__}: {said}")
        return error
    return None


def _model(path: Path) -> Path:
    spec = NetworkSpec("resnet18", 8, args={"layers": [1, 1, 1, 1]}, image_size=SIZE)
    network = build(spec, (1.0,), 0).extract(0).eval()
    colours = Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    submodel.save(path, SubModel(network, spec, 1.0, colours, classes=2))
    return path


@click.command()
@click.option("--count", default=2000, help="Damaged images per format.")
@click.option("--seed", default=0, help="Of the damage.")
@click.option(
    "--format", "formats", multiple=True, type=click.Choice(FORMATS), help="Default: all."
)
def main(count: int, seed: int, formats: tuple[str, ...]) -> None:
    """Print what became of the images; exit with 1 where one was not decoded or refused cleanly."""
    failed = False
    for form in formats or FORMATS:
        with tempfile.TemporaryDirectory() as name:
            outcome = fuzz(Path(name), form, count, seed)
        click.echo(
            f"{form}: {outcome.decoded} decoded, {outcome.refused} refused by name, at most"
            f" {outcome.slowest:.2f} s of computing for one; {len(outcome.faults)} faults"
        )
        for fault in outcome.faults:
            click.echo(f"  {fault}")
        failed = failed or bool(outcome.faults)
    sys.exit(failed)


if __name__ == "__main__":
    main()
