"""Image folders in the layout {train,test}/<class>/*.jpg, on disk or in a tar of small images."""

import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sfsc.archives import files_in
from sfsc.data.labels import leave_one_out
from sfsc.data.pixels import decode, size_of
from sfsc.data.sets import ArrayImages, FileImages, Images, RetrievalSet, TrainSet
from sfsc.files import InputError

_log = logging.getLogger(__name__)

_SUFFIXES = {".jpg", ".jpeg", ".png"}
_LITTER = {"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information"}
"""What systems leave in folders besides hidden ones: copies, thumbnails, what was deleted."""

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

    Links to folders are followed; a folder that is reached twice counts once. Raises InputError
    where there is no image.
    """
    if path.is_dir():
        paths = sorted(found for folder in _folders(path) for found in _images_in(folder))
        if not paths:
            raise InputError(f"{path}: has no images (.jpg, .jpeg, .png) in it or below")
        return FileImages(_ids(path, paths), paths, as_shown=True)
    if not path.exists():
        raise InputError(f"{path}: no such image or folder")
    return FileImages([_text(path.name)], [path], as_shown=True)


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
    # macOS puts a hidden ._<name>, which is no image, next to each file that it archives.
    return PurePosixPath(name).suffix.lower() in _SUFFIXES and not _is_litter(name)


def _is_litter(name: str) -> bool:
    """Whether a file or folder of that name is hidden, or a system's own."""
    return name.startswith(".") or name in _LITTER


def _text(name: str) -> str:
    """A file's name as text that any file can hold: bytes that are no UTF-8 become \\xe9."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _ids(root: Path, paths: list[Path]) -> list[str]:
    return [_text(path.relative_to(root).as_posix()) for path in paths]


def _from_folder(root: Path, split: str) -> FileImages:
    folder = root / split
    classes = [entry for entry in _entries(folder) if entry.is_dir()] if folder.is_dir() else []
    paths = sorted(found for entry in classes for found in _images_in(folder / entry.name))
    return FileImages(_ids(root, paths), paths, as_shown=True)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds, by name, without litter."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                (entry for entry in entries if not _is_litter(entry.name)), key=lambda e: e.name
            )
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed: {error.strerror}") from None


def _images_in(folder: Path) -> list[Path]:
    return [
        folder / entry.name
        for entry in _entries(folder)
        # Broken links, which no file is behind, are named when they are read.
        if is_image(entry.name) and (entry.is_file() or _is_broken_link(entry))
    ]


def _is_broken_link(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and not Path(entry.path).exists()


def _folders(root: Path) -> Iterator[Path]:
    """A folder and all below it, first without links, so that these add only what is elsewhere."""
    seen: set[tuple[int, int]] = set()
    waiting = [root]
    while waiting:
        links: list[Path] = []
        while waiting:
            folder = waiting.pop()
            about = folder.stat()
            if (about.st_dev, about.st_ino) in seen:
                continue
            seen.add((about.st_dev, about.st_ino))
            yield folder
            for entry in _entries(folder):
                if entry.is_dir():
                    (links if entry.is_symlink() else waiting).append(folder / entry.name)
        waiting = links[::-1]


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
            where, encoded = f"{path}: {name}", io.BytesIO(content.read(_LARGEST_FILE))
            try:
                width, height = size_of(where, encoded)
                fits = max(width, height) <= _LARGEST_SIDE
                if fits:
                    encoded.seek(0)
                    pixels = decode(where, encoded, as_shown=True)
                    height, width, _ = pixels.shape
            except InputError as error:
                if on_bad_image == "stop":
                    raise
                _log.warning("left out: %s", error)
                skipped += 1
                continue
            if not fits or (width, height) != (size or (width, height)):
                raise InputError(
                    f"{where} is {width}x{height} pixels; an archive is read only if all images"
                    f" have one size of at most {_LARGEST_SIDE} a side: extract it and give the"
                    " folder"
                )
            found[item], size = pixels, (width, height)
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
    return None if any(map(_is_litter, name.parts)) else _text("/".join(parts))
