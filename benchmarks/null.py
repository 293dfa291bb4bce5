"""A method against itself: how often does a test find a difference that is not there?

python -m benchmarks.null trains the runs of config/null.yaml (48 short trainings; what is
there already stays) and writes null.csv and null.md to results/benchmarks/. A test at 0.05 should
reject in one case of twenty.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sfsc.files import replacing
from sfsc.report.inputs import read_compatibility, read_per_query
from sfsc.retrieval.inference import half_width, sign_flip_p

_RESULTS = Path("results/null")
_OUT = Path("results/benchmarks")
_COMPARISONS = 1000
_UNITS = 8
_AVERAGED = 2
_LEVEL = 0.05


def main() -> None:
    target = ["results/null/metrics.csv", "--configfile", "config/null.yaml"]
    subprocess.run(["snakemake", "--cores", "all", *target], check=True)
    table = rejections(_RESULTS)
    caption = (
        f"A method against itself, {_COMPARISONS} comparisons of runs drawn from"
        f" {table['runs'].iloc[0]}: the share in which a test at {_LEVEL:.0%} finds a difference in"
        f" the mean cross-test. Over the runs: {_UNITS} paired runs, as in the suite's tables. Over"
        f" the queries: the runs of {_AVERAGED} seeds averaged, and the signs of the queries'"
        " differences flipped, as is common in retrieval."
    )
    _OUT.mkdir(parents=True, exist_ok=True)
    with replacing(_OUT / "null.csv") as beside:
        table.to_csv(beside, index=False, float_format="%.4f")
    text = table.to_markdown(index=False, floatfmt=".3f")
    with replacing(_OUT / "null.md") as beside:
        beside.write_text(f"{caption}\n\n{text}\n", encoding="utf-8")
    print(text)


def rejections(results: Path) -> pd.DataFrame:
    """For each dataset and method of a profile: how often each test rejects."""
    measures = read_compatibility(results)
    measures = measures[measures["measure"] == "cross_mean"]
    queries = read_per_query(results)
    queries = queries[queries["query_model"] != queries["gallery_model"]]
    rows = []
    for (dataset, protocol, method), runs in measures.groupby(["dataset", "protocol", "method"]):
        of_runs = runs.sort_values("seed")["value"].to_numpy()
        chosen = (queries["dataset"] == dataset) & (queries["protocol"] == protocol)
        part = queries[chosen & (queries["method"] == method)]
        of_queries = part.pivot_table(index="seed", columns="query", values="value").to_numpy()
        rows.append(
            {
                "dataset": dataset,
                "protocol": protocol,
                "method": method,
                "runs": len(of_runs),
                "sign flips over the runs": _share(of_runs, _UNITS, _by_signs),
                "interval over the runs": _share(of_runs, _UNITS, _by_interval),
                "sign flips over the queries": _share(of_queries, _AVERAGED, _by_queries),
            }
        )
    return pd.DataFrame(rows)


def _share(
    values: NDArray[np.float64],
    size: int,
    rejects: Callable[[NDArray[np.float64], NDArray[np.float64]], bool],
) -> float:
    """How often `rejects` says so of two disjoint groups of `size` runs, drawn at random."""
    random = np.random.default_rng(0)
    found = 0
    for _ in range(_COMPARISONS):
        drawn = random.permutation(len(values))[: 2 * size]
        found += rejects(values[drawn[:size]], values[drawn[size:]])
    return found / _COMPARISONS


def _by_signs(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return bool(sign_flip_p((one - other)[:, None])[0] <= _LEVEL)


def _by_interval(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    apart = (one - other)[:, None]
    return bool(abs(apart.mean()) > half_width(apart)[0])


def _by_queries(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return bool(sign_flip_p((one.mean(axis=0) - other.mean(axis=0))[:, None])[0] <= _LEVEL)


if __name__ == "__main__":
    main()
