"""Decide a study's hypotheses by the units that have been run, by the rules of docs/study.md."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from sfsc.files import InputError
from sfsc.retrieval.compatibility import measures
from sfsc.retrieval.inference import LEAST_UNITS, half_width, holm, sign_flip_p
from sfsc.study.plan import EQUIVALENT, Hypothesis, Study, StudySet

_ALPHA = 0.05
_POWER = 0.8
_MOST_UNITS = 10_000

Verdict = str
"""supported, refuted, no effect, or undecided."""


class Evidence(NamedTuple):
    """What the units say about a hypothesis, before the correction for several of them."""

    units: int
    mean: float
    half: float
    """Half the 95 % interval of the mean, by Student's t; NaN for one unit."""
    p: float
    """Two-sided, of the distance to the bound, by sign flips; NaN below five units."""
    equivalent: bool
    """Whether the 90 % interval is within a point of 0: two one-sided tests (Schuirmann, 1987)."""
    power: float
    """Of a two-sided t-test for a distance of one point, at this deviation and number of units."""
    needed: int
    """Units for which that power is 80 %."""


def evidence(values: NDArray[np.float64], above: float) -> Evidence:
    """The evidence of one value per unit, (units,), for a mean above the bound."""
    units, column = len(values), values[:, None]
    if units < 2:
        return Evidence(units, float(values.mean()), np.nan, np.nan, False, np.nan, 0)
    deviation = float(values.std(ddof=1))
    error = deviation / np.sqrt(units)
    inner = scipy.stats.t.ppf(1 - _ALPHA, units - 1) * error
    return Evidence(
        units,
        float(values.mean()),
        float(half_width(column)[0]),
        float(sign_flip_p(column - above)[0]) if units >= LEAST_UNITS else np.nan,
        bool(abs(values.mean()) + inner < EQUIVALENT),
        power(deviation, units),
        next((n for n in range(2, _MOST_UNITS) if power(deviation, n) >= _POWER), _MOST_UNITS),
    )


def power(deviation: float, units: int) -> float:
    """The chance that a two-sided t-test of `units` values finds a mean of one point."""
    if deviation == 0:
        return 1.0
    limit = scipy.stats.t.ppf(1 - _ALPHA / 2, units - 1)
    shift = EQUIVALENT / deviation * np.sqrt(units)
    other = scipy.stats.nct(units - 1, shift)
    return float(other.sf(limit) + other.cdf(-limit))


def verdict(found: Evidence, p_holm: float, above: float) -> Verdict:
    """The answer by the rules of the protocol."""
    if found.units >= LEAST_UNITS:
        if p_holm < _ALPHA and found.mean - found.half > above:
            return "supported"
        if p_holm < _ALPHA and found.mean + found.half < above:
            return "refuted"
        if above == 0 and found.equivalent:
            return "no effect"
    return "undecided"


def scores(study: Study) -> pd.DataFrame:
    """Every measure of every unit: columns set, arm, seed, measure, value.

    Raises InputError for a file of a unit that cannot be read.
    """
    rows = []
    for name, of in study.sets.items():
        for path in sorted((study.units / name).glob("*/*.json")):
            unit = _read(path)
            M, random = _deciding(unit, of, path)
            found = measures(M, random) | {"widest": float(M[-1, -1])}
            rows += [(name, unit["arm"], unit["seed"], key, each) for key, each in found.items()]
    return pd.DataFrame(rows, columns=["set", "arm", "seed", "measure", "value"])


class Decision(NamedTuple):
    """A hypothesis on one set, and what the units say about it."""

    set: str
    hypothesis: Hypothesis
    evidence: Evidence
    p_holm: float
    """The evidence's p, corrected for all hypotheses of the set."""
    verdict: Verdict


def decide(study: Study) -> list[Decision]:
    """A decision for each set and each hypothesis that has a unit there."""
    known, found = scores(study), []
    for name in study.sets:
        of_set = known[known["set"] == name]
        every = [
            (each, evidence(values, each.above))
            for each in study.hypotheses
            if len(values := contrast(of_set, each))
        ]
        corrected = holm(np.array([one.p for _, one in every]))
        for (each, one), p in zip(every, corrected, strict=True):
            found.append(Decision(name, each, one, float(p), verdict(one, p, each.above)))
    return found


def contrast(of_set: pd.DataFrame, of: Hypothesis) -> NDArray[np.float64]:
    """The contrast's value in each unit whose arms are all there, (units,), by seed."""
    of_measure = of_set[of_set["measure"] == of.measure]
    values = of_measure.pivot_table(index="seed", columns="arm", values="value")
    if not set(of.contrast) <= set(values):
        return np.empty(0)
    whole = values[list(of.contrast)].dropna()
    summed: NDArray[np.float64] = whole.to_numpy() @ np.array(list(of.contrast.values()))
    return summed


def in_words(weights: Mapping[str, float]) -> str:
    """`a - b - c + d`, and `a` alone."""
    first, *others = (
        f"{'-' if weight < 0 else '+'} {'' if abs(weight) == 1 else f'{abs(weight):g} '}{arm}"
        for arm, weight in weights.items()
    )
    return " ".join([first.removeprefix("+ "), *others])


def as_table(found: Iterable[Decision]) -> pd.DataFrame:
    """One row per decision, full values."""
    return pd.DataFrame(
        {
            "set": each.set,
            "hypothesis": each.hypothesis.name,
            "claim": each.hypothesis.claim,
            "contrast": in_words(each.hypothesis.contrast),
            "measure": each.hypothesis.measure,
            "bound": each.hypothesis.above,
            **each.evidence._asdict(),
            "p_holm": each.p_holm,
            "verdict": each.verdict,
        }
        for each in found
    )


def as_page(study: Study, found: Sequence[Decision]) -> str:
    """The verdicts in Markdown, set by set."""
    parts = ["# The study's verdicts", _RULES]
    for name, of in study.sets.items():
        decisions = [each for each in found if each.set == name]
        if decisions:
            counts = _counted(study, name, of)
            parts += [f"## {name}", counts, _markdown(decisions), _conflict(study, name)]
    return "\n\n".join(parts) + "\n"


_RULES = (
    "Effects, intervals and bounds in points; C as it is. p by sign flips over the units, corrected"
    " (Holm) for the hypotheses of the set; a verdict needs five units. Power: the chance that so"
    " many units show a difference of one point; needed: the units for a power of 80 %. The rules"
    " are those of docs/study.md."
)


def _counted(study: Study, name: str, of: StudySet) -> str:
    arms = study.arms(name)
    counts = {arm: len(list((study.units / name / arm).glob("*.json"))) for arm in arms}
    planned = of.seeds[1] - of.seeds[0] + 1
    short = [f"{arm} {count}" for arm, count in counts.items() if count < planned]
    text = f"{planned} units of {len(arms)} arms are planned"
    return text + (f"; so far: {', '.join(short)}." if short else ", and all are there.")


def _markdown(decisions: Iterable[Decision]) -> str:
    shown = []
    for _, of, found, p, answer in decisions:
        scale = 1 if of.measure == "C" else 100
        low, high = ((found.mean + sign * found.half) * scale for sign in (-1, 1))
        interval = f" [{low:+.2f}, {high:+.2f}]" if found.units > 1 else ""
        row = {
            "hypothesis": of.name,
            "claim": of.claim,
            "contrast": f"{in_words(of.contrast)}, {of.measure}",
            "bound": f"{of.above * scale:g}",
            "effect": f"{found.mean * scale:+.2f}{interval}",
            "units": found.units,
            "p": "–" if np.isnan(p) else f"{p:.3f}",
            "power": f"{found.power:.0%}" if found.units > 1 else "–",
            "needed": found.needed if answer == "undecided" and found.units > 1 else "",
            "verdict": f"**{answer}**",
        }
        shown.append(row)
    return pd.DataFrame(shown).to_markdown(index=False, disable_numparse=True)


def _conflict(study: Study, name: str) -> str:
    """What training recorded in a set, in one line per question."""
    rows = recorded(study)
    rows = rows[rows["set"] == name]
    share = rows[rows["quantity"] == "conflict_share"].groupby("arm")["value"].mean()
    lines = [
        "Pairs of gradients that conflict, over the whole training: "
        + ", ".join(f"{arm} {value:.1%}" for arm, value in share.items())
        + "."
    ]
    last = rows[rows["quantity"].isin(["loss", "uncertainty"])]
    for arm, of_arm in last.groupby("arm"):
        wide = of_arm.pivot_table(index=["seed", "model"], columns="quantity", values="value")
        if "uncertainty" in wide:
            agree = [_same_order(part) for _, part in wide.groupby("seed")]
            lines.append(
                f"In {sum(agree)} of {len(agree)} units of {arm} the uncertainty orders the members"
                " as the loss does."
            )
    return "\n".join(f"- {line}" for line in lines)


def _same_order(of_unit: pd.DataFrame) -> bool:
    order = of_unit.rank()
    return bool((order["loss"] == order["uncertainty"]).all())


def recorded(study: Study) -> pd.DataFrame:
    """What training recorded: columns set, arm, seed, quantity, model, value."""
    rows = [
        (name, unit["arm"], unit["seed"], quantity, model, value)
        for name in study.sets
        for unit in map(_read, sorted((study.units / name).glob("*/*.json")))
        for quantity, of in unit["training"].items()
        for model, value in of.items()
    ]
    return pd.DataFrame(rows, columns=["set", "arm", "seed", "quantity", "model", "value"])


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path}: is no file of a unit ({error}); remove it") from None
    return found


def _deciding(
    unit: Mapping[str, Any], of: StudySet, path: Path
) -> tuple[NDArray[np.float64], float]:
    """The matrix of the protocol that decides, and the score of random rankings."""
    entries: Iterable[Mapping[str, Any]] = unit["scores"]
    for each in entries:
        if each["protocol"] == of.protocol:
            values: Sequence[Sequence[float]] = each["values"]
            return np.array(values), float(each["random"])
    raise InputError(f"{path}: has no protocol {of.protocol!r}; remove the file")
