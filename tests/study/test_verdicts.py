"""Verdicts by the rules of docs/study.md, from units that are made up."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from sfsc.files import InputError
from sfsc.study.plan import Hypothesis, Study, StudySet, Unit, read_study
from sfsc.study.verdicts import decide, evidence, in_words, power, verdict
from sfsc.study.write import write_verdicts

PROFILE = "config/study/landmarks.yaml"


def a_study(folder, hypotheses, seeds=(101, 110)):
    return Study(folder / "units", {"landmarks": StudySet(PROFILE, "all", seeds)}, hypotheses)


def write_units(study, arm, values, cross=0.1):
    """Units whose two members have the self-test `value` and cross-tests that are `cross` lower."""
    for seed, value in enumerate(values, 101):
        path = study.units / Unit("landmarks", arm, seed).file
        path.parent.mkdir(parents=True, exist_ok=True)
        matrix = [[value, value - cross], [value - cross, value]]
        score = {"protocol": "all", "metric": "mAP", "random": 0.0, "values": matrix}
        training = {
            "loss": {"w025": 2.0, "w100": 1.0},
            "uncertainty": {"w025": 0.5, "w100": 0.4},
            "conflict_share": {"": 0.1},
        }
        unit = {"arm": arm, "seed": seed, "scores": [score], "training": training}
        path.write_text(json.dumps(unit))


def test_verdicts_of_known_effects(tmp_path):
    random = np.random.default_rng(0)
    hypotheses = (
        Hypothesis("better", "a beats b", {"a": 1, "b": -1}, "cross_mean"),
        Hypothesis("worse", "b beats a", {"b": 1, "a": -1}, "self_mean"),
        Hypothesis("alike", "c beats b", {"c": 1, "b": -1}, "self_mean"),
        Hypothesis("noise", "d beats b", {"d": 1, "b": -1}, "self_mean"),
        Hypothesis("no less", "b costs less than a point", {"c": 1, "b": -1}, "widest", -0.01),
        Hypothesis("absent", "e beats b", {"e": 1, "b": -1}, "self_mean"),
    )
    study = a_study(tmp_path, hypotheses)
    base = random.normal(0.6, 0.02, 10)
    write_units(study, "b", base)
    write_units(study, "a", base + 0.05 + random.normal(0, 0.002, 10))
    write_units(study, "c", base + random.normal(0, 0.001, 10))
    write_units(study, "d", base + random.normal(0, 0.05, 10))
    assert {each.hypothesis.name: each.verdict for each in decide(study)} == {
        "better": "supported",
        "worse": "refuted",
        "alike": "no effect",
        "noise": "undecided",
        "no less": "supported",
    }
    write_verdicts(study)
    page = (tmp_path / "verdicts.md").read_text()
    assert "**refuted**" in page
    assert "In 10 of 10 units of a the uncertainty orders" in page


def test_a_unit_counts_where_all_arms_are_there(tmp_path):
    study = a_study(tmp_path, (Hypothesis("H", "", {"a": 1, "b": -1}, "self_mean"),))
    write_units(study, "a", [0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    write_units(study, "b", [0.5, 0.6, 0.7, 0.8])
    (found,) = decide(study)
    assert (found.evidence.units, found.verdict) == (4, "undecided")


def test_equivalence_is_two_one_sided_tests():
    values = np.random.default_rng(1).normal(0.002, 0.01, 30)
    above = scipy.stats.ttest_1samp(values, -0.01, alternative="greater").pvalue
    below = scipy.stats.ttest_1samp(values, 0.01, alternative="less").pvalue
    assert evidence(values, 0).equivalent == (max(above, below) < 0.05)


def test_power_by_simulation():
    random = np.random.default_rng(2)
    draws = random.normal(0.01, 0.02, (20_000, 12))
    found = (scipy.stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05).mean()
    assert power(0.02, 12) == pytest.approx(found, abs=0.01)
    needed = evidence(random.normal(0, 0.02, 12), 0).needed
    deviation = 0.02
    assert power(deviation, 34) >= 0.8 > power(deviation, 33)
    assert needed > 10


def test_few_units_decide_nothing():
    values = np.array([0.5, 0.5001, 0.5, 0.4999])
    assert verdict(evidence(values, 0), 0.0, 0) == "undecided"


def test_contrasts_in_words():
    assert in_words({"a": 1}) == "a"
    assert in_words({"a": 1, "b": -1, "c": 0.5}) == "a - b + 0.5 c"


def test_the_committed_study():
    study = read_study(Path("config/study/study.yaml"))
    arms = [set(study.arms(name)) for name in study.sets]
    assert all(any(set(of.contrast) <= each for each in arms) for of in study.hypotheses)
    of = study.sets["landmarks"]
    draws = [study.draw_of(Unit("landmarks", "sfsc", seed)) for seed in range(101, 121)]
    assert draws == [101] * 4 + [105] * 4 + [109] * 4 + [113] * 4 + [117] * 4
    sgd = study.profile(Unit("landmarks-sgd", "sfsc", 101))
    assert (sgd["training"]["optimiser"], sgd["training"]["epochs"]) == ("sgd", 6)
    assert sgd["profile"] == "study-landmarks-sgd"
    drawn = study.profile(Unit("landmarks", "sfsc", 120))
    assert drawn["synthetic"]["seed"] == of.generators[-1]
    assert drawn["eval_sets"]["landmarks"]["path"] == "data/study/landmarks-15/gldv2"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("units: x\n", "has the sections units, sets and hypotheses"),
        (
            "units: x\nhypotheses: []\nsets: {a: {profile: p, protocol: all, seeds: [3]}}\n",
            "sets.a.seeds: write the first and the last one",
        ),
        (
            "units: x\nhypotheses: []\nsets:\n  a: {profile: p, protocol: all, seeds: [1, 3],"
            " generators: [1, 2]}\n",
            "sets.a.generators: each must have as many units",
        ),
        (
            "units: x\nhypotheses: []\nsets: {a: {profile: p, protocols: all, seeds: [1, 3]}}\n",
            "sets.a.protocols: unknown key; did you mean 'protocol'?",
        ),
        ("units: x\nsets: {}\nhypotheses: [{name: H}]\n", "hypotheses[0]"),
    ],
)
def test_a_wrong_study_is_one_line(tmp_path, change, said):
    path = tmp_path / "study.yaml"
    path.write_text(change)
    with pytest.raises(InputError, match=said.replace("[", r"\[")):
        read_study(path)
