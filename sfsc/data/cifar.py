"""CIFAR-10 and CIFAR-100 from their official binary archives, in memory (Krizhevsky, 2009)."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sfsc.archives import files_in
from sfsc.catalogue import CIFAR10_MD5, CIFAR100_MD5
from sfsc.data.labels import leave_one_out
from sfsc.data.sets import ArrayImages, RetrievalSet, TrainSet
from sfsc.files import InputError

_SIDE = 32


@dataclass(frozen=True)
class Archive:
    """What an official archive holds, as https://www.cs.toronto.edu/~kriz/cifar.html says."""

    file: str
    md5: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    names: str
    """The file of the class names."""
    label_bytes: int = 1
    """Before the pixels of a record; the last of them is the class."""


CIFAR10 = Archive(
    "cifar-10-binary.tar.gz",
    CIFAR10_MD5,
    tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    ("test_batch.bin",),
    "batches.meta.txt",
)

CIFAR100 = Archive(
    "cifar-100-binary.tar.gz",
    CIFAR100_MD5,
    ("train.bin",),
    ("test.bin",),
    "fine_label_names.txt",
    2,
)
"""With its fine labels."""


def train_set(path: Path, archive: Archive) -> TrainSet:
    """The training batches of an archive, in order: pixels are uint8, (50000, 32, 32, 3).

    Raises InputError for an archive that is absent, has another checksum, or lacks a batch.
    """
    images, labels, classes = _read(path, archive, "train")
    return TrainSet(images, labels, classes)


def retrieval_set(path: Path, archive: Archive) -> RetrievalSet:
    """The test batch, whose images query each other (leave one out); errors as in `train_set`."""
    images, labels, _ = _read(path, archive, "test")
    return leave_one_out(images, labels)


def _read(
    path: Path, archive: Archive, split: Literal["train", "test"]
) -> tuple[ArrayImages, NDArray[np.int64], list[str]]:
    _check_sum(path, archive)
    batches = archive.train if split == "train" else archive.test
    members = _members(path, {*batches, archive.names})
    classes = members[archive.names].decode().split()
    size = archive.label_bytes + 3 * _SIDE * _SIDE
    for name in batches:
        if not members[name] or len(members[name]) % size:
            raise InputError(f"{path}: {name} does not hold whole records of {size} bytes")
    records = np.frombuffer(b"".join(members[name] for name in batches), np.uint8)
    records = records.reshape(-1, size)
    labels = records[:, archive.label_bytes - 1].astype(np.int64)
    if labels.max() >= len(classes):
        raise InputError(f"{path}: has the label {labels.max()} but {len(classes)} class names")
    planes = records[:, archive.label_bytes :].reshape(-1, 3, _SIDE, _SIDE)
    pixels = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    ids = [f"{split}/{row:05d}" for row in range(len(pixels))]
    return ArrayImages(ids, pixels), labels, classes


def _check_sum(path: Path, archive: Archive) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the archive {archive.file} itself")
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if found != archive.md5:
        raise InputError(
            f"{path}: has the MD5 {found}; {archive.file}, the official binary version, has"
            f" {archive.md5}: download that one"
        )


def _members(path: Path, names: set[str]) -> dict[str, bytes]:
    """The contents of the named members, whatever folder of the archive holds them."""
    with files_in(path, path.name) as files:
        found = {name.name: content.read() for name, content in files if name.name in names}
    if absent := sorted(names - found.keys()):
        raise InputError(f"{path}: lacks {', '.join(absent)}; it needs the binary version")
    return found
