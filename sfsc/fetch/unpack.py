"""The images of an archive to a folder: all of them, or nothing changes."""

import shutil
from pathlib import Path

from sfsc.archives import files_in
from sfsc.data.folder import is_image
from sfsc.files import InputError

_BUFFER = 1 << 20


def unpack(archive: Path, folder: Path, staging: Path, flat: bool, most_bytes: int) -> int:
    """Move the images of a tar, compressed or not, to `folder`; returns how many there are.

    They are written to `staging`, on the same disk, and moved when the archive has been read to
    its end. With `flat` the archive's own folders are left out. Files that are no images are passed
    over. Raises InputError for what `files_in` refuses, `most_bytes` of content included, for an
    image that is there twice and for an archive without any; OSError where the disk is full.
    """
    shutil.rmtree(staging, ignore_errors=True)
    try:
        names = _write(archive, staging, flat, most_bytes)
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).replace(folder / name)
        return len(names)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write(archive: Path, staging: Path, flat: bool, most_bytes: int) -> set[str]:
    names: set[str] = set()
    with files_in(archive, f"unpack {archive.name}", most_bytes) as files:
        for path, content in files:
            name = path.name if flat else path.as_posix()
            if not is_image(path.name):
                continue
            if name in names:
                raise InputError(f"{archive}: holds {name} twice; take another copy")
            names.add(name)
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            with (staging / name).open("wb") as target:
                while piece := content.read(_BUFFER):
                    target.write(piece)
    if not names:
        raise InputError(f"{archive}: holds no images; take another copy")
    return names
