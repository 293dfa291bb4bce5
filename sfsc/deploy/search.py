"""Search a folder of images: its gallery by one sub-model, the queries by another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from sfsc.data.sets import Images
from sfsc.embedding.embed import best_device, embed_images
from sfsc.files import InputError, replacing
from sfsc.report.style import RC
from sfsc.retrieval.search import top_k
from sfsc.switchable import submodel

_SHEET_QUERIES = 20
_DPI = 150
_THUMBNAIL = 256


@dataclass(frozen=True)
class Hits:
    """What a search found, best first."""

    queries: Images
    gallery: Images
    rows: NDArray[np.int64]
    """Of the gallery, (Q, k)."""
    scores: NDArray[np.float32]
    """Cosines, (Q, k)."""


def search(
    queries: Images, query_model: Path, gallery: Images, gallery_model: Path, k: int
) -> Hits:
    """The `k` gallery images most like each query, by sub-models of one family.

    Raises InputError for sub-models whose embeddings have different dimensions.
    """
    device = best_device()
    models = [submodel.load(path, device) for path in (query_model, gallery_model)]
    dimensions = [model.spec.embedding_dim for model in models]
    if dimensions[0] != dimensions[1]:
        raise InputError(
            f"{query_model}: its embeddings have {dimensions[0]} dimensions, those of"
            f" {gallery_model} {dimensions[1]}; choose sub-models of one family"
        )
    embedded = [
        embed_images(images, model, device)
        for images, model in zip((queries, gallery), models, strict=True)
    ]
    return Hits(queries, gallery, *top_k(embedded[0], embedded[1], k))


def draw_sheet(path: Path, hits: Hits, title: str) -> None:
    """Draw a contact sheet: a line for each of the first 20 queries, its hits next to it."""
    count, columns = min(len(hits.rows), _SHEET_QUERIES), hits.rows.shape[1] + 1
    with matplotlib.rc_context(RC | {"axes.titlesize": 7}):
        figure = Figure(figsize=(1.25 * columns, 1.45 * count + 0.5), layout="constrained")
        grid = figure.subplots(count, columns, squeeze=False)
        for query, line in enumerate(grid):
            _show(line[0], hits.queries, query, "query")
            found = zip(line[1:], hits.rows[query], hits.scores[query], strict=True)
            for axes, row, score in found:
                _show(axes, hits.gallery, int(row), f"{score:.3f}")
        figure.suptitle(title, parse_math=False)
        with replacing(path) as beside:
            figure.savefig(beside, dpi=_DPI)


def _show(axes: Axes, images: Images, row: int, title: str) -> None:
    image = Image.fromarray(images.read(row, _THUMBNAIL))
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    axes.imshow(image)
    # Names may hold dollar signs, which are no mathematics.
    axes.set_title(f"{title}\n{_short(images.ids, row)}", parse_math=False)
    axes.axis("off")


def _short(ids: Sequence[str], row: int, longest: int = 22) -> str:
    name = ids[row]
    return name if len(name) <= longest else f"…{name[1 - longest :]}"
