"""Tar archives from outside, read once from start to end, with nothing unsafe in them."""

import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from sfsc.files import InputError
from sfsc.progress import progress

_BUFFER = 1 << 20
_END = bytes(2 * tarfile.BLOCKSIZE)


@contextmanager
def files_in(path: Path, label: str) -> Iterator[Iterator[tuple[PurePosixPath, IO[bytes]]]]:
    """The regular files of a .tar, .tar.gz, .tgz or .tar.xz, with a progress bar: name, content.

    Each content is to be read before the next. Raises InputError for another file, one that is
    broken or was cut short, and for links, devices, absolute paths and `..`.
    """
    try:
        with (
            _decompressed(path) as stream,
            tarfile.open(fileobj=stream, mode="r|", bufsize=_BUFFER) as archive,
        ):
            yield _files(path, label, archive, stream)
    except (tarfile.TarError, OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise InputError(f"{path}: is not a readable archive: {error}") from None


def _files(
    path: Path, label: str, archive: tarfile.TarFile, stream: io.BufferedIOBase
) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    with progress(archive, label, "file") as bar:
        for member in bar:
            name = PurePosixPath(member.name)
            if name.is_absolute() or ".." in name.parts:
                raise InputError(
                    f"{path}: {member.name} leads out of the archive; make it anew without"
                )
            if not (member.isfile() or member.isdir()):
                raise InputError(
                    f"{path}: {member.name} is a link or a device; archive the file itself"
                )
            content = archive.extractfile(member)
            if content is not None:
                yield name, content
    # To the end, where the checksum of the compression is.
    while stream.read(_BUFFER):
        pass


def _decompressed(path: Path) -> io.BufferedIOBase:
    # tarfile takes an archive that was cut short for one that ends there: have the decompressor,
    # or the two blocks of zeros that close every archive, tell them apart.
    if path.name.endswith(".tar.xz"):
        return lzma.open(path)
    if path.name.endswith((".tar.gz", ".tgz")):
        return gzip.open(path)
    if path.name.endswith(".tar"):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - len(_END)))
            if file.read() != _END:
                raise InputError(f"{path}: is no tar archive or was cut short; copy it again")
        return path.open("rb")
    raise InputError(f"{path}: is neither a folder nor a .tar, .tar.gz or .tar.xz archive")
