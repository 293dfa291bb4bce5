"""What stands around and in front of landmarks: generic houses, trees, people, lamps, clouds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sfsc.data.synthetic.pen import Colour, Pen, grain, shade

_CLOTHES: tuple[Colour, ...] = (
    (176, 60, 56),
    (52, 84, 130),
    (60, 62, 70),
    (206, 164, 80),
    (230, 226, 218),
)
_LEAVES: tuple[Colour, ...] = (
    (66, 104, 58),
    (86, 122, 66),
    (58, 92, 72),
    (128, 128, 64),
    (150, 100, 52),
)


@dataclass(frozen=True)
class Props:
    """Pictures in RGBA; `clouds` are opacities, mode L, 256 x 256."""

    houses: tuple[Image.Image, ...]
    trees: tuple[Image.Image, ...]
    broad: tuple[Image.Image, ...]
    slender: tuple[Image.Image, ...]
    boats: tuple[Image.Image, ...]
    clouds: tuple[Image.Image, ...]


def draw_props(rng: np.random.Generator) -> Props:
    return Props(
        houses=tuple(_house(rng) for _ in range(24)),
        trees=tuple(_tree(rng) for _ in range(12)),
        broad=tuple(draw(rng) for draw in (_tree, _tree, _bush, _bus, _tent) for _ in range(5)),
        slender=tuple(draw(rng) for draw in (_person, _person, _lamp) for _ in range(6)),
        boats=tuple(_boat(rng) for _ in range(8)),
        clouds=tuple(_cloud(rng) for _ in range(12)),
    )


def _house(rng: np.random.Generator) -> Image.Image:
    pen = Pen(0.4, 1.4)
    grey = rng.uniform(120, 205)
    tint = rng.uniform(-18, 18)
    wall = (round(grey + tint), round(grey), round(grey - tint))
    half, height = rng.uniform(0.18, 0.38), rng.uniform(0.35, 1.05)
    pen.rectangle(-half, 0, half, height, wall)
    if rng.random() < 0.5:
        pen.profile(
            0, height, 2 * half, rng.uniform(0.1, 0.3), ((0, 1), (1, 0.5)), shade(wall, 0.6)
        )
    bays, floors = int(rng.integers(2, 6)), int(rng.integers(2, 7))
    for x in np.linspace(-half, half, bays + 2)[1:-1].tolist():
        for y in np.linspace(0, height, floors + 2)[1:-1].tolist():
            pen.rectangle(x - 0.03, y - 0.03, x + 0.03, y + 0.04, shade(wall, 0.65))
    return grain(pen.picture(), rng, 0.03)


def _tree(rng: np.random.Generator) -> Image.Image:
    pen, leaf = Pen(0.5, 1.2), _LEAVES[int(rng.integers(len(_LEAVES)))]
    pen.rectangle(-0.035, 0, 0.035, 0.5, (84, 66, 50))
    if rng.random() < 0.3:
        for base in (0.2, 0.45, 0.7):
            pen.profile(0, base, 0.75 - 0.5 * base, 0.45, ((0, 1), (1, 0)), leaf)
    else:
        for light in (0.8, 1.0, 1.18):
            for _ in range(7):
                x, y = rng.uniform(-0.24, 0.24), rng.uniform(0.5, 0.9)
                pen.ellipse(x - 0.06 * light, y + 0.06 * light, 0.16, 0.15, shade(leaf, light))
    return grain(pen.picture(), rng, 0.1)


def _bush(rng: np.random.Generator) -> Image.Image:
    pen, leaf = Pen(0.7, 0.6), _LEAVES[int(rng.integers(len(_LEAVES)))]
    for light in (0.8, 1.0, 1.15):
        for x in rng.uniform(-0.45, 0.45, 8).tolist():
            pen.ellipse(x, rng.uniform(0.08, 0.2), 0.17, 0.16, shade(leaf, light))
    return grain(pen.picture(), rng, 0.1)


def _bus(rng: np.random.Generator) -> Image.Image:
    pen, paint = Pen(0.5, 0.6), _CLOTHES[int(rng.integers(len(_CLOTHES)))]
    pen.rectangle(-0.48, 0.07, 0.48, 0.5, paint)
    pen.rectangle(-0.48, 0.44, 0.48, 0.5, shade(paint, 1.2))
    for x in np.linspace(-0.4, 0.3, 5).tolist():
        pen.rectangle(x, 0.26, x + 0.12, 0.41, (60, 74, 96))
    for x in (-0.3, 0.3):
        pen.ellipse(x, 0.075, 0.075, 0.075, (36, 36, 40))
    return pen.picture()


def _boat(rng: np.random.Generator) -> Image.Image:
    pen, paint = Pen(0.5, 0.9), _CLOTHES[int(rng.integers(len(_CLOTHES)))]
    pen.polygon([(-0.36, 0), (0.36, 0), (0.48, 0.16), (-0.46, 0.16)], paint)
    pen.rectangle(-0.45, 0.13, 0.46, 0.17, (236, 230, 216))
    if rng.random() < 0.6:
        pen.rectangle(-0.02, 0.16, 0.0, 0.85, (84, 66, 50))
        pen.polygon([(0.02, 0.22), (0.38, 0.22), (0.02, 0.82)], (240, 236, 226))
        pen.polygon([(-0.04, 0.22), (-0.3, 0.22), (-0.04, 0.7)], (222, 216, 204))
    else:
        pen.rectangle(-0.25, 0.16, 0.25, 0.34, (240, 236, 228))
        for x in (-0.18, -0.05, 0.08):
            pen.rectangle(x, 0.21, x + 0.09, 0.3, (60, 74, 96))
    return pen.picture()


def _tent(rng: np.random.Generator) -> Image.Image:
    pen, cloth = Pen(0.5, 0.8), _CLOTHES[int(rng.integers(len(_CLOTHES)))]
    for x in (-0.36, 0.36):
        pen.rectangle(x - 0.015, 0, x + 0.015, 0.4, (90, 84, 80))
    pen.rectangle(-0.36, 0, 0.36, 0.18, shade(cloth, 0.7))
    stripes = np.linspace(-0.44, 0.44, 8)
    for stripe, (x0, x1) in enumerate(
        zip(stripes[:-1].tolist(), stripes[1:].tolist(), strict=True)
    ):
        colour = cloth if stripe % 2 else (240, 236, 228)
        pen.polygon([(x0, 0.36), (x1, 0.36), (x1 * 0.25, 0.62), (x0 * 0.25, 0.62)], colour)
    return pen.picture()


def _person(rng: np.random.Generator) -> Image.Image:
    pen = Pen(0.3, 0.8)
    coat, legs = (_CLOTHES[int(pick)] for pick in rng.integers(len(_CLOTHES), size=2))
    pen.rectangle(-0.07, 0, -0.01, 0.3, shade(legs, 0.7))
    pen.rectangle(0.01, 0, 0.07, 0.3, shade(legs, 0.7))
    pen.profile(0, 0.26, 0.22, 0.32, ((0, 0.9), (0.8, 1), (1, 0.6)), coat)
    pen.ellipse(
        0, 0.66, 0.07, 0.08, ((222, 180, 148), (140, 96, 72), (92, 64, 50))[int(rng.integers(3))]
    )
    return pen.picture()


def _lamp(rng: np.random.Generator) -> Image.Image:
    pen, iron = Pen(0.3, 1.3), (46, 50, 54)
    pen.rectangle(-0.02, 0, 0.02, 1.05, iron)
    pen.rectangle(-0.05, 0, 0.05, 0.12, iron)
    arms = (0.0,) if rng.random() < 0.5 else (-0.16, 0.16)
    for x in arms:
        pen.line([(0, 0.9), (x, 1.02)], iron, 0.03)
        pen.ellipse(x, 1.1, 0.07, 0.09, (244, 232, 190))
    return pen.picture()


def _cloud(rng: np.random.Generator) -> Image.Image:
    field: NDArray[np.float32] = np.zeros((256, 256), np.float32)
    for octave in range(2, 6):
        noise = rng.normal(0, 0.55**octave, (2**octave, 2 ** (octave - 1))).astype(np.float32)
        field += np.asarray(Image.fromarray(noise).resize((256, 256), Image.Resampling.BICUBIC))
    field = (field - field.mean()) / field.std()
    return Image.fromarray(np.clip(110 * (field - rng.uniform(-0.2, 0.8)), 0, 235).astype(np.uint8))
