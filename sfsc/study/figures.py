"""The study as pictures: each effect with its interval and bound, and the map of conflict."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from sfsc.files import replacing
from sfsc.report.style import RC
from sfsc.study.plan import EQUIVALENT
from sfsc.study.verdicts import Decision

# Okabe and Ito, "Color Universal Design" (2008); each verdict has a marker of its own, too.
_LOOKS = {
    "supported": ("#0072B2", "o"),
    "refuted": ("#D55E00", "X"),
    "no effect": ("#009E73", "s"),
    "undecided": ("#8A8A8A", "D"),
}


def draw_verdicts(decisions: Sequence[Decision], path: Path) -> None:
    """Write a picture of the hypotheses in points: distance to the bound, and its 95 % interval."""
    sets = list(dict.fromkeys(each.set for each in decisions))
    most = max(sum(each.set == name for each in decisions) for name in sets)
    with plt.rc_context(RC):
        figure, axes = plt.subplots(
            1,
            len(sets),
            figsize=(1.8 + 3.6 * len(sets), 1.2 + 0.34 * most),
            squeeze=False,
            layout="constrained",
        )
        for axis, name in zip(axes[0], sets, strict=True):
            shown = [each for each in decisions if each.set == name]
            for row, each in enumerate(reversed(shown)):
                colour, marker = _LOOKS[each.verdict]
                distance = 100 * (each.evidence.mean - each.hypothesis.above)
                axis.errorbar(
                    distance,
                    row,
                    xerr=100 * each.evidence.half,
                    color=colour,
                    marker=marker,
                    capsize=2,
                    label=each.verdict,
                )
            axis.axvline(0, color="black", linewidth=0.8)
            axis.axvspan(-100 * EQUIVALENT, 100 * EQUIVALENT, color="#8A8A8A", alpha=0.12)
            axis.set_yticks(range(len(shown)), [each.hypothesis.name for each in reversed(shown)])
            axis.set_title(f"{name}, {max(each.evidence.units for each in shown)} units")
            axis.set_xlabel("points above the bound (C: hundredths)")
            axis.grid(axis="y", visible=False)
        handles = {
            label: handle
            for axis in axes[0]
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=len(handles))
        _save(figure, path)


def draw_map(cells: pd.DataFrame, path: Path) -> None:
    """Write a picture of the map of conflict, the table of `sfsc.study.conflicts.table`."""
    factors = [name for name in cells["factor"].unique() if name != "base"]
    base = cells[cells["factor"] == "base"]
    with plt.rc_context(RC):
        figure, axes = plt.subplots(
            1,
            len(factors),
            figsize=(1.5 * len(factors) + 1, 3.2),
            sharey=True,
            squeeze=False,
            layout="constrained",
        )
        for axis, factor in zip(axes[0], factors, strict=True):
            shown = pd.concat([base, cells[cells["factor"] == factor]])
            places = range(len(shown))
            for column, colour, marker, label in (
                ("mini_batches", "#56B4E9", "o", "in mini-batches"),
                ("whole_set", "#D55E00", "D", "in the whole set"),
            ):
                axis.plot(places, 100 * shown[column], marker, color=colour, label=label)
            axis.set_xticks(places, shown["value"], rotation=45, ha="right")
            axis.set_title(factor)
            axis.set_ylim(bottom=0)
        axes[0, 0].set_ylabel("pairs of gradients that conflict (%)")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
        _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as beside:
        figure.savefig(beside, dpi=150)
    plt.close(figure)
