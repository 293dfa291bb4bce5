"""Embeddings that count for one pair of models alone: `<side>-for-<other model>.npy`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sfsc import layout
from sfsc.files import InputError, replacing
from sfsc.layout import SIDES
from sfsc.retrieval.embeddings import EmbeddingFile, Embeddings, blocks
from sfsc.switchable import maps, translation
from sfsc.switchable.translation import Translation

_ROWS = 2**14


def translate(folder: Path, model: Path) -> None:
    """Write the translated embeddings of `folder`, for each translation next to a sub-model file.

    Removes what an earlier run left and this model has no translation for.
    """
    for side in SIDES:
        start = f"{model.stem}.{side}-for-"
        wanted = {path.stem.removeprefix(start): path for path in model.parent.glob(f"{start}*")}
        for other, path in layout.translated(folder, side).items():
            if other not in wanted:
                path.unlink()
        for other, path in wanted.items():
            source = EmbeddingFile(folder / f"{side}.npy", None)
            _write(source, translation.load(path), folder / f"{side}-for-{other}.npy")


def adapt(source: Path, target: Path, kind: str, applied: Path, seed: int, out: Path) -> None:
    """Fit a map (procrustes, affine or mlp) from `source` to `target` and write `applied` by it.

    All are .npy files of unit embeddings; the first two of the same images. Raises InputError for
    files that do not fit.
    """
    from_, to = EmbeddingFile(source, None), EmbeddingFile(target, None)
    moved = EmbeddingFile(applied, None)
    if from_.shape[0] != to.shape[0]:
        raise InputError(
            f"{target}: has {to.shape[0]} rows but {source} has {from_.shape[0]}; embed the same"
            " images with both models"
        )
    if moved.shape[1] != from_.shape[1]:
        raise InputError(
            f"{applied}: has dimension {moved.shape[1]} but {source} has {from_.shape[1]}; both are"
            " to be of one model"
        )
    fit: dict[str, Callable[[Tensor, Tensor], Translation]] = {
        "procrustes": maps.rotation,
        "affine": partial(maps.affine, ridge=1e-3),
        "mlp": partial(maps.residual, seed=seed),
    }
    pairs = [torch.from_numpy(np.array(file[:])) for file in (from_, to)]
    _write(moved, fit[kind](*pairs).eval(), out)


def _write(source: Embeddings, network: Translation, out: Path) -> None:
    with replacing(out) as beside:
        shape = (source.shape[0], network.dim)
        target = np.lib.format.open_memmap(beside, "w+", np.float32, shape)
        for first, rows in blocks(source, _ROWS):
            with torch.inference_mode():
                target[first : first + len(rows)] = network(torch.from_numpy(rows)).numpy()
        target.flush()
