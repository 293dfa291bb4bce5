"""How compatible a family of models is: a few numbers from the metrics of all its pairs."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sfsc.files import InputError

# Relative to less than this, a gain says nothing.
_LEAST_ADVANTAGE = 0.01

_FAMILY = ["dataset", "protocol", "metric", "method", "seed"]


def compatibility(metrics: pd.DataFrame, reference: str = "independent") -> pd.DataFrame:
    """The compatibility measures of every family, protocol and metric in `metrics`.

    `metrics` has the columns of the metrics file. With M(i, j) the value for query model i and
    gallery model j, and models ordered by name (w025 before w100), the measures are

    - self_mean: mean of M(i, i)
    - cross_mean: mean of M(i, j), i != j
    - worst_pair: least M(i, j), self-tests included
    - never_hurts: share of pairs, i wider than j, with M(i, j) >= M(j, j) and M(j, i) >= M(j, j)
    - update_gain: over pairs with i wider than j, the sum of M(i, j) - M(j, j) by the sum of
      M*(i, i) - M(j, j), with M* the method `reference` with the same seed (the update gain of
      Shen et al. 2020, BCT)

    Returns the columns dataset, protocol, metric, method, seed, measure, value. A family of one
    model has no cross_mean, never_hurts or update_gain; update_gain is also left out where the
    reference lacks a model or its mean advantage is less than a hundredth. Raises InputError for
    a family with a missing or repeated pair.
    """
    references = _self_tests(metrics[metrics["method"] == reference])
    rows: list[tuple[Any, ...]] = []
    for family, pairs in metrics.groupby(_FAMILY, sort=False, dropna=False):
        values, models = _matrix(family, pairs)
        dataset, protocol, metric, _, seed = family
        upper = np.array(
            [references.get((dataset, protocol, metric, seed, model), np.nan) for model in models]
        )
        rows.extend((*family, *measure) for measure in _measures(values, upper).items())
    return pd.DataFrame(rows, columns=[*_FAMILY, "measure", "value"])


def _self_tests(metrics: pd.DataFrame) -> dict[tuple[Any, ...], float]:
    """Value by dataset, protocol, metric, seed, model."""
    own = metrics[metrics["query_model"] == metrics["gallery_model"]]
    keys = ["dataset", "protocol", "metric", "seed", "query_model"]
    return dict(zip(own[keys].itertuples(index=False, name=None), own["value"], strict=True))


def _matrix(family: tuple[Any, ...], pairs: pd.DataFrame) -> tuple[NDArray[np.float64], list[str]]:
    """M (m, m), rows the query models, and the models' names from narrow to wide."""
    where = ", ".join(f"{name} {value}" for name, value in zip(_FAMILY, family, strict=True))
    values: dict[tuple[str, str], float] = {}
    for query, gallery, value in pairs[["query_model", "gallery_model", "value"]].itertuples(
        index=False, name=None
    ):
        if (query, gallery) in values:
            raise InputError(f"metrics: {where}: the pair ({query}, {gallery}) is repeated")
        values[query, gallery] = value
    models = sorted({model for pair in values for model in pair})
    matrix = np.empty((len(models), len(models)))
    for i, query in enumerate(models):
        for j, gallery in enumerate(models):
            if (query, gallery) not in values:
                raise InputError(
                    f"metrics: {where}: the pair ({query}, {gallery}) is missing;"
                    " evaluate every pair of the family"
                )
            matrix[i, j] = values[query, gallery]
    return matrix, models


def _measures(M: NDArray[np.float64], upper: NDArray[np.float64]) -> dict[str, float]:
    measures = {"self_mean": float(np.mean(np.diag(M))), "worst_pair": float(np.min(M))}
    if len(M) == 1:
        return measures
    wide, narrow = np.tril_indices(len(M), -1)
    own = M[narrow, narrow]
    measures["cross_mean"] = float(np.mean(M[~np.eye(len(M), dtype=bool)]))
    unhurt = (M[wide, narrow] >= own) & (M[narrow, wide] >= own)
    measures["never_hurts"] = float(np.mean(unhurt))
    possible = float(np.mean(upper[wide] - own))
    if possible >= _LEAST_ADVANTAGE:
        measures["update_gain"] = float(np.mean(M[wide, narrow] - own)) / possible
    return measures
