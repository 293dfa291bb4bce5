"""Strided 1 x 1 convolutions: the same results, with or without looking at the pixels first."""

import copy

import pytest
import torch
from torch import nn

from sfsc.switchable.cut import StridedPointwise, guard_strided_pointwise


def gradients(layer, x):
    """Of the input and of the weights, float64."""
    x = x.detach().clone().requires_grad_()
    layer(x).square().sum().backward()
    return x.grad.double(), layer.weight.grad.double()


@pytest.mark.parametrize("channels", [3, 4, 7, 8])
def test_it_computes_what_the_convolution_does(channels):
    torch.manual_seed(channels)
    plain = nn.Conv2d(channels, 8, 1, stride=2, bias=False)
    model = nn.Sequential(copy.deepcopy(plain))
    guard_strided_pointwise(model)
    assert isinstance(model[0], StridedPointwise)
    assert model.state_dict().keys() == {"0.weight"}
    x = torch.randn(4, channels, 7, 7)
    ours = gradients(model[0], x.to(memory_format=torch.channels_last))
    expected = gradients(plain.double(), x.double())
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_other_convolutions_stay():
    layers = nn.Sequential(
        nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, stride=2), nn.Conv2d(4, 4, 1, stride=2, groups=4)
    )
    guard_strided_pointwise(layers)
    assert {type(layer) for layer in layers} == {nn.Conv2d}
