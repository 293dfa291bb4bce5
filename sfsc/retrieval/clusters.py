"""Which queries show one landmark, and so tell the same story twice."""

import numpy as np
from numpy.typing import NDArray

from sfsc.data.sets import GroundTruth


def clusters(ground_truth: GroundTruth) -> NDArray[np.int64]:
    """For each query the row of the first query with the same positives: int64, (Q,).

    The classes of a labelled set are taken as given: there each query is one of its own.
    """
    count = len(ground_truth.query_ids)
    if ground_truth.kind == "labelled":
        return np.arange(count)
    first: dict[tuple[bytes, ...], int] = {}
    return np.array(
        [
            first.setdefault(
                tuple(each[row].positives.tobytes() for each in ground_truth.relevance.values()),
                row,
            )
            for row in range(count)
        ],
        np.int64,
    )
