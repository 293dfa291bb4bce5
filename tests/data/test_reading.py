"""Images read by several threads."""

import time

import numpy as np
import pytest
import torch

from sfsc.data.reading import read_all
from sfsc.data.sets import ArrayImages
from sfsc.files import InputError

COUNT = 40


class Slow(ArrayImages):
    """Later rows are sooner there; some are broken."""

    def read(self, row, least=0):
        time.sleep(0.002 * (5 - row % 5))
        if row % 7 == 3:
            raise InputError(f"image {row} is broken")
        return super().read(row)


@pytest.fixture(autouse=True)
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def images(monkeypatch):
    monkeypatch.setattr("sfsc.data.reading._AHEAD", 6)
    pixels = np.arange(COUNT, dtype=np.uint8).repeat(12).reshape(COUNT, 2, 2, 3)
    return Slow([str(row) for row in range(COUNT)], pixels)


def test_images_and_errors_come_in_the_order_of_the_rows(images):
    rows = list(range(COUNT - 1, -1, -1))
    found = list(read_all(images, rows, lambda image: image))
    for row, pixels in zip(rows, found, strict=True):
        if row % 7 == 3:
            assert str(pixels) == f"image {row} is broken"
        else:
            assert np.array_equal(pixels, images.pixels[row])


def test_who_stops_early_leaves_no_thread_reading(images):
    seen = []
    found = read_all(images, range(COUNT), lambda image: seen.append(image) or image)
    next(found)
    found.close()
    count = len(seen)
    time.sleep(0.05)
    assert len(seen) == count < 20
