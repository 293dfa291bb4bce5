"""Exact search: the k best gallery rows of every query, in one pass over the gallery."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sfsc.retrieval.embeddings import Embeddings
from sfsc.retrieval.products import products
from sfsc.retrieval.scores import error_bound, exact_scores

_BLOCK_ROWS = 2048
_GROUP = 64


def top_k(
    queries: NDArray[np.float32], gallery: Embeddings, k: int, block_rows: int = _BLOCK_ROWS
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The `k` best gallery rows of each query and their scores: int64 and float32, (Q, min(k, N)).

    Rows are by decreasing score, ties in gallery order; `queries` is (Q, D), `gallery` (N, D),
    both of unit vectors, and neither is empty. The result does not depend on `block_rows`, the
    machine or its threads: float32 products choose the candidates, with room for their error, and
    exact scores decide.
    """
    k = min(k, gallery.shape[0])
    block_rows = max(block_rows, k)
    candidates = _Candidates(queries, gallery, k, block_rows)
    for rows, start, scores in products(queries, gallery, block_rows):
        candidates.offer(rows, start, scores)
    return candidates.best()


class _Candidates:
    """For each query, the gallery rows seen so far that may be among its k best."""

    def __init__(
        self, queries: NDArray[np.float32], gallery: Embeddings, k: int, block_rows: int
    ) -> None:
        self._queries, self._gallery, self._k = queries, gallery, k
        # A row this much below the k-th best product cannot have the k-th best score.
        self._margin = 2 * error_bound(queries.shape[1])
        room = (len(queries), 2 * k + block_rows)
        self._values = torch.full(room, -torch.inf)
        self._rows = torch.zeros(room, dtype=torch.int64)
        self._counts = torch.zeros(len(queries), dtype=torch.int64)
        self._floor = torch.full((len(queries),), -torch.inf)
        self._tidy_at = 2 * block_rows

    def offer(self, rows: slice, start: int, products: Tensor) -> None:
        """Keep what may count of `products`, (query rows, gallery rows from `start`)."""
        if start == 0:
            best = products.topk(self._k).values[:, -1].cpu()
            self._floor[rows] = best - self._margin
        elif start >= self._tidy_at:
            self._tidy()
            self._tidy_at = 2 * start
        query, column, value = _above(products, self._floor[rows].to(products.device))
        new = torch.bincount(query, minlength=len(products))
        if (self._counts[rows] + new).max() > self._values.shape[1]:
            self._tidy()
        # `query` ascends: the place of an entry among its query's is its distance to the first.
        places = torch.arange(len(query)) - (new.cumsum(0) - new)[query]
        places += self._counts[rows][query]
        self._values[rows][query, places] = value
        self._rows[rows][query, places] = start + column
        self._counts[rows] += new

    def best(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        self._tidy()
        everyone = torch.arange(len(self._queries))
        self._settle(everyone)
        return self._rows[:, : self._k].numpy(), self._values[:, : self._k].numpy()

    def _tidy(self) -> None:
        """Raise the floors and drop what is below them."""
        width = int(self._counts.max())
        values, rows = self._values[:, :width], self._rows[:, :width]
        best = values.topk(self._k).values[:, -1]
        self._floor = torch.maximum(self._floor, best - self._margin)
        keep = values >= self._floor[:, None]
        self._counts = keep.sum(1)
        query, old = keep.nonzero(as_tuple=True)
        new = (keep.cumsum(1) - 1)[query, old]
        kept_values, kept_rows = values[query, old], rows[query, old]
        values.fill_(-torch.inf)
        values[query, new], rows[query, new] = kept_values, kept_rows
        # So many near ties, copies of one image say, that only exact scores can thin them.
        crowded = (self._counts > 2 * self._k).nonzero()[:, 0]
        if len(crowded):
            self._settle(crowded)

    def _settle(self, chosen: Tensor) -> None:
        """Leave the chosen queries their k best candidates by exact score, in order."""
        counts = self._counts[chosen]
        width = int(counts.max())
        filled = torch.arange(width) < counts[:, None]
        query, place = filled.nonzero(as_tuple=True)
        rows = self._rows[chosen[query], place]
        scores = torch.full(filled.shape, -torch.inf)
        scores[filled] = torch.from_numpy(
            exact_scores(self._queries, self._gallery, chosen[query].numpy(), rows.numpy())
        )
        # A query's candidates with equal scores are in gallery order, and a stable sort leaves
        # them so.
        best, order = scores.sort(dim=1, descending=True, stable=True)
        order = order[:, : self._k]
        self._rows[chosen, : self._k] = self._rows[chosen].gather(1, order)
        self._values[chosen] = -torch.inf
        self._values[chosen, : self._k] = best[:, : self._k]
        self._counts[chosen] = self._k
        # A later row would have to have a higher score than the k-th, not only a near one.
        floor = best[:, self._k - 1] - self._margin / 2
        self._floor[chosen] = torch.maximum(self._floor[chosen], floor)


def _above(products: Tensor, floor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The entries of `products` at or above their row's floor: row, column, value, on the CPU."""
    if products.shape[1] % _GROUP:
        row, column = (products >= floor[:, None]).nonzero(as_tuple=True)
    else:
        # Few groups have such an entry, and their maxima take one pass over the products.
        groups = products.view(len(products), -1, _GROUP)
        row, group = (groups.amax(2) >= floor[:, None]).nonzero(as_tuple=True)
        entry, lane = (groups[row, group] >= floor[row, None]).nonzero(as_tuple=True)
        row, column = row[entry], group[entry] * _GROUP + lane
    return row.cpu(), column.cpu(), products[row, column].cpu()
