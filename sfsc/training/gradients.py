"""The sub-models' gradients as the rows of one matrix J."""

import warnings
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from sfsc.training.processes import Processes

# torch would have the gradient of a view lie densely; here it is a view itself.
warnings.filterwarnings("ignore", "grad and param do not obey the gradient layout contract")

Scope = Literal["network", "layer", "kernel", "intersection"]
"""What one Gram matrix is of: all shared weights, those of one tensor, those of one output of a
tensor (a filter, a prototype), or those that the same members have (the j-th part: the weights of
member j that no narrower one has)."""


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

        `scope` chooses the parts of the weights that have one Gram matrix each.
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
        self._layers = [slice(*span) for span in zip([0, *ends[:-1]], ends, strict=True)]
        self._scope = scope
        self._parts: Sequence[slice | Tensor]
        match scope:
            case "network":
                self._parts = [slice(0, ends[-1])]
            case "layer":
                self._parts = self._layers
            case "kernel":
                # Outputs are outermost in memory, channels last or not: equal stretches.
                self._outputs = [len(p) if p.ndim > 1 else 1 for p in shared]
                self._parts = []
            case "intersection":
                self._parts = self._shells()
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

    def grams(self) -> tuple[Tensor, Tensor]:
        """G = J J^T of each part of the scope (L, m, m), and of each weight tensor; float64.

        Waits for all sums.
        """
        self._waits.append(self._processes.start_sum(self._private))
        for wait in self._waits:
            wait()
        self._waits.clear()
        layers = self._gram(self._layers)
        match self._scope:
            case "network":
                return layers.sum(dim=0, keepdim=True), layers
            case "layer":
                return layers, layers
            case "kernel":
                return self._kernel_grams(), layers
            case "intersection":
                return self._gram(self._parts), layers

    def combine(self, weights: Tensor) -> None:
        """Make weights (L, m) times J, part by part, the gradient that the optimiser sees."""
        if self._scope == "kernel":
            of_layers = weights.to(self._rows.dtype).split(self._outputs)
            for layer, outputs, some in zip(self._layers, self._outputs, of_layers, strict=True):
                rows = self._rows[:, layer].unflatten(1, (outputs, -1))
                self._update[layer] = torch.einsum("moi,om->oi", rows, some).flatten()
        else:
            for part, row in zip(self._parts, weights.to(self._rows.dtype), strict=True):
                if isinstance(part, slice):
                    torch.mv(self._rows[:, part].T, row, out=self._update[part])
                else:
                    self._update[part] = self._rows[:, part].T @ row
        _point(self._shared, self._update_views)

    def _gram(self, parts: Sequence[slice | Tensor]) -> Tensor:
        blocks = [self._rows[:, part] for part in parts]
        return torch.stack([block @ block.T for block in blocks]).double()

    def _kernel_grams(self) -> Tensor:
        found = []
        for part, outputs in zip(self._layers, self._outputs, strict=True):
            rows = self._rows[:, part].unflatten(1, (outputs, -1))
            found.append(torch.einsum("moi,noi->omn", rows, rows).double())
        return torch.cat(found)

    def _shells(self) -> list[Tensor]:
        """Places in a row, int64: for each sub-model, of the weights that no narrower one has."""
        narrowest = torch.zeros_like(self._update)
        for index in reversed(range(len(self._leaves))):
            for view in _views(narrowest, self._shared, self._leaves[index]):
                view.fill_(index)
        return [(narrowest == index).nonzero().squeeze(1) for index in range(len(self._leaves))]


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
