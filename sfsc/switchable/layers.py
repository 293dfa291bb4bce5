"""Layers whose sub-models share the leading channels of one weight tensor.

Each layer is sized for its widest sub-model. `index` says which sub-model the next forward pass
computes; `extract(i)` gives a plain torch layer with a copy of sub-model i's own, smaller tensors.
Normalisation is private: every sub-model has its own affine parameters and running statistics
(Yu et al., Slimmable Neural Networks, ICLR 2019).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SlicedConv2d(nn.Conv2d):
    """Sub-model i convolves with weight[:out_counts[i], :in_counts[i]] (ungrouped)."""

    def __init__(self, conv: nn.Conv2d, in_counts: Sequence[int], out_counts: Sequence[int]):
        """`conv` gives geometry and initial weights; its leading channels are copied."""
        super().__init__(
            max(in_counts),
            max(out_counts),
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            bias=conv.bias is not None,
            padding_mode=conv.padding_mode,
        )
        self.in_counts, self.out_counts, self.index = tuple(in_counts), tuple(out_counts), 0
        _copy_leading(conv, self)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.out_counts[self.index], self.in_counts[self.index]
        bias = None if self.bias is None else self.bias[:rows]
        result: Tensor = self._conv_forward(x, _leading(self.weight, rows, columns), bias)
        return result

    def extract(self, index: int) -> nn.Conv2d:
        plain = nn.Conv2d(
            self.in_counts[index],
            self.out_counts[index],
            self.kernel_size,  # type: ignore[arg-type]
            self.stride,  # type: ignore[arg-type]
            self.padding,  # type: ignore[arg-type]
            self.dilation,  # type: ignore[arg-type]
            bias=self.bias is not None,
            padding_mode=self.padding_mode,
        )
        _copy_leading(self, plain)
        return plain


class SlicedLinear(nn.Linear):
    """Sub-model i multiplies by weight[:out_counts[i], :in_counts[i]]."""

    def __init__(self, linear: nn.Linear, in_counts: Sequence[int], out_counts: Sequence[int]):
        """`linear` gives the initial weights; its leading channels are copied."""
        super().__init__(max(in_counts), max(out_counts), bias=linear.bias is not None)
        self.in_counts, self.out_counts, self.index = tuple(in_counts), tuple(out_counts), 0
        _copy_leading(linear, self)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.out_counts[self.index], self.in_counts[self.index]
        bias = None if self.bias is None else self.bias[:rows]
        return F.linear(x, _leading(self.weight, rows, columns), bias)

    def extract(self, index: int) -> nn.Linear:
        plain = nn.Linear(self.in_counts[index], self.out_counts[index], bias=self.bias is not None)
        _copy_leading(self, plain)
        return plain


class SwitchableBatchNorm2d(nn.Module):
    """One batch normalisation for each sub-model."""

    def __init__(self, norm: nn.BatchNorm2d, counts: Sequence[int]):
        """`norm` gives the hyperparameters and the initial leading values."""
        super().__init__()
        self.norms = nn.ModuleList(_batch_norm(norm, count) for count in counts)
        self.index = 0

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.norms[self.index](x)
        return result

    def extract(self, index: int) -> nn.BatchNorm2d:
        norm = self.norms[index]
        assert isinstance(norm, nn.BatchNorm2d)
        return _batch_norm(norm, norm.num_features)


def _leading(weight: Tensor, rows: int, columns: int) -> Tensor:
    # A slice, even of everything, makes backward passes copy the gradient into zeros.
    return weight if weight.shape[:2] == (rows, columns) else weight[:rows, :columns]


def _batch_norm(norm: nn.BatchNorm2d, count: int) -> nn.BatchNorm2d:
    plain = nn.BatchNorm2d(count, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    _copy_leading(norm, plain)
    return plain


@torch.no_grad()
def _copy_leading(source: nn.Module, target: nn.Module) -> None:
    """Fill each tensor of `target` from the leading corner of the same tensor of `source`."""
    tensors = source.state_dict()
    for name, tensor in target.state_dict().items():
        tensor.copy_(tensors[name][tuple(slice(size) for size in tensor.shape)])
