"""Pooling, and the normalisation of the embedding, against their definitions."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from sfsc.files import InputError
from sfsc.switchable.backbone import NetworkSpec
from sfsc.switchable.network import build
from sfsc.switchable.pooling import GeM

SPEC = NetworkSpec("resnet18", 6, 8, 2, {"layers": [1, 1, 1, 1]}, image_size=32)


def test_gem_is_the_generalised_mean_between_the_average_and_the_maximum():
    features = torch.rand(2, 3, 4, 5, dtype=torch.float32)
    average = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    expected = [
        [(sum(float(v) ** 3 for v in c.flatten()) / 20) ** (1 / 3) for c in image]
        for image in features
    ]
    torch.testing.assert_close(GeM(average)(features), torch.tensor(expected))
    torch.testing.assert_close(GeM(average, 1.0)(features), features.mean((2, 3)))
    largest = features.amax((2, 3))
    far = [(GeM(average, power)(features) - largest).abs().max() for power in (3.0, 20.0, 80.0)]
    assert far[0] > far[1] > far[2]
    assert far[2] < 0.05
    assert GeM(average)(-features).isfinite().all()


@pytest.mark.parametrize("name", ["resnet18", "test_convnext", "test_efficientnet"])
@pytest.mark.parametrize("pooling", ["avg", "gem", "max"])
def test_a_backbone_pools_as_asked(name, pooling):
    """A pooling that sees a map of one value answers with it; of all others they differ."""
    args = {"layers": [1, 1, 1, 1]} if name == "resnet18" else {}
    spec = NetworkSpec(name, 6, args=args, image_size=64)
    usual = build(spec, [1.0], seed=0).network.backbone.eval()
    model = build(replace(spec, pooling=pooling), [1.0], seed=0).network.backbone.eval()
    images = torch.randn(2, 3, 64, 64)
    same = torch.equal(model(images), usual(images))
    assert same == (pooling == "avg")
    assert model(images).shape == usual(images).shape


def test_the_power_and_the_norm_of_the_embedding_are_private_and_learn():
    network = build(replace(SPEC, pooling="gem", embedding_norm=True), (0.5, 1.0), seed=0)
    shared = {id(p) for p in network.shared_parameters()}
    private = {n for n, p in network.named_parameters() if id(p) not in shared}
    own = [n for n in private if "global_pool" in n or "head_norm" in n]
    assert len(own) == 2 * 3
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    for index in range(2):
        network(torch.randn(4, 3, 32, 32), index).square().sum(1).sqrt().sum().backward()
    optimiser.step()
    powers = [network.extract(index).backbone.global_pool.power.item() for index in range(2)]
    assert 3.0 not in powers
    assert powers[0] != powers[1]
    for index in range(2):
        embeddings = network(torch.randn(64, 3, 32, 32), index)
        norm = network.extract(index).head_norm
        expected = norm.bias.detach(), norm.weight.detach().abs()
        found = embeddings.mean(0), embeddings.std(0, correction=0)
        torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)


def test_truncated_keeps_the_leading_dimensions_of_the_normalised_embedding():
    network = build(replace(SPEC, embedding_norm=True), (1.0,), seed=0)
    network(torch.randn(8, 3, 32, 32), 0)
    whole = network.extract(0).eval()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(whole.truncated(4).eval()(images), whole(images)[:, :4])


@pytest.mark.parametrize("pooling", ["avg", "gem", "max"])
def test_a_transformer_that_pools_tokens_is_refused(pooling):
    spec = NetworkSpec("test_vit", 6, image_size=64, pooling=pooling)
    with pytest.raises(InputError, match=r"model\.pooling: test_vit does not end in one average"):
        build(spec, [1.0], seed=0)
