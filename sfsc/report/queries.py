"""How sure a mean over the queries is, in one run, from the average precision of every query."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sfsc.files import InputError
from sfsc.retrieval.statistics import confidence_intervals

GROUP = ["dataset", "protocol", "metric"]


def intervals(per_query: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The 95 % interval, `low` to `high`, of each mean over queries.

    `per_query` has the columns dataset, protocol, metric, query, cluster, value and `keys`; rows of
    equal keys, such as those of several seeds or pairs, are averaged for each query first. Queries
    of one cluster are resampled together. Raises InputError where not all were scored on the same
    queries.
    """
    found = []
    for names, part in per_query.groupby(GROUP, observed=True):
        of_queries = part.groupby([*keys, "query"], observed=True)["value"].mean()
        values = of_queries.unstack(list(keys))
        if values.isna().any(axis=None):
            query = values.index[values.isna().any(axis=1)][0]
            raise InputError(
                f"per_query.parquet: {', '.join(map(str, names))}: not every result has the query"
                f" {query!r}; evaluate all methods again with one ground truth"
            )
        cluster = part.drop_duplicates("query").set_index("query")["cluster"]
        codes = pd.factorize(cluster.reindex(values.index))[0].astype(np.int64)
        low, high = confidence_intervals(values.to_numpy(np.float64), codes)
        bounds = values.columns.to_frame(index=False).assign(low=low, high=high)
        found.append(bounds.assign(**dict(zip(GROUP, map(str, names), strict=True))))
    return pd.concat(found, ignore_index=True)
