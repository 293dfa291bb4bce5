"""From an image's file to its pixels: RGB of 8 bits, whatever the file holds."""

import io
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from sfsc.files import InputError

# Those of photographs. Pillow knows more, of which some start other programs.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM")

_LARGEST = 2**26
"""Pixels of an image, and bytes of its file; Pillow decides what to do about larger ones."""

# What a viewer does for each value of EXIF's tag 274, on pixels (H, W, 3).
_TURNS: dict[Any, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: pixels.transpose(1, 0, 2)[:, ::-1],
    7: lambda pixels: pixels.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda pixels: pixels.transpose(1, 0, 2)[::-1],
}


def decode(
    where: str, file: IO[bytes], least: int = 0, as_shown: bool = False
) -> NDArray[np.uint8]:
    """The first image of a file as RGB pixels (H, W, 3); InputError begins with `where`.

    Grey of 16 bits keeps its upper 8; grey of 32 bits, or of floating point, is stretched from its
    darkest pixel to its brightest. `as_shown` is what viewers show: turned as EXIF says, over white
    where it is transparent. Without, pixels are those that are stored, and transparency is
    ignored. With `least` it may come smaller, where that is faster, but of that many pixels a side.
    """
    try:
        encoded, pixels = file.read(_LARGEST + 1), None
        if len(encoded) <= _LARGEST:
            file, pixels = io.BytesIO(encoded), _of_jpeg(encoded, least)
        if pixels is None:
            with _opened(file) as image:
                pixels = _of_any(image, least, as_shown)
                return _turned(pixels, image) if as_shown else pixels
        if as_shown:
            with suppress(Exception), _opened(file) as image:
                return _turned(pixels, image)
        return pixels
    except Exception as error:  # damaged files make decoders raise nearly anything
        raise InputError(f"{where} cannot be decoded: {_reason(error)}") from None


def size_of(where: str, file: IO[bytes]) -> tuple[int, int]:
    """The width and height that a file says its image has as it is stored; errors as `decode`."""
    try:
        with _opened(file) as image:
            return image.size
    except Exception as error:
        raise InputError(f"{where} cannot be decoded: {_reason(error)}") from None


def _opened(file: IO[bytes]) -> Image.Image:
    file.seek(0)
    # Pillow's own way to import its readers when they are needed fails in several threads at once.
    Image.init()
    return Image.open(file, formats=[name for name in _FORMATS if name in Image.OPEN])


def _of_jpeg(encoded: bytes, least: int) -> NDArray[np.uint8] | None:
    """Pillow's pixels in two thirds of its time; fewer pixels only where that saves time."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(encoded)
        if height * width > _LARGEST or colours not in ("YCbCr", "Gray"):
            return None
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            encoded, "RGB", min_height=least, min_width=least, min_factor=2 if least else 1
        )
    except Exception:
        return None  # Pillow reads more than JPEG, and says what is wrong
    return pixels


def _of_any(image: Image.Image, least: int, as_shown: bool) -> NDArray[np.uint8]:
    if least:
        image.draft("RGB", (least, least))
    image.load()
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return np.repeat(_eight_bits(image)[:, :, np.newaxis], 3, axis=2)
    if as_shown and image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        paper.alpha_composite(image.convert("RGBA"))
        image = paper
    return np.array(image.convert("RGB"))


def _eight_bits(image: Image.Image) -> NDArray[np.uint8]:
    """Grey, (H, W)."""
    values = np.asarray(image)
    # Pillow widens the 16 bits of a PGM file.
    if image.mode.startswith("I;16") or (image.format == "PPM" and image.mode == "I"):
        upper: NDArray[np.uint8] = (values >> 8).astype(np.uint8)
        return upper
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        raise ValueError("no pixel of it is a finite number")
    low, high = finite.min(), finite.max()
    above = np.clip(np.nan_to_num(values.astype(np.float64), nan=low), low, high) - low
    stretched: NDArray[np.uint8] = np.rint(above * (255 / ((high - low) or 1))).astype(np.uint8)
    return stretched


def _turned(pixels: NDArray[np.uint8], image: Image.Image) -> NDArray[np.uint8]:
    with suppress(Exception):  # viewers, too, show an image whose EXIF data is damaged
        turn = _TURNS[image.getexif().get(ExifTags.Base.Orientation)]
        return np.ascontiguousarray(turn(pixels))
    return pixels


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is none of {', '.join(_FORMATS)}, or damaged"
    return " ".join(str(error).split()) or type(error).__name__
