"""The sub-models' gradients as the rows of one matrix J."""

import warnings
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from sfsc.training.processes import Processes

# torch would have the gradient of a view lie densely; here it is a view itself.
warnings.filterwarnings("ignore", "grad and param do not obey the gradient layout contract")

Scope = Literal["network", "layer"]


class Gradients:
    """The gradients of m sub-models over the shared parameters, in one preallocated buffer.

    Backward passes write straight into it: before that of sub-model i, `select(i)` makes the
    `.grad` of each of its leaves, which are views of the shared parameters, the same view of row i.
    Where a narrower sub-model has no weight its row is zero. Private parameters add to a row of
    their own. With several processes, rows are summed over them, each while the next backward pass
    runs.
    """

    def __init__(
        self,
        shared: Sequence[nn.Parameter],
        leaves: Sequence[Sequence[nn.Parameter]],
        private: Sequence[nn.Parameter],
        scope: Scope,
        processes: Processes,
    ):
        """`leaves[i]` are those of sub-model i, in the order of `shared`.

        `scope` chooses one Gram matrix for the network, or one for each weight tensor.
        """
        self._shared, self._leaves, self._processes = shared, leaves, processes
        self._rows = _zeros(len(leaves), shared, shared[0])
        self._update = torch.empty_like(self._rows[0])
        self._row_views = [
            _views(row, shared, own) for row, own in zip(self._rows, leaves, strict=True)
        ]
        self._update_views = _views(self._update, shared, shared)
        self._private = _zeros(1, private, shared[0])[0]
        _point(private, _views(self._private, private, private))
        ends = torch.tensor([parameter.numel() for parameter in shared]).cumsum(0).tolist()
        starts = [0, *ends[:-1]]
        spans = [(0, ends[-1])] if scope == "network" else list(zip(starts, ends, strict=True))
        self._spans = [slice(start, end) for start, end in spans]
        self._waits: list[Callable[[], object]] = []

    def clear(self) -> None:
        self._rows.zero_()
        self._private.zero_()

    def select(self, index: int) -> None:
        """Let the next backward pass add to row `index`."""
        _point(self._leaves[index], self._row_views[index])

    def reduce(self, index: int) -> None:
        """Row `index` is complete in this process: start to sum it over the processes."""
        self._waits.append(self._processes.start_sum(self._rows[index]))

    def gram(self) -> Tensor:
        """G = J J^T for each span: (L, m, m), float64. Waits for all sums."""
        self._waits.append(self._processes.start_sum(self._private))
        for wait in self._waits:
            wait()
        self._waits.clear()
        blocks = [self._rows[:, span] for span in self._spans]
        return torch.stack([block @ block.T for block in blocks]).double()

    def combine(self, weights: Tensor) -> None:
        """Make weights (L, m) times J, span by span, the gradient that the optimiser sees."""
        for span, row in zip(self._spans, weights.to(self._rows.dtype), strict=True):
            torch.mv(self._rows[:, span].T, row, out=self._update[span])
        _point(self._shared, self._update_views)


def _zeros(rows: int, parameters: Sequence[nn.Parameter], like: Tensor) -> Tensor:
    columns = sum(parameter.numel() for parameter in parameters)
    return torch.zeros(rows, columns, dtype=like.dtype, device=like.device)


def _views(
    flat: Tensor, parameters: Sequence[nn.Parameter], leaves: Sequence[nn.Parameter]
) -> list[Tensor]:
    """With `flat` as memory of the parameters, one after the other: the same view as each leaf."""
    views, start = [], flat.storage_offset()
    for parameter, leaf in zip(parameters, leaves, strict=True):
        offset = leaf.storage_offset() - parameter.storage_offset()
        # Its own strides (channels last), so that the optimiser's kernels match.
        views.append(flat.as_strided(leaf.size(), leaf.stride(), start + offset))
        start += parameter.numel()
    return views


def _point(parameters: Sequence[nn.Parameter], views: Sequence[Tensor]) -> None:
    for parameter, view in zip(parameters, views, strict=True):
        parameter.grad = view
