"""Float32 products of all queries with a gallery, block by block: fast, and near the scores.

The products only say which gallery rows need an exact score (sfsc.retrieval.scores).
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import repeat
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from sfsc.progress import progress
from sfsc.retrieval.embeddings import Embeddings, blocks

_QUERY_ROWS = 1024


class Block(NamedTuple):
    """The products of some queries with consecutive gallery rows."""

    queries: slice
    start: int
    """The first gallery row."""
    products: Tensor
    """Float32, (query rows, gallery rows); on the GPU where there is one."""
    gallery: NDArray[np.float32]
    """The embeddings of the gallery rows, (gallery rows, D)."""


def for_each_block(
    queries: NDArray[np.float32],
    gallery: Embeddings,
    block_rows: int,
    use: Callable[[Block], None],
) -> None:
    """One pass over the gallery: call `use` with each block of products, which end with the call.

    Products are within `sfsc.retrieval.scores.error_bound` of the scores. Calls for different
    queries come from as many threads as torch uses; those for the same queries are one after
    another, in gallery order.
    """
    count, dimension = gallery.shape
    on_gpu = torch.cuda.is_available()
    threads = 1 if on_gpu else torch.get_num_threads()
    size = min(_QUERY_ROWS, -(-len(queries) // threads))
    parts = [slice(first, first + size) for first in range(0, len(queries), size)]
    left = torch.from_numpy(queries)
    left = left.cuda() if on_gpu else left
    room = (size, min(block_rows, count))
    own = threading.local()

    def work(part: slice, start: int, block: NDArray[np.float32], right: Tensor) -> None:
        if not hasattr(own, "room"):
            own.room = torch.empty(room[0] * room[1], device=left.device)
        some = left[part]
        products = own.room[: len(some) * len(block)].view(len(some), len(block))
        multiply(some, right, products)
        use(Block(part, start, products, block))

    with _full_precision(), one_thread_each(), ThreadPoolExecutor(threads) as pool:
        multiply = _by_torch if on_gpu else _fastest(dimension)
        every = range(0, count, block_rows)
        for start, block in progress(blocks(gallery, block_rows), "gallery", "block", len(every)):
            right = torch.from_numpy(np.asarray(block)).to(left.device).T
            list(pool.map(work, parts, repeat(start), repeat(block), repeat(right)))


def above(
    products: Tensor, floors: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The entries of `products` at or above their row's floor: row, column, value."""
    floor = Tensor(floors).to(products.device)
    row, column = (products >= floor[:, None]).nonzero(as_tuple=True)
    value = products[row, column]
    return row.cpu().numpy(), column.cpu().numpy(), value.cpu().numpy()


def thread_count() -> int:
    """How many threads torch uses: those of a job."""
    return torch.get_num_threads()


def _by_torch(left: Tensor, right: Tensor, out: Tensor) -> None:
    torch.mm(left, right, out=out)


def _by_numpy(left: Tensor, right: Tensor, out: Tensor) -> None:
    np.matmul(left.numpy(), right.numpy(), out=out.numpy())


@cache
def _fastest(dimension: int) -> Callable[[Tensor, Tensor, Tensor], None]:
    """The faster of both on this processor: each brings a library, made for another vendor's."""
    left, right = torch.ones(256, dimension), torch.ones(2048, dimension).T
    out = torch.empty(256, 2048)

    def seconds(multiply: Callable[[Tensor, Tensor, Tensor], None]) -> float:
        start = time.perf_counter()
        multiply(left, right, out)
        return time.perf_counter() - start

    return min((_by_torch, _by_numpy), key=lambda one: min(seconds(one) for _ in range(5)))


@contextmanager
def one_thread_each() -> Iterator[None]:
    """One thread for a product: the threads of several would wait for each other."""
    earlier = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, "blas"):
            yield
    finally:
        torch.set_num_threads(earlier)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Whatever the caller or the environment allows, no TF32 or bfloat16 inside the products."""
    earlier = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(earlier)
