"""CIFAR-10 from its official binary archive, read in memory (Krizhevsky, 2009)."""

import hashlib
import tarfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from sfsc.data.labels import leave_one_out
from sfsc.data.sets import ArrayImages, RetrievalSet, TrainSet
from sfsc.files import InputError

MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
"""Of cifar-10-binary.tar.gz, as https://www.cs.toronto.edu/~kriz/cifar.html publishes it."""

_TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
_TEST = ("test_batch.bin",)
_NAMES = "batches.meta.txt"
_SIDE = 32
_RECORD = 1 + 3 * _SIDE * _SIDE


def train_set(path: Path, md5: str = MD5) -> TrainSet:
    """The five training batches, in order; `path` is cifar-10-binary.tar.gz.

    Pixels are uint8, (50000, 32, 32, 3). Raises InputError for an archive that is absent, has
    another checksum, or lacks a batch.
    """
    images, labels, classes = _read(path, md5, "train", _TRAIN)
    return TrainSet(images, labels, classes)


def retrieval_set(path: Path, md5: str = MD5) -> RetrievalSet:
    """The test batch, whose images query each other (leave one out); errors as in `train_set`."""
    images, labels, _ = _read(path, md5, "test", _TEST)
    return leave_one_out(images, labels)


def _read(
    path: Path, md5: str, split: str, batches: tuple[str, ...]
) -> tuple[ArrayImages, NDArray[np.int64], list[str]]:
    _check_sum(path, md5)
    members = _members(path, {*batches, _NAMES})
    classes = members[_NAMES].decode().split()
    for name in batches:
        if not members[name] or len(members[name]) % _RECORD:
            raise InputError(f"{path}: {name} does not hold whole records of {_RECORD} bytes")
    records = np.frombuffer(b"".join(members[name] for name in batches), np.uint8)
    records = records.reshape(-1, _RECORD)
    labels = records[:, 0].astype(np.int64)
    if labels.max() >= len(classes):
        raise InputError(f"{path}: has the label {labels.max()} but {len(classes)} class names")
    planes = records[:, 1:].reshape(-1, 3, _SIDE, _SIDE)
    pixels = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    ids = [f"{split}/{row:05d}" for row in range(len(pixels))]
    return ArrayImages(ids, pixels), labels, classes


def _check_sum(path: Path, md5: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if found != md5:
        raise InputError(f"{path}: has the MD5 {found}, not {md5}; download it again")


def _members(path: Path, names: set[str]) -> dict[str, bytes]:
    """The contents of the named members, whatever folder of the archive holds them."""
    found = {}
    try:
        # As a stream: in its other mode tarfile may seek back, which decompresses from the start.
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if name in names and (file := archive.extractfile(member)) is not None:
                    found[name] = file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: is not a readable .tar.gz archive: {error}") from None
    if absent := sorted(names - found.keys()):
        raise InputError(f"{path}: lacks {', '.join(absent)}; it needs the binary version")
    return found
