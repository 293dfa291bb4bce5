import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsc.files import InputError
from sfsc.retrieval.compatibility import compatibility

_MODELS = ["w025", "w050", "w100"]
_COLUMNS = [
    "dataset",
    "protocol",
    "metric",
    "method",
    "seed",
    "query_model",
    "gallery_model",
    "value",
]


def _family(matrix, method="sfsc", seed=0, protocol="all", models=_MODELS):
    rows = [
        ("digits", protocol, "mAP", method, seed, query, gallery, float(matrix[i][j]))
        for i, query in enumerate(models[: len(matrix)])
        for j, gallery in enumerate(models[: len(matrix)])
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _measures(frame, method="sfsc", seed=0, protocol="all"):
    own = frame[
        (frame["method"] == method) & (frame["seed"] == seed) & (frame["protocol"] == protocol)
    ]
    return dict(zip(own["measure"], own["value"], strict=True))


# Rows are query models, narrow to wide.
_SFSC = [
    [0.50, 0.55, 0.45],
    [0.52, 0.60, 0.64],
    [0.58, 0.62, 0.70],
]
_INDEPENDENT = [
    [0.55, 0.01, 0.02],
    [0.03, 0.65, 0.04],
    [0.05, 0.06, 0.80],
]


def test_by_hand():
    metrics = pd.concat([_family(_SFSC), _family(_INDEPENDENT, "independent")])
    result = compatibility(metrics)
    assert list(result.columns) == [*_COLUMNS[:5], "measure", "value"]
    # Gains: (0.52 - 0.50) + (0.58 - 0.50) + (0.62 - 0.60) = 0.12;
    # possible: (0.65 - 0.50) + (0.80 - 0.50) + (0.80 - 0.60) = 0.65.
    # Only (w100, w025) hurts: M(w025, w100) = 0.45 < M(w025, w025) = 0.50.
    assert _measures(result) == pytest.approx(
        {
            "self_mean": 0.60,
            "cross_mean": (0.55 + 0.45 + 0.52 + 0.64 + 0.58 + 0.62) / 6,
            "worst_pair": 0.45,
            "never_hurts": 2 / 3,
            "update_gain": 0.12 / 0.65,
        }
    )
    # Of itself: (0.03 - 0.55) + (0.05 - 0.55) + (0.06 - 0.65), by 0.10 + 0.25 + 0.15.
    assert _measures(result, "independent") == pytest.approx(
        {
            "self_mean": 2 / 3,
            "cross_mean": 0.21 / 6,
            "worst_pair": 0.01,
            "never_hurts": 0,
            "update_gain": -1.61 / 0.50,
        }
    )


def test_the_reference_may_be_another_method():
    metrics = pd.concat([_family(_SFSC), _family(_INDEPENDENT, "apart")])
    assert _measures(compatibility(metrics, "apart"))["update_gain"] == pytest.approx(0.12 / 0.65)


@pytest.mark.parametrize(
    "reference",
    [
        _family(_INDEPENDENT, "joint"),
        _family(_INDEPENDENT, "independent", seed=1),
        _family(_INDEPENDENT, "independent", protocol="hard"),
        _family([[0.55, 0.01], [0.03, 0.65]], "independent"),
        _family(np.full((3, 3), 0.1), "independent"),
    ],
    ids=["absent", "of another seed", "of another protocol", "without a model", "no better"],
)
def test_no_update_gain_without_a_reference_that_is_better(reference):
    found = _measures(compatibility(pd.concat([_family(_SFSC), reference])))
    assert set(found) == {"self_mean", "cross_mean", "worst_pair", "never_hurts"}


def test_a_single_model_has_only_what_one_model_can_have():
    metrics = pd.concat([_family([[0.4]]), _family([[0.5]], "independent")])
    assert _measures(compatibility(metrics)) == {"self_mean": 0.4, "worst_pair": 0.4}


def test_families_are_kept_apart():
    metrics = pd.concat(
        [
            _family(_SFSC, seed=0),
            _family(_INDEPENDENT, "independent", seed=0),
            _family(np.full((3, 3), 0.3), seed=1),
            _family(np.diag([0.5, 0.6, 0.7]), "independent", seed=1),
            _family(np.full((2, 2), 0.2), seed=0, protocol="hard"),
        ]
    ).sample(frac=1, random_state=0)
    result = compatibility(metrics)
    assert _measures(result)["update_gain"] == pytest.approx(0.12 / 0.65)
    assert _measures(result, seed=1)["update_gain"] == 0
    assert _measures(result, seed=1)["never_hurts"] == 1
    assert _measures(result, protocol="hard")["self_mean"] == pytest.approx(0.2)


@given(st.integers(1, 4), st.integers(0, 2**32))
def test_measures_agree_with_naive_loops(size, seed):
    # Few distinct values, so that equal ones (which do not hurt) occur.
    own, reference = np.random.default_rng(seed).integers(0, 5, (2, size, size)) / 4
    models = ["w025", "w050", "w075", "w100"]
    metrics = pd.concat(
        [_family(own, models=models), _family(reference, "independent", models=models)]
    )
    pairs = [(i, j) for i in range(size) for j in range(size)]
    wider = [(i, j) for i, j in pairs if i > j]
    expected = {
        "self_mean": sum(own[i, i] for i in range(size)) / size,
        "worst_pair": min(own[pair] for pair in pairs),
    }
    if wider:
        expected["cross_mean"] = sum(own[i, j] for i, j in pairs if i != j) / (2 * len(wider))
        unhurt = [own[i, j] >= own[j, j] and own[j, i] >= own[j, j] for i, j in wider]
        expected["never_hurts"] = sum(unhurt) / len(wider)
        possible = sum(reference[i, i] - own[j, j] for i, j in wider)
        if possible > 0:
            expected["update_gain"] = sum(own[i, j] - own[j, j] for i, j in wider) / possible
    assert _measures(compatibility(metrics)) == pytest.approx(expected)


def test_a_missing_or_repeated_pair_is_refused():
    metrics = _family(_SFSC)
    with pytest.raises(InputError, match=r"seed 0: the pair \(w100, w025\) is missing"):
        compatibility(metrics.drop(index=6))
    with pytest.raises(InputError, match=r"seed 0: the pair \(w025, w025\) is repeated"):
        compatibility(pd.concat([metrics, metrics]))
