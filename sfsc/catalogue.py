"""The files that the data sets' own pages offer."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from sfsc.profile import Archives

_MB, _GB = 10**6, 10**9

_LANDMARKS = "https://s3.amazonaws.com/google-landmark"
_GROUND_TRUTH = "http://cmp.felk.cvut.cz/revisitop/data/datasets"
_BUILDINGS = "https://www.robots.ox.ac.uk/~vgg/data"
_DISTRACTORS = "http://ptak.felk.cvut.cz/revisitop"
_CIFAR = "https://www.cs.toronto.edu/~kriz"

CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
CIFAR100_MD5 = "03b5dce01913d631647c71ecec9e9cb8"
"""Of the binary archives, as their page publishes them."""


@dataclass(frozen=True)
class Item:
    """A file of a data set, and what becomes of it.

    `name` says where it is below `fetch.path` and in a mirror: <set>/<path on the set's site>.
    """

    name: str
    url: str
    bytes: int
    """To fetch, about: as the set's page says."""
    kept_as: str | None = None
    """Where the file itself is kept, below `fetch.path`."""
    images_to: str | None = None
    """The folder, below `fetch.path`, of an archive's images."""
    flat: bool = False
    """Leave the archive's own folders out."""
    md5: str | None = None
    md5_file: str | None = None
    """As `name`, of a file that holds the MD5; it lies on the same site."""

    columns: tuple[str, ...] = ()
    """Of a CSV file, those that it must have, in lower case."""

    @property
    def md5_url(self) -> str:
        """The address of `md5_file`."""
        assert self.md5_file is not None
        _, inside = self.name.split("/", 1)
        return self.url.removesuffix(inside) + self.md5_file.split("/", 1)[1]


_ARCHIVE_BYTES = {"train": _GB, "index": 850 * _MB, "test": 500 * _MB}


def items(name: str, role: Literal["train", "eval"], archives: Archives) -> list[Item]:
    """What the set of that name consists of, as far as training or evaluation needs it.

    `name` is one of SET_NAMES, `archives` those of Google Landmarks v2.
    """
    if name != "gldv2":
        return _SETS[name]
    if role == "train":
        return [
            _table("metadata/train_clean.csv", "landmark_id", "images"),
            *_landmarks("train", archives.train),
        ]
    return [
        _table("metadata/index.csv", "id"),
        _table("metadata/test.csv", "id"),
        _table("ground_truth/retrieval_solution_v2.1.csv", "id", "images", "usage"),
        *_landmarks("index", archives.index),
        *_landmarks("test", archives.test),
    ]


def _table(path: str, *columns: str) -> Item:
    name = PurePosixPath(path).name
    return Item(f"gldv2/{path}", f"{_LANDMARKS}/{path}", 50 * _MB, f"gldv2/{name}", columns=columns)


def _landmarks(part: str, archives: int) -> list[Item]:
    return [
        Item(
            f"gldv2/{part}/images_{number:03d}.tar",
            f"{_LANDMARKS}/{part}/images_{number:03d}.tar",
            _ARCHIVE_BYTES[part],
            images_to=f"gldv2/{part}",
            md5_file=f"gldv2/md5sum/{part}/md5.images_{number:03d}.txt",
        )
        for number in range(archives)
    ]


def _revisited(name: str, images: Mapping[str, int]) -> list[Item]:
    truth = f"{name}/gnd_{name}.pkl"
    return [
        Item(truth, f"{_GROUND_TRUTH}/{truth}", _MB, kept_as=truth),
        *(
            Item(
                f"{name}/{PurePosixPath(path).name}",
                f"{_BUILDINGS}/{path}",
                size,
                images_to=f"{name}/jpg",
                flat=True,
            )
            for path, size in images.items()
        ),
    ]


def _archive(name: str, md5: str) -> list[Item]:
    return [Item(name, f"{_CIFAR}/{name}", 170 * _MB, kept_as=name, md5=md5)]


_SETS: Mapping[str, list[Item]] = {
    "roxford5k": _revisited("roxford5k", {"oxbuildings/oxbuild_images-v1.tgz": 1938 * _MB}),
    "rparis6k": _revisited(
        "rparis6k",
        {
            "parisbuildings/paris_1-v1.tgz": 1270 * _MB,
            "parisbuildings/paris_2-v1.tgz": 1270 * _MB,
        },
    ),
    "revisitop1m": [
        Item(
            "revisitop1m/revisitop1m.txt",
            f"{_DISTRACTORS}/revisitop1m/revisitop1m.txt",
            50 * _MB,
            kept_as="revisitop1m/revisitop1m.txt",
        ),
        *(
            Item(
                f"revisitop1m/jpg/revisitop1m.{number}.tar.gz",
                f"{_DISTRACTORS}/revisitop1m/jpg/revisitop1m.{number}.tar.gz",
                4500 * _MB,
                images_to="revisitop1m/jpg",
            )
            for number in range(1, 101)
        ),
    ],
    "cifar-10-binary.tar.gz": _archive("cifar-10-binary.tar.gz", CIFAR10_MD5),
    "cifar-100-binary.tar.gz": _archive("cifar-100-binary.tar.gz", CIFAR100_MD5),
}

SET_NAMES = ("gldv2", *_SETS)
"""What can be fetched: the names of folders and archives below `fetch.path`."""

KINDS: Mapping[str, str] = {
    "gldv2": "gldv2",
    "roxford5k": "revisited",
    "rparis6k": "revisited",
    "cifar-10-binary.tar.gz": "cifar10",
    "cifar-100-binary.tar.gz": "cifar100",
}
"""The kind of each set; `revisitop1m` is of none, but a `distractors` folder."""
