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
