"""The switchable network against timm and against its own static sub-models."""

import copy
from dataclasses import replace

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from sfsc.files import InputError
from sfsc.switchable.backbone import NetworkSpec
from sfsc.switchable.cut import cuts, leading
from sfsc.switchable.network import build

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


MINIATURES = ["test_resnet", "test_byobnet", "test_efficientnet", "test_convnext", "test_vit"]
# Their sizes are fixed, or some layers start at zero: only what they compute is looked at.
OTHERS = ["test_vit_relpos", "test_efficientnet_gn", "test_mambaout", "test_nfnet"]
# With few blocks, for time; benchmarks/backbones.py takes them whole.
BACKBONES = {
    "resnet50": {"layers": [1, 1, 1, 1]},
    "resnext50_32x4d": {"layers": [1, 1, 1, 1]},
    "mobilenetv2_100": {},
    "mobilenetv3_large_100": {},
    "efficientnet_b0": {},
    "convnext_tiny": {"depths": [1, 1, 1, 1]},
    "vit_small_patch16_224": {"depth": 2},
    "deit3_small_patch16_224": {"depth": 2},
    "swin_tiny_patch4_window7_224": {"depths": [1, 1], "window_size": 4},
    "vit_small_patch16_dinov3": {"depth": 1},
    "tf_efficientnet_lite0": {},
    "tresnet_m": {},
    "levit_128s": {},
}


def of_timm(name, **changes):
    """A network of a timm model for small images."""
    return NetworkSpec(name, 16, image_size=64, **changes)


HEADS = [
    replace(SMALL, pooling="gem", embedding_norm=True),
    replace(SMALL, pooling="max"),
    of_timm("test_convnext", pooling="gem", embedding_norm=True),
    of_timm("test_efficientnet", pooling="gem"),
]


@pytest.mark.parametrize(
    "spec",
    [
        SMALL,
        NetworkSpec("resnet50", 24, 16, 2, {"layers": [1, 1, 1, 1]}),
        NetworkSpec("resnet18d", 24, 32, 4, {"layers": [1, 1, 1, 1]}),
        *map(of_timm, MINIATURES),
        *HEADS,
    ],
    ids=lambda spec: f"{spec.backbone}-{spec.stem_stride}-{spec.pooling}",
)
def test_static_sub_models_equal_the_switchable_network(spec):
    network = trained(spec, WIDTHS, steps=1).eval()
    images = torch.randn(4, 3, 64, 64)
    for index in range(len(WIDTHS)):
        static = network.extract(index)
        expected = network(images, index)
        assert expected.shape == (4, spec.embedding_dim)
        torch.testing.assert_close(static(images), expected, rtol=1e-5, atol=1e-5)
        homes = {type(module).__module__.split(".")[0] for module in static.modules()}
        assert homes <= {"sfsc", "torch", "timm"}
        alone = sum(p.untyped_storage().nbytes() for p in static.parameters())
        assert alone == sum(4 * p.numel() for p in static.parameters())


@pytest.mark.parametrize(
    ("name", "args"), [*BACKBONES.items(), *((name, {}) for name in (*MINIATURES, *OTHERS))]
)
def test_full_width_computes_what_timm_computes(name, args):
    network = build(of_timm(name, args=args), [0.5, 1.0], seed=3).eval()
    original = timms_own(name, seed=3, **args)
    images = torch.randn(2, 3, 64, 64)
    network.select(1)
    actual = network.network.backbone(images)
    torch.testing.assert_close(actual, original(images), rtol=1e-5, atol=1e-5)
    static = network.extract(0)
    torch.testing.assert_close(static(images), network(images, 0), rtol=1e-5, atol=1e-5)


def timms_own(name, seed, **args):
    """timm's model without classifier, for images of 64 pixels."""
    fixed = timm.get_pretrained_cfg(name).fixed_input_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        size = {"img_size": 64} if fixed else {}
        return timm.create_model(name, num_classes=0, **size, **args).eval()


@pytest.mark.parametrize(
    ("name", "args"), [*((name, {}) for name in MINIATURES), *BACKBONES.items()]
)
def test_a_sub_model_trains_what_it_uses_and_nothing_else(name, args):
    network = trained(of_timm(name, args=args), WIDTHS, steps=0)  # some layers start at zero
    parameters = list(network.parameters())
    for index in range(len(WIDTHS)):
        # A larger batch than 1 and images with contrast: no unit is dead by accident.
        images = torch.randn(8, 3, 64, 64)
        before = [p.detach().clone() for p in parameters]
        leaves = [*network.leaves(index), *private_parameters(network)]
        torch.optim.SGD(leaves, lr=1e-3).zero_grad()
        network(images, index).square().sum().backward()
        torch.optim.SGD(leaves, lr=1e-3).step()
        pairs = zip(parameters, before, strict=True)
        moved = torch.cat([(now != then).flatten() for now, then in pairs])
        used = used_by(network, index)
        assert not (moved & ~used).any()
        assert moved[used].float().mean() >= 0.9  # ReLU may leave some without a gradient
        assert not used.all()  # the widest has no use for the norms of the others


def private_parameters(network):
    shared = {id(p) for p in network.shared_parameters()}
    return [p for p in network.parameters() if id(p) not in shared]


@torch.no_grad()
def used_by(network, index):
    """Which entries of all parameters, in their order, the static sub-model holds."""
    numbered = copy.deepcopy(network).double()  # float32 has too few numbers
    parameters = list(numbered.parameters())
    ends = torch.tensor([p.numel() for p in parameters]).cumsum(0)
    for parameter, end in zip(parameters, ends.tolist(), strict=True):
        numbers = torch.arange(end - parameter.numel(), end, dtype=torch.float64)
        parameter.copy_(numbers.view_as(parameter))
    used = torch.zeros(int(ends[-1]), dtype=torch.bool)
    for parameter in numbered.extract(index).parameters():
        used[parameter.long()] = True
    return used


@pytest.mark.parametrize("widths", [(1.0,), WIDTHS])
def test_tokens_positions_and_layer_scales_are_told_from_the_weights_of_layers(widths):
    spec = of_timm("deit3_small_patch16_224", args={"depth": 1})
    network = build(spec, widths, seed=0)
    shapes = sorted(tuple(p.shape) for p in network.bare_parameters())
    assert shapes == [(1, 1, 384), (1, 16, 384), (384,), (384,)]
    own = {id(p) for p in network.parameters()}
    assert all(id(p) in own for p in network.bare_parameters())


def test_whole_heads_and_whole_groups_are_kept():
    transformer = build(of_timm("vit_small_patch16_224", args={"depth": 1}), WIDTHS, seed=0)
    for index, heads in enumerate([2, 3, 4, 6]):
        block = transformer.extract(index).backbone.blocks[0]
        assert (block.attn.num_heads, block.attn.head_dim) == (heads, 64)
        assert block.norm1.normalized_shape == (64 * heads,)
        assert block.attn.qkv.weight.shape == (3 * 64 * heads, 64 * heads)
    grouped = build(of_timm("resnext50_32x4d", args={"layers": [1, 1, 1, 1]}), [0.3, 1.0], seed=0)
    conv = grouped.extract(0).backbone.layer2[0].conv2
    assert (conv.groups, conv.in_channels, conv.weight.shape[1]) == (10, 80, 8)


def test_queries_keys_and_values_are_cut_each_by_itself():
    tensor = torch.arange(12)[:, None] * 10 + torch.arange(4)
    kept = leading(tensor, (6, 2), parts=3)
    assert kept.tolist() == [[[0, 1], [10, 11]], [[40, 41], [50, 51]], [[80, 81], [90, 91]]]


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_of_a_file_initialise_every_width(tmp_path, suffix):
    path, original = tmp_path / f"weights{suffix}", timms_own("test_resnet", seed=9)
    if suffix == ".pth":
        torch.save(original.state_dict(), path)
    else:
        save_file(original.state_dict(), path)
    network = build(of_timm("test_resnet", pretrained=str(path)), [0.5, 1.0], seed=3)
    images = torch.randn(2, 3, 64, 64)
    network.eval().select(1)
    assert torch.equal(network.network.backbone(images), original(images))
    weight = original.layer4[0].conv2.weight
    narrow = network.extract(0).backbone.layer4[0].conv2.weight
    assert torch.equal(narrow, weight[: len(narrow), : narrow.shape[1]])


class Hostile:
    def __reduce__(self):
        return (print, ("run",))


def test_weights_that_do_not_fit_or_are_not_weights_are_refused(tmp_path, capsys):
    path = tmp_path / "weights.pth"
    for content in ({"conv1.weight": torch.zeros(3)}, Hostile(), None):
        if content is None:
            path.unlink()
        else:
            torch.save(content, path)
        with pytest.raises(InputError, match=r"model\.pretrained: .*weights\.pth") as refusal:
            build(of_timm("test_resnet", pretrained=str(path)), WIDTHS, seed=0)
        assert "\n" not in str(refusal.value)
    assert "run" not in capsys.readouterr().out


def test_missing_weights_of_timm_say_how_to_get_them(monkeypatch):
    monkeypatch.setattr("timm.models._hub.hf_hub_download", no_network)
    with pytest.raises(InputError, match=r"get the file of timm/test_resnet\S* and write its path"):
        build(of_timm("test_resnet", pretrained=True), WIDTHS, seed=0)


def no_network(*_, **__):
    raise OSError("no network")


def test_sub_models_use_only_their_own_channels():
    network = trained(SMALL, WIDTHS).eval()
    images = torch.randn(2, 3, 32, 32)
    before = [network(images, index) for index in range(4)]
    with torch.no_grad():
        weight = parameter(network, "network.backbone.layer4.0.conv2.weight")
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


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
def test_gradients_of_the_leaves_are_those_of_the_static_sub_model(name):
    network = trained(of_timm(name), WIDTHS)
    images = torch.randn(4, 3, 64, 64)
    names = [n for n, p in network.named_parameters() if n in shared_names(network)]
    for index in range(len(WIDTHS)):
        static = network.extract(index)
        static(images).square().sum().backward()
        network(images, index).square().sum().backward()
        for full, leaf in zip(names, network.leaves(index), strict=True):
            expected = static.get_parameter(full.removeprefix("network.")).grad
            torch.testing.assert_close(leaf.grad.reshape(expected.shape), expected)


def shared_names(network):
    shared = {id(p) for p in network.shared_parameters()}
    return {name for name, p in network.named_parameters() if id(p) in shared}


def parameter(network, name):
    return dict(network.named_parameters())[name]


@pytest.mark.parametrize("move", [copy.deepcopy, lambda network: network.double()])
def test_leaves_follow_the_parameters_to_other_memory(move):
    original = trained(SMALL, WIDTHS)
    original.select(0)
    network = move(original).eval()
    images = torch.randn(2, 3, 32, 32, dtype=next(network.parameters()).dtype)
    before = network(images, 0)
    with torch.no_grad():
        parameter(network, "network.head.weight").zero_()
    assert before.abs().max() > 0
    assert network(images, 0).abs().max() == 0
    for full, leaf in zip(network.shared_parameters(), network.leaves(0), strict=True):
        assert full.data_ptr() == leaf.data_ptr()


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
    st.integers(1, 64),
    st.sampled_from([1, 2, 4, 8]),
    st.lists(st.floats(0.01, 1), min_size=2, max_size=5),
)
@settings(max_examples=50, deadline=None)
def test_channels_grow_with_the_width_by_whole_groups_and_never_vanish(groups, size, widths):
    channels = groups * size
    model = nn.Sequential(nn.Conv2d(channels, channels, 1, groups=groups), nn.BatchNorm2d(channels))
    kept = [cuts(model, width, "")["0"].attributes for width in sorted(widths)]
    counts = [each["out_channels"] for each in kept]
    assert counts == sorted(counts)
    assert counts[0] >= 1
    if groups > 1:
        assert all(each["out_channels"] == size * each["groups"] for each in kept)
    assert cuts(model, 1.0, "")["0"].attributes["out_channels"] == channels


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (of_timm("sequencer2d_s", args={"layers": [1, 1, 1, 1]}), "rnn_tokens.rnn_v"),
        (of_timm("skresnet18"), "layer1.0.conv1"),
        (of_timm("convit_tiny", args={"depth": 1}), "blocks.0.attn"),
        (of_timm("test_vit", base_channels=32), "base_channels"),
        (NetworkSpec("no_such_model", 8), "no_such_model"),
        (NetworkSpec("resnet18d", 8, stem_stride=1), "stem_stride"),
        (NetworkSpec("resnet18", 8, args={"no_such_argument": 1}), "no_such_argument"),
    ],
)
def test_what_cannot_be_sliced_is_refused_by_name(spec, named):
    with pytest.raises(InputError, match=named):
        build(spec, WIDTHS, seed=0)
