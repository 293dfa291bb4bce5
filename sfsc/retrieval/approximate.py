"""Approximate and compressed search by faiss, to measure what it costs in accuracy."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from sfsc.files import InputError
from sfsc.options import part
from sfsc.profile import EvalSetEntry
from sfsc.progress import progress
from sfsc.retrieval.embeddings import Embeddings, blocks
from sfsc.retrieval.places import Places, places_in_lists
from sfsc.retrieval.products import thread_count

_BLOCK_ROWS = 2**16
_TRAINING_ROWS = 2**18
_LIST_ENTRIES = 2**22


@dataclass(frozen=True)
class FaissIndex:
    """A kind of faiss index, searched by inner product."""

    factory: str
    """As of faiss.index_factory, such as "IVF4096,PQ64"."""
    parameters: str = ""
    """As of faiss.ParameterSpace, such as "nprobe=16"."""


def index_of(entry: Mapping[str, Any]) -> FaissIndex | None:
    """The index that an entry of the config's `eval_sets` is searched by; None: exactly."""
    search = part(EvalSetEntry, entry).search
    return FaissIndex(search.factory, search.parameters) if search.factory else None


def places_by_index(
    queries: NDArray[np.float32],
    gallery: Embeddings,
    tracked: Sequence[NDArray[np.int64]],
    k: int,
    kind: FaissIndex,
) -> Iterator[Places]:
    """For each query the places of its tracked gallery rows among the `k` best that it finds.

    `queries` is (Q, D), `gallery` (N, D). The index is trained on at most 262,144 gallery rows,
    evenly spaced. Raises InputError for what faiss refuses.
    """
    k = min(k, gallery.shape[0])
    faiss.omp_set_num_threads(thread_count())
    each = iter(tracked)
    count, dimension = gallery.shape
    with _refusals(kind, f"a gallery of {count} x {dimension}"):
        index = _build(kind, gallery)
        rows = max(1, _LIST_ENTRIES // k)
        for start in progress(range(0, len(queries), rows), "queries", "block"):
            lists = index.search(queries[start : start + rows], k)[1]
            yield from places_in_lists(lists, each)


def check(kind: FaissIndex, dimension: int) -> None:
    """Raise InputError for an index that faiss does not know, or not for that dimension."""
    with _refusals(kind, f"dimension {dimension}"):
        _set_parameters(kind, _empty(kind, dimension))


def _build(kind: FaissIndex, gallery: Embeddings) -> faiss.Index:
    count, dimension = gallery.shape
    index = _empty(kind, dimension)
    if not index.is_trained:
        step = -(-count // _TRAINING_ROWS)
        sample = [block[-start % step :: step] for start, block in blocks(gallery, _BLOCK_ROWS)]
        index.train(np.concatenate(sample))
    for _, block in blocks(gallery, _BLOCK_ROWS):
        index.add(np.ascontiguousarray(block))
    _set_parameters(kind, index)
    return index


def _empty(kind: FaissIndex, dimension: int) -> faiss.Index:
    return faiss.index_factory(dimension, kind.factory, faiss.METRIC_INNER_PRODUCT)


def _set_parameters(kind: FaissIndex, index: faiss.Index) -> None:
    if kind.parameters:
        # faiss's stub knows one of two overloads.
        faiss.ParameterSpace().set_index_parameters(index, kind.parameters)  # type: ignore[arg-type]


@contextmanager
def _refusals(kind: FaissIndex, what: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"search: faiss refuses factory {kind.factory!r} with parameters {kind.parameters!r}"
            f" for {what}: {reason}"
        ) from None
