"""A method against itself: how often does a test find a difference that is not there?

python -m benchmarks.null trains the runs of config/null.yaml (48 short trainings; what is there
already stays) and writes null.csv and null.md to results/benchmarks/. A test at 0.05 should reject
in one case of twenty. Its quick form makes its numbers up.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks import command
from sfsc.files import replacing
from sfsc.report.inputs import read_compatibility, read_per_query
from sfsc.retrieval.inference import half_width, sign_flip_p

_COMPARISONS = 1000
_UNITS = 8
_AVERAGED = 2
_LEVEL = 0.05


def main(out: Path, quick: bool) -> None:
    results = Path("results/null")
    if quick:
        results = _made_up(out / "made-up")
    else:
        target = ["results/null/metrics.csv", "--configfile", "config/null.yaml"]
        subprocess.run(["snakemake", "--cores", "all", *target], check=True)
    table = rejections(results, 20 if quick else _COMPARISONS)
    caption = (
        f"{command.measured_on()}\n\nA method against itself, {_COMPARISONS} comparisons of runs"
        f" drawn from {table['runs'].iloc[0]}: the share in which a test at {_LEVEL:.0%} finds a"
        f" difference in the mean cross-test. Over the runs: {_UNITS} paired runs, as in the"
        f" suite's tables; over the queries: the runs of {_AVERAGED} seeds averaged, and the signs"
        " of the queries' differences flipped, as is common in retrieval."
    )
    with replacing(out / "null.csv") as beside:
        table.to_csv(beside, index=False, float_format="%.4f")
    text = table.to_markdown(index=False, floatfmt=".3f")
    with replacing(out / "null.md") as beside:
        beside.write_text(f"{caption}\n\n{text}\n", encoding="utf-8")
    print(f"{command.measured_on()}\n\n{text}")


def _made_up(results: Path) -> Path:
    """Sixteen runs of one method: they differ, and so do their queries."""
    random = np.random.default_rng(0)
    family = {"dataset": "made-up", "protocol": "all", "metric": "mAP", "method": "any"}
    levels = random.normal(0.8, 0.02, 16)
    runs = pd.DataFrame({"seed": range(16), "value": levels, "floor": 0.1, "measure": "cross_mean"})
    queries = pd.DataFrame({"query": [f"q{number}" for number in range(50)]}).merge(
        runs[["seed", "value"]], "cross"
    )
    noise = random.normal(0, 0.05, len(queries))
    pair = {"query_model": "w050", "gallery_model": "w100"}
    results.mkdir(parents=True)
    runs.assign(**family).to_csv(results / "compatibility.csv", index=False)
    queries = queries.assign(**family, **pair, cluster=queries["query"])
    queries.assign(value=queries["value"] + noise).to_parquet(results / "per_query.parquet")
    return results


def rejections(results: Path, comparisons: int) -> pd.DataFrame:
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
                "sign flips over the runs": _share(of_runs, _UNITS, _by_signs, comparisons),
                "interval over the runs": _share(of_runs, _UNITS, _by_interval, comparisons),
                "sign flips over the queries": _share(
                    of_queries, _AVERAGED, _by_queries, comparisons
                ),
            }
        )
    return pd.DataFrame(rows)


def _share(
    values: NDArray[np.float64],
    size: int,
    rejects: Callable[[NDArray[np.float64], NDArray[np.float64]], bool],
    comparisons: int,
) -> float:
    """How often `rejects` says so of two disjoint groups of `size` runs, drawn at random."""
    random = np.random.default_rng(0)
    found = 0
    for _ in range(comparisons):
        drawn = random.permutation(len(values))[: 2 * size]
        found += rejects(values[drawn[:size]], values[drawn[size:]])
    return found / comparisons


def _by_signs(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return bool(sign_flip_p((one - other)[:, None])[0] <= _LEVEL)


def _by_interval(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    apart = (one - other)[:, None]
    return bool(abs(apart.mean()) > half_width(apart)[0])


def _by_queries(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return bool(sign_flip_p((one.mean(axis=0) - other.mean(axis=0))[:, None])[0] <= _LEVEL)


if __name__ == "__main__":
    command.run(main)
