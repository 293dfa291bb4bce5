"""What several runs say about a difference. The unit is a run: a training seed on one data set.

Queries of one run share its models, so that resampling them says nothing about another run.
"""

from typing import Final

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from sfsc.retrieval.statistics import LEVEL

LEAST_UNITS: Final = 5
"""No p-value of fewer units: a sign-flip test of four cannot go below 1/8."""

_MOST_EXACT = 16
_DRAWS = 10_000
_SEED = 0


def half_width(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half the 95 % interval of each column's mean, for values (units, columns): Student's t.

    NaN for a single unit.
    """
    units = len(values)
    if units < 2:
        return np.full(values.shape[1], np.nan)
    quantile = scipy.stats.t.ppf((1 + LEVEL) / 2, units - 1)
    half: NDArray[np.float64] = quantile * values.std(axis=0, ddof=1) / np.sqrt(units)
    return half


def sign_flip_p(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """The two-sided p-value of each column's mean, for paired differences (units, columns).

    Randomisation test (Fisher, The Design of Experiments, 1935, chapter 3): where two methods are
    alike, each difference might as well have the other sign. All assignments of signs for up to 16
    units, 10,000 random ones, with the observed one, for more.
    """
    units = len(differences)
    if units <= _MOST_EXACT:
        # The first sign stays: all others come twice, mirrored.
        bits = np.arange(2 ** (units - 1))[:, None] >> np.arange(units)
        signs = np.where(bits & 1, -1.0, 1.0)
    else:
        signs = np.random.default_rng(_SEED).choice([-1.0, 1.0], (_DRAWS, units))
        signs[0] = 1
    means = np.abs(signs @ differences) / units
    # Rounding must not make an assignment smaller that is in truth as large as the observed one.
    p: NDArray[np.float64] = (means >= np.abs(differences.mean(axis=0)) - 1e-12).mean(axis=0)
    return p


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """The p-values (n,) of one family of tests, corrected for their number; NaN is no test.

    Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.
    """
    corrected = p.copy()
    tests = np.flatnonzero(~np.isnan(p))
    order = tests[np.argsort(p[tests], kind="stable")]
    scaled = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(scaled), 1)
    return corrected
