"""Embeddings that count for one pair of models alone: `<side>-for-<other model>.npy`."""

from pathlib import Path

import numpy as np
import torch

from sfsc import layout
from sfsc.files import replacing
from sfsc.retrieval.embeddings import EmbeddingFile, blocks
from sfsc.switchable import translation
from sfsc.switchable.translation import SIDES

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
            network = translation.load(path)
            source = EmbeddingFile(folder / f"{side}.npy", None)
            with replacing(folder / f"{side}-for-{other}.npy") as beside:
                target = np.lib.format.open_memmap(
                    beside, "w+", np.float32, (source.shape[0], network.dim)
                )
                for first, rows in blocks(source, _ROWS):
                    with torch.inference_mode():
                        target[first : first + len(rows)] = network(torch.from_numpy(rows)).numpy()
                target.flush()
