"""One look for every figure: colours and markers that stay with a method, and text sizes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sfsc.report.inputs import REFERENCE

# Okabe and Ito, "Color Universal Design" (2008), without yellow, which fades on white; then some of
# Tol's muted scheme.
_COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#000000",
    "#882255",
    "#999933",
    "#332288",
    "#44AA99",
    "#AA4499",
    "#661100",
    "#6699CC",
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "*", "h", "d", "8")
_REFERENCE_COLOUR = "#8A8A8A"

RC: dict[Any, Any] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "figure.titlesize": 11,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "text.parse_math": False,  # names may hold dollar signs
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}
"""Matplotlib settings of every figure."""


class Look(NamedTuple):
    """How one method is drawn."""

    colour: str
    marker: str


def method_looks(methods: Sequence[str]) -> dict[str, Look]:
    """Return each method's look, by its place in `methods`; chance is grey."""
    looks = {REFERENCE: Look(_REFERENCE_COLOUR, "")}
    trained = [method for method in dict.fromkeys(methods) if method != REFERENCE]
    for place, method in enumerate(trained):
        # Beyond the colours' number, another marker tells two methods of one colour apart.
        marker = (place + place // len(_COLOURS)) % len(_MARKERS)
        looks[method] = Look(_COLOURS[place % len(_COLOURS)], _MARKERS[marker])
    return looks
