"""How two methods differ, run by run: a seed of the one against the same seed of the other."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sfsc.retrieval.inference import LEAST_UNITS, half_width, holm, sign_flip_p


def differences(
    rows: pd.DataFrame, pairs: Sequence[tuple[str, str]], keys: Sequence[str]
) -> pd.DataFrame:
    """The paired differences of each pair of methods (method, against), by `keys`.

    `rows` has the columns method, seed, value and `keys`. All methods of a seed see the same
    batches, so that seeds are pairs. Returns the columns `keys`, method, against, mean, half (half
    the 95 % interval over the seeds, by Student's t; NaN for one), seeds, p (two-sided, by sign
    flips; NaN below five seeds) and p_holm, p corrected for all tests that are returned.
    """
    found = []
    for key, part in rows.groupby(list(keys), observed=True, sort=False):
        values = part.pivot_table(index="seed", columns="method", values="value", observed=True)
        for method, against in pairs:
            if method not in values or against not in values:
                continue
            apart = (values[method] - values[against]).dropna().to_numpy()[:, None]
            if not len(apart):
                continue
            p = sign_flip_p(apart)[0] if len(apart) >= LEAST_UNITS else np.nan
            of_pair = (method, against, apart.mean(), half_width(apart)[0], len(apart), p)
            found.append((*key, *of_pair))
    columns = [*keys, "method", "against", "mean", "half", "seeds", "p"]
    frame = pd.DataFrame(found, columns=columns)
    return frame.assign(p_holm=holm(frame["p"].to_numpy(np.float64)))


def not_separable(rows: pd.DataFrame, keys: Sequence[str]) -> "pd.Series[bool]":
    """For each of `rows`' keys and methods: whether it may be as good as the best.

    So it is where the 95 % interval of its paired difference to the method with the best mean holds
    0. With a single seed nothing can be told: all are False. The index is `keys`, method.
    """
    marks: dict[tuple[object, ...], bool] = {}
    for key, part in rows.groupby(list(keys), observed=True):
        values = part.pivot_table(index="seed", columns="method", values="value", observed=True)
        best = values.mean().idxmax()
        apart = values.rsub(values[best], axis=0)
        for method in values:
            known = apart[method].dropna().to_numpy()[:, None]
            half = half_width(known)[0] if len(known) else np.nan
            tied = not np.isnan(half) and abs(known.mean()) <= half
            marks[(*key, method)] = bool(tied)
    places = pd.DataFrame(list(marks), columns=[*keys, "method"])
    return pd.Series(list(marks.values()), pd.MultiIndex.from_frame(places), dtype=bool)
