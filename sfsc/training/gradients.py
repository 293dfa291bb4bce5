"""The sub-models' gradients as the rows of one matrix J."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Scope = Literal["network", "layer"]


class SharedGradients:
    """The gradients of m sub-models over the shared parameters, in one preallocated buffer.

    Backward passes write straight into it: before that of sub-model i, `select(i)` makes each
    parameter's `.grad` a view of row i. Where a narrower sub-model has no weight its row is zero.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], sub_models: int, scope: Scope):
        """`scope` chooses one Gram matrix for the network, or one for each weight tensor."""
        self._parameters = parameters
        sizes = [parameter.numel() for parameter in parameters]
        ends = torch.tensor(sizes).cumsum(0).tolist()
        like = parameters[0]
        self._rows = torch.zeros(sub_models, ends[-1], dtype=like.dtype, device=like.device)
        self._update = torch.empty_like(self._rows[0])
        self._row_views = [self._views(row) for row in self._rows]
        self._update_views = self._views(self._update)
        starts = [0, *ends[:-1]]
        spans = [(0, ends[-1])] if scope == "network" else list(zip(starts, ends, strict=True))
        self._spans = [slice(start, end) for start, end in spans]

    def _views(self, flat: Tensor) -> list[Tensor]:
        views, start = [], flat.storage_offset()
        for parameter in self._parameters:
            # The parameter's own strides (channels last), so that the optimiser's kernels match.
            views.append(flat.as_strided(parameter.size(), parameter.stride(), start))
            start += parameter.numel()
        return views

    def clear(self) -> None:
        self._rows.zero_()

    def select(self, index: int) -> None:
        """Let the next backward pass add to row `index`."""
        self._point_to(self._row_views[index])

    def gram(self) -> Tensor:
        """G = J J^T for each span: (L, m, m), float64."""
        blocks = [self._rows[:, span] for span in self._spans]
        return torch.stack([block @ block.T for block in blocks]).double()

    def combine(self, weights: Tensor) -> None:
        """Make weights (L, m) times J, span by span, the gradient that the optimiser sees."""
        for span, row in zip(self._spans, weights.to(self._rows.dtype), strict=True):
            torch.mv(self._rows[:, span].T, row, out=self._update[span])
        self._point_to(self._update_views)

    def _point_to(self, views: list[Tensor]) -> None:
        for parameter, view in zip(self._parameters, views, strict=True):
            parameter.grad = view
