"""How compatible a family of models is: a few numbers from the metrics of all its pairs."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sfsc.files import InputError

_LEAST_KNOWN = 0.02
"""A pair whose self-tests are less than this above random rankings has nothing to keep."""

_FAMILY = ["dataset", "protocol", "metric", "method", "seed"]


def compatibility(metrics: pd.DataFrame, floors: pd.DataFrame) -> pd.DataFrame:
    """The compatibility measures of every family, protocol and primary metric in `floors`.

    `metrics` has the columns of the metrics file, `floors` those of the floor file. With M(i, j)
    the value for query model i and gallery model j, models in the order of the metrics (w025 before
    w100) and the teacher the last of them, the measures are

    - self_mean: mean of M(i, i)
    - cross_mean: mean of M(i, j), i != j
    - cross_others: the same over the pairs without the teacher
    - worst_pair: least M(i, j), self-tests included
    - C: mean over i != j of (M(i, j) - r) / (sqrt(M(i, i) M(j, j)) - r), with r the score of random
      rankings: 1 where cross-tests lose nothing, 0 where models share no space. A pair whose
      self-tests are hardly above r counts 0: random vectors would otherwise be compatible

    - AC (average compatibility): the share of pairs i > j with M(i, j) > M(j, j)
    - AM (average multi-model accuracy): mean of M(i, j), i >= j (Biondi et al., CoReS, 2023)
    - BC (backward): mean of M(last, j) - M(j, j) over all but the last; FC (forward): mean of
      M(i, i - 1) - M(i, i) (Biondi et al., CL2R, 2023)

    Returns the columns dataset, protocol, metric, method, seed, measure, value, floor. `floor` is
    the same measure where the gallery models are those of the method's next seed: what models
    score that nothing ties together. It is empty for self_mean and the last four, and where there
    is one seed. A family of one model has self_mean and worst_pair alone, one of two no
    cross_others. Raises InputError for a family with a missing or repeated pair.
    """
    families = {key: _matrix(key, part) for key, part in _by_family(metrics)}
    rows: list[tuple[Any, ...]] = []
    for key, part in _by_family(floors):
        if key not in families:
            continue
        M, random = families[key], float(part["random"].iloc[0])
        floor: dict[str, float] = {}
        if part["value"].notna().all():
            other = families[(*key[:-1], int(part["gallery_seed"].iloc[0]))]
            own = np.sqrt(np.outer(np.diag(M), np.diag(other)))
            floor = _measures(_matrix(key, part), own, random)
        rows += [
            (*key, name, value, floor.get(name, np.nan))
            for name, value in measures(M, random).items()
        ]
    return pd.DataFrame(rows, columns=[*_FAMILY, "measure", "value", "floor"])


def flips(per_query: pd.DataFrame) -> pd.DataFrame:
    """The negative-flip rates of every family and protocol, as more rows of `compatibility`.

    A query flips where the older model finds a positive first in its own gallery, and the newer
    model does not: in the older one's gallery (NFR), or in its own (NFR_new). The rates are shares
    of the queries, the mean over the pairs of models; models stand in the order of the file.
    """
    rows: list[tuple[Any, ...]] = []
    for key, part in _by_family(per_query):
        right = part.pivot_table(
            "right", "query", ["query_model", "gallery_model"], "first", observed=True, sort=False
        ).astype(bool)
        models = list(dict.fromkeys(part["query_model"].astype(str)))
        pairs = [(new, old) for place, new in enumerate(models) for old in models[:place]]
        if not pairs:
            continue
        lost = [
            [(right[old, old] & ~right[new, gallery]).mean() for gallery in (old, new)]
            for new, old in pairs
        ]
        for name, rate in zip(("NFR", "NFR_new"), np.mean(lost, axis=0), strict=True):
            rows.append((*key, name, float(rate), np.nan))
    return pd.DataFrame(rows, columns=[*_FAMILY, "measure", "value", "floor"])


def measures(M: NDArray[np.float64], random: float = 0.0) -> dict[str, float]:
    """The measures of a family whose pairs score M (m, m), rows query models, the teacher last.

    They are those of `compatibility`; `random` is what random rankings score.
    """
    own = np.sqrt(np.outer(np.diag(M), np.diag(M)))
    found = {"self_mean": float(np.diag(M).mean()), **_measures(M, own, random)}
    return found | (_upgrades(M) if len(M) > 1 else {})


def _upgrades(M: NDArray[np.float64]) -> dict[str, float]:
    """What the literature on upgrades measures, with models from old to new."""
    newer, older = np.tril_indices(len(M), -1)
    selves = np.diag(M)
    return {
        "AC": float((M[newer, older] > selves[older]).mean()),
        "AM": float(M[np.tril_indices(len(M))].mean()),
        "BC": float((M[-1, :-1] - selves[:-1]).mean()),
        "FC": float((np.diag(M, -1) - selves[1:]).mean()),
    }


def _by_family(frame: pd.DataFrame) -> Any:
    return frame.groupby(_FAMILY, sort=False, dropna=False, observed=True)


def _matrix(family: tuple[Any, ...], pairs: pd.DataFrame) -> NDArray[np.float64]:
    """M (m, m): rows the query models, columns the gallery models, from narrow to wide."""
    where = ", ".join(f"{name} {value}" for name, value in zip(_FAMILY, family, strict=True))
    values: dict[tuple[str, str], float] = {}
    for query, gallery, value in pairs[["query_model", "gallery_model", "value"]].itertuples(
        index=False, name=None
    ):
        if (query, gallery) in values:
            raise InputError(f"metrics: {where}: the pair ({query}, {gallery}) is repeated")
        values[query, gallery] = value
    models = list(dict.fromkeys(model for pair in values for model in pair))
    matrix = np.empty((len(models), len(models)))
    for i, query in enumerate(models):
        for j, gallery in enumerate(models):
            if (query, gallery) not in values:
                raise InputError(
                    f"metrics: {where}: the pair ({query}, {gallery}) is missing;"
                    " evaluate every pair of the family"
                )
            matrix[i, j] = values[query, gallery]
    return matrix


def _measures(M: NDArray[np.float64], own: NDArray[np.float64], random: float) -> dict[str, float]:
    """Measures of the pairs; `own[i, j]` is the geometric mean of the two models' self-tests."""
    found = {"worst_pair": float(M.min())}
    cross = ~np.eye(len(M), dtype=bool)
    others = cross.copy()
    others[-1] = others[:, -1] = False
    if cross.any():
        found["cross_mean"] = float(M[cross].mean())
        known = (own - random)[cross]
        kept = np.where(known < _LEAST_KNOWN, 0, (M[cross] - random) / np.maximum(known, 1e-9))
        found["C"] = float(kept.mean())
    if others.any():
        found["cross_others"] = float(M[others].mean())
    return found
