"""What a file's pixels are: against Pillow, and against the same image in 8 bits."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps, features

from sfsc.data.pixels import decode
from sfsc.files import InputError

RANDOM = np.random.default_rng(0)
COLOURS = RANDOM.integers(0, 256, (6, 9, 3), np.uint8)
GREY = COLOURS[..., 0]


def encoded(image, form, **options) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    buffer.seek(0)
    return buffer


def exif(orientation) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@pytest.mark.parametrize("as_shown", [False, True])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "PPM"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_eight_bits_are_pillows(form, mode, as_shown):
    file = encoded(Image.fromarray(COLOURS).convert(mode), form)
    expected = np.asarray(Image.open(file).convert("RGB"))
    file.seek(0)
    np.testing.assert_array_equal(decode("x", file, as_shown=as_shown), expected)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG2000", "PPM"])
def test_grey_of_sixteen_bits_is_that_of_eight(form):
    deep = Image.fromarray(GREY.astype(np.uint16) * 257)
    pixels = decode("x", encoded(deep, form))
    np.testing.assert_array_equal(pixels, np.repeat(GREY[..., np.newaxis], 3, 2))


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_grey_without_a_white_of_its_own_is_stretched(kind):
    values = (np.arange(54).reshape(6, 9) * 1000 - 7000).astype(kind)
    pixels = decode("x", encoded(Image.fromarray(values), "TIFF"))
    expected = np.rint(np.arange(54).reshape(6, 9) * 255 / 53)
    np.testing.assert_array_equal(pixels, np.repeat(expected[..., np.newaxis], 3, 2))
    even = decode("x", encoded(Image.fromarray(np.full((2, 2), 7, kind)), "TIFF"))
    assert not even.any()


def test_what_is_no_number_is_dark_and_nothing_but_it_is_refused():
    values = np.array([[np.nan, 1.0], [2.0, np.inf]], np.float32)
    pixels = decode("x", encoded(Image.fromarray(values), "TIFF"))
    assert pixels[..., 0].tolist() == [[0, 0], [255, 255]]
    nothing = encoded(Image.fromarray(np.full((2, 2), np.nan, np.float32)), "TIFF")
    with pytest.raises(InputError, match="x cannot be decoded: no pixel of it is a finite number"):
        decode("x", nothing)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(10))
def test_orientation_is_pillows_where_images_are_shown(form, orientation):
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    file = encoded(Image.fromarray(COLOURS), form, exif=exif(orientation))
    expected = ImageOps.exif_transpose(Image.open(file))
    file.seek(0)
    np.testing.assert_array_equal(decode("x", file, as_shown=True), expected.convert("RGB"))
    if form != "TIFF":  # which Pillow itself turns
        file.seek(0)
        assert decode("x", file).shape == COLOURS.shape


def test_fewer_pixels_are_turned_as_well():
    large = Image.fromarray(COLOURS).resize((160, 80))
    pixels = decode("x", encoded(large, "JPEG", exif=exif(6)), least=20, as_shown=True)
    assert pixels.shape == (40, 20, 3)


def test_damaged_exif_data_turns_nothing():
    file = encoded(Image.fromarray(COLOURS), "JPEG", exif=exif(6))
    content = file.getvalue().replace(b"Exif\0\0MM\0*", b"Exif\0\0M?\0*")
    assert content != file.getvalue()
    assert decode("x", io.BytesIO(content), as_shown=True).shape == COLOURS.shape


def transparent() -> list[tuple[Image.Image, dict[str, object]]]:
    clear = np.dstack([COLOURS, np.full((6, 9), 255, np.uint8)])
    clear[0, :, 3] = 0
    palette = Image.fromarray(np.where(np.arange(54).reshape(6, 9) < 9, 1, 0).astype(np.uint8), "L")
    palette = palette.convert("P")
    palette.putpalette([10, 20, 30, 0, 0, 0])
    return [
        (Image.fromarray(clear), {}),
        (Image.fromarray(np.dstack([GREY, clear[..., 3]]), "LA"), {}),
        (palette, {"transparency": 1}),
        (palette, {"transparency": bytes([255, 0])}),
    ]


@pytest.mark.parametrize("which", range(4))
def test_transparent_is_white_where_images_are_shown(which):
    image, options = transparent()[which]
    file = encoded(image, "PNG", **options)
    shown = decode("x", file, as_shown=True)
    file.seek(0)
    stored = decode("x", file)
    assert (shown[0] == 255).all()
    assert (stored[0] != 255).any()
    np.testing.assert_array_equal(shown[1:], stored[1:])


def test_nothing_but_photographs_is_opened():
    """EPS, for one, is read by another program that runs what is in the file."""
    with pytest.raises(InputError, match=r"it is none of JPEG, PNG, .* or damaged"):
        decode("x", encoded(Image.fromarray(COLOURS), "EPS"))
