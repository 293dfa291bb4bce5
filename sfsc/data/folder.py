"""Image folders in the layout {train,test}/<class>/*.jpg, on disk or in a tar of small images."""

import io
import logging
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfsc.archives import files_in
from sfsc.data.labels import leave_one_out
from sfsc.data.sets import ArrayImages, FileImages, Images, RetrievalSet, TrainSet
from sfsc.files import InputError

_log = logging.getLogger(__name__)

_SUFFIXES = {".jpg", ".jpeg", ".png"}
_LARGEST_SIDE = 64
_LARGEST_FILE = 1 << 20


def train_set(path: Path, on_bad_image: Literal["stop", "skip"] = "stop") -> TrainSet:
    """The `train` split of a folder, or of an archive (.tar, .tar.gz, .tar.xz).

    Classes are sorted by name, images by class and file name; ids are `train/<class>/<file>`. A
    folder's images stay on disk. An archive's, which must all have one size of at most 64 pixels a
    side, are decoded into memory; `on_bad_image` says whether a broken one there raises InputError
    or is left out, with a warning in the log. Raises InputError also for a path without the split,
    for other sizes, and for an archive with links, absolute paths or `..`.
    """
    return _read(path, "train", on_bad_image)


def retrieval_set(path: Path) -> RetrievalSet:
    """The `test` split, whose images query each other (leave one out); errors as in `train_set`."""
    split = _read(path, "test", "stop")
    return leave_one_out(split.images, split.labels)


def loose_images(path: Path) -> FileImages:
    """One image file, or all images below a folder, whatever its layout; ids are paths below it.

    Raises InputError where there is none.
    """
    if path.is_dir():
        paths = sorted(found for found in path.rglob("*") if is_image(found.name))
        if not paths:
            raise InputError(f"{path}: has no images (.jpg, .jpeg, .png) in it or below")
        return FileImages([found.relative_to(path).as_posix() for found in paths], paths)
    if not path.exists():
        raise InputError(f"{path}: no such image or folder")
    return FileImages([path.name], [path])


def _read(path: Path, split: str, on_bad_image: Literal["stop", "skip"]) -> TrainSet:
    if not path.exists():
        raise InputError(f"{path}: no such folder or archive")
    images: Images
    if path.is_dir():
        images = _from_folder(path, split)
    else:
        images = _from_archive(path, split, on_bad_image)
    if not images.ids:
        raise InputError(f"{path}: has no images {split}/<class>/*.jpg (or .jpeg, .png)")
    classes, labels = np.unique(
        [PurePosixPath(item).parts[1] for item in images.ids], return_inverse=True
    )
    return TrainSet(images, labels, classes.tolist())


def is_image(name: str) -> bool:
    """Whether a file of that name is an image: .jpg, .jpeg or .png, and not hidden."""
    # macOS puts a hidden ._<name>, which is no image, beside each file that it archives.
    return PurePosixPath(name).suffix.lower() in _SUFFIXES and not name.startswith(".")


def _from_folder(root: Path, split: str) -> FileImages:
    paths = sorted(path for path in (root / split).glob("*/*") if is_image(path.name))
    return FileImages([path.relative_to(root).as_posix() for path in paths], paths)


def _from_archive(path: Path, split: str, on_bad_image: Literal["stop", "skip"]) -> ArrayImages:
    """One pass from start to end, since a compressed archive cannot seek."""
    found: dict[str, NDArray[np.uint8]] = {}
    size: tuple[int, int] | None = None
    skipped = 0
    with files_in(path, f"{path.name}: {split}") as files:
        for name, content in files:
            item = _item(name, split)
            if item is None:
                continue
            if item in found:
                raise InputError(f"{path}: holds {item} twice; keep one of them")
            encoded = io.BytesIO(content.read(_LARGEST_FILE))
            try:
                with Image.open(encoded) as image:
                    if max(image.size) > _LARGEST_SIDE or image.size != (size or image.size):
                        raise InputError(
                            f"{path}: {name} is {image.width}x{image.height} pixels; an"
                            f" archive is read only if all images have one size of at most"
                            f" {_LARGEST_SIDE} a side: extract it and give the folder"
                        )
                    found[item] = np.asarray(image.convert("RGB"))
                    size = image.size
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                if on_bad_image == "stop":
                    raise InputError(f"{path}: {name} cannot be decoded: {error}") from None
                skipped += 1
    if skipped:
        _log.warning("%s: left out %d images that cannot be decoded", path, skipped)
    ids = sorted(found, key=lambda item: PurePosixPath(item).parts)
    pixels = np.stack([found[item] for item in ids]) if ids else np.empty((0, 0, 0, 3), np.uint8)
    return ArrayImages(ids, pixels)


def _item(name: PurePosixPath, split: str) -> str | None:
    """The id of a file that is an image of the split, whatever folders lead to the split."""
    parts = name.parts[-3:]
    if len(parts) < 3 or parts[0] != split or not is_image(name.name):
        return None
    return "/".join(parts)
