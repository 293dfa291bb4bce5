"""Sub-model files and a retrieval set to embedding files."""

import hashlib
import pickle
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sfsc.data.reading import Prepare, at_most, read_all, squared
from sfsc.data.sets import Images, RetrievalSet
from sfsc.embedding.growing import GrowingEmbeddings
from sfsc.embedding.sizes import require_taken
from sfsc.embedding.translated import translate
from sfsc.embedding.whitening import learnt, sample, whiten
from sfsc.files import InputError, replacing
from sfsc.profile import Sizes
from sfsc.progress import progress
from sfsc.switchable import submodel
from sfsc.switchable.submodel import SubModel

_CHUNK = 256
"""Images between two looks at the clock."""

_SECONDS_BETWEEN_SAVES = 60.0

_LARGEST_BATCH = _CHUNK * 224 * 224
"""Pixels that pass through a network at a time."""


class WhitenedBy(NamedTuple):
    """What a family's whitening is learnt from."""

    member: str
    """The one whose embeddings it is learnt from."""
    images: Images
    """Of the training set."""


def embed_set(
    retrieval_set: RetrievalSet,
    models: Mapping[Path, Path],
    sizes: Sizes | None = None,
    whitened: WhitenedBy | None = None,
) -> None:
    """Embed queries and gallery with several sub-models, reading each image once.

    `models` maps an output folder to a sub-model file; the folder gets query.npy and gallery.npy:
    float32, (N, D), L2-normalised, rows in the order of the images' ids. Where the queries are the
    gallery they are embedded once and written twice. Where translations lie next to a sub-model
    file, translated embeddings are written, too. The sub-models share one image size. What was
    cut off goes on where sub-models, sizes and images are the same, as far as these can be pickled:
    of images in files, the ids, paths and boxes.

    With `whitened` all embeddings of a family, whose sub-model files are in one folder, are
    whitened by one map: private ones would take them apart. Raises InputError for sub-models of
    several image sizes, and of one size that should take another.
    """
    device, sizes = best_device(), sizes or Sizes()
    loaded = {folder: submodel.load(path, device) for folder, path in models.items()}
    trained_at = {model.spec.image_size for model in loaded.values()}
    if len(trained_at) > 1:
        raise InputError(
            f"sub-models of one evaluation expect images of {sorted(trained_at)} pixels"
        )
    for model in loaded.values():
        require_taken(sizes, model.spec)
    by_family = {}
    if whitened is not None:
        images = sample(whitened.images)
        for family in {path.parent for path in models.values()}:
            model = submodel.load(family / f"{whitened.member}.safetensors", device)
            by_family[family] = learnt(embed_images(images, model, device, sizes))

    def growing(images: Images, name: str) -> dict[Path, GrowingEmbeddings]:
        how = hashlib.sha256(pickle.dumps((device.type, sizes, images))).digest()
        return {
            folder: GrowingEmbeddings(
                folder / name,
                (len(images.ids), model.spec.embedding_dim),
                hashlib.sha256(models[folder].read_bytes() + how).hexdigest(),
            )
            for folder, model in loaded.items()
        }

    parts = {"gallery": retrieval_set.gallery}
    if retrieval_set.queries is not retrieval_set.gallery:
        parts["query"] = retrieval_set.queries
    files = {name: growing(images, name) for name, images in parts.items()}
    for name, images in parts.items():
        _embed(images, loaded, files[name], name, sizes, device)
    for folder, path in models.items():
        # What is not whitened yet must not look like the result.
        raw = folder if whitened is None else folder / ".raw"
        for name, of_part in files.items():
            of_part[folder].finish(raw / f"{name}.npy")
        if "query" not in files:
            with replacing(raw / "query.npy") as beside:
                shutil.copyfile(raw / "gallery.npy", beside)
        translate(raw, path)
        if whitened is not None:
            whiten(raw, folder, by_family[path.parent])


def embed_images(
    images: Images, model: SubModel, device: torch.device, sizes: Sizes | None = None
) -> NDArray[np.float32]:
    """Embed a collection with one sub-model on `device`: (N, D), L2-normalised, rows as `ids`."""
    sizes = sizes or Sizes()
    embeddings = np.empty((len(images.ids), model.spec.embedding_dim), np.float32)
    for chunk in _chunks(images, 0, _prepare(model, sizes), "embeddings"):
        for rows, pixels in chunk:
            on_device = torch.from_numpy(pixels).to(device)
            embeddings[rows] = model.embed(on_device, sizes.scales).cpu().numpy()
    return embeddings


def best_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _prepare(model: SubModel, sizes: Sizes) -> Prepare:
    side = sizes.long_side
    return squared(model.spec.image_size) if side is None else at_most(side)


def _chunks(
    images: Images, first: int, prepare: Prepare, label: str
) -> Iterator[Iterator[tuple[list[int], NDArray[np.uint8]]]]:
    """A part of the images after another, from row `first` on: batches of equal sizes.

    Each is its rows and their pixels, (B, H, W, 3). A part is to be used up before the next.
    """
    count = len(images.ids)
    found = read_all(images, range(first, count), prepare)
    with closing(found), progress(None, label, "image", count, first) as bar:
        for start in range(first, count, _CHUNK):
            rows = range(start, min(start + _CHUNK, count))
            yield _batches(rows, islice(found, len(rows)))
            bar.update(len(rows))


def _batches(
    rows: Iterable[int], images: Iterable[NDArray[np.uint8] | InputError]
) -> Iterator[tuple[list[int], NDArray[np.uint8]]]:
    by_size: dict[tuple[int, ...], list[tuple[int, NDArray[np.uint8]]]] = {}
    for row, image in zip(rows, images, strict=True):
        if isinstance(image, InputError):
            raise image
        by_size.setdefault(image.shape, []).append((row, image))
    for (height, width, _), group in by_size.items():
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
    prepare = _prepare(next(iter(models.values())), sizes)
    done = min(file.rows for file in files.values())
    saved = time.monotonic()
    for chunk in _chunks(images, done, prepare, label):
        for rows, pixels in chunk:
            on_device = torch.from_numpy(pixels).to(device)
            for folder, model in models.items():
                files[folder].write(rows, model.embed(on_device, sizes.scales).cpu().numpy())
            done += len(rows)
        if time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
            for file in files.values():
                file.save(done)
            saved = time.monotonic()
    for file in files.values():
        file.save(done)
