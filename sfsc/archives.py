"""Tar archives from outside, read once from start to end, with nothing unsafe in them."""

import gzip
import io
import lzma
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from tqdm import tqdm

from sfsc.files import InputError
from sfsc.progress import progress

_BUFFER = 1 << 20


class Content:
    """What one file of an archive holds."""

    def __init__(self, archive: Path, file: IO[bytes]) -> None:
        self._archive, self._file = archive, file

    def read(self, size: int = -1) -> bytes:
        """As of files; raises InputError where the archive is broken."""
        with _readable(self._archive):
            return self._file.read(size)


@contextmanager
def files_in(
    path: Path, label: str, most_bytes: int | None = None
) -> Iterator[Iterator[tuple[PurePosixPath, Content]]]:
    """The regular files of a .tar, .tar.gz, .tgz or .tar.xz, with a progress bar: name, content.

    Each content is to be read before the next. Raises InputError for another file, one that is
    broken or was cut short, for links, devices, absolute paths and `..`, and where more than
    `most_bytes` come out of it.
    """
    with ExitStack() as opened:
        with _readable(path):
            stream = opened.enter_context(_Limited(path, _decompressed(path), most_bytes))
            archive = opened.enter_context(
                tarfile.open(fileobj=stream, mode="r|", bufsize=_BUFFER, tarinfo=_Strict)
            )
        yield _files(path, archive, opened.enter_context(progress(None, label, "file")))


def _files(
    path: Path, archive: tarfile.TarFile, bar: "tqdm[Any]"
) -> Iterator[tuple[PurePosixPath, Content]]:
    while True:
        with _readable(path):
            member = archive.next()
        if member is None:
            break
        bar.update()
        name = PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts:
            raise InputError(
                f"{path}: {member.name} leads out of the archive; make it anew without"
            )
        if not (member.isfile() or member.isdir()):
            raise InputError(
                f"{path}: {member.name} is a link or a device; archive the file itself"
            )
        with _readable(path):
            content = archive.extractfile(member)
        if content is not None:
            yield name, Content(path, content)
    with _readable(path):
        _require_the_end(archive.fileobj)


class _Strict(tarfile.TarInfo):
    """tarfile takes a broken or missing header for the end of the archive; here it is an error."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Strict":
        if len(buf) == tarfile.BLOCKSIZE and not any(buf):
            return super().frombuf(buf, encoding, errors)  # says that the archive ends
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"it is damaged or was cut short ({error})") from None


class _Limited(io.RawIOBase):
    """A stream from which no more than so many bytes may be read."""

    def __init__(self, path: Path, stream: io.BufferedIOBase, most_bytes: int | None) -> None:
        self._path, self._stream, self._most, self._left = path, stream, most_bytes, most_bytes

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        got = self._stream.read(size)
        if self._left is not None:
            self._left -= len(got)
            if self._left < 0:
                raise InputError(
                    f"{self._path}: unpacks to more than {self._most:,} bytes, more than such an"
                    " archive holds; take another copy"
                )
        return got

    def close(self) -> None:
        self._stream.close()
        super().close()


def _decompressed(path: Path) -> io.BufferedIOBase:
    if path.name.endswith(".tar.xz"):
        return lzma.open(path)
    if path.name.endswith((".tar.gz", ".tgz")):
        return gzip.open(path)
    if path.name.endswith(".tar"):
        return path.open("rb")
    raise InputError(f"{path}: is neither a folder nor a .tar, .tar.gz or .tar.xz archive")


def _require_the_end(stream: Any) -> None:
    """After the first of the two blocks of zeros: nothing but zeros, and a whole compression."""
    while rest := stream.read(_BUFFER):
        if any(rest):
            raise tarfile.ReadError("files follow its end")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # damaged archives make readers raise nearly anything
        raise InputError(f"{path}: is not a readable archive: {error}") from None
