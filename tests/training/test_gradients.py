"""The rows of J against gradients computed one by one, and the combined update."""

import pytest
import torch

from sfsc.switchable.backbone import NetworkSpec
from sfsc.switchable.network import build
from sfsc.training.gradients import Gradients
from sfsc.training.processes import Processes

WIDTHS = (0.5, 0.75, 1.0)


@pytest.fixture
def network():
    spec = NetworkSpec("resnet18", 8, 8, 1, {"layers": [1, 1, 1, 1]})
    return build(spec, WIDTHS, seed=0).to(memory_format=torch.channels_last)


def separate_gradients(network, images):
    """Row i: the gradient of sub-model i alone, flattened parameter by parameter."""
    rows = []
    for index in range(len(WIDTHS)):
        loss = network(images, index).square().sum()
        row = [torch.zeros_like(parameter) for parameter in network.shared_parameters()]
        for whole, gradient in zip(
            row, torch.autograd.grad(loss, network.leaves(index)), strict=True
        ):
            whole[tuple(map(slice, gradient.shape))] = gradient
        rows.append(row)
    return rows


@pytest.mark.parametrize("scope", ["network", "layer"])
def test_gram_and_combination(network, scope):
    images = torch.randn(4, 3, 16, 16)
    rows = separate_gradients(network, images)
    shared = list(network.shared_parameters())
    shared_ids = {id(parameter) for parameter in shared}
    private = [p for p in network.parameters() if id(p) not in shared_ids]
    leaves = [network.leaves(index) for index in range(len(WIDTHS))]
    gradients = Gradients(shared, leaves, private, scope, Processes())
    for _ in range(2):  # the second time over what the first left behind
        gradients.clear()
        for index in range(len(WIDTHS)):
            gradients.select(index)
            network(images, index).square().sum().backward()
            gradients.reduce(index)
        gram = gradients.gram()
        weights = torch.rand(gram.shape[:2], dtype=torch.float64)
        gradients.combine(weights)

        layers = [torch.stack([row[k].flatten() for row in rows]) for k in range(len(shared))]
        grams = torch.stack([J @ J.T for J in layers]).double()
        expected = grams if scope == "layer" else grams.sum(0, keepdim=True)
        torch.testing.assert_close(gram, expected, rtol=1e-4, atol=1e-6)
        for k, parameter in enumerate(shared):
            chosen = weights[k if scope == "layer" else 0].float()
            update = sum(w * row[k] for w, row in zip(chosen, rows, strict=True))
            torch.testing.assert_close(parameter.grad, update, rtol=1e-4, atol=1e-5)
            assert parameter.grad.stride() == parameter.stride()
        alone = sum(network(images, index).square().sum() for index in range(len(WIDTHS)))
        for parameter, expected in zip(private, torch.autograd.grad(alone, private), strict=True):
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-5)
