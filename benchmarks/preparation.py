"""Packing and reading against bare JPEG decoding of the same files, on one core and on two.

python -m benchmarks.preparation writes preparation.md and preparation.csv to results/benchmarks/.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks import command
from benchmarks.agreement import hold
from sfsc.data import packed
from sfsc.data.decoding import DecodedBatches
from sfsc.data.order import Order
from sfsc.data.packing import pack
from sfsc.data.reading import at_most, read_all
from sfsc.data.sets import FileImages, Images, TrainSet
from sfsc.files import replacing
from sfsc.profile import Augment
from sfsc.resources import CLEAN_IMAGES

_PIXELS, _SIZE = 500, 224
_GREY_LEVELS = 4.0
"""How far, in the mean, an image may be from the same one that another library decoded, resized or
compressed once more: of 256 levels."""


def main(out: Path, quick: bool) -> None:
    torch.set_num_threads(1)
    count, repeats = (256, 1) if quick else (4096, 3)
    rows = []
    with tempfile.TemporaryDirectory(dir=out) as name:
        folder = Path(name)
        files = _photographs(folder / "jpg", count)
        source = TrainSet(files, np.arange(count) % 64, [str(label) for label in range(64)])
        check(source, folder / "checked")
        for cores in (1, 2):
            rate = partial(_rate, count, repeats)
            bare = rate(partial(_decode_all, files.paths, cores))
            target = folder / f"packed{cores}"
            packing = rate(partial(pack, source, target, _SIZE, {}, processes=cores))
            shards = packed.train_set(target, {})
            bytes_each = sum(f.stat().st_size for f in target.glob("shard-*.arrow")) / count
            small = rate(partial(_decode_all, _unpacked(target), cores))
            reading = statistics.median(_reading_rate(shards, cores) for _ in range(repeats))
            embedding = rate(partial(_read_all, files, cores))
            rows += [
                _row("packing, 500 to 224 pixels", cores, packing, bare, bytes_each / 1000),
                _row("training reader, packed at 224 pixels", cores, reading, small),
                _row("embedding's reader, 500 to 400 pixels", cores, embedding, bare),
            ]
    frame = pd.DataFrame(rows)
    text = (
        f"{command.measured_on()} {count} drawn JPEG files of {_PIXELS} x {_PIXELS} pixels; medians"
        f" of {repeats} runs. Bare: Pillow decodes the same files, in as many processes, keeps its"
        " memory from one to the next, and does nothing else. Packing and the readers decode by"
        " simplejpeg, so that a ratio may pass 1; the reader of embedding resizes by Pillow's"
        " bicubic filter as well. kB an image: what packing writes."
        f" Hours: for {CLEAN_IMAGES:,} images on 16 such cores, if they scale alike.\n\n"
        f"{frame.to_markdown(index=False, floatfmt=('', '', '.0f', '.0f', '.2f', '.2f', '.1f'))}\n"
    )
    with replacing(out / "preparation.md") as beside:
        beside.write_text(text)
    with replacing(out / "preparation.csv") as beside:
        frame.to_csv(beside, index=False)
    print(text)


def check(source: TrainSet, folder: Path, few: int = 64) -> None:
    """Hold what is packed and read to what Pillow decodes and resizes, image by image."""
    images = FileImages(source.images.ids[:few], source.images.paths[:few])  # type: ignore[attr-defined]
    pack(TrainSet(images, source.labels[:few], source.classes), folder, _SIZE, {}, processes=1)
    written = {path.stem: path for path in _unpacked(folder)}
    wanted = set(images.ids)
    hold("images packed and images given, in number,", len(wanted ^ set(written)), 0)
    read = list(read_all(images, range(few), at_most(400)))
    shards = packed.train_set(folder, {})
    back = {name: shards.images.read(row) for row, name in enumerate(shards.images.ids)}
    for row, (name, path) in enumerate(zip(images.ids, images.paths, strict=True)):
        _hold_pixels(
            "an image packed and by Pillow", _by_pillow(written[name]), _by_pillow(path, _SIZE)
        )
        _hold_pixels("a packed image read and by Pillow", back[name], _by_pillow(written[name]))
        _hold_pixels("embedding's image and Pillow's", read[row], _by_pillow(path, 400))


def _by_pillow(path: Path, size: int | None = None) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        whole = image.convert("RGB")
    return np.asarray(whole.resize((size, size), Image.Resampling.BICUBIC) if size else whole)


def _hold_pixels(what: str, found: object, expected: NDArray[np.uint8]) -> None:
    if not isinstance(found, np.ndarray) or found.shape != expected.shape:
        hold(what, np.inf, _GREY_LEVELS)
    apart = np.abs(np.asarray(found, np.float64) - expected)
    hold(f"{what}, in grey levels,", float(apart.mean()), _GREY_LEVELS)


def _row(
    what: str, cores: int, rate: float, bare: float, written: float | str = ""
) -> dict[str, str | int | float]:
    return {
        "what": what,
        "cores": cores,
        "images a second": rate,
        "bare, images a second": bare,
        "ratio": rate / bare,
        "hours": CLEAN_IMAGES / (rate / cores * 16) / 3600,
        "kB an image": written,
    }


def _photographs(folder: Path, count: int) -> FileImages:
    """Pictures with edges and grain, which compress like photographs: about 80 kB each."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    paths = [folder / f"{number:05d}.jpg" for number in range(count)]
    for path in paths:
        small = random.integers(0, 256, (25, 25, 3), np.uint8)
        image = Image.fromarray(small).resize((_PIXELS, _PIXELS), Image.Resampling.BICUBIC)
        grain = random.normal(0, 8, (_PIXELS, _PIXELS, 1))
        pixels = (np.asarray(image) + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path, quality=85)
    return FileImages([path.stem for path in paths], paths)


def _rate(count: int, repeats: int, work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return count / statistics.median(seconds)


def _unpacked(packed: Path) -> list[Path]:
    """The images of packed shards, as files."""
    paths = []
    for shard in sorted(packed.glob("shard-*.arrow")):
        for image in pa.ipc.open_file(str(shard)).read_all().to_pylist():
            paths.append(packed / f"{image['id']}.jpg")
            paths[-1].write_bytes(image["jpeg"])
    return paths


def _decode_all(paths: Sequence[Path], cores: int) -> None:
    with ProcessPoolExecutor(cores, get_context("fork"), _keep_memory) as pool:
        list(pool.map(_decode, [paths[part::cores] for part in range(cores)]))


def _keep_memory() -> None:
    """Let Pillow use the memory of one image for the next, which the system would else clear."""
    Image.core.set_blocks_max(8)  # type: ignore[attr-defined]


def _decode(paths: Sequence[Path]) -> None:
    for path in paths:
        with Image.open(path) as image:
            image.load()


def _read_all(images: Images, cores: int) -> None:
    torch.set_num_threads(cores)
    for _ in read_all(images, range(len(images.ids)), at_most(400)):
        pass


def _reading_rate(source: TrainSet, cores: int) -> float:
    """Images a second of batches as training gets them, once its threads are at work."""
    batches = DecodedBatches(source.images, _SIZE, Augment(), torch.device("cpu"), cores)
    rows = np.arange(len(source.labels))
    order = Order(rows, source.labels, 128, 0, source.together)
    first, last = 4, 3 * order.steps_per_epoch
    for step in range(first):  # what the threads have read before the clock starts
        batches._read(order, step, 0, 1)
    start = time.perf_counter()
    for step in range(first, last):
        batches._read(order, step, 0, 1)
    rate = (last - first) * 128 / (time.perf_counter() - start)
    batches.close()
    return rate


if __name__ == "__main__":
    command.run(main)
