"""A training set packed into shards: images of the training size that lie together on disk.

A shard is an Arrow IPC file with the columns id, label and jpeg; any Arrow library reads it.
sfsc.data.packing writes them.
"""

import bisect
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import simplejpeg
from numpy.typing import NDArray

from sfsc.data.sets import TrainSet
from sfsc.files import InputError

SCHEMA = pa.schema([("id", pa.string()), ("label", pa.int64()), ("jpeg", pa.binary())])
VERSION = 1
BLOCK_ROWS = 128
"""Images that a random order keeps together: so many are one stretch of a few MB on disk."""


def train_set(folder: Path, description: Mapping[str, Any]) -> TrainSet:
    """The set that `pack` wrote; InputError where it is not whole, or of another `description`."""
    manifest = _read_manifest(folder)
    if manifest["description"] != dict(description):
        raise InputError(
            f"{folder}: was packed from {json.dumps(manifest['description'])}, the configuration"
            f" says {json.dumps(dict(description))}; run sfsc pack again"
        )
    shards = [shard_path(folder, number) for number in range(manifest["shards"])]
    ids: list[str] = []
    labels: list[NDArray[np.int64]] = []
    for path in shards:
        table = _open(path)
        ids += table["id"].to_pylist()
        labels.append(table["label"].to_numpy())
    if len(ids) != manifest["images"]:
        raise InputError(
            f"{folder}: its shards hold {len(ids)} images, manifest.json says"
            f" {manifest['images']}; delete the folder, so that it is packed again"
        )
    images = PackedImages(ids, shards)
    return TrainSet(images, np.concatenate(labels), manifest["classes"], BLOCK_ROWS)


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run sfsc pack to its end") from None
    except ValueError as error:
        raise InputError(f"{path}: is no manifest of a packed set: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format_version") != VERSION:
        raise InputError(f"{path}: is of another version; delete the folder, and pack again")
    return manifest


class PackedImages:
    """Images in shards, mapped into memory: a read touches the pages of its image alone."""

    def __init__(self, ids: Sequence[str], shards: Sequence[Path]) -> None:
        self.ids = ids
        self._shards = shards

    def read(self, row: int, least: int = 0) -> NDArray[np.uint8]:
        starts, blocks = self._blocks
        number = bisect.bisect_right(starts, row) - 1
        shard, encoded = blocks[number]
        try:
            # The cast is for simplejpeg, to which Arrow's bytes are signed.
            buffer = memoryview(encoded[row - starts[number]].as_buffer()).cast("B")
            pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(buffer, "RGB")
        except Exception as error:  # damaged images make decoders raise nearly anything
            raise InputError(
                f"{shard}: {self.ids[row]} cannot be decoded ({error}); delete the shard, and pack"
                " the set again"
            ) from None
        return pixels

    @cached_property
    def _blocks(self) -> tuple[list[int], list[tuple[Path, pa.Array]]]:
        blocks = [(path, chunk) for path in self._shards for chunk in _open(path)["jpeg"].chunks]
        starts = np.cumsum([0, *(len(chunk) for _, chunk in blocks[:-1])]).tolist()
        return starts, blocks

    def __getstate__(self) -> dict[str, Any]:
        # Without the maps: who receives it opens the files again.
        return {"ids": self.ids, "_shards": self._shards}


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.arrow"


def _open(path: Path) -> pa.Table:
    try:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); delete it, and pack the set again"
        ) from None
