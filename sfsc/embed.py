"""Sub-model files and a retrieval set to embedding files."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sfsc import submodel
from sfsc.data.loader import load_pixels
from sfsc.data.sets import Images, RetrievalSet
from sfsc.files import InputError, replacing
from sfsc.progress import progress
from sfsc.submodel import SubModel

_CHUNK = 256
"""Images in memory at a time."""


def embed_set(retrieval_set: RetrievalSet, models: Mapping[Path, Path]) -> None:
    """Embed queries and gallery with several sub-models, reading each image once.

    `models` maps an output folder to a sub-model file; the folder gets query.npy and gallery.npy:
    float32, (N, D), L2-normalised, rows in the order of the images' ids. Where the queries are the
    gallery they are embedded once and written twice. The sub-models share one image size.
    """
    device = best_device()
    loaded = {folder: submodel.load(path, device) for folder, path in models.items()}
    sizes = {model.spec.image_size for model in loaded.values()}
    if len(sizes) > 1:
        raise InputError(f"sub-models of one evaluation expect images of {sorted(sizes)} pixels")
    if retrieval_set.queries is retrieval_set.gallery:
        _embed(retrieval_set.gallery, loaded, ["gallery.npy", "query.npy"], device)
    else:
        _embed(retrieval_set.gallery, loaded, ["gallery.npy"], device)
        _embed(retrieval_set.queries, loaded, ["query.npy"], device)


def embed_images(images: Images, model: SubModel, device: torch.device) -> NDArray[np.float32]:
    """Embed a collection with one sub-model on `device`: (N, D), L2-normalised, rows as `ids`."""
    size, dimension = model.spec.image_size, model.spec.embedding_dim
    embeddings = np.empty((len(images.ids), dimension), np.float32)
    for rows, pixels in _chunks(images, size, "embeddings", device):
        embeddings[rows] = model.embed(pixels).cpu().numpy()
    return embeddings


def best_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _chunks(
    images: Images, size: int, label: str, device: torch.device
) -> Iterator[tuple[slice, Tensor]]:
    """The rows of some images at a time, and their pixels: uint8, (B, size, size, 3)."""
    count = len(images.ids)
    with progress(None, label, "image", total=count) as bar:
        for start in range(0, count, _CHUNK):
            rows = range(start, min(start + _CHUNK, count))
            pixels = torch.from_numpy(load_pixels(images, rows, size)[0]).to(device)
            yield slice(rows.start, rows.stop), pixels
            bar.update(len(rows))


def _embed(
    images: Images, models: Mapping[Path, SubModel], names: list[str], device: torch.device
) -> None:
    count = len(images.ids)
    size = next(iter(models.values())).spec.image_size
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
        for rows, pixels in _chunks(images, size, names[0], device):
            for folder, model in models.items():
                embeddings = model.embed(pixels).cpu().numpy()
                for array in arrays[folder]:
                    array[rows] = embeddings
        for array in (array for written in arrays.values() for array in written):
            array.flush()
