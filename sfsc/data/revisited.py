"""Revisited Oxford and Paris: the ground-truth pickle, read without running what it names.

Radenović et al., CVPR 2018; the file and the protocols are those of the official evaluation code,
filipradenovic/revisitop.
"""

import io
import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from sfsc.data.labels import refuse_repeats
from sfsc.data.sets import Box, FileImages, GroundTruth, Relevance, RetrievalSet
from sfsc.files import InputError, read_text

_DISTRACTOR = "revisitop1m/"
"""Before the ids of distractors, so that none is that of an image of the set."""


class Query(TypedDict):
    """One query: its box, and rows of the gallery (int64, sorted, without repeats)."""

    bbx: Box
    easy: NDArray[np.int64]
    hard: NDArray[np.int64]
    junk: NDArray[np.int64]


class Gnd(TypedDict):
    """A ground truth: gallery ids, query ids, and one entry of `gnd` for each query."""

    imlist: list[str]
    qimlist: list[str]
    gnd: list[Query]


class _RefusedError(Exception):
    """A pickle asks for something that a ground truth has no use for."""


# The stand-ins below rebuild arrays of numbers from their bytes. numpy's own functions trust the
# state that a pickle gives them: a forged one makes them read memory beyond the array.
class _DType:
    def __init__(self, code: str, *_flags: object) -> None:
        self._code = code
        self._big_endian = False

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._big_endian = state[1] == ">"

    def of_numbers(self) -> np.dtype[Any]:
        if not re.fullmatch(r"[biuf]\d", self._code):
            raise _RefusedError(f"an array of type {self._code!r}")
        return np.dtype(self._code).newbyteorder(">" if self._big_endian else "<")


class _Array:
    def __init__(self, *_nothing_yet: object) -> None:
        self._values: NDArray[Any] = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, is_fortran, content = state
        self._values = _from_buffer(content, dtype, shape, "F" if is_fortran else "C")

    def __array__(self, dtype: np.dtype[Any] | None = None, copy: bool | None = None) -> Any:
        return self._values.astype(dtype or self._values.dtype)


def _from_buffer(
    content: bytes | str, dtype: _DType, shape: tuple[int, ...], order: Literal["C", "F"]
) -> NDArray[Any]:
    raw = _encode(content) if isinstance(content, str) else content  # a str is one of Python 2
    return np.frombuffer(raw, dtype.of_numbers()).reshape(shape, order=order)


def _scalar(dtype: _DType, content: bytes | str) -> Any:
    return _from_buffer(content, dtype, (1,), "C")[0]


def _encode(text: str, _encoding: str = "latin1") -> bytes:
    """What protocol 2 spells as `_codecs.encode(text, 'latin1')`, with no other codec in reach."""
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """What protocol 2 spells as `bytes()`."""
    return b""


# numpy renamed its core package in version 2; files of both ages are about.
_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
}
for _core in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = _Array
    _ALLOWED[f"{_core}.multiarray", "scalar"] = _scalar
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = _from_buffer


class _Unpickler(pickle._Unpickler):
    # Python's, not C's: that one fills gigabytes of memory for a forged memo index.
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in _ALLOWED:
            # Escaped: a forged name may hold anything, line breaks included.
            raise _RefusedError(repr(f"{module}.{name}").strip("'"))
        return _ALLOWED[module, name]


def is_pickle(path: Path) -> bool:
    """Whether a file starts as a pickled dict does, whatever its name; False where it is absent.

    Protocol 2 and later say so first; 0 and 1 start with an opening bracket or a dict.
    """
    try:
        with path.open("rb") as file:
            return file.read(1) in (b"\x80", b"(", b"}")
    except OSError:
        return False


def load_gnd(path: Path) -> Gnd:
    """Read and check a `gnd_<name>.pkl`, written by Python 2 or 3.

    Nothing but lists, dicts, strings, numbers and arrays is built: any other import that the
    pickle asks for is refused by name. Raises InputError for that, for a file that is absent or
    no pickle, and for contents of the wrong shape, naming the query.
    """
    try:
        content = path.read_bytes()
        # A dry run finds forged lengths, which loading would allocate before it reads.
        for _ in pickletools.genops(content):
            pass
        raw = _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except _RefusedError as error:
        raise InputError(
            f"{path}: refuses to load {error}: a ground truth holds only lists, dicts and arrays"
            " of numbers"
        ) from None
    except Exception as error:  # broken pickles raise nearly anything
        raise InputError(
            f"{path}: is cut short or no pickle ({type(error).__name__}); download it again"
        ) from None
    return _checked(path, raw)


def ground_truth(path: Path) -> GroundTruth:
    """Relevance under easy, medium and hard, as the official evaluation defines them.

    Easy: positives easy, junk junk + hard. Medium: positives easy + hard, junk junk. Hard:
    positives hard, junk junk + easy. Raises what `load_gnd` raises.
    """
    return _relevance(load_gnd(path))


def retrieval_set(
    root: Path, name: str, distractors: Path | None = None, query_crop: bool = True
) -> RetrievalSet:
    """`root`/gnd_<name>.pkl with the images `root`/jpg/<id>.jpg; queries are cropped to their box.

    Without `query_crop`, which the protocol asks for, queries are whole images. `name` is roxford5k
    or rparis6k. The images that `distractors`/revisitop1m.txt lists, a path below
    `distractors`/jpg a line, join the gallery, where no query is about them. Raises what `load_gnd`
    raises, and InputError for a list that is absent, leads out or repeats an image.
    """
    gnd = load_gnd(root / f"gnd_{name}.pkl")
    queries, gallery = (
        [root / "jpg" / f"{image}.jpg" for image in gnd[key]] for key in ("qimlist", "imlist")
    )
    if distractors is not None:
        names = _listed(distractors / "revisitop1m.txt")
        gnd["imlist"] += [f"{_DISTRACTOR}{name}" for name in names]
        gallery += [distractors / "jpg" / name for name in names]
    return RetrievalSet(
        FileImages(
            gnd["qimlist"], queries, [query["bbx"] for query in gnd["gnd"]] if query_crop else None
        ),
        FileImages(gnd["imlist"], gallery),
        _relevance(gnd),
    )


def _listed(path: Path) -> list[str]:
    lines = [line.strip() for line in read_text(path).splitlines()]
    names = [(number, name) for number, name in enumerate(lines, 1) if name]
    for number, name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise InputError(f"{path}: line {number}: {name} leads out of the folder")
    listed = [name for _, name in names]
    refuse_repeats(path, listed, [number for number, _ in names])
    return listed


def _relevance(gnd: Gnd) -> GroundTruth:
    easy, medium, hard = [], [], []
    for query in gnd["gnd"]:
        easy.append(Relevance(query["easy"], np.union1d(query["junk"], query["hard"])))
        medium.append(Relevance(np.union1d(query["easy"], query["hard"]), query["junk"]))
        hard.append(Relevance(query["hard"], np.union1d(query["junk"], query["easy"])))
    protocols = {"easy": easy, "medium": medium, "hard": hard}
    return GroundTruth("revisited", gnd["qimlist"], gnd["imlist"], protocols)


def _checked(path: Path, raw: object) -> Gnd:
    if not isinstance(raw, dict):
        raise InputError(f"{path}: holds a {type(raw).__name__}, not a dict with imlist and gnd")
    for key in ("imlist", "qimlist", "gnd"):
        if not isinstance(raw.get(key), list):
            raise InputError(f"{path}: needs the key {key!r} with a list")
    for key in ("imlist", "qimlist"):
        if not all(isinstance(image, str) for image in raw[key]):
            raise InputError(f"{path}: {key} must hold strings only")
        if len(set(raw[key])) != len(raw[key]):
            raise InputError(f"{path}: {key} lists an image twice; ids must be unique")
    imlist, qimlist, gnd = raw["imlist"], raw["qimlist"], raw["gnd"]
    if len(qimlist) != len(gnd):
        raise InputError(
            f"{path}: qimlist has {len(qimlist)} queries but gnd {len(gnd)}; they must agree"
        )
    checked = []
    for image, query in zip(qimlist, gnd, strict=True):
        where = f"{path}: query {image!r}"
        if not isinstance(query, dict):
            raise InputError(f"{where}: is a {type(query).__name__}, not a dict")
        for key in ("bbx", "easy", "hard", "junk"):
            if key not in query:
                raise InputError(f"{where}: lacks the key {key!r}")
        easy, hard, junk = (
            _rows(f"{where}: {key}", query[key], len(imlist)) for key in ("easy", "hard", "junk")
        )
        checked.append(Query(bbx=_box(where, query["bbx"]), easy=easy, hard=hard, junk=junk))
    return Gnd(imlist=imlist, qimlist=qimlist, gnd=checked)


def _rows(where: str, value: object, images: int) -> NDArray[np.int64]:
    try:
        rows = np.asarray(value)
    except ValueError:
        raise InputError(f"{where} is a ragged list; it must hold rows of imlist") from None
    if rows.size == 0:
        return np.empty(0, np.int64)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise InputError(f"{where} must be a flat list of whole numbers, rows of imlist")
    if rows.min() < 0 or rows.max() >= images:
        raise InputError(
            f"{where} has the row {rows.min() if rows.min() < 0 else rows.max()}, but imlist has"
            f" the rows 0 to {images - 1}"
        )
    return np.unique(rows).astype(np.int64)


def _box(where: str, value: object) -> Box:
    try:
        x1, y1, x2, y2 = np.asarray(value, np.float64).tolist()
        if np.isfinite([x1, y1, x2, y2]).all() and x1 < x2 and y1 < y2:
            return x1, y1, x2, y2
    except (TypeError, ValueError):
        pass
    raise InputError(
        f"{where}: bbx must be four finite numbers x1, y1, x2, y2 with x1 < x2 and y1 < y2"
    )
