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


def parts_of(shared, leaves, scope):
    """For each part of the scope a mask of each shared parameter, entry by entry."""
    if scope == "network":
        return [[torch.ones_like(p, dtype=torch.bool) for p in shared]]
    if scope == "layer":
        return [
            [torch.full_like(p, k == n, dtype=torch.bool) for n, p in enumerate(shared)]
            for k in range(len(shared))
        ]
    if scope == "kernel":
        parts = []
        for n, parameter in enumerate(shared):
            for output in range(len(parameter)):
                masks = [torch.zeros_like(p, dtype=torch.bool) for p in shared]
                masks[n][output] = True
                parts.append(masks)
        return parts
    parts = []
    seen = [torch.zeros_like(p, dtype=torch.bool) for p in shared]
    for index in range(len(WIDTHS)):
        has = [torch.zeros_like(mask) for mask in seen]
        for mask, leaf in zip(has, leaves[index], strict=True):
            mask[tuple(map(slice, leaf.shape))] = True
        parts.append([own & ~earlier for own, earlier in zip(has, seen, strict=True)])
        seen = [own | earlier for own, earlier in zip(has, seen, strict=True)]
    return parts


@pytest.mark.parametrize("scope", ["network", "layer", "kernel", "intersection"])
def test_grams_and_combination(network, scope):
    images = torch.randn(4, 3, 16, 16)
    rows = separate_gradients(network, images)
    shared = list(network.shared_parameters())
    shared_ids = {id(parameter) for parameter in shared}
    private = [p for p in network.parameters() if id(p) not in shared_ids]
    leaves = [network.leaves(index) for index in range(len(WIDTHS))]
    gradients = Gradients(shared, leaves, private, scope, Processes())
    parts = parts_of(shared, leaves, scope)
    for _ in range(2):  # the second time over what the first left behind
        gradients.clear()
        for index in range(len(WIDTHS)):
            gradients.select(index)
            network(images, index).square().sum().backward()
            gradients.reduce(index)
        gram, of_layers = gradients.grams()
        weights = torch.rand(gram.shape[:2], dtype=torch.float64)
        gradients.combine(weights)

        layers = [torch.stack([row[k].flatten() for row in rows]) for k in range(len(shared))]
        expected = torch.stack([J @ J.T for J in layers]).double()
        torch.testing.assert_close(of_layers, expected, rtol=1e-4, atol=1e-6)
        vectors = [
            torch.stack(
                [torch.cat([g[m] for g, m in zip(row, masks, strict=True)]) for row in rows]
            )
            for masks in parts
        ]
        expected = torch.stack([J @ J.T for J in vectors]).double()
        torch.testing.assert_close(gram, expected, rtol=1e-4, atol=1e-6)
        assert gram.dtype == of_layers.dtype == torch.float64
        for k, parameter in enumerate(shared):
            update = torch.zeros_like(parameter)
            for chosen, masks in zip(weights.float(), parts, strict=True):
                both = sum(w * row[k] for w, row in zip(chosen, rows, strict=True))
                update[masks[k]] = both[masks[k]]
            torch.testing.assert_close(parameter.grad, update, rtol=1e-4, atol=1e-5)
            assert parameter.grad.stride() == parameter.stride()
        alone = sum(network(images, index).square().sum() for index in range(len(WIDTHS)))
        for parameter, expected in zip(private, torch.autograd.grad(alone, private), strict=True):
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-5)
