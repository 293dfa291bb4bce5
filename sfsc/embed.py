"""Sub-model files and a retrieval set to embedding files."""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sfsc import submodel
from sfsc.data.loader import load_pixels
from sfsc.data.sets import Images, RetrievalSet
from sfsc.files import InputError
from sfsc.growing import GrowingEmbeddings
from sfsc.progress import progress
from sfsc.submodel import SubModel

_CHUNK = 256
"""Images in memory at a time."""

_SECONDS_BETWEEN_SAVES = 60.0

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
    gallery they are embedded once and written twice. The sub-models share one image size. What was
    cut off goes on where the same sub-models embedded the same ids at the same sizes. Raises
    InputError for sub-models of several image sizes, and of one size that should take another.
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

    def growing(images: Images, name: str) -> dict[Path, GrowingEmbeddings]:
        how = "\n".join([device.type, repr(sizes), *images.ids])
        return {
            folder: GrowingEmbeddings(
                folder / name,
                (len(images.ids), model.spec.embedding_dim),
                hashlib.sha256(models[folder].read_bytes() + how.encode()).hexdigest(),
            )
            for folder, model in loaded.items()
        }

    parts = {"gallery": retrieval_set.gallery}
    if retrieval_set.queries is not retrieval_set.gallery:
        parts["query"] = retrieval_set.queries
    files = {name: growing(images, name) for name, images in parts.items()}
    for name, images in parts.items():
        _embed(images, loaded, files[name], name, sizes, device)
    for folder in models:
        for name in ("query", "gallery"):
            files.get(name, files["gallery"])[folder].copy_to(folder / f"{name}.npy")
    for file in (file for of_part in files.values() for file in of_part.values()):
        file.remove()


def embed_images(images: Images, model: SubModel, device: torch.device) -> NDArray[np.float32]:
    """Embed a collection with one sub-model on `device`: (N, D), L2-normalised, rows as `ids`."""
    size, dimension = model.spec.image_size, model.spec.embedding_dim
    embeddings = np.empty((len(images.ids), dimension), np.float32)
    for rows in _chunks(range(len(images.ids)), "embeddings"):
        pixels = torch.from_numpy(load_pixels(images, rows, size)[0]).to(device)
        embeddings[rows] = model.embed(pixels).cpu().numpy()
    return embeddings


def best_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _chunks(rows: range, label: str) -> Iterator[list[int]]:
    with progress(None, label, "image", rows.stop, rows.start) as bar:
        for start in rows[::_CHUNK]:
            chunk = list(range(start, min(start + _CHUNK, rows.stop)))
            yield chunk
            bar.update(len(chunk))


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
    files: Mapping[Path, GrowingEmbeddings],
    label: str,
    sizes: Sizes,
    device: torch.device,
) -> None:
    square = next(iter(models.values())).spec.image_size
    saved = time.monotonic()
    for rows in _chunks(range(min(f.rows for f in files.values()), len(images.ids)), label):
        if sizes.long_side is None:
            groups = iter([(rows, load_pixels(images, rows, square)[0])])
        else:
            groups = _of_one_size(images, rows, sizes.long_side)
        for some, pixels in groups:
            on_device = torch.from_numpy(pixels).to(device)
            for folder, model in models.items():
                files[folder].write(some, model.embed(on_device, sizes.scales).cpu().numpy())
        if time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
            for file in files.values():
                file.save(rows[-1] + 1)
            saved = time.monotonic()
    for file in files.values():
        file.save(len(images.ids))
