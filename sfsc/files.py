"""Write beside and rename, so that a reader never sees half a file; and the error for bad input."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class InputError(Exception):
    """Something the user gave is wrong.

    The message is one line that names the file, the key or the row, and says what to do; the
    command line prints it without a traceback and exits with code 1.
    """


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
    """Yield a path beside `path` to write a file or a folder to; rename it to `path` on success.

    An exception removes what was written and leaves an earlier `path` as it was. The temporary
    name ends like `path`'s, for writers that choose a format by the ending.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield beside
        if path.is_dir():
            shutil.rmtree(path)
        beside.replace(path)
    finally:
        if beside.is_dir():
            shutil.rmtree(beside)
        else:
            beside.unlink(missing_ok=True)
