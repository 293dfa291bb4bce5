"""Sub-model files and a retrieval set to embedding files."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sfsc import submodel
from sfsc.data.loader import load_pixels
from sfsc.data.sets import Images, RetrievalSet
from sfsc.files import InputError, replacing
from sfsc.progress import progress
from sfsc.submodel import SubModel

_CHUNK = 256
"""Images in memory at a time."""

_LARGEST_BATCH = _CHUNK * 224 * 224
"""Pixels that pass through a network at a time, where images have sizes of their own."""


@dataclass(frozen=True)
class Sizes:
    """The sizes at which images are embedded."""

    long_side: int | None = None
    """Pixels of the longer side at most, aspect ratio kept; None: the square of the training."""
    scales: tuple[float, ...] = (1.0,)
    """Each image is embedded at these factors of that size, and the embeddings are averaged."""


def embed_set(
    retrieval_set: RetrievalSet, models: Mapping[Path, Path], sizes: Sizes | None = None
) -> None:
    """Embed queries and gallery with several sub-models, reading each image once.

    `models` maps an output folder to a sub-model file; the folder gets query.npy and gallery.npy:
    float32, (N, D), L2-normalised, rows in the order of the images' ids. Where the queries are the
    gallery they are embedded once and written twice. The sub-models share one image size. Raises
    InputError for sub-models that do not, and for ones that take no other size than their own.
    """
    device, sizes = best_device(), sizes or Sizes()
    loaded = {folder: submodel.load(path, device) for folder, path in models.items()}
    trained_at = {model.spec.image_size for model in loaded.values()}
    if len(trained_at) > 1:
        raise InputError(
            f"sub-models of one evaluation expect images of {sorted(trained_at)} pixels"
        )
    for model in loaded.values():
        if sizes != Sizes() and not model.takes_any_size:
            raise InputError(
                f"long_side, scales: {model.spec.backbone} takes images of"
                f" {model.spec.image_size} pixels alone; leave them out"
            )
    if retrieval_set.queries is retrieval_set.gallery:
        _embed(retrieval_set.gallery, loaded, ["gallery.npy", "query.npy"], sizes, device)
    else:
        _embed(retrieval_set.gallery, loaded, ["gallery.npy"], sizes, device)
        _embed(retrieval_set.queries, loaded, ["query.npy"], sizes, device)


def embed_images(images: Images, model: SubModel, device: torch.device) -> NDArray[np.float32]:
    """Embed a collection with one sub-model on `device`: (N, D), L2-normalised, rows as `ids`."""
    size, dimension = model.spec.image_size, model.spec.embedding_dim
    embeddings = np.empty((len(images.ids), dimension), np.float32)
    for rows, pixels in _chunks(images, size, None, "embeddings", device):
        embeddings[rows] = model.embed(pixels).cpu().numpy()
    return embeddings


def best_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _chunks(
    images: Images, square: int, long_side: int | None, label: str, device: torch.device
) -> Iterator[tuple[list[int], Tensor]]:
    """The rows of images of one size, and their pixels: uint8, (B, H, W, 3)."""
    count = len(images.ids)
    with progress(None, label, "image", total=count) as bar:
        for start in range(0, count, _CHUNK):
            rows = list(range(start, min(start + _CHUNK, count)))
            if long_side is None:
                yield rows, torch.from_numpy(load_pixels(images, rows, square)[0]).to(device)
            else:
                for some, pixels in _of_one_size(images, rows, long_side):
                    yield some, torch.from_numpy(pixels).to(device)
            bar.update(len(rows))


def _of_one_size(
    images: Images, rows: Sequence[int], long_side: int
) -> Iterator[tuple[list[int], NDArray[np.uint8]]]:
    found: dict[tuple[int, int], list[tuple[int, NDArray[np.uint8]]]] = {}
    for row in rows:
        image = images.read(row)
        # As thumbnails are made in this field: smaller images stay as they are.
        factor = min(1.0, long_side / max(image.size))
        size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        if image.size != size:
            image = image.resize(size, Image.Resampling.BICUBIC)
        found.setdefault(size, []).append((row, np.asarray(image)))
    for (width, height), group in found.items():
        step = max(1, _LARGEST_BATCH // (width * height))
        for start in range(0, len(group), step):
            some = group[start : start + step]
            yield [row for row, _ in some], np.stack([pixels for _, pixels in some])


def _embed(
    images: Images,
    models: Mapping[Path, SubModel],
    names: list[str],
    sizes: Sizes,
    device: torch.device,
) -> None:
    count = len(images.ids)
    square = next(iter(models.values())).spec.image_size
    with ExitStack() as files:
        arrays = {
            folder: [
                np.lib.format.open_memmap(
                    files.enter_context(replacing(folder / name)),
                    mode="w+",
                    dtype=np.float32,
                    shape=(count, model.spec.embedding_dim),
                )
                for name in names
            ]
            for folder, model in models.items()
        }
        for rows, pixels in _chunks(images, square, sizes.long_side, names[0], device):
            for folder, model in models.items():
                embeddings = model.embed(pixels, sizes.scales).cpu().numpy()
                for array in arrays[folder]:
                    array[rows] = embeddings
        for array in (array for written in arrays.values() for array in written):
            array.flush()
