"""The score of a query and a gallery row: exact, so that nothing but the data decides a ranking."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from sfsc.retrieval.embeddings import Embeddings
from sfsc.retrieval.kernels import FIXED_POINT, score_pairs
from sfsc.retrieval.products import thread_count

_GALLERY_ROWS = 2**16
_PAIRS_OF_A_TASK = 2**14


def fixed_point(embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """Embeddings as integers, whose inner products float64 computes without rounding.

    A float32 matrix product gives equal gallery rows unequal scores, as its kernels sum in
    different orders. Integers of unit vectors scaled by 2**26 have sums of products below 2**53.
    """
    scaled = embeddings * np.float64(FIXED_POINT)
    return np.rint(scaled, out=scaled)


def rounded(products: NDArray[np.float64]) -> NDArray[np.float32]:
    """The scores that products of fixed-point embeddings stand for."""
    return (products / FIXED_POINT**2).astype(np.float32)


def ranking_keys(scores: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Integers that ascend along a ranking: by decreasing score, ties by increasing row.

    `scores` and `rows` broadcast; rows, below 2**32, are the keys' low bits.
    """
    # IEEE 754: the bits of positive floats sort as the floats do, those of negative ones in
    # reverse. Adding zero turns -0.0 into 0.0.
    bits = (scores + np.float32(0)).view(np.int32)
    descending = (bits ^ (~(bits >> 31) & 0x7FFFFFFF)).view(np.uint32)
    return (descending.astype(np.uint64) << np.uint64(32)) | rows.astype(np.uint64)


def exact_scores(
    queries: NDArray[np.float32],
    gallery: Embeddings,
    query_rows: NDArray[np.int64],
    gallery_rows: NDArray[np.int64],
) -> NDArray[np.float32]:
    """The scores of pairs of rows of `queries` (Q, D) and `gallery` (N, D): (pairs,) float32.

    A score is the inner product of both rows in fixed point, rounded once, to float32.
    """
    scores = np.empty(len(query_rows), np.float32)
    left = fixed_point(queries)
    # Pairs of one gallery block together, and in it those of one query, if they came together.
    numbers = gallery_rows // _GALLERY_ROWS
    order = np.argsort(numbers, kind="stable")
    firsts = np.searchsorted(numbers[order], range(gallery.shape[0] // _GALLERY_ROWS + 2))

    def work(task: tuple[int, int]) -> None:
        number, begin = task
        start, end = number * _GALLERY_ROWS, min(begin + _PAIRS_OF_A_TASK, firsts[number + 1])
        block = np.asarray(gallery[start : start + _GALLERY_ROWS])
        score_pairs(left, block, start, query_rows, gallery_rows, order[begin:end], scores)

    tasks = [
        (number, begin)
        for number in range(len(firsts) - 1)
        for begin in range(firsts[number], firsts[number + 1], _PAIRS_OF_A_TASK)
    ]
    with ThreadPoolExecutor(thread_count()) as pool:
        list(pool.map(work, tasks))
    return scores


def error_bound(dimension: int) -> float:
    """How far a float32 product of unit vectors, summed in any order, can be from the score.

    Higham, Accuracy and Stability of Numerical Algorithms, section 3.1: n u / (1 - n u) times the
    inner product of the absolute values, at most 1 (norms are within 1e-3 of 1); to it come the
    roundings to fixed point and of the score.
    """
    unit = 2.0**-24
    norms = (1 + 1e-3) ** 2
    product = dimension * unit / (1 - dimension * unit) * norms
    return product + math.sqrt(dimension) / FIXED_POINT * norms + unit * norms
