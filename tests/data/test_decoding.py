"""Batches decoded by threads."""

import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
from PIL import Image

from sfsc.data.decoding import DecodedBatches
from sfsc.data.loader import Augment, MemoryBatches, load_pixels
from sfsc.data.sets import FileImages
from sfsc.files import InputError

CPU = torch.device("cpu")
AUGMENT = Augment(flip=True, shift=0.2, light=0.1)


@pytest.fixture
def images(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(20)]
    for number, path in enumerate(paths):
        Image.effect_noise((18, 14), 60 + number).convert("RGB").save(path)
    return FileImages([path.stem for path in paths], paths)


def _both(images):
    pixels, rows = load_pixels(images, range(20), 12)
    decoded = DecodedBatches(images, 12, rows, 6, AUGMENT, CPU, workers=2)
    return decoded, MemoryBatches(pixels, rows, 6, AUGMENT, CPU)


def test_they_are_those_from_memory_over_epochs_and_from_any_step(images):
    decoded, expected = _both(images)
    assert decoded.steps_per_epoch == 3
    for step in [0, 1, 2, 3, 4, 7, 8, 2]:
        for mine, other in zip(decoded.batch(5, step), expected.batch(5, step), strict=True):
            torch.testing.assert_close(mine, other, rtol=0, atol=0)


def test_parts_are_those_of_the_batch(images):
    decoded, expected = _both(images)
    parts = [decoded.batch(5, 4, part, 3)[0] for part in range(3)]
    torch.testing.assert_close(torch.cat(parts), expected.batch(5, 4)[0], rtol=0, atol=0)


def test_a_broken_image_is_named_in_one_line(images):
    decoded, _ = _both(images)
    for path in images.paths:
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"\d+\.png: cannot be decoded") as caught:
        decoded.batch(0, 0)
    assert "\n" not in str(caught.value)


def test_labels_follow_their_images(images):
    plain = DecodedBatches(images, 12, np.arange(20), 6, Augment(), CPU, workers=1)
    pixels, labels = plain.batch(0, 1)
    whole, _ = load_pixels(images, range(20), 12)
    expected = plain.normalisation(torch.from_numpy(whole[labels]))
    torch.testing.assert_close(pixels, expected)


def test_a_broken_image_stops_no_batch_before_its_own(images):
    decoded, expected = _both(images)
    broken = int(decoded.rows(5, 2, 0, 1)[3])
    images.paths[broken].write_bytes(b"no image")
    for step in range(2):
        assert torch.equal(decoded.batch(5, step)[0], expected.batch(5, step)[0])
    with pytest.raises(InputError, match=rf"{images.paths[broken].name}: cannot be decoded"):
        decoded.batch(5, 2)


def test_closing_waits_for_no_more_than_what_has_begun(images):
    class Slow(FileImages):
        def read(self, row, least=0):
            seen.append(row)
            time.sleep(0.02)
            return super().read(row, least)

    seen = []
    slow = Slow(images.ids, images.paths)
    decoded = DecodedBatches(slow, 12, np.arange(20), 6, AUGMENT, CPU, workers=1)
    decoded.batch(0, 0)
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
        from sfsc.data.loader import Augment
        from sfsc.data.sets import FileImages

        paths = sorted(Path({str(tmp_path)!r}).glob("*.png"))
        images = FileImages([path.stem for path in paths], paths)
        rows = np.arange(len(paths))
        batches = DecodedBatches(images, 12, rows, 6, Augment(), torch.device("cpu"), workers=2)
        batches.batch(0, 0)
        """)
    )
    subprocess.run([sys.executable, script], check=True, timeout=60)
