"""Draws landmarks: facades, towers and bridges put together from parametrised parts.

Parts, textures and palettes are few and shared, so that landmarks are confusable; which of them a
landmark has, how many and in what proportions, is what makes it recognisable.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image

from sfsc.data.synthetic.pen import CLEAR, Colour, Pen, Point, grain, shade

T = TypeVar("T")


@dataclass(frozen=True)
class Landmark:
    """A landmark seen from the front: RGBA at full, half and quarter size, standing on its base."""

    pictures: tuple[Image.Image, Image.Image, Image.Image]
    over_water: bool


@dataclass(frozen=True)
class _Palette:
    wall: Colour
    trim: Colour
    roof: Colour
    accent: Colour


_PALETTES = (
    _Palette((214, 186, 140), (238, 220, 184), (172, 88, 60), (120, 72, 48)),
    _Palette((172, 88, 66), (232, 222, 204), (78, 84, 98), (60, 92, 84)),
    _Palette((152, 154, 160), (204, 204, 206), (72, 78, 92), (150, 46, 44)),
    _Palette((228, 222, 208), (250, 248, 240), (104, 158, 140), (196, 154, 66)),
    _Palette((222, 178, 98), (246, 238, 214), (150, 70, 52), (70, 100, 80)),
    _Palette((206, 152, 136), (244, 228, 216), (84, 92, 110), (110, 60, 70)),
    _Palette((150, 166, 146), (226, 230, 214), (112, 72, 54), (206, 164, 78)),
    _Palette((134, 152, 178), (236, 238, 240), (62, 70, 88), (214, 180, 92)),
    _Palette((134, 100, 82), (206, 180, 150), (96, 146, 128), (212, 170, 76)),
    _Palette((236, 230, 214), (178, 92, 66), (178, 90, 62), (64, 88, 124)),
)
_GLASS: Colour = (56, 68, 90)
_TEXTURES = ("plain", "bricks", "bands", "pilasters")
_WINDOWS = ("square", "round arch", "pointed arch", "oculus", "pair")
_ENTRANCES = ("gate", "arcade", "portico")

# Outlines of what a block may carry: (height over width, steps of Pen.profile).
_CAPS: dict[str, tuple[float, Sequence[Point]]] = {
    "pediment": (0.3, ((0, 1.12), (1, 0))),
    "gable": (0.75, ((0, 1.06), (1, 0))),
    "spire": (2.0, ((0, 1.1), (0.08, 0.9), (1, 0))),
    "hip": (0.34, ((0, 1.12), (1, 0.6))),
    "mansard": (0.45, ((0, 1.08), (0.7, 0.88), (1, 0.6))),
    "bell": (1.0, ((0, 1.1), (0.2, 0.75), (0.5, 0.5), (0.75, 0.2), (1, 0))),
    "dome": (0.62, tuple((u, (1 - u**2) ** 0.5) for u in np.linspace(0, 1, 12).tolist())),
    "onion": (
        1.15,
        ((0, 0.7), (0.12, 0.98), (0.26, 1.08), (0.42, 0.94), (0.6, 0.5), (0.75, 0.2), (1, 0)),
    ),
    "stepped": (
        0.55,
        (
            (0, 1),
            (0.3, 1),
            (0.3, 0.75),
            (0.55, 0.75),
            (0.55, 0.5),
            (0.8, 0.5),
            (0.8, 0.25),
            (1, 0.25),
        ),
    ),
}
_WIDE_CAPS = ("pediment", "hip", "mansard", "dome", "stepped", "battlement", "balustrade")
_SLIM_CAPS = ("gable", "spire", "bell", "dome", "onion", "battlement", "hip")


def draw_landmark(rng: np.random.Generator) -> Landmark:
    """One landmark; the same state of `rng` gives the same one."""
    kind = _one(rng, ("facade", "facade", "facade", "tower", "tower", "bridge"))
    builder = _Builder(rng)
    {"facade": builder.facade, "tower": builder.tower, "bridge": builder.bridge}[kind]()
    full = grain(builder.pen.picture(), rng, 0.05)
    return Landmark((full, full.reduce(2), full.reduce(4)), over_water=kind == "bridge")


def _one(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]


class _Builder:
    """One landmark's style, kept for all its parts."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.pen = Pen(1.1, 3.0)
        self._rng = rng
        self._palette = _one(rng, _PALETTES)
        self._texture = _one(rng, _TEXTURES)
        self._window = _one(rng, _WINDOWS)
        self._window_size = (rng.uniform(0.4, 0.65), rng.uniform(0.5, 0.75))  # share of its cell
        self._finial = _one(rng, ("none", "ball", "flag", "cross"))

    def facade(self) -> None:
        rng = self._rng
        half, height = rng.uniform(0.26, 0.5), rng.uniform(0.6, 1.05)
        bays, floors = int(rng.integers(2, 6)), int(rng.integers(1, 5))
        crown = _one(rng, _WIDE_CAPS)
        wing, lower = rng.uniform(0.22, 0.45), rng.uniform(0.5, 0.85)
        wing_bays, wing_floors = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        wing_cap = _one(rng, ("hip", "balustrade", "battlement", "mansard"))
        tower, taller = rng.uniform(0.15, 0.26), rng.uniform(0.8, 1.5)
        tower_cap, tower_floors = _one(rng, _SLIM_CAPS), int(rng.integers(2, 5))
        plan = _one(rng, ("block", "wings", "twin towers", "wings and corner towers", "steeple"))

        edge = half
        if "wings" in plan:
            edge += wing
            for side in (-1, 1):
                ends = sorted((side * half, side * edge))
                self._block(ends[0], ends[1], 0, height * lower, wing_bays, wing_floors, wing_cap)
        if plan == "steeple":
            self._tower_shaft(0, tower * 1.2, height, height * (1 + 0.6 * taller), 2, tower_cap)
        self._block(-half, half, 0, height, bays, floors, crown)
        self._entrance(half, height / (floors + 0.6))
        if plan in ("twin towers", "wings and corner towers"):
            for side in (-1, 1):
                self._tower_shaft(side * edge, tower, 0, height * taller, tower_floors, tower_cap)
        self._ornament(height, half)

    def tower(self) -> None:
        rng = self._rng
        tiers, width = int(rng.integers(1, 5)), rng.uniform(0.36, 0.62)
        taper, tall = rng.uniform(0.7, 0.95), rng.uniform(1.2, 1.7)
        cap, overhang = _one(rng, _SLIM_CAPS), _one(rng, (0.0, 0.0, 0.14, 0.3))
        bays, floors = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        if rng.random() < 0.5:
            half, height = rng.uniform(0.4, 0.75), rng.uniform(0.22, 0.4)
            self._block(-half, half, 0, height, int(rng.integers(3, 7)), 1, "hip")
        ground, door = 0.0, width
        heights = np.geomspace(1, 0.75**tiers, tiers)
        for part in (heights / heights.sum() * tall).tolist():
            top = ground + part
            self._block(-width / 2, width / 2, ground, top, bays, floors, "none")
            if overhang:
                eaves = ((0.0, 1.0 + 2 * overhang), (1.0, 0.9))
                self.pen.profile(0, top - 0.02, width, 0.12, eaves, self._palette.roof)
            else:
                self._cornice(-width / 2, width / 2, top)
            ground, width = top, width * taper
        if rng.random() < 0.5:
            self._clock(0, ground - 0.2, width * 0.36)
        self._cap(-width / 2, width / 2, ground, cap)
        self._opening(0, 0, door * 0.35, 0.24, 1.0)

    def bridge(self) -> None:
        rng, pen, palette = self._rng, self.pen, self._palette
        deck, thick = rng.uniform(0.28, 0.5), rng.uniform(0.07, 0.13)
        spans, towers = int(rng.integers(2, 7)), _one(rng, (0, 1, 2, 2))
        cables, hump = _one(rng, ("hung", "stayed", "none")), rng.uniform(0, 0.14)
        rise, pier = _one(rng, (0.7, 1.0, 1.5)), rng.uniform(0.12, 0.35)
        xs = np.linspace(-1.05, 1.05, 41)
        road = [(x, deck + hump * (1 - x * x)) for x in xs.tolist()]
        pen.polygon([(-1.05, 0), *road, (1.05, 0)], palette.wall)
        self._wall_texture(-1.05, 0, 1.05, deck)
        span = 2.1 / spans
        for middle in (-1.05 + span * (np.arange(spans) + 0.5)).tolist():
            clear, height = span * (1 - pier), deck + hump * (1 - middle * middle) - thick
            pen.arch(middle, 0, clear + 0.04, height + 0.02, rise, palette.trim)
            pen.arch(middle, 0, clear, height, rise, CLEAR)
        pen.line(road, palette.trim, 0.035)
        posts = {0: (), 1: (0.0,), 2: (-0.55, 0.55)}[towers]
        cap, tall = _one(rng, _SLIM_CAPS), rng.uniform(0.45, 0.9)
        width, gate = rng.uniform(0.11, 0.2), rng.random() < 0.6
        for post in posts:
            top = deck + tall
            reaches = (-1.05, 1.05) if towers == 1 else (1.05 * np.sign(post), 0.0)
            for end in reaches if cables != "none" else ():
                self._cable(cables, post, top, float(end), deck + 0.05)
        for post in posts:
            self._block(post - width / 2, post + width / 2, 0, deck + tall, 1, 3, "none")
            self._cap(post - width / 2, post + width / 2, deck + tall, cap)
            if gate:
                self._opening(post, deck + hump * 0.7, width * 0.55, 0.18, 1.0)

    def _cable(self, kind: str, post: float, top: float, end: float, deck: float) -> None:
        along = np.linspace(0, 1, 9)
        xs = post + (end - post) * along
        if kind == "hung":
            ys = deck + (top - deck) * (1 - along) ** 2
            self.pen.line(list(zip(xs, ys, strict=True)), self._palette.accent, 0.022)
        for x, share in zip(xs[1:].tolist(), along[1:].tolist(), strict=True):
            upper = (x, deck + (top - deck) * (1 - share) ** 2) if kind == "hung" else (post, top)
            self.pen.line([upper, (x, deck)], self._palette.accent, 0.012)

    def _block(
        self, x0: float, x1: float, y0: float, y1: float, bays: int, floors: int, cap: str
    ) -> None:
        self.pen.rectangle(x0, y0, x1, y1, self._palette.wall)
        self._wall_texture(x0, y0, x1, y1)
        cell, storey = (x1 - x0) / (bays + 0.4), (y1 - y0) / (floors + 0.2)
        across, up = self._window_size
        for floor in range(floors):
            for bay in range(bays):
                x = x0 + cell * (bay + 0.7)
                y = y0 + storey * (floor + 0.1 + (1 - up) / 2)
                self._pane(x, y, min(cell * across, 0.2), min(storey * up, 0.42))
        self._cap(x0, x1, y1, cap)

    def _tower_shaft(
        self, x: float, width: float, y0: float, y1: float, floors: int, cap: str
    ) -> None:
        self._block(x - width / 2, x + width / 2, y0, y1, 1, floors, cap)
        self.pen.rectangle(x + width / 4, y0, x + width / 2, y1, shade(self._palette.wall, 0.82))

    def _wall_texture(self, x0: float, y0: float, x1: float, y1: float) -> None:
        pen, wall, trim = self.pen, self._palette.wall, self._palette.trim
        if self._texture == "bricks":
            for row, y in enumerate(np.arange(y0 + 0.04, y1, 0.045).tolist()):
                pen.line([(x0, y), (x1, y)], shade(wall, 0.85), 0.008)
                for x in np.arange(x0 + 0.05 * (1 + row % 2), x1, 0.1).tolist():
                    pen.rectangle(x, y - 0.04, min(x + 0.045, x1), y, shade(wall, 0.93))
        elif self._texture == "bands":
            for y in np.arange(y0 + 0.07, y1 - 0.05, 0.14).tolist():
                pen.rectangle(x0, y, x1, y + 0.05, shade(trim, 0.93))
        elif self._texture == "pilasters":
            for x in np.linspace(x0, x1 - 0.035, max(2, round((x1 - x0) / 0.16) + 1)).tolist():
                pen.rectangle(x, y0, x + 0.035, y1, trim)
                pen.rectangle(x + 0.025, y0, x + 0.035, y1, shade(wall, 0.75))

    def _pane(self, x: float, y: float, width: float, height: float) -> None:
        if self._window == "oculus":
            radius = min(width, height) / 2
            self.pen.ellipse(x, y + height / 2, radius + 0.02, radius + 0.02, self._palette.trim)
            self.pen.ellipse(x, y + height / 2, radius, radius, _GLASS)
        elif self._window == "pair":
            self._opening(x - width * 0.29, y, width * 0.42, height, 1.0)
            self._opening(x + width * 0.29, y, width * 0.42, height, 1.0)
        else:
            rise = {"square": 0.0, "round arch": 1.0, "pointed arch": 2.2}[self._window]
            self._opening(x, y, width, height, rise)

    def _opening(self, x: float, y: float, width: float, height: float, rise: float) -> None:
        self.pen.arch(x, y - 0.015, width + 0.035, height + 0.035, rise, self._palette.trim)
        self.pen.arch(x, y, width, height, rise, _GLASS)
        # A pale lower left pane: sky in the glass.
        self.pen.rectangle(x - width / 2, y, x - width * 0.1, y + height * 0.45, (92, 108, 132))

    def _cornice(self, x0: float, x1: float, y: float) -> None:
        self.pen.rectangle(x0 - 0.03, y - 0.035, x1 + 0.03, y + 0.02, self._palette.trim)
        self.pen.rectangle(x0, y - 0.055, x1, y - 0.035, shade(self._palette.wall, 0.7))

    def _cap(self, x0: float, x1: float, y: float, cap: str) -> None:
        if cap == "none":
            return
        pen, palette, width, middle = self.pen, self._palette, x1 - x0, (x0 + x1) / 2
        top = y
        if cap in ("battlement", "balustrade"):
            tooth = 0.07 if cap == "battlement" else 0.03
            colour = palette.wall if cap == "battlement" else palette.trim
            teeth = max(2, round(width / tooth / 2))
            for x in np.linspace(x0 - 0.02, x1 + 0.02 - tooth, teeth).tolist():
                pen.rectangle(x, y, x + tooth, y + 0.08, colour)
            if cap == "balustrade":
                pen.rectangle(x0 - 0.02, y + 0.07, x1 + 0.02, y + 0.1, colour)
        else:
            ratio, steps = _CAPS[cap]
            walled = cap in ("pediment", "stepped")
            height = ratio * width
            pen.profile(middle, y, width, height, steps, palette.wall if walled else palette.roof)
            if cap == "pediment":
                pen.line([(x0, y), (middle, y + height), (x1, y)], palette.trim, 0.035)
                pen.ellipse(middle, y + height * 0.38, height * 0.2, height * 0.2, palette.accent)
            top += height
            if cap not in ("hip", "mansard", "pediment", "stepped"):
                self._top(middle, top)
        self._cornice(x0, x1, y)

    def _top(self, x: float, y: float) -> None:
        pen, accent = self.pen, self._palette.accent
        if self._finial == "none":
            return
        pen.line([(x, y - 0.03), (x, y + 0.16)], accent, 0.018)
        if self._finial == "ball":
            pen.ellipse(x, y + 0.05, 0.035, 0.035, accent)
        elif self._finial == "flag":
            pen.polygon([(x, y + 0.16), (x + 0.15, y + 0.12), (x, y + 0.07)], accent)
        else:
            pen.line([(x - 0.05, y + 0.1), (x + 0.05, y + 0.1)], accent, 0.018)

    def _entrance(self, half: float, storey: float) -> None:
        rng, pen, palette = self._rng, self.pen, self._palette
        kind, height = _one(rng, _ENTRANCES), min(storey * 0.85, 0.42)
        if kind == "gate":
            self._opening(0, 0, min(half * 0.6, 0.34), height * 1.1, _one(rng, (0.0, 1.0, 2.2)))
            return
        openings = int(rng.integers(3, 7))
        reach = half * rng.uniform(0.7, 1.0)
        pitch = 2 * reach / openings
        if kind == "arcade":
            for x in (-reach + pitch * (np.arange(openings) + 0.5)).tolist():
                self._opening(x, 0, pitch * 0.62, height, 1.0)
            self._cornice(-reach, reach, height + 0.07)
            return
        pen.rectangle(-reach, 0, reach, height, shade(palette.wall, 0.45))
        for x in np.linspace(-reach, reach, openings + 1).tolist():
            pen.profile(
                x, 0, 0.075, height, ((0, 1.3), (0.1, 0.8), (0.9, 0.7), (1, 1.3)), palette.trim
            )
        pen.profile(0, height, 2 * reach, 0.32 * reach, ((0, 1.12), (1, 0)), palette.trim)
        for step in range(3):
            out = reach + 0.1 - 0.03 * step
            pen.rectangle(
                -out, 0.02 * step, out, 0.02 * step + 0.02, shade(palette.trim, 0.8 + 0.07 * step)
            )

    def _ornament(self, height: float, half: float) -> None:
        kind = _one(self._rng, ("none", "none", "clock", "rose", "banners", "band"))
        if kind == "clock":
            self._clock(0, height * 0.82, min(0.13, half * 0.4))
        elif kind == "rose":
            radius, y = min(0.19, half * 0.55), height * 0.68
            self.pen.ellipse(0, y, radius + 0.03, radius + 0.03, self._palette.trim)
            self.pen.ellipse(0, y, radius, radius, _GLASS)
            for turn in np.linspace(0, np.pi, 5)[:-1].tolist():
                x, up = radius * float(np.cos(turn)), radius * float(np.sin(turn))
                self.pen.line([(-x, y - up), (x, y + up)], self._palette.trim, 0.018)
            self.pen.ellipse(0, y, radius * 0.35, radius * 0.35, self._palette.accent)
        elif kind == "banners":
            for x in (-half * 0.55, half * 0.55):
                self.pen.rectangle(
                    x - 0.05, height * 0.4, x + 0.05, height * 0.85, self._palette.accent
                )
        elif kind == "band":
            self.pen.rectangle(-half, height * 0.87, half, height * 0.96, self._palette.accent)

    def _clock(self, x: float, y: float, radius: float) -> None:
        pen = self.pen
        pen.ellipse(x, y, radius + 0.025, radius + 0.025, self._palette.accent)
        pen.ellipse(x, y, radius, radius, (246, 242, 228))
        pen.line(
            [(x, y + radius * 0.75), (x, y), (x + radius * 0.5, y - radius * 0.2)],
            (30, 30, 34),
            0.02,
        )
