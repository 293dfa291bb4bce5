"""Photographs landmarks: what changes between views, how strongly, and how it looks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from sfsc.data.sets import Box
from sfsc.data.synthetic.draw import Landmark
from sfsc.data.synthetic.props import Props
from sfsc.data.synthetic.surroundings import draw_background, put_occluders

EASY = 0.25
"""Views whose strength is below this are easy."""
HARD = 0.48
"""Views from EASY to below this are hard; stronger ones are junk: too little shows to count."""

_NORMAL_SCALE = 0.8
_DETAIL = 1.5  # pixels of the scene, in each direction, to one of the photograph
_MARGIN = 1.12  # scene around the photograph, so that it can be turned; 1 + sin(6.8°)
_HORIZON = 0.1  # height of the eye over that of the landmark


@dataclass(frozen=True)
class View:
    """One way to photograph a landmark.

    Lengths are shares of the photograph's shorter side, angles degrees; `yaw`, `warmth` and
    `shadow` run over [-1, 1], `pitch`, `blur` and `occlusion` over [0, 1].
    """

    scale: float  # the landmark's longer side
    shift: tuple[float, float]  # of the landmark's centre from the photograph's
    yaw: float  # from the right side (negative) to the left
    pitch: float  # how steeply the camera looks up
    roll: float
    exposure: float  # stops
    contrast: float  # factor
    warmth: float  # from blue to orange light
    shadow: float  # fall-off of light towards the left (negative) or right edge
    blur: float
    occlusion: float  # share of the landmark's box that is covered

    def strength(self) -> float:
        """How much the view changes a landmark's look, in [0, 1].

        Each change is in units in which 1 leaves the landmark unrecognisable. Viewpoint, light and
        blur stop at 0.55, while occlusion, size and crop reach 1: junk is mostly their doing. The
        strength is the mean of the greatest change and of the mean of all.
        """
        cut = max(0.0, max(map(abs, self.shift)) + self.scale / 2 - 0.5) / self.scale
        light = max(
            abs(self.exposure) / 0.7,
            abs(self.contrast - 1) / 0.35,
            abs(self.warmth),
            abs(self.shadow),
        )
        changes = (
            0.55 * max(abs(self.yaw), self.pitch, abs(self.roll) / 6),
            0.55 * light,
            0.55 * self.blur,
            min(1.0, self.occlusion / 0.75),
            min(1.0, max(0.0, _NORMAL_SCALE - self.scale) / 0.6),
            min(1.0, cut / 0.5),
        )
        return (max(changes) + sum(changes) / len(changes)) / 2


def draw_view(rng: np.random.Generator, low: float, high: float) -> View:
    """A random view whose strength is at least `low` and below `high`."""
    while True:
        reach = rng.uniform(0.1, 1.0)
        swing = reach * rng.uniform(-1, 1, 8)
        yaw, pitch, roll, exposure, contrast, warmth, shadow, size = swing.tolist()
        # Squares: most views are hardly blurred, covered or cut, a few are badly.
        blur, occlusion, off = (reach * rng.uniform(0, 1, 3) ** 2).tolist()
        turn = rng.uniform(0, 2 * np.pi)
        view = View(
            scale=_NORMAL_SCALE + (0.7 * size if size > 0 else 0.6 * size),
            shift=(0.45 * off * float(np.cos(turn)), 0.45 * off * float(np.sin(turn))),
            yaw=yaw,
            pitch=abs(pitch),
            roll=6 * roll,
            exposure=0.7 * exposure,
            contrast=1 + 0.35 * contrast,
            warmth=warmth,
            shadow=shadow,
            blur=blur,
            occlusion=0.85 * occlusion,
        )
        if low <= view.strength() < high:
            return view


@dataclass(frozen=True)
class Photograph:
    """`box`: x1, y1, x2, y2 in pixels, what of the landmark's box lies in the picture."""

    picture: Image.Image
    box: Box


def photograph(
    landmark: Landmark, view: View, size: tuple[int, int], props: Props, rng: np.random.Generator
) -> Photograph:
    """The landmark seen so, in RGB of `size` (width, height); surroundings come from `rng`."""
    width, height = (round(side * _DETAIL * _MARGIN) for side in size)
    unit = min(size) * _DETAIL
    corners = _corners(landmark, view)
    corners = corners * unit + (width / 2, height / 2)
    (left, top), (right, bottom) = corners.min(0), corners.max(0)
    horizon = bottom - _HORIZON * (bottom - top)

    scene = draw_background(
        (width, height), horizon, (left, right), landmark.over_water, props, rng
    )
    _put_landmark(scene, landmark, corners)
    if landmark.over_water:
        props = replace(props, broad=props.boats, slender=props.boats)
    put_occluders(scene, view.occlusion, (left, top, right, bottom), props, rng)

    scene = scene.rotate(view.roll, Image.Resampling.BILINEAR)
    edge_x, edge_y = ((side - side / _MARGIN) / 2 for side in (width, height))
    inner = (edge_x, edge_y, width - edge_x, height - edge_y)
    picture = scene.resize(size, Image.Resampling.BOX, inner)
    if view.blur > 0.1:
        picture = picture.filter(ImageFilter.GaussianBlur(view.blur * min(size) / 45))
    picture = _light(picture, view, rng)
    box = [
        float(np.clip((value - edge) / _DETAIL, 0, side))
        for value, edge, side in zip(
            (left, top, right, bottom), (edge_x, edge_y) * 2, size * 2, strict=True
        )
    ]
    return Photograph(picture, (box[0], box[1], box[2], box[3]))


def _corners(landmark: Landmark, view: View) -> NDArray[np.float64]:
    """Where the picture's corners go, (4, 2), clockwise from the upper left; see View for units."""
    across, up = landmark.pictures[0].size
    half = view.scale * across / max(across, up) / 2 * (1 - 0.35 * abs(view.yaw))
    tall = view.scale * up / max(across, up)
    eye = view.shift[1] + tall / 2 - _HORIZON * tall
    narrow = 1 - 0.22 * view.pitch
    corners = []
    for x, y in ((-narrow, -tall / 2), (narrow, -tall / 2), (1, tall / 2), (-1, tall / 2)):
        near = 1 - 0.2 * view.yaw * np.sign(x)
        corners.append((view.shift[0] + half * x, eye + (view.shift[1] + y - eye) * near))
    return np.array(corners)


def _put_landmark(scene: Image.Image, landmark: Landmark, corners: NDArray[np.float64]) -> None:
    reach = float(np.ptp(corners, axis=0).max()) / max(landmark.pictures[0].size)
    picture = landmark.pictures[0 if reach > 0.6 else 1 if reach > 0.3 else 2]
    x0, y0 = np.maximum(np.floor(corners.min(0)), 0).astype(int).tolist()
    x1, y1 = np.minimum(np.ceil(corners.max(0)), scene.size).astype(int).tolist()
    if x1 <= x0 or y1 <= y0:
        return
    across, up = picture.size
    source = np.array([(0, 0), (across, 0), (across, up), (0, up)], float)
    coefficients = _homography(corners - (x0, y0), source)
    warped = picture.transform(
        (x1 - x0, y1 - y0), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR
    )
    scene.paste(warped, (x0, y0), warped)


def _homography(start: NDArray[np.float64], end: NDArray[np.float64]) -> Sequence[float]:
    """The 8 coefficients that Image.transform takes, which carry the 4 points `start` to `end`."""
    rows, values = [], []
    for (x, y), (u, v) in zip(start.tolist(), end.tolist(), strict=True):
        rows += [(x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y)]
        values += [u, v]
    solution: list[float] = np.linalg.solve(np.array(rows), np.array(values)).tolist()
    return solution


def _light(picture: Image.Image, view: View, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(picture, np.float32)
    gain = 2.0**view.exposure * view.contrast
    tint = gain * np.array([1 + 0.22 * view.warmth, 1.0, 1 - 0.22 * view.warmth])
    fall = (
        1
        - 0.5 * abs(view.shadow) * np.linspace(0, 1, picture.width)[:: 1 if view.shadow > 0 else -1]
    )
    offset = 128 * (1 - view.contrast)
    noise = rng.normal(0, 2, pixels.shape[:2]).astype(np.float32)
    pixels = (
        pixels * np.outer(fall, tint).astype(np.float32) + noise[..., None] + np.float32(offset)
    )
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
