"""From an item of the catalogue to files in place, checked."""

import json
import logging
from dataclasses import replace
from pathlib import Path

from sfsc.config import expanded
from sfsc.fetch.catalogue import Item
from sfsc.fetch.transfer import download, md5_of
from sfsc.fetch.unpack import unpack
from sfsc.files import InputError, replacing

_log = logging.getLogger(__name__)

_SLACK = 3
"""Files may be so many times as large as the catalogue says; archives grow that much unpacked."""

_CHECKSUM_BYTES = 10_000


def done_marker(root: Path, name: str) -> Path:
    """The file that says that the item of that name is in place: what was fetched, from where."""
    return root / ".fetched" / name


def at_mirror(item: Item, mirror: str | None) -> Item:
    """The item at a mirror: an address, or a folder of this machine; `name` leads on from it."""
    if mirror is None:
        return item
    base = mirror if "://" in mirror else expanded(mirror).resolve().as_uri()
    return replace(item, url=f"{base.rstrip('/')}/{item.name}")


def fetch(item: Item, root: Path, pause: float = 1.0) -> None:
    """Download, check and place an item below `root`, and write its marker last.

    What is in place already, and what was downloaded before an interruption, is not fetched
    again. A file with the wrong checksum is thrown away and fetched once more. Nothing that is in
    place is touched before its successor has been checked. Raises InputError, one line, for a
    file that cannot be had or is not what it should be.
    """
    marker = done_marker(root, item.name)
    if marker.exists():
        return
    loose = root / ".fetching" / item.name
    most = _SLACK * item.bytes
    expected = item.md5 or (_published_md5(item, root, pause) if item.md5_file else None)
    found = _downloaded(item, loose, most, expected, pause)
    record = {"url": item.url, "bytes": loose.stat().st_size, "md5": found}
    if item.images_to is not None:
        staging = root / ".fetching" / f"{item.name}.unpacked"
        try:
            count = unpack(loose, root / item.images_to, staging, item.flat, _SLACK * most)
        except InputError:
            loose.unlink()  # another attempt would find the same
            raise
        record["images"] = count
    else:
        assert item.kept_as is not None
        (root / item.kept_as).parent.mkdir(parents=True, exist_ok=True)
        # Not moved: were the file gone before the marker is there, it would be fetched again.
        with replacing(root / item.kept_as) as beside:
            beside.hardlink_to(loose)
    with replacing(marker) as beside:
        beside.write_text(json.dumps(record, indent=2) + "\n")
    loose.unlink()


def _downloaded(item: Item, loose: Path, most: int, expected: str | None, pause: float) -> str:
    """Have the item's file at `loose`; its MD5, which is the expected one where there is one."""
    for last in (False, True):
        if not loose.exists():
            download(item.url, loose, most, pause)
        found = md5_of(loose)
        if expected in (None, found):
            break
        loose.unlink()
        message = f"{item.url}: has the MD5 {found}, not {expected}"
        if last:
            raise InputError(f"{message}, also when fetched again; set fetch.mirror to a good copy")
        _log.warning("%s; fetching it again", message)
    return found


def _published_md5(item: Item, root: Path, pause: float) -> str:
    assert item.md5_file is not None
    path = root / ".fetching" / item.md5_file
    download(item.md5_url, path, _CHECKSUM_BYTES, pause)
    words = path.read_text(errors="replace").split()
    path.unlink()
    if not words or len(words[0]) != 32 or not set(words[0].lower()) <= set("0123456789abcdef"):
        raise InputError(f"{item.md5_url}: holds no MD5 sum; set fetch.mirror to a good copy")
    return words[0].lower()
