"""Image files against Pillow's own reading of them."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sfsc.data import pixels
from sfsc.data.sets import FileImages, GroundTruth, Relevance, require_scored
from sfsc.files import InputError


def picture(width, height, mode, seed):
    small = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height)).convert(mode)


def read(path, least=0):
    return FileImages(["image"], [path]).read(0, least)


def by_pillow(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from(["RGB", "L", "CMYK"]),
    st.sampled_from([0, 1, 2]),
    st.integers(5, 100),
    st.booleans(),
    st.integers(0, 99),
)
def test_jpeg_pixels_are_pillows(
    tmp_path, width, height, mode, subsampling, quality, progressive, seed
):
    path = tmp_path / "image.jpg"
    options = {"quality": quality, "subsampling": subsampling, "progressive": progressive}
    picture(width, height, mode, seed).save(path, **options)
    assert np.array_equal(read(path), by_pillow(path))
    least = min(width, height)
    assert read(path, least).shape[0] >= least
    assert read(path, least).shape[1] >= least


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.bmp", "a.gif", "a.tif"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_other_kinds_are_pillows_too(tmp_path, name, mode):
    picture(21, 13, mode, 0).save(tmp_path / name)
    found = read(tmp_path / name, least=4)
    assert np.array_equal(found, by_pillow(tmp_path / name))
    assert found.flags.writeable


def test_a_jpeg_too_large_for_pillow_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "bomb.jpg"
    picture(300, 300, "RGB", 0).save(path)
    monkeypatch.setattr(pixels, "_LARGEST", 300 * 300 - 1)
    assert read(path).shape == (300, 300, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40_000)
    with pytest.raises(InputError, match=r"bomb\.jpg: cannot be decoded: .*decompression bomb"):
        read(path)


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_what_is_left_to_pillow_comes_smaller_too(tmp_path, monkeypatch, mode):
    monkeypatch.setattr(pixels, "_LARGEST", 0)
    picture(400, 300, mode, 0).save(tmp_path / "a.jpg")
    assert read(tmp_path / "a.jpg").shape == (300, 400, 3)
    assert read(tmp_path / "a.jpg", 150).shape == (150, 200, 3)


def test_a_large_file_that_is_no_image_is_not_read_whole(tmp_path):
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InputError, match=r"a\.jpg: cannot be decoded"):
        read(tmp_path / "a.jpg")


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xd9"])
def test_what_is_no_image_is_named(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.jpg: cannot be decoded") as caught:
        read(tmp_path / "a.jpg")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((0, 0, 1e9, 1e9), "reaches too far beyond the image of 9x7 pixels"),
        ((-1e300, 0, 5, 5), "reaches too far beyond the image of 9x7 pixels"),
        ((2.1, 2, 2.4, 5), "holds not one pixel"),
        ((50, 0, 60, 5), "lies outside the image of 9x7 pixels"),
    ],
)
def test_a_box_far_outside_or_empty_is_refused(tmp_path, box, message):
    picture(9, 7, "RGB", 0).save(tmp_path / "a.png")
    images = FileImages(["q"], [tmp_path / "a.png"], [box])
    with pytest.raises(InputError, match=message):
        images.read(0)


def test_a_set_that_nothing_can_be_scored_on_is_refused():
    def truth(*positives):
        empty = np.empty(0, np.int64)
        relevance = [Relevance(np.array(rows, np.int64), empty) for rows in positives]
        return GroundTruth("labelled", ["q"] * len(relevance), ["g"], {"all": relevance})

    require_scored(truth([], [0]), "here")
    with pytest.raises(InputError, match="here: none of its 2 queries has a positive"):
        require_scored(truth([], []), "here")
