"""From an item of the catalogue to files in place, checked."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

from filelock import FileLock

from sfsc.catalogue import Item
from sfsc.config import filled
from sfsc.data.labels import read_csv
from sfsc.data.revisited import load_gnd
from sfsc.fetch.plan import done_marker
from sfsc.fetch.transfer import download, md5_of
from sfsc.fetch.unpack import unpack
from sfsc.files import InputError, OutputError, replacing, writing

_log = logging.getLogger(__name__)

_SLACK = 3
"""Files may be so many times as large as the catalogue says; archives grow that much unpacked."""

_CHECKSUM_BYTES = 10_000


def at_mirror(item: Item, mirror: str | None) -> Item:
    """The item at a mirror: an address, or a folder of this machine; `name` leads on from it."""
    if mirror is None:
        return item
    base = filled(mirror)
    if "://" not in base:
        base = Path(base).resolve().as_uri()
    return replace(item, url=f"{base.rstrip('/')}/{item.name}")


def fetch(item: Item, root: Path, pause: float = 1.0) -> None:
    """Download, check and place an item below `root`, and write its marker.

    What is in place already, and what was downloaded before an interruption, is not fetched
    again. A file with the wrong checksum is thrown away and fetched once more; one without a
    published checksum is read as far as it can be. Nothing that is in place is touched before its
    successor has been checked. One process at a time works at an item. Raises InputError, one
    line, for a file that cannot be had or is not what it should be.
    """
    loose = root / ".fetching" / item.name
    lock = root / ".fetching" / ".locks" / item.name
    with writing(root):
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            if not done_marker(root, item.name).exists():
                _fetch(item, root, loose, pause)
            loose.unlink(missing_ok=True)


def _fetch(item: Item, root: Path, loose: Path, pause: float) -> None:
    most = _SLACK * item.bytes
    expected = item.md5 or (_published_md5(item, root, pause) if item.md5_file else None)
    found = _downloaded(item, loose, most, expected, pause)
    record = {"url": item.url, "bytes": loose.stat().st_size, "md5": found}
    try:
        if item.images_to is not None:
            staging = root / ".fetching" / f"{item.name}.unpacked"
            folder = root / item.images_to
            record["images"] = unpack(loose, folder, staging, item.flat, _SLACK * most)
        else:
            assert item.kept_as is not None
            _check_content(item, loose)
            with replacing(root / item.kept_as) as beside:
                # Not moved: were it gone before the marker is there, it would be fetched again.
                shutil.copyfile(loose, beside)
    except OutputError:
        raise
    except InputError:
        loose.unlink()  # another attempt would find the same
        raise
    with replacing(done_marker(root, item.name)) as beside:
        beside.write_text(json.dumps(record, indent=2) + "\n")


def _downloaded(item: Item, loose: Path, most: int, expected: str | None, pause: float) -> str:
    """Have the item's file at `loose`; its MD5, which is the expected one where there is one."""
    checked = expected is not None or item.images_to is not None
    for last in (False, True):
        if not loose.exists():
            download(item.url, loose, most, checked, pause)
        found = md5_of(loose)
        if expected in (None, found):
            break
        loose.unlink()
        message = f"{item.url}: has the MD5 {found}, not {expected}"
        if last:
            raise InputError(f"{message}, also when fetched again; set fetch.mirror to a good copy")
        _log.warning("%s; fetching it again", message)
    return found


def _check_content(item: Item, path: Path) -> None:
    """Refuse a web page, say, in the place of a table or a ground truth."""
    if item.columns:
        read_csv(path, item.columns)
    elif path.suffix == ".pkl":
        load_gnd(path)


def _published_md5(item: Item, root: Path, pause: float) -> str:
    assert item.md5_file is not None
    path = root / ".fetching" / item.md5_file
    download(item.md5_url, path, _CHECKSUM_BYTES, checked=False, pause=pause)
    words = path.read_text(errors="replace").split()
    path.unlink()
    if not words or len(words[0]) != 32 or not set(words[0].lower()) <= set("0123456789abcdef"):
        raise InputError(f"{item.md5_url}: holds no MD5 sum; set fetch.mirror to a good copy")
    return words[0].lower()
