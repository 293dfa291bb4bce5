"""Puts sky, neighbours and ground behind a landmark, and things in front of it."""

import numpy as np
from PIL import Image, ImageDraw

from sfsc.data.sets import Box
from sfsc.data.synthetic.pen import Colour, shade
from sfsc.data.synthetic.props import Props

_SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((74, 134, 200), (196, 220, 238)),
    ((110, 164, 214), (226, 234, 236)),
    ((150, 162, 176), (216, 218, 220)),
    ((94, 110, 160), (246, 196, 150)),
    ((58, 74, 124), (232, 150, 128)),
    ((130, 180, 196), (244, 236, 208)),
)
_CLOUD: Colour = (248, 246, 244)
_HILLS: Colour = (160, 176, 172)
_GROUNDS: tuple[Colour, ...] = ((186, 174, 156), (150, 150, 148), (118, 142, 84), (142, 118, 90))
_WATER: Colour = (84, 126, 146)


def draw_background(
    size: tuple[int, int],
    horizon: float,
    sides: tuple[float, float],
    over_water: bool,
    props: Props,
    rng: np.random.Generator,
) -> Image.Image:
    """A scene (RGB) for a landmark that will stand between the two `sides`, all in pixels."""
    scene = _sky(size, props, rng)
    unit = min(size)
    _put_hills(scene, horizon, unit * rng.uniform(0, 0.16), rng)
    for pool, most, (low, high) in ((props.houses, 6, (0.15, 0.5)), (props.trees, 3, (0.1, 0.3))):
        for _ in range(int(rng.integers(most + 1))):
            prop = pool[int(rng.integers(len(pool)))]
            x, height = float(rng.uniform(0, size[0])), unit * float(rng.uniform(low, high))
            _put(scene, prop, x, horizon + 2, height * prop.width / prop.height, height)
    _put_ground(scene, horizon, sides, over_water, rng)
    return scene


def put_occluders(
    scene: Image.Image, share: float, box: Box, props: Props, rng: np.random.Generator
) -> None:
    """Cover about `share` of the landmark's box by things that stand before it."""
    left, top, right, bottom = box
    wide, tall = right - left, bottom - top
    missing = share
    while missing > 0.01:
        part = min(missing, float(rng.uniform(0.04, 0.4)))
        missing -= part
        pool = props.slender if part < 0.06 else props.broad
        prop = pool[int(rng.integers(len(pool)))]
        # Nothing is as tall as the landmark: a thing that would be grows wider instead.
        area = part * wide * tall
        height = min((area * prop.height / prop.width) ** 0.5, tall * 0.95)
        x = float(rng.uniform(left, right))
        y = bottom + float(rng.uniform(0.01, 0.08)) * min(scene.size)
        _put(scene, prop, x, y, area / height, height)


def _sky(size: tuple[int, int], props: Props, rng: np.random.Generator) -> Image.Image:
    top, bottom = np.array(_SKIES[int(rng.integers(len(_SKIES)))], np.float32)
    fall = np.linspace(0, 1, size[1], dtype=np.float32)[:, None]
    column = (top * (1 - fall) + bottom * fall).astype(np.uint8)[:, None]
    sky = Image.fromarray(column).resize(size, Image.Resampling.NEAREST)
    cloud = props.clouds[int(rng.integers(len(props.clouds)))]
    x, y = rng.integers(0, 96, 2).tolist()
    cover = cloud.resize(size, Image.Resampling.BILINEAR, (x, y, x + 160, y + 160))
    sky.paste(_CLOUD, (0, 0, *size), cover)
    return sky


def _put_hills(scene: Image.Image, horizon: float, height: float, rng: np.random.Generator) -> None:
    start, end = rng.uniform(0, 9, 2).tolist()
    xs = np.linspace(0, scene.width, 24)
    ys = horizon - height * np.abs(np.sin(np.linspace(start, end, 24)))
    ridge = list(zip(xs.tolist(), ys.tolist(), strict=True))
    ImageDraw.Draw(scene).polygon([(0, horizon + 2), *ridge, (scene.width, horizon + 2)], _HILLS)


def _put_ground(
    scene: Image.Image,
    horizon: float,
    sides: tuple[float, float],
    over_water: bool,
    rng: np.random.Generator,
) -> None:
    draw = ImageDraw.Draw(scene)
    width, height = scene.size
    unit = min(scene.size)
    colour = _WATER if over_water else _GROUNDS[int(rng.integers(len(_GROUNDS)))]
    draw.rectangle((0, horizon, width, max(horizon, height)), colour)
    # Ripples or paving, wider apart as they come near.
    step, y = unit * 0.02, horizon + unit * 0.03
    while y < height:
        if over_water:
            for x in rng.uniform(0, width, 4).tolist():
                draw.line((x, y, x + 3 * step, y), shade(colour, 1.2), 1)
        else:
            draw.line((0, y, width, y), shade(colour, 0.95), 1)
        y += step
        step *= 1.35
    middle, reach = sum(sides) / 2, (sides[1] - sides[0]) * 0.54
    shadow = (middle - reach, horizon - 1, middle + reach, horizon + unit * 0.04 + reach * 0.16)
    draw.ellipse(shadow, shade(colour, 0.8))


def _put(
    scene: Image.Image, picture: Image.Image, x: float, y: float, width: float, height: float
) -> None:
    """Paste `picture` so that the middle of its lower edge stands at (x, y)."""
    size = (max(1, round(width)), max(1, round(height)))
    small = picture.resize(size, Image.Resampling.BILINEAR)
    scene.paste(small, (round(x - size[0] / 2), round(y) - size[1]), small)
