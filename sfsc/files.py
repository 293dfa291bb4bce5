"""Writes that are whole or not there, in the place of nothing but our own; errors for the user."""

import fnmatch
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class InputError(Exception):
    """Something the user gave is wrong.

    The message is one line that names the file, the key or the row, and says what to do; the
    command line prints it without a traceback and exits with code 1.
    """


class OutputError(InputError):
    """A file cannot be written: the disk is full, or the place is not ours to write to."""


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without byte order mark; its line breaks become "\\n".

    Raises InputError for a file that is absent or a folder, and names the line that is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; name the file itself") from None
    except (OSError, ValueError) as error:  # a path with a null byte is a ValueError
        raise InputError(f"{path}: cannot be read: {error}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}: line {line} is not UTF-8 text; save the file again in that encoding"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write a file to; when it is whole, it takes the place of `path`.

    An exception removes what was written and leaves an earlier `path` as it was. A link stays: the
    file that it leads to is replaced. What is written for a pipe or a character device goes through
    it. The temporary name ends like `path`'s, for writers that choose a format by the ending. The
    mode follows the umask, whatever the writer. Raises InputError where `path` is no place of a
    file, and OutputError where it cannot be written.
    """
    with writing(path):
        check_output(path)
        if is_stream(path):
            with tempfile.TemporaryDirectory() as folder:
                whole = Path(folder, path.name)
                yield whole
                with whole.open("rb") as source, _open_stream(path) as stream:
                    shutil.copyfileobj(source, stream)
            return
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{os.getpid()}.{path.name}")
        try:
            beside.touch()
            mode = beside.stat().st_mode
            yield beside
            if beside.stat().st_mode != mode:
                beside.chmod(mode)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path, ours: Sequence[str]) -> Iterator[Path]:
    """The same for a folder; yields one that is empty.

    An earlier folder is replaced where all files in it match one of `ours`, patterns such as
    "figures/*.png". Raises InputError, which names the first that does not.
    """
    with writing(path):
        target = Path(os.path.realpath(path))
        _check_ours(path, target, ours)
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{os.getpid()}.{target.name}")
        earlier = beside.with_name(f"{beside.name}.earlier")
        shutil.rmtree(beside, ignore_errors=True)  # of a process of this number that was killed
        try:
            beside.mkdir()
            yield beside
            if target.exists():
                target.rename(earlier)
            beside.rename(target)
            shutil.rmtree(earlier, ignore_errors=True)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the file system refuses, as an OutputError that names `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        if error.filename and not str(error.filename).endswith(path.name):
            reason = f"{reason}: {error.filename}"
        raise OutputError(
            f"{path}: cannot be written ({reason}); make room on the disk, or choose another place"
        ) from None


def check_output(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Raise InputError where `path` is no place to write a file to, or is one of `inputs`."""
    with writing(path):
        mode = _mode(path)
        if stat.S_ISDIR(mode):
            raise InputError(f"{path}: is a folder; name a file")
        if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
            raise InputError(f"{path}: is no file; name one")
        if stat.S_ISREG(mode) and any(file.exists() and path.samefile(file) for file in inputs):
            raise InputError(f"{path}: is read by this very command; name another file")


def is_stream(path: Path) -> bool:
    """Whether what is written there goes through it: a pipe, a terminal, /dev/stdout."""
    mode = _mode(path)
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or _descriptor(path) is not None


def _mode(path: Path) -> int:
    """Of what `path` leads to; 0 where that is not there."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return 0


def _open_stream(path: Path) -> BinaryIO:
    # An open file goes on where it is: opened by its name, `>> all.csv` would start anew.
    number = _descriptor(path)
    return path.open("wb") if number is None else os.fdopen(os.dup(number), "wb")


def _descriptor(path: Path) -> int | None:
    """The number of the open file that a name such as /dev/stdout or /dev/fd/3 stands for."""
    own = os.path.realpath("/proc/self/fd")
    for _ in range(40):  # no chain of links is longer
        if os.path.realpath(path.parent) == own:
            return int(path.name) if path.name.isdigit() else None
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


def _check_ours(path: Path, target: Path, ours: Sequence[str]) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise InputError(f"{path}: is a file; name a folder")
    for file in target.rglob("*"):
        name = file.relative_to(target).as_posix()
        if not (file.is_dir() or any(fnmatch.fnmatchcase(name, pattern) for pattern in ours)):
            raise InputError(f"{path}: holds something else, {name}; name another folder")
