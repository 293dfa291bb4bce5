"""Batches and their augmentation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sfsc.data.augment import augmented
from sfsc.data.batches import MemoryBatches, load_pixels
from sfsc.data.normalisation import normalisation_of
from sfsc.data.order import Order
from sfsc.data.sets import ArrayImages, FileImages
from sfsc.files import InputError
from sfsc.profile import Augment

CPU = torch.device("cpu")


def batches(count=20, size=8, augment=None):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return MemoryBatches(pixels, augment or Augment(), CPU), pixels


def order(count=20, batch_size=6, seed=0):
    return Order(np.arange(count), np.arange(count), batch_size, seed)


def test_a_batch_depends_on_its_step_alone():
    augment = Augment(flip=True, shift=0.2, zoom=0.2, light=0.2)
    loader, _ = batches(augment=augment)
    in_order = [loader.batch(order(), 1, step) for step in range(7)]
    again, _ = batches(augment=augment)
    for step in (5, 0, 6, 3):
        for found, expected in zip(again.batch(order(), 1, step), in_order[step], strict=True):
            assert torch.equal(found, expected)
    assert not torch.equal(again.batch(order(), 2, 0)[0], in_order[0][0])


def test_images_are_normalised_by_the_set_and_channels_last():
    loader, pixels = batches()
    images, labels, rows = loader.batch(order(), 0, 0)
    assert torch.equal(rows, labels)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    values = pixels.reshape(-1, 3) / 255
    expected = (pixels[labels.numpy()] / 255 - values.mean(0)) / values.std(0)
    np.testing.assert_allclose(images.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)


@given(st.integers(0, 1000), st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_shift_moves_whole_pixels(seed, flip):
    """Every augmented image is the original, perhaps mirrored, moved by at most the bound."""
    size, bound = 8, 2
    original = torch.randn(1, 3, size, size)
    moved = augmented(
        original, Augment(flip=flip, shift=bound / size), torch.Generator().manual_seed(seed)
    )
    # A reflection that does not repeat the edge's half pixel is numpy's "symmetric".
    padded = np.pad(original[0].numpy(), ((0, 0), (bound, bound), (bound, bound)), "symmetric")
    candidates = []
    for top in range(2 * bound + 1):
        for left in range(2 * bound + 1):
            window = padded[:, top : top + size, left : left + size]
            candidates += [window, window[:, :, ::-1]] if flip else [window]
    errors = [np.abs(moved[0].numpy() - window).max() for window in candidates]
    assert min(errors) < 1e-4


def test_without_augmentation_nothing_changes():
    images = torch.randn(4, 3, 8, 8)
    assert torch.equal(augmented(images, Augment(), torch.Generator()), images)


def test_light_changes_each_image_by_one_gain_and_offset():
    images = torch.randn(5, 3, 8, 8)
    lit = augmented(images, Augment(light=0.3), torch.Generator().manual_seed(0))
    for before, after in zip(images, lit, strict=True):
        gain, offset = np.polyfit(before.flatten().numpy(), after.flatten().numpy(), 1)
        np.testing.assert_allclose(after, gain * before + offset, atol=1e-5)
        assert 0.7 <= gain <= 1.3
        assert abs(offset) <= 0.3


def test_images_are_resized(tmp_path):
    Image.new("RGB", (30, 20), (10, 200, 30)).save(tmp_path / "a.png")
    images = FileImages(["a"], [tmp_path / "a.png"])
    pixels, rows = load_pixels(images, [0], 16)
    assert pixels.shape == (1, 16, 16, 3)
    assert rows.tolist() == [0]
    assert (pixels == [10, 200, 30]).all()


def test_a_truncated_jpeg_and_an_absent_image_are_named(tmp_path):
    Image.effect_noise((64, 64), 50).convert("RGB").save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    paths = [tmp_path / name for name in ("whole.jpg", "cut.jpg", "absent.jpg")]
    images = FileImages(["whole", "cut", "absent"], paths)
    with pytest.raises(InputError, match=r"cut\.jpg: cannot be decoded"):
        load_pixels(images, [0, 1], 8)
    with pytest.raises(InputError, match=r"absent\.jpg: no such image"):
        load_pixels(images, [0, 2], 8)
    pixels, rows = load_pixels(images, [0, 1, 2], 8, "skip")
    assert (len(pixels), rows.tolist()) == (1, [0])
    with pytest.raises(InputError, match="not one of 1 images"):
        load_pixels(images, [1], 8, "skip")


def test_the_normalisation_is_that_of_all_pixels():
    pixels = np.random.default_rng(0).integers(0, 200, (600, 4, 5, 3), np.uint8)
    found = normalisation_of(pixels)
    np.testing.assert_allclose(found.mean, (pixels / 255).mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(found.std, (pixels / 255).std((0, 1, 2)), rtol=1e-12)


def test_a_constant_channel_does_not_divide_by_zero():
    loader = MemoryBatches(np.zeros((4, 8, 8, 3), np.uint8), Augment(), CPU)
    assert torch.isfinite(loader.batch(order(4, 2), 0, 0)[0]).all()


def test_array_images_read_what_they_hold():
    pixels = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    images = ArrayImages(["a", "b"], pixels)
    assert np.array_equal(images.read(1), pixels[1])
