"""Draws shapes about a vertical axis, in units of their own, on a transparent canvas."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Colour = tuple[int, ...]
"""Red, green and blue in [0, 255], and opacity where it is not full."""
Point = tuple[float, float]
CLEAR: Colour = (0, 0, 0, 0)

_UNIT = 256  # pixels; the finished picture has half as many, which smooths the edges


def shade(colour: Colour, factor: float) -> Colour:
    """`colour` darker (factor < 1) or lighter."""
    return tuple(min(255, round(channel * factor)) for channel in colour)


class Pen:
    """x runs over [-width, width] from left to right, y over [0, height] up from the ground."""

    def __init__(self, width: float, height: float) -> None:
        self._width, self._height = width, height
        size = (round(2 * width * _UNIT), round(height * _UNIT))
        self._image = Image.new("RGBA", size)
        self._draw = ImageDraw.Draw(self._image)

    def polygon(self, points: Sequence[Point], fill: Colour) -> None:
        self._draw.polygon([self._pixel(point) for point in points], fill)

    def line(self, points: Sequence[Point], fill: Colour, width: float) -> None:
        pixels = [self._pixel(point) for point in points]
        self._draw.line(pixels, fill, max(1, round(width * _UNIT)), joint="curve")

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, fill: Colour) -> None:
        left, bottom = self._pixel((x0, y0))
        right, top = self._pixel((x1, y1))
        if left <= right and top <= bottom:
            self._draw.rectangle((left, top, right, bottom), fill)

    def ellipse(self, x: float, y: float, radius_x: float, radius_y: float, fill: Colour) -> None:
        left, top = self._pixel((x - radius_x, y + radius_y))
        right, bottom = self._pixel((x + radius_x, y - radius_y))
        self._draw.ellipse((left, top, right, bottom), fill)

    def arch(
        self, x: float, y: float, width: float, height: float, rise: float, fill: Colour
    ) -> None:
        """An opening centred on x that stands on y; `rise` is the arch's over its half width."""
        spring = max(height - rise * width / 2, 0.0)
        turn = np.linspace(0, np.pi, 13)
        # A rise of one is a round arch; a greater one is pointed, as two arcs meet at the crown.
        bow = np.sin(turn) if rise <= 1 else 1 - np.abs(np.cos(turn)) ** 1.5
        xs = x + width / 2 * np.cos(turn)
        ys = y + spring + (height - spring) * bow
        self.polygon([(x - width / 2, y), (x + width / 2, y), *zip(xs, ys, strict=True)], fill)

    def profile(
        self, x: float, y: float, width: float, height: float, steps: Sequence[Point], fill: Colour
    ) -> None:
        """A solid of revolution lit from the left; `steps` are (height, half width) in [0, 1]."""
        ups = [y + height * up for up, _ in steps]
        halves = [width / 2 * half for _, half in steps]
        for left, right, light in ((-1.0, 1.0, 1.0), (0.25, 1.0, 0.8), (-0.75, -0.4, 1.15)):
            here = [(x + left * half, up) for half, up in zip(halves, ups, strict=True)]
            there = [(x + right * half, up) for half, up in zip(halves, ups, strict=True)]
            self.polygon([*here, *reversed(there)], shade(fill, light))

    def picture(self) -> Image.Image:
        """What was drawn, RGBA, without empty margins; the ground is its lower edge."""
        return self._image.crop(self._image.getbbox()).reduce(2)

    def _pixel(self, point: Point) -> tuple[int, int]:
        x, y = point
        return round((x + self._width) * _UNIT), round((self._height - y) * _UNIT) - 1


def grain(picture: Image.Image, rng: np.random.Generator, depth: float) -> Image.Image:
    """`picture` (RGBA) weathered: blotches of about 6 pixels, and shadow to the right."""
    width, height = picture.size
    coarse = rng.normal(1, depth, (max(2, height // 6), max(2, width // 6))).astype(np.float32)
    blotches = np.asarray(Image.fromarray(coarse).resize(picture.size, Image.Resampling.BICUBIC))
    light = blotches * np.linspace(1.06, 0.88, width, dtype=np.float32)
    pixels: NDArray[np.uint8] = np.array(picture)
    pixels[..., :3] = np.clip(pixels[..., :3] * light[..., None], 0, 255)
    return Image.fromarray(pixels)
