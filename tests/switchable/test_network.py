"""The switchable network against timm and against its own static sub-models."""

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfsc.files import InputError
from sfsc.switchable.convert import channel_counts
from sfsc.switchable.network import NetworkSpec, build

WIDTHS = (0.25, 0.5, 0.75, 1.0)
SMALL = NetworkSpec("resnet18", 16, 8, 1, {"layers": [1, 1, 1, 1]})


def trained(spec, widths, steps=3):
    """A network whose weights and statistics have left their initial values."""
    network = build(spec, widths, seed=0).train()
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=random)
        for _ in range(steps):
            for index in range(len(widths)):
                network(torch.randn(8, 3, 32, 32, generator=random), index)
    return network


@pytest.mark.parametrize(
    "spec",
    [SMALL, NetworkSpec("resnet50", 24, 16, 2), NetworkSpec("resnet18d", 24, 32, 4)],
    ids=["resnet10-small-stem", "resnet50", "resnet18d-deep-stem"],
)
def test_static_sub_models_equal_the_switchable_network(spec):
    network = trained(spec, WIDTHS).eval()
    images = torch.randn(4, 3, 64, 64)
    for index in range(len(WIDTHS)):
        static = network.extract(index)
        expected = network(images, index)
        assert expected.shape == (4, spec.embedding_dim)
        torch.testing.assert_close(static(images), expected, rtol=1e-5, atol=1e-5)
        homes = {type(module).__module__ for module in static.modules()}
        assert "sfsc.switchable.layers" not in homes


def test_full_width_computes_what_timm_computes():
    network = build(NetworkSpec("resnet18", 32), [0.5, 1.0], seed=3).eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        original = timm.create_model("resnet18", num_classes=0).eval()
    images = torch.randn(2, 3, 96, 96)
    network(images, 1)
    torch.testing.assert_close(network.backbone(images), original(images), rtol=0, atol=0)


def test_sub_models_use_only_their_own_channels():
    network = trained(SMALL, WIDTHS).eval()
    images = torch.randn(2, 3, 32, 32)
    before = [network(images, index) for index in range(4)]
    with torch.no_grad():
        weight = network.backbone.layer4[0].conv2.weight
        weight[weight.shape[0] // 2 :] += 1  # what only widths above 0.5 use
    after = [network(images, index) for index in range(4)]
    for index, equal in enumerate([True, True, False, False]):
        assert torch.equal(before[index], after[index]) is equal


def test_normalisation_is_private():
    network = trained(SMALL, (0.5, 1.0)).eval()
    images = torch.randn(2, 3, 32, 32)
    narrow = network(images, 0)
    network.train()(100 + torch.randn(8, 3, 32, 32), 1)
    assert torch.equal(network.eval()(images, 0), narrow)


def test_gradient_of_a_narrow_sub_model_is_zero_outside_its_slice():
    network = trained(SMALL, WIDTHS)
    network.zero_grad()
    network(torch.randn(4, 3, 32, 32), 0).square().sum().backward()
    gradient = network.backbone.layer4[0].conv2.weight.grad
    assert gradient[:16, :16].abs().max() > 0
    assert gradient[16:].abs().max() == 0
    assert gradient[:, 16:].abs().max() == 0


def test_a_single_width_has_tensors_of_its_own_size():
    alone = build(SMALL, [0.25], seed=0)
    together = build(SMALL, WIDTHS, seed=0)
    assert sum(p.numel() for p in alone.parameters()) == sum(
        p.numel() for p in together.extract(0).parameters()
    )


def test_initial_weights_depend_on_the_seed_alone():
    torch.manual_seed(7)
    first = build(SMALL, WIDTHS, seed=5).state_dict()
    state = torch.get_rng_state()
    second = build(SMALL, WIDTHS, seed=5).state_dict()
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(first[key], second[key]) for key in first)
    other = build(SMALL, WIDTHS, seed=6).state_dict()
    assert any(not torch.equal(first[key], other[key]) for key in first)


@given(
    st.integers(1, 512),
    st.floats(0.05, 2),
    st.lists(st.floats(0.01, 1), min_size=2, max_size=5),
)
@settings(max_examples=50)
def test_channel_counts_grow_with_the_width_and_never_vanish(channels, scale, widths):
    counts = channel_counts(channels, scale, sorted(widths))
    assert counts[0] >= 1
    assert list(counts) == sorted(counts)
    assert channel_counts(channels, 1.0, [1.0]) == (channels,)


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (NetworkSpec("resnext50_32x4d", 8), "layer1.0.conv2"),
        (NetworkSpec("no_such_model", 8), "no_such_model"),
        (NetworkSpec("resnet18d", 8, stem_stride=1), "stem_stride"),
        (NetworkSpec("resnet18", 8, args={"no_such_argument": 1}), "no_such_argument"),
    ],
)
def test_what_cannot_be_sliced_is_refused_by_name(spec, named):
    with pytest.raises(InputError, match=named):
        build(spec, WIDTHS, seed=0)
