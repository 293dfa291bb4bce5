"""Synchronised batch normalisation against the plain one, in a group of one process."""

import copy

import pytest
import torch
import torch.distributed as dist
from timm.layers import BatchNormAct2d
from torch import nn

from sfsc.training.normalisation import synchronise


@pytest.fixture
def alone():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("kind", [nn.BatchNorm2d, BatchNormAct2d])
def test_it_computes_what_the_plain_one_does(kind):
    plain = nn.Sequential(kind(6)).double()
    with torch.no_grad():
        plain[0].weight.uniform_(0.5, 2)
        plain[0].bias.uniform_(-1, 1)
    whole = copy.deepcopy(plain)
    synchronise(whole)
    assert type(whole[0]) is not type(plain[0])
    for _ in range(2):
        images = torch.randn(4, 6, 5, 5, dtype=torch.float64, requires_grad=True)
        weights = torch.randn(4, 6, 5, 5, dtype=torch.float64)
        results = [network(images) for network in (plain, whole)]
        gradients = [torch.autograd.grad((r * weights).sum(), images)[0] for r in results]
        torch.testing.assert_close(results[1], results[0])
        torch.testing.assert_close(gradients[1], gradients[0])
    images = torch.randn(4, 6, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(whole.eval()(images), plain.eval()(images))
