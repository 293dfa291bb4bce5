"""How sure a table's numbers are, from the average precision of every query."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from sfsc.files import InputError
from sfsc.retrieval.statistics import confidence_intervals, sign_flip_p

GROUP = ["dataset", "protocol", "metric"]


def intervals(per_query: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The 95 % interval, `low` to `high`, of each mean over queries.

    `per_query` has the columns dataset, protocol, metric, query, value and `keys`; rows of equal
    keys, such as those of several seeds or pairs, are averaged for each query first. Raises
    InputError where not all were scored on the same queries.
    """
    found = []
    for group, values in _matrices(per_query, keys):
        low, high = confidence_intervals(values.to_numpy(np.float64))
        bounds = values.columns.to_frame(index=False).assign(low=low, high=high)
        found.append(_labelled(bounds, group))
    return pd.concat(found, ignore_index=True)


def paired_tests(per_query: pd.DataFrame, reference: str, keys: Sequence[str]) -> pd.DataFrame:
    """How each method differs from the method `reference` on the same queries and seeds.

    `per_query` as for `intervals`, with the columns method and seed. Returns a row for each
    dataset, protocol, metric, method and `keys`: the `mean` difference, the 95 % interval `low`
    to `high` over the queries, the p-value `p` of a sign-flip test, and the numbers of `queries`
    and `seeds`. Raises InputError where not all were scored on the same queries.
    """
    found = []
    for group, values in _matrices(per_query, ["method", "seed", *keys]):
        if reference not in values.columns.get_level_values("method"):
            continue
        others = values.drop(columns=reference, level="method")
        same = others.columns.to_frame(index=False).assign(method=reference)
        full = values.reindex(columns=pd.MultiIndex.from_frame(same))
        apart = pd.DataFrame(others.to_numpy() - full.to_numpy(), others.index, others.columns)
        # A seed that the reference lacks has no pair.
        paired = apart.dropna(axis=1, how="all").T.groupby(["method", *keys], observed=True)
        apart, seeds = paired.mean().T, paired.size()
        if apart.empty:
            continue
        differences = apart.to_numpy(np.float64)
        low, high = confidence_intervals(differences)
        tests = apart.columns.to_frame(index=False).assign(
            mean=differences.mean(axis=0),
            low=low,
            high=high,
            p=sign_flip_p(differences),
            queries=len(differences),
            seeds=seeds.to_numpy(),
        )
        found.append(_labelled(tests, group))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _matrices(
    per_query: pd.DataFrame, keys: Sequence[str]
) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    """For each dataset, protocol and metric: values with a row a query, a column for `keys`."""
    for names, part in per_query.groupby(GROUP, observed=True):
        group = tuple(map(str, names))
        of_queries = part.groupby([*keys, "query"], observed=True)["value"].mean()
        values = of_queries.unstack(list(keys))
        if values.isna().any(axis=None):
            query = values.index[values.isna().any(axis=1)][0]
            raise InputError(
                f"per_query.parquet: {', '.join(group)}: not every result has the query {query!r};"
                " evaluate all methods again with one ground truth"
            )
        yield group, values


def _labelled(frame: pd.DataFrame, group: Sequence[str]) -> pd.DataFrame:
    return frame.assign(**dict(zip(GROUP, group, strict=True)))
