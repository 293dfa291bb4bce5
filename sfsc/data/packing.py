"""Packs a training set into the shards that sfsc.data.packed reads."""

import csv
import ctypes
import hashlib
import json
import logging
import multiprocessing
import signal
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import simplejpeg
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from sfsc.data.packed import BLOCK_ROWS, SCHEMA, VERSION, shard_path
from sfsc.data.sets import Images, TrainSet
from sfsc.files import InputError, replacing
from sfsc.progress import progress

_log = logging.getLogger(__name__)

SHARD_ROWS = 2048
_QUALITY = 95
_PR_SET_PDEATHSIG = 1
_SHARDS = f"shard-{'[0-9]' * 5}"
_BEGINNINGS = {
    "manifest.json": b'{"format_version": ',
    "plan.json": b'{"format_version": ',
    "broken.csv": b"id,reason",
}
"""Of the files next to the shards, by which those of another program are known."""


def pack(
    source: TrainSet,
    folder: Path,
    size: int,
    description: Mapping[str, Any],
    on_bad_image: Literal["stop", "skip"] = "stop",
    processes: int = 1,
) -> None:
    """Write a training set to `folder`, each image resized to (size, size) as JPEG of quality 95.

    Rows are shuffled, always alike, so that neighbours on disk are no neighbours in the set. An
    image that cannot be decoded is listed in broken.csv, and left out with "skip"; otherwise
    InputError counts them when all images have been looked at. manifest.json, written last, says
    what is there, and keeps `description`, which `train_set` compares. Shards that an interrupted
    run of the same images and size finished stay; a finished set is packed anew.
    """
    if not source.images.ids:
        raise InputError(f"{folder}: there are no images to pack")
    order = np.random.default_rng(0).permutation(len(source.images.ids))
    plan = {
        "format_version": VERSION,
        "image_size": size,
        "shard_rows": SHARD_ROWS,
        "digest": _digest(source, order),
    }
    _start(folder, plan)
    parts = [order[start : start + SHARD_ROWS] for start in range(0, len(order), SHARD_ROWS)]
    missing = [number for number in range(len(parts)) if not shard_path(folder, number).exists()]
    done = len(order) - sum(len(parts[number]) for number in missing)
    # Forked: the lists of millions of ids are shared, not sent.
    context = multiprocessing.get_context("fork")
    with (
        ProcessPoolExecutor(processes, context, _remember, (source, folder, size)) as pool,
        progress(None, "pack", "image", len(order), done) as bar,
    ):
        jobs = {pool.submit(_pack_shard, number, parts[number]): number for number in missing}
        try:
            for job in as_completed(jobs):
                job.result()
                bar.update(len(parts[jobs[job]]))
        finally:
            pool.shutdown(cancel_futures=True)
    manifest = {**plan, "description": dict(description), "shards": len(parts)}
    _finish(folder, manifest, source, on_bad_image)


def _start(folder: Path, plan: dict[str, Any]) -> None:
    """Make `folder` hold shards of this plan alone."""
    for name, beginning in _BEGINNINGS.items():
        path = folder / name
        if path.exists() and not (path.is_file() and path.read_bytes().startswith(beginning)):
            raise InputError(f"{path}: is not of sfsc pack; move it away, or name another folder")
    path = folder / "plan.json"
    (folder / "manifest.json").unlink(missing_ok=True)
    _remove(folder, f".[0-9]*.{_SHARDS}")
    if not path.exists() or json.loads(path.read_text()) != plan:
        _remove(folder, _SHARDS)
        with replacing(path) as beside:
            beside.write_text(json.dumps(plan))


def _remove(folder: Path, shards: str) -> None:
    for ending in ("arrow", "broken.json"):
        for path in folder.glob(f"{shards}.{ending}"):
            if path.is_symlink() or not path.is_file():
                raise InputError(f"{path}: is not of sfsc pack; move it away")
            path.unlink()


_task: tuple[TrainSet, Path, int]


def _remember(*task: Any) -> None:
    global _task
    _task = task
    torch.set_num_threads(1)  # there are processes for the other cores
    if sys.platform == "linux":
        # A worker whose parent was killed would wait for work for ever, or finish a stale shard.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _pack_shard(number: int, rows: NDArray[np.int64]) -> None:
    source, folder, size = _task
    broken: list[tuple[str, str]] = []
    with (
        replacing(shard_path(folder, number)) as beside,
        pa.ipc.new_file(str(beside), SCHEMA) as writer,
    ):
        for start in range(0, len(rows), BLOCK_ROWS):
            kept: list[int] = []
            encoded: list[bytes] = []
            for row in rows[start : start + BLOCK_ROWS].tolist():
                try:
                    encoded.append(_encoded(source.images, row, size))
                except InputError as error:
                    broken.append((source.images.ids[row], str(error)))
                else:
                    kept.append(row)
            ids = [source.images.ids[row] for row in kept]
            writer.write_batch(pa.record_batch([ids, source.labels[kept], encoded], schema=SCHEMA))
        with replacing(folder / f"shard-{number:05d}.broken.json") as list_beside:
            list_beside.write_text(json.dumps(broken))


def _encoded(images: Images, row: int, size: int) -> bytes:
    pixels = images.read(row, size)
    if pixels.shape[:2] != (size, size):
        pixels = _resized(pixels, size)
    encoded: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels), _QUALITY, colorsubsampling="420"
    )
    return encoded


def _resized(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """(H, W, 3) to (size, size, 3) by bicubic interpolation, in a fifth of Pillow's time."""
    # Channels last, as torch counts strides, is what it resizes fastest.
    batch = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)
    resized = F.interpolate(batch, (size, size), mode="bicubic", antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


def _finish(
    folder: Path,
    manifest: dict[str, Any],
    source: TrainSet,
    on_bad_image: Literal["stop", "skip"],
) -> None:
    lists = [folder / f"shard-{number:05d}.broken.json" for number in range(manifest["shards"])]
    broken = [entry for path in lists for entry in json.loads(path.read_text())]
    with replacing(folder / "broken.csv") as beside, beside.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "reason"), *sorted(broken)])
    images = len(source.images.ids) - len(broken)
    # Shards are for an interrupted run to go on with; who packs again means to see new images.
    (folder / "plan.json").unlink()
    if broken and (on_bad_image == "stop" or not images):
        raise InputError(
            f"{folder}/broken.csv: lists {len(broken)} of {len(source.images.ids)} images that"
            " cannot be decoded; repair them, or set training.on_bad_image to skip"
        )
    if broken:
        _log.warning("left out %d images, listed in %s/broken.csv", len(broken), folder)
    manifest |= {"images": images, "broken": len(broken), "classes": list(source.classes)}
    with replacing(folder / "manifest.json") as beside:
        beside.write_text(json.dumps(manifest) + "\n")


def _digest(source: TrainSet, order: NDArray[np.int64]) -> str:
    """Of the ids and labels, as they are packed."""
    digest = hashlib.sha256("\n".join(source.images.ids[row] for row in order.tolist()).encode())
    digest.update(source.labels[order].tobytes())
    return digest.hexdigest()
