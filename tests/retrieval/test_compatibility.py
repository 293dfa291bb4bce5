import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfsc import layout
from sfsc.data.sets import GroundTruth, LabelRelevance
from sfsc.files import InputError
from sfsc.retrieval.compatibility import compatibility, flips
from sfsc.retrieval.families import evaluate_method
from sfsc.retrieval.floor import random_floor

_MODELS = ["w025", "w050", "w075", "w100"]
_FAMILY = ["dataset", "protocol", "metric", "method", "seed"]
_COLUMNS = [*_FAMILY, "query_model", "gallery_model", "value"]
_RANDOM = 0.05


def _family(matrix, method="sfsc", seed=0, protocol="all", models=_MODELS):
    rows = [
        ("digits", protocol, "mAP", method, seed, query, gallery, float(matrix[i][j]))
        for i, query in enumerate(models[: len(matrix)])
        for j, gallery in enumerate(models[: len(matrix)])
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _floors(matrix, gallery_seed=0, random=_RANDOM, **family):
    return _family(matrix, **family).assign(gallery_seed=gallery_seed, random=random)


def _alone(matrix, random=_RANDOM, **family):
    """The floor file of a single seed: no other seed's galleries."""
    return _floors(np.full(np.shape(matrix), np.nan), random=random, **family)


def _values(frame, column="value", method="sfsc", seed=0, protocol="all"):
    own = frame[
        (frame["method"] == method) & (frame["seed"] == seed) & (frame["protocol"] == protocol)
    ]
    return dict(zip(own["measure"], own[column], strict=True))


# Rows are query models, narrow to wide; the self-tests are squares.
_M = [
    [0.36, 0.40, 0.30],
    [0.42, 0.49, 0.50],
    [0.40, 0.56, 0.64],
]
_OTHER = [
    [0.25, 0.10, 0.10],
    [0.10, 0.36, 0.10],
    [0.10, 0.10, 0.49],
]
_APART = [
    [0.09, 0.06, 0.07],
    [0.08, 0.12, 0.05],
    [0.10, 0.11, 0.15],
]


def test_by_hand():
    metrics = pd.concat([_family(_M), _family(_OTHER, seed=3)])
    floors = pd.concat([_floors(_APART, gallery_seed=3), _floors(_APART, gallery_seed=0, seed=3)])
    result = compatibility(metrics, floors)
    assert list(result.columns) == [*_FAMILY, "measure", "value", "floor"]
    own = {(0, 1): 0.42, (0, 2): 0.48, (1, 2): 0.56}  # geometric means of self-tests
    C = [(_M[i][j] - 0.05) / (own[min(i, j), max(i, j)] - 0.05) for i, j in _PAIRS]
    assert _values(result) == pytest.approx(
        {
            "self_mean": 1.49 / 3,
            "cross_mean": 2.58 / 6,
            "cross_others": 0.82 / 2,
            "worst_pair": 0.30,
            "C": sum(C) / 6,
            "AC": 3 / 3,  # 0.42 and 0.40 against 0.36, 0.56 against 0.49
            "AM": (0.36 + 0.42 + 0.49 + 0.40 + 0.56 + 0.64) / 6,
            "BC": (0.04 + 0.07) / 2,
            "FC": (-0.07 - 0.08) / 2,
        }
    )
    # The floor: queries of seed 0, roots 0.6, 0.7, 0.8; galleries of seed 3, roots 0.5, 0.6, 0.7.
    roots = (0.6, 0.7, 0.8), (0.5, 0.6, 0.7)
    C = [(_APART[i][j] - 0.05) / (roots[0][i] * roots[1][j] - 0.05) for i, j in _PAIRS]
    floor = _values(result, "floor")
    for name in ("self_mean", "AC", "AM", "BC", "FC"):
        assert np.isnan(floor.pop(name))
    assert floor == pytest.approx(
        {
            "cross_mean": 0.47 / 6,
            "cross_others": 0.14 / 2,
            "worst_pair": 0.05,
            "C": sum(C) / 6,
        }
    )


_PAIRS = [(i, j) for i in range(3) for j in range(3) if i != j]


def test_one_seed_has_no_floor():
    result = compatibility(_family(_M), _alone(_M))
    assert result["floor"].isna().all()
    assert _values(result)["cross_mean"] == pytest.approx(2.58 / 6)


def test_small_families_have_only_what_they_can_have():
    one, two = [[0.4]], [[0.4, 0.3], [0.2, 0.5]]
    assert _values(compatibility(_family(one), _alone(one))) == {
        "self_mean": 0.4,
        "worst_pair": 0.4,
    }
    assert set(_values(compatibility(_family(two), _alone(two)))) == {
        "self_mean",
        "worst_pair",
        "cross_mean",
        "C",
        *("AC", "AM", "BC", "FC"),
    }


def test_perfect_and_worthless_families():
    same = np.full((3, 3), 0.7)
    assert _values(compatibility(_family(same), _alone(same)))["C"] == pytest.approx(1)
    blind = np.where(np.eye(3), 0.7, _RANDOM)
    assert _values(compatibility(_family(blind), _alone(blind)))["C"] == pytest.approx(0)
    # Cross-tests that are as good as self-tests, of models that know nothing.
    nothing = np.full((3, 3), _RANDOM + 0.01)
    assert _values(compatibility(_family(nothing), _alone(nothing)))["C"] == 0


def test_families_are_kept_apart_and_follow_the_floor_file():
    half = np.full((2, 2), 0.2)
    metrics = pd.concat(
        [_family(_M), _family(_OTHER, seed=1), _family(half, protocol="hard"), _family(_M, "bct")]
    ).sample(frac=1, random_state=0)
    floors = pd.concat([_alone(_M), _alone(_OTHER, seed=1), _alone(half, protocol="hard")])
    result = compatibility(metrics, floors)
    assert set(result["method"]) == {"sfsc"}  # bct has no floors: not a primary metric's rows
    assert _values(result)["worst_pair"] == pytest.approx(0.30)
    assert _values(result, seed=1)["worst_pair"] == pytest.approx(0.10)
    assert _values(result, protocol="hard")["self_mean"] == pytest.approx(0.2)


@given(st.integers(1, 4), st.integers(0, 2**32), st.sampled_from([0.0, 0.1]))
@settings(deadline=None)
def test_measures_agree_with_naive_loops(size, seed, random):
    M = np.random.default_rng(seed).integers(0, 5, (size, size)) / 4
    pairs = [(i, j) for i in range(size) for j in range(size)]
    cross = [(i, j) for i, j in pairs if i != j]
    others = [(i, j) for i, j in cross if size - 1 not in (i, j)]
    expected = {
        "self_mean": sum(M[i, i] for i in range(size)) / size,
        "worst_pair": min(M[pair] for pair in pairs),
    }
    if cross:
        expected["cross_mean"] = sum(M[pair] for pair in cross) / len(cross)
        kept = []
        for i, j in cross:
            known = (M[i, i] * M[j, j]) ** 0.5 - random
            kept.append((M[i, j] - random) / known if known >= 0.02 else 0)
        expected["C"] = sum(kept) / len(cross)
        upgrades = [(i, j) for i, j in pairs if i > j]
        expected["AC"] = sum(M[i, j] > M[j, j] for i, j in upgrades) / len(upgrades)
        expected["AM"] = sum(M[i, j] for i, j in pairs if i >= j) / (len(upgrades) + size)
        expected["BC"] = sum(M[-1, j] - M[j, j] for j in range(size - 1)) / (size - 1)
        expected["FC"] = sum(M[i, i - 1] - M[i, i] for i in range(1, size)) / (size - 1)
    if others:
        expected["cross_others"] = sum(M[pair] for pair in others) / len(others)
    found = compatibility(_family(M), _alone(M, random))
    assert _values(found) == pytest.approx(expected)


def test_a_missing_or_repeated_pair_is_refused():
    metrics = _family(_M)
    with pytest.raises(InputError, match=r"seed 0: the pair \(w075, w025\) is missing"):
        compatibility(metrics.drop(index=6), _alone(_M))
    with pytest.raises(InputError, match=r"seed 0: the pair \(w025, w025\) is repeated"):
        compatibility(pd.concat([metrics, metrics]), _alone(_M))


LABELS = np.arange(200) % 20


def _embedded(tmp_path, draw, seeds=(0, 4), models=("w025", "w050", "w100")):
    """The compatibility of a method whose models embed by `draw(seed, model)`, (200, 16)."""
    ids = [f"image{n}" for n in range(200)]
    truth = GroundTruth("labelled", ids, ids, {"all": LabelRelevance(LABELS, LABELS, True)})
    for seed in seeds:
        for place, name in enumerate(models):
            vectors = draw(seed, place).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            folder = layout.embeddings(tmp_path, "set", "sfsc", seed, name)
            folder.mkdir(parents=True)
            for part in ("query", "gallery"):
                np.save(folder / f"{part}.npy", vectors)
    evaluate_method(tmp_path, truth, "set", "sfsc", seeds, models)
    folder = layout.evaluation(tmp_path, "set", "sfsc")
    floors = pd.read_csv(folder / "floor.csv")
    assert floors["random"].to_numpy() == pytest.approx(random_floor(truth)["all", "mAP"], abs=1e-7)
    if len(seeds) > 1:
        assert set(zip(floors["seed"], floors["gallery_seed"], strict=True)) == {(0, 4), (4, 0)}
    frame = compatibility(pd.read_csv(folder / "metrics.csv"), floors)
    frame = frame[frame["metric"] == "mAP"]
    return frame.groupby("measure")[["value", "floor"]].mean()


def _drawn(*key):
    return np.random.default_rng(key)


def test_random_vectors_score_nothing_and_stand_at_their_floor(tmp_path):
    found = _embedded(tmp_path, lambda seed, model: _drawn(seed, model).normal(size=(200, 16)))
    assert found.loc["C"].tolist() == [0, 0]
    for measure in ("cross_mean", "cross_others", "worst_pair"):
        value, floor = found.loc[measure]
        assert value == pytest.approx(floor, abs=0.01)


def _clusters(key, noise):
    """Tight clusters of the twenty classes around centres that `key` draws."""
    centres = _drawn(*key).normal(size=(20, 16))
    return centres[LABELS] + noise * _drawn(*key, 1).normal(size=(200, 16))


def test_clusters_matched_at_random_stand_at_their_floor_far_above_random_rankings(tmp_path):
    found = _embedded(tmp_path, lambda seed, model: _clusters((seed, model), 0.1), seeds=(0, 4))
    value, floor = found.loc["cross_mean"]
    random = 0.069  # of 9 positives in 199
    assert found.loc["self_mean", "value"] > 0.95
    assert value > 1.4 * random
    assert value == pytest.approx(floor, abs=0.03)
    assert found.loc["C", "value"] == pytest.approx(found.loc["C", "floor"], abs=0.03)
    assert found.loc["C", "value"] < 0.1


def test_one_space_of_all_widths_is_compatible_and_far_above_its_floor(tmp_path):
    found = _embedded(
        tmp_path, lambda seed, model: _clusters((seed,), 0.3 - 0.1 * model), seeds=(0, 4)
    )
    assert found.loc["C", "value"] > 0.95
    assert found.loc["C", "floor"] < 0.3


def test_negative_flips_against_loops():
    random = np.random.default_rng(0)
    models, queries = ["old", "mid", "new"], [f"q{n}" for n in range(30)]
    right = {(i, j): random.random(30) < 0.6 for i in models for j in models}
    rows = [
        ("digits", "all", "mAP", "sfsc", 0, i, j, query, bool(first))
        for (i, j), each in right.items()
        for query, first in zip(queries, each, strict=True)
    ]
    columns = [*_FAMILY, "query_model", "gallery_model", "query", "right"]
    found = flips(pd.DataFrame(rows, columns=columns)).set_index("measure")["value"]
    on_old, on_new = [], []
    for old, new in (("old", "mid"), ("old", "new"), ("mid", "new")):
        for n in range(30):
            on_old.append(right[old, old][n] and not right[new, old][n])
            on_new.append(right[old, old][n] and not right[new, new][n])
    assert found["NFR"] == pytest.approx(np.mean(on_old))
    assert found["NFR_new"] == pytest.approx(np.mean(on_new))
    alone = [row for row in rows if row[5] == row[6] == "old"]
    assert flips(pd.DataFrame(alone, columns=columns)).empty
