"""Strided 1 x 1 convolutions: the same results, with or without looking at the pixels first."""

import pytest
import torch
from torch import nn

from sfsc.switchable.cut import StridedPointwise, guard_strided_pointwise


@pytest.mark.parametrize("channels", [3, 4, 7, 8])
def test_it_computes_what_the_convolution_does(channels):
    torch.manual_seed(channels)
    plain = nn.Conv2d(channels, 8, 1, stride=2, bias=False)
    x = torch.randn(4, channels, 7, 7).to(memory_format=torch.channels_last)
    guarded = nn.Sequential(plain)
    guard_strided_pointwise(guarded)
    assert isinstance(guarded[0], StridedPointwise)
    assert guarded.state_dict().keys() == {"0.weight"}
    results = []
    # Plain, in float64 and without channels last: the reference that no kernel of float32 spoils.
    for layer, dtype in ((guarded, torch.float32), (plain, torch.float64)):
        of_layer = x.to(dtype).requires_grad_()
        if dtype == torch.float64:
            layer = nn.Conv2d(channels, 8, 1, stride=2, bias=False, dtype=dtype)
            layer.load_state_dict(plain.state_dict())
            of_layer = x.to(dtype).contiguous().requires_grad_()
        layer(of_layer).square().sum().backward()
        weight = next(layer.parameters()).grad
        results.append((of_layer.grad.double(), weight.double()))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_other_convolutions_stay():
    layers = nn.Sequential(
        nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, stride=2), nn.Conv2d(4, 4, 1, stride=2, groups=4)
    )
    guard_strided_pointwise(layers)
    assert {type(layer) for layer in layers} == {nn.Conv2d}
