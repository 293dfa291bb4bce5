"""What a profile still has to fetch, and whether the disk has room for it."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from tabulate import tabulate

from sfsc.catalogue import Item, items
from sfsc.config import Config, data_paths, fetch_root, is_fetched
from sfsc.options import part
from sfsc.profile import Fetch

_GB = 10**9


def needed(config: Config) -> list[Item]:
    """What the profile's fetched sets consist of, each once, in a fixed order."""
    found = [
        item
        for section in ("train_sets", "eval_sets")
        for entry in config[section].values()
        for item in needed_by(config, entry)
    ]
    return list({item.name: item for item in found}.values())


def needed_by(config: Config, entry: Mapping[str, Any]) -> list[Item]:
    """What one entry of `train_sets` or `eval_sets` needs; nothing where its data is at hand."""
    # Only entries of eval_sets name the training set of their models.
    role: Literal["train", "eval"] = "eval" if "train_set" in entry else "train"
    return [
        item
        for path in data_paths(entry).values()
        if is_fetched(config, path)
        for item in items(path.name, role, part(Fetch, config["fetch"]).archives)
    ]


def done_marker(root: Path, name: str) -> Path:
    """The file that says that the item of that name is in place: what was fetched, from where."""
    return root / ".fetched" / name


def plan(config: Config) -> tuple[str, bool]:
    """What is to be fetched, how much disk space that needs, and whether there is enough.

    The text is empty where all is in place.
    """
    root = fetch_root(config)
    if root is None:
        return "", True
    missing = [item for item in needed(config) if not done_marker(root, item.name).exists()]
    if not missing:
        return "", True
    source = part(Fetch, config["fetch"]).mirror or "the data sets' own sites"
    need, free = _need(missing), _free(root)
    lines = [
        f"To be fetched from {source} to {root}, by what the sites say:",
        _table(missing),
        f"Disk: {need / _GB:,.1f} GB, archives in work included; {free / _GB:,.1f} GB are free.",
    ]
    if need > free:
        lines.append("THAT IS TOO LITTLE: choose a larger disk in fetch.path, or fewer sets.")
    return "\n".join(lines), need <= free


def _table(missing: list[Item]) -> str:
    parts: dict[str, list[int]] = {}
    for item in missing:
        parts.setdefault(_part(item), []).append(item.bytes)
    rows = [(part, len(sizes), f"{sum(sizes) / _GB:,.1f}") for part, sizes in parts.items()]
    return tabulate(
        rows, ["set", "files", "GB"], disable_numparse=True, colalign=("left", "right", "right")
    )


def _part(item: Item) -> str:
    return item.images_to or (item.kept_as or item.name).split("/")[0]


def _need(missing: list[Item]) -> int:
    """Of all that stays, and of the archives that are unpacked at the same time."""
    archives = sorted((item.bytes for item in missing if item.images_to), reverse=True)
    return sum(item.bytes for item in missing) + sum(archives[: os.cpu_count()])


def _free(root: Path) -> int:
    """Also what downloads in work have already taken of it."""
    there = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    begun = (root / ".fetching").rglob("*")
    return shutil.disk_usage(there).free + sum(p.stat().st_size for p in begun if p.is_file())
