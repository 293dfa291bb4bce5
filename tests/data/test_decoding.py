"""Batches decoded by threads."""

import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
from PIL import Image

from sfsc.data.batches import MemoryBatches, load_pixels
from sfsc.data.decoding import DecodedBatches
from sfsc.data.order import Order
from sfsc.data.sets import FileImages
from sfsc.files import InputError
from sfsc.profile import Augment

CPU = torch.device("cpu")
AUGMENT = Augment(flip=True, shift=0.2, light=0.1)


@pytest.fixture
def images(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(20)]
    for number, path in enumerate(paths):
        Image.effect_noise((18, 14), 60 + number).convert("RGB").save(path)
    return FileImages([path.stem for path in paths], paths)


def _both(images):
    pixels, _ = load_pixels(images, range(20), 12)
    return DecodedBatches(images, 12, AUGMENT, CPU, 2), MemoryBatches(pixels, AUGMENT, CPU)


@pytest.fixture
def order():
    return Order(np.arange(20), np.arange(20), 6, seed=5)


def test_they_are_those_from_memory_over_epochs_and_from_any_step(images, order):
    decoded, expected = _both(images)
    for step in [0, 1, 2, 3, 4, 7, 8, 2]:
        pairs = zip(decoded.batch(order, 5, step), expected.batch(order, 5, step), strict=True)
        for mine, other in pairs:
            torch.testing.assert_close(mine, other, rtol=0, atol=0)


def test_plain_images_are_those_from_memory(images):
    decoded, expected = _both(images)
    rows = torch.tensor([3, 17, 0])
    torch.testing.assert_close(decoded.plain(rows), expected.plain(rows), rtol=0, atol=0)


def test_parts_are_those_of_the_batch(images, order):
    decoded, expected = _both(images)
    parts = [decoded.batch(order, 5, 4, part, 3)[0] for part in range(3)]
    torch.testing.assert_close(torch.cat(parts), expected.batch(order, 5, 4)[0], rtol=0, atol=0)


def test_a_broken_image_is_named_in_one_line(images, order):
    decoded, _ = _both(images)
    for path in images.paths:
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"\d+\.png: cannot be decoded") as caught:
        decoded.batch(order, 0, 0)
    assert "\n" not in str(caught.value)


def test_labels_follow_their_images(images, order):
    plain = DecodedBatches(images, 12, Augment(), CPU, threads=1)
    pixels, labels, _ = plain.batch(order, 0, 1)
    whole, _ = load_pixels(images, range(20), 12)
    expected = plain.normalisation(torch.from_numpy(whole[labels]))
    torch.testing.assert_close(pixels, expected)


def test_a_broken_image_stops_no_batch_before_its_own(images, order):
    decoded, expected = _both(images)
    broken = int(order.batch(2)[0][3])
    images.paths[broken].write_bytes(b"no image")
    for step in range(2):
        assert torch.equal(decoded.batch(order, 5, step)[0], expected.batch(order, 5, step)[0])
    with pytest.raises(InputError, match=rf"{images.paths[broken].name}: cannot be decoded"):
        decoded.batch(order, 5, 2)


def test_closing_waits_for_no_more_than_what_has_begun(images, order):
    class Slow(FileImages):
        def read(self, row, least=0):
            seen.append(row)
            time.sleep(0.02)
            return super().read(row, least)

    seen = []
    slow = Slow(images.ids, images.paths)
    decoded = DecodedBatches(slow, 12, AUGMENT, CPU, threads=1)
    decoded.batch(order, 0, 0)
    decoded.close()
    count = len(seen)
    time.sleep(0.05)
    assert len(seen) == count <= 20 + 3 * 6


def test_a_process_that_does_not_close_its_batches_ends(images, tmp_path):
    script = tmp_path / "read.py"
    script.write_text(
        textwrap.dedent(f"""
        from pathlib import Path

        import numpy as np
        import torch

        from sfsc.data.decoding import DecodedBatches
        from sfsc.profile import Augment
        from sfsc.data.order import Order
        from sfsc.data.sets import FileImages

        paths = sorted(Path({str(tmp_path)!r}).glob("*.png"))
        images = FileImages([path.stem for path in paths], paths)
        rows = np.arange(len(paths))
        batches = DecodedBatches(images, 12, Augment(), torch.device("cpu"), threads=2)
        batches.batch(Order(rows, rows, 6, 0), 0, 0)
        """)
    )
    subprocess.run([sys.executable, script], check=True, timeout=60)
