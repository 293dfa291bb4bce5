"""From metrics to tables: CSV with full values, Markdown and LaTeX with what people read."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from sfsc.files import InputError, replacing
from sfsc.profile import Contrast
from sfsc.report.differences import differences, not_separable
from sfsc.report.inputs import (
    ARCHITECTURE,
    BATCH,
    REFERENCE,
    matrix,
    over_seeds,
    primary,
    read_compatibility,
    read_cost,
    read_cost_and_latency,
    read_metrics,
    read_per_query,
    read_refresh,
    shown_protocol,
    spread,
)
from sfsc.report.queries import GROUP, intervals
from sfsc.retrieval.inference import LEAST_UNITS, half_width, holm

_LEFT_OUT = "easy"
_ABSENT = "–"
_NOTHING = pd.DataFrame(columns=["mean", "half", "seeds"])
_UPPER = "independent"
_LEAST_ADVANTAGE = 0.01
"""A gain relative to a smaller advantage says nothing."""

_MEASURES = {
    "self_mean": "mean self-test",
    "cross_mean": "mean cross-test",
    "cross_others": "cross-test without the widest",
    "worst_pair": "worst pair",
    "C": "C",
}
_RUNS = (
    f"p: of a sign-flip test over the seeds, by Holm's correction for all tests of this table;"
    f" none below {LEAST_UNITS} seeds. Intervals are not corrected"
)


@dataclass(frozen=True)
class Block:
    """One grid of Markdown cells; its first `labels` columns are names, the others numbers."""

    title: str
    cells: pd.DataFrame
    labels: int


@dataclass(frozen=True)
class Table:
    """A table as data (long form, full values, fractions) and as blocks that people read."""

    name: str
    caption: str
    data: pd.DataFrame
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Shown:
    """What the tables of a profile show, in the order of its configuration."""

    methods: Sequence[str]
    ablations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """For each method that others change: these, and what they change."""
    contrasts: Sequence[Contrast] = field(default_factory=tuple)


def write_tables(results: Path, tables: Path, shown: Shown, names: Sequence[str]) -> None:
    """Write <name>.{csv,md,tex} in the folder `tables` for `names` (summary, main, pairs,
    compatibility, upgrade, refresh, ablation, contrasts, cost).

    `results` holds metrics.csv, per_query.parquet, compatibility.csv and, for `cost`, which also
    writes `training_time`, cost.csv. The CSV is long: means, halves of the 95 % intervals over the
    seeds and bounds of those over the queries, as fractions at full precision; Markdown and LaTeX
    show percentages. A method without metrics is left out. Raises InputError for an unknown name, a
    missing or malformed input file, or when none of the methods has a row.
    """
    for name in names:
        if name not in _TABLES:
            raise InputError(f"no table is called {name!r}; choose from {', '.join(_TABLES)}")
    for name in names:
        for table in _TABLES[name](results, shown):
            _write(tables, table)


def main(results: Path, shown: Shown) -> list[Table]:
    """Tabulate self-tests, mean cross-test and worst pair by dataset, protocol and method."""
    methods = shown.methods
    rows = _columns(results, methods)
    columns = [
        *dict.fromkeys(name for name in rows["column"] if name.startswith("self-test")),
        *(_MEASURES[name] for name in ("cross_mean", "worst_pair")),
    ]
    rows = rows[rows["column"].isin(columns)]
    data = over_seeds(rows, [*GROUP, "method", "column"])
    data = data.merge(_ordered_as(data, _intervals_of_main(results, methods)), "left")
    tied = not_separable(rows[rows["method"] != REFERENCE], [*GROUP, "column"])
    place = pd.MultiIndex.from_frame(data[[*GROUP, "column", "method"]])
    bold = tied.reindex(place, fill_value=False).to_numpy(bool)
    texts = _percentages(data)
    wide = _pivot(
        data.assign(cell=texts.mask(bold, "**" + texts + "**")),
        [*GROUP, "method"],
        "column",
        columns,
    )
    widest = (
        (data["high"] - data["low"])
        .groupby([data[key] for key in (*GROUP, "method")], observed=True)
        .max()
    )
    wide["over the queries"] = [f"± {50 * width:.1f}" for width in widest]
    caption = (
        f"The primary metric in %: {spread(data['seeds'])}. Self-test: a width searches a gallery "
        "that it embedded itself. Mean cross-test: query and gallery are embedded by different "
        "widths. Worst pair: the lowest of all ordered pairs. Bold: the best trained method, and "
        "all whose paired difference to it has an interval over the seeds that holds 0; none for a "
        "single seed. Over the queries: half the widest 95 % interval of the row's self-tests and "
        "mean cross-test, by resampling the landmarks, or the images of a labelled set; it does "
        "not hold for another run."
    )
    return [Table("main", caption, data, [Block("", _blank_repeats(wide, GROUP), 4)])]


def summary(results: Path, shown: Shown) -> list[Table]:
    """Tabulate each method's mean self-test and mean cross-test, a line each, a column per set."""
    rows = _of_methods(read_compatibility(results), shown.methods, results)
    rows = rows[rows["measure"].isin(("self_mean", "cross_mean"))]
    protocols = rows.groupby("dataset", observed=True)["protocol"].unique()
    first = {dataset: shown_protocol(list(found)) for dataset, found in protocols.items()}
    rows = rows[rows["protocol"].astype(str) == rows["dataset"].astype(str).map(first)]
    data = over_seeds(rows, ["dataset", "protocol", "method", "measure"])
    texts = _percentages(data)
    wide = data.assign(cell=texts).pivot_table(
        index="method",
        columns=["dataset", "measure"],
        values="cell",
        aggfunc="first",
        observed=True,
    )
    cells = pd.DataFrame({"method": wide.index.astype(str)})
    for dataset, protocol in first.items():
        for measure in ("self_mean", "cross_mean"):
            if (dataset, measure) in wide:
                name = f"{dataset}, {protocol}: {_MEASURES[measure].removeprefix('mean ')}"
                cells[name] = wide[dataset, measure].fillna(_ABSENT).to_numpy()
    price = _price(read_cost(results), shown.methods)
    cells = cells.merge(price, "left", on="method").fillna(_ABSENT)
    caption = (
        f"The primary metric in %: {spread(data['seeds'])}. Self-test: query and gallery by the "
        "same model, the mean over models. Cross-test: by different models, the mean over ordered "
        "pairs."
    )
    if len(price.columns) > 1:
        caption += _PRICE
    return [Table("summary", caption, data, [Block("", cells.astype(object), 1)])]


_PRICE = (
    " Trainings: how many networks are trained for a family, one after the other. Time: of all"
    f" trainings, next to those of {_UPPER}, on the same machine and seed."
)
_DEPLOYED = {
    frozenset[str](): "nothing",
    frozenset({"query"}): "a map for queries",
    frozenset({"gallery"}): "a mapped gallery for each query model",
    frozenset({"query", "gallery"}): "maps for queries and galleries",
}


def _price(cost: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """What a method costs besides its sub-models: a row each, cells as people read them.

    Columns: method, and trainings, time and what a deployment needs, where that is known.
    """
    cost = cost[cost["method"].isin(methods)].dropna(subset=["train_seconds"])
    family = ["train_set", "method", "seed"]
    whole = cost.drop_duplicates(family)
    found = pd.DataFrame({"method": list(dict.fromkeys(whole["method"].astype(str)))})
    if whole["networks"].notna().any():
        networks = whole.groupby("method", observed=True)["networks"].max()
        found["trainings"] = found["method"].map(networks).map("{:.0f}".format)
    times = whole.pivot_table("train_seconds", family[::2], "method", observed=True)
    if _UPPER in times and len(times.columns) > 1:
        ratios = times.div(times[_UPPER], axis=0).mean()
        found["time"] = found["method"].map(ratios).map("{:.1f} x".format)
    if cost["translated"].notna().any():
        found["at deployment"] = [
            _DEPLOYED[frozenset(" ".join(cost.loc[cost["method"] == name, "translated"]).split())]
            for name in found["method"]
        ]
    return found


def _columns(results: Path, methods: Sequence[str]) -> pd.DataFrame:
    """Values by dataset, protocol, metric, method, seed and `column`: self-tests and measures."""
    metrics, measures = read_metrics(results), read_compatibility(results)
    selves = metrics[metrics["query_model"] == metrics["gallery_model"]]
    selves = selves.assign(column="self-test " + selves["query_model"])
    measures = measures[measures["measure"].isin(_MEASURES)]
    measures = measures.assign(column=measures["measure"].map(_MEASURES))
    rows = _of_methods(pd.concat([selves, measures]), methods, results)
    return rows[rows["protocol"] != _LEFT_OUT]


def _intervals_of_main(results: Path, methods: Sequence[str]) -> pd.DataFrame:
    rows = _of_queries(results, methods)
    selves = rows["measure"] == _MEASURES["self_mean"]
    column = rows["measure"].mask(selves, "self-test " + rows["query_model"])
    return intervals(rows.assign(column=column), ["method", "column"])


def pairs(results: Path, shown: Shown) -> list[Table]:
    """Tabulate the matrix of every query model (rows) and gallery model (columns)."""
    methods = shown.methods
    key = ["method", "query_model", "gallery_model"]
    rows = _of_methods(read_metrics(results), methods, results)
    data = over_seeds(rows, [*GROUP, *key])
    of_queries = _of_methods(read_per_query(results), methods, results)
    data = data.merge(_ordered_as(data, intervals(of_queries, key)), "left")
    family = [*GROUP, "method", "seed"]
    own = rows[rows["query_model"] == rows["gallery_model"]].set_index([*family, "gallery_model"])
    rows = rows.join(own["value"].rename("own"), on=[*family, "gallery_model"])
    rows = rows[rows["query_model"] != rows["gallery_model"]]
    changes = over_seeds(rows.assign(value=rows["value"] - rows["own"]), [*GROUP, *key])
    both = {"value": data, "change": changes}
    blocks = []
    for quantity, frame in both.items():
        for (dataset, protocol, metric), part in frame.groupby(GROUP, observed=True):
            in_order = dict.fromkeys(data["query_model"])
            galleries = [model for model in in_order if model in set(part["gallery_model"])]
            change = quantity == "change"
            cells = _percentages(part, signed=change)
            cells = cells if change else cells + _brackets(part)
            wide = _pivot(
                part.assign(cell=cells), ["method", "query_model"], "gallery_model", galleries
            )
            wide = wide.rename(columns={"query_model": "query"}).rename(
                columns={name: f"gallery {name}" for name in galleries}
            )
            title = f"{dataset}, {protocol}: {metric} in %"
            if change:
                title += ", less the gallery model's self-test"
            blocks.append(Block(title, _blank_repeats(wide, ["method"]), 2))
    caption = (
        "Every cross-model pair: the row's model embeds the queries, the column's model embeds the "
        f"gallery; {spread(data['seeds'])}, [95 % interval over the queries]. Then, for"
        " cross-tests, what the search gains or loses against the gallery model's own queries."
    )
    data = pd.concat([frame.assign(quantity=name) for name, frame in both.items()])
    return [Table("pairs", caption, data, blocks)]


def compatibility(results: Path, shown: Shown) -> list[Table]:
    """Tabulate how much of a search survives when another model embedded the gallery."""
    rows = _of_methods(read_compatibility(results), shown.methods, results)
    measures = ["cross_mean", "cross_others", "worst_pair", "C"]
    rows = rows[(rows["protocol"] != _LEFT_OUT) & rows["measure"].isin(measures)]
    if not (rows["measure"] == "cross_mean").any():
        return [Table("compatibility", "No family has models of several widths.", _NOTHING, [])]
    rows = rows.assign(column=rows["measure"].map(_MEASURES))
    floors = rows.assign(value=rows["floor"], column="floor of " + rows["column"])
    gains = _update_gains(_of_methods(read_metrics(results), shown.methods, results))
    data = over_seeds(pd.concat([rows, floors]), [*GROUP, "method", "column"])
    data = pd.concat([data, _ordered_as(data, gains)])
    names = [_MEASURES[name] for name in measures]
    columns = [
        column
        for name in names
        for column in (name, f"floor of {name}")
        if column in set(data["column"]) and column != f"floor of {_MEASURES['worst_pair']}"
    ]
    columns += ["update gain"] if (data["column"] == "update gain").any() else []
    wide = _pivot(data.assign(cell=_percentages(data)), [*GROUP, "method"], "column", columns)
    caption = (
        f"Compatibility measures in %: {spread(data['seeds'])}. C: the mean over the cross-tests "
        "of their score by the geometric mean of the two models' self-tests, each less what random "
        "rankings score; 100 where nothing is lost, 0 for models that share no space or know "
        "nothing. Floors: the same where the gallery is that of the method's next seed, which "
        "nothing ties to the query model. Update gain: how much of the wider independent models' "
        "advantage wider query models realise on narrower models' galleries, which nobody had to "
        f"embed anew; pooled over pairs and seeds, interval by the jackknife; {_ABSENT} where "
        "there is hardly an advantage."
    )
    return [Table("compatibility", caption, data, [Block("", _blank_repeats(wide, GROUP), 4)])]


def upgrade(results: Path, shown: Shown) -> list[Table]:
    """Tabulate what the literature on upgrades measures, of models from old to new."""
    names = {
        "AC": "compatible pairs (AC)",
        "AM": "mean of newer on older (AM)",
        "BC": "last on older, less their self-tests (BC)",
        "FC": "each on the one before, less its self-test (FC)",
        "NFR": "negative flips, old gallery",
        "NFR_new": "negative flips, new gallery",
    }
    rows = _of_methods(read_compatibility(results), shown.methods, results)
    rows = rows[(rows["protocol"] != _LEFT_OUT) & rows["measure"].isin(names)]
    if rows.empty:
        return [Table("upgrade", "No family has several models.", _NOTHING, [])]
    rows = rows.assign(column=rows["measure"].map(names))
    data = over_seeds(rows, [*GROUP, "method", "column"])
    signed = data["column"].isin([names["BC"], names["FC"]])
    cells = _percentages(data).mask(signed, _percentages(data, signed=True))
    wide = _pivot(data.assign(cell=cells), [*GROUP, "method"], "column", list(names.values()))
    caption = (
        f"Upgrades from old to new models, in %: {spread(data['seeds'])}. AC: the share of pairs "
        "whose newer model searches the older one's gallery better than the older one does. AM: "
        "the mean over galleries of older models, and one's own. BC and FC: points that are won or "
        "lost by searching older galleries (Biondi et al., 2023). Negative flips: queries whose "
        "first hit is right by an older model and wrong by a newer one, in the older one's gallery "
        "or in its own."
    )
    return [Table("upgrade", caption, data, [Block("", _blank_repeats(wide, GROUP), 4)])]


def refresh(results: Path, shown: Shown) -> list[Table]:
    """Tabulate the areas under the refresh curves, by pair of old and new model."""
    rows = _of_methods(read_refresh(results), shown.methods, results)
    rows = rows[rows["protocol"] != _LEFT_OUT]
    keys = [*GROUP, "method", "seed", "old_model", "new_model", "order"]
    areas = pd.DataFrame(
        [
            (*key, np.trapezoid(part["value"], part["share"]))
            for key, part in rows.groupby(keys, observed=True, sort=False)
        ],
        columns=[*keys, "value"],
    )
    areas["column"] = areas["old_model"] + " → " + areas["new_model"] + ", " + areas["order"]
    data = over_seeds(areas, [*GROUP, "method", "column"])
    columns = list(dict.fromkeys(areas["column"]))
    wide = _pivot(data.assign(cell=_percentages(data)), [*GROUP, "method"], "column", columns)
    caption = (
        f"Area under the refresh curve in %: {spread(data['seeds'])}. The new model's queries "
        "search a gallery of which a growing share, from none to all, is re-embedded by the new "
        "model: in a random order, or the most uncertain old embeddings first. Left out: pairs "
        "whose queries are translated, for which no gallery can hold both models' embeddings."
    )
    return [Table("refresh", caption, data, [Block("", _blank_repeats(wide, GROUP), 4)])]


def _update_gains(metrics: pd.DataFrame) -> pd.DataFrame:
    """The update gain of Shen et al. 2020 (BCT), a ratio of sums over pairs and seeds.

    For pairs with query model i wider than gallery model j: the sum of M(i, j) - M(j, j) by the sum
    of M*(i, i) - M(j, j), with M* the independent models.
    """
    metrics = metrics[metrics["protocol"] != _LEFT_OUT]
    found = []
    for group, part in metrics.groupby(GROUP, observed=True):
        seeds = {
            key: matrix(family, "value")
            for key, family in part.groupby(["method", "seed"], observed=True)
        }
        for method in part["method"].unique():
            sums = []
            for (name, seed), M in seeds.items():
                upper = seeds.get((_UPPER, seed))
                if name != method or upper is None or len(M) == 1:
                    continue
                wide, narrow = np.tril_indices(len(M), -1)
                own = np.diag(M)[narrow]
                best = np.diag(upper.reindex(index=M.index, columns=M.columns))[wide]
                sums.append(((M.to_numpy()[wide, narrow] - own).mean(), (best - own).mean()))
            if sums and np.mean(sums, axis=0)[1] >= _LEAST_ADVANTAGE:
                mean, half = _ratio_of_sums(np.array(sums))
                found.append((*group, method, "update gain", mean, half, len(sums)))
    return pd.DataFrame(found, columns=[*GROUP, "method", "column", "mean", "half", "seeds"])


def _ratio_of_sums(sums: np.ndarray) -> tuple[float, float]:
    """The ratio of the columns' sums of (n, 2), and half its 95 % interval by the jackknife."""
    over, under = sums.sum(axis=0)
    if len(sums) == 1:
        return over / under, np.nan
    without = (over - sums[:, 0]) / (under - sums[:, 1])
    pseudo = len(sums) * over / under - (len(sums) - 1) * without
    return over / under, float(half_width(pseudo[:, None])[0])


def ablation(results: Path, shown: Shown) -> list[Table]:
    """Tabulate the compatibility measures of methods and their ablations, and the differences."""
    if not shown.ablations:
        return [
            Table("ablation", "No method that was run is an ablation of another.", _NOTHING, [])
        ]
    changes = {
        variant: (base, by)
        for base, variants in shown.ablations.items()
        for variant, by in variants.items()
    }
    methods = list(dict.fromkeys(m for base, own in shown.ablations.items() for m in (base, *own)))
    rows = _of_methods(read_compatibility(results), methods, results)
    rows = rows[(rows["protocol"] != _LEFT_OUT) & rows["measure"].isin(_MEASURES)]
    rows = rows.assign(measure=rows["measure"].map(_MEASURES))
    values = over_seeds(rows, [*GROUP, "method", "measure"]).assign(quantity="value")
    pairs = [(variant, base) for variant, (base, _) in changes.items()]
    apart = differences(rows, pairs, [*GROUP, "measure"]).assign(quantity="difference")
    data = pd.concat([values, _ordered_as(values, apart)], ignore_index=True)
    titles = {
        "value": "Compatibility measures in %",
        "difference": "Difference to the method that each changes, in percentage points, paired by"
        f" seed. {_RUNS}",
    }
    blocks = []
    for quantity, title in titles.items():
        part = data[data["quantity"] == quantity]
        if part.empty:
            continue
        apart_from = quantity != "value"
        cells = _percentages(part, signed=apart_from) + (_p_values(part) if apart_from else "")
        measures = [name for name in _MEASURES.values() if name in set(part["measure"])]
        wide = _pivot(part.assign(cell=cells), [*GROUP, "method"], "measure", measures)
        texts = [": ".join(changes.get(method, (_ABSENT,))) for method in wide["method"]]
        wide.insert(4, "what it changes", texts)
        blocks.append(Block(title, _blank_repeats(wide, GROUP), 5))
    caption = f"What each part of a method contributes: {spread(values['seeds'])}."
    return [Table("ablation", caption, data, blocks)]


def contrasts(results: Path, shown: Shown) -> list[Table]:
    """Tabulate the differences between methods that the profile asks about."""
    asked = shown.contrasts
    if not asked:
        return []
    named = dict.fromkeys(name for each in asked for name in (each.method, each.against))
    rows = _columns(results, list(named))
    found = []
    for place, each in enumerate(asked):
        measure = each.measure
        part = rows[rows["column"] == _MEASURES.get(measure, measure)]
        if part.empty:
            raise InputError(f"contrasts: {measure!r} is no measure of {', '.join(named)}")
        of_claim = differences(part, [(each.method, each.against)], GROUP)
        found.append(of_claim.assign(place=place, claim=each.claim, measure=measure))
    data = pd.concat(found, ignore_index=True)
    data = data.assign(p_holm=holm(data["p"].to_numpy(np.float64)))
    cells = pd.DataFrame(
        {
            "question": data["claim"],
            "difference": data["method"] + " − " + data["against"],
            "in": data["measure"].map(_MEASURES).fillna(data["measure"]),
            "dataset": data["dataset"],
            "protocol": data["protocol"],
            "seeds": data["seeds"].astype(str),
            "points": [f"{round(100 * mean, 2) + 0.0:+.2f}" for mean in data["mean"]],
            "interval": [
                _ABSENT
                if pd.isna(half)
                else f"[{100 * (mean - half):+.1f}, {100 * (mean + half):+.1f}]"
                for mean, half in zip(data["mean"], data["half"], strict=True)
            ],
            "p": [_ABSENT if pd.isna(p) else _p_value(p) for p in data["p_holm"]],
        }
    )
    caption = (
        "Differences between methods in percentage points: mean and 95 % interval over the seeds, "
        f"paired by seed. {_RUNS}."
    )
    block = Block("", _blank_repeats(cells, ["question", "difference", "in"]), 5)
    return [Table("contrasts", caption, data.drop(columns="place"), [block])]


def cost(results: Path, shown: Shown) -> list[Table]:
    """Tabulate what each sub-model costs, and how long training its family took."""
    methods = shown.methods
    rows = read_cost_and_latency(results)
    rows = rows[rows["method"].isin(methods)].dropna(subset=["parameters", "multiply_adds"])
    if rows.empty:
        none = Table("cost", "No method has sub-models whose cost is known.", _NOTHING, [])
        return [none, _training_time(rows, methods)]
    order = {method: place for place, method in enumerate(methods)}
    rows = rows.assign(method=rows["method"].map(order)).sort_values("method", kind="stable")
    times = rows.dropna(subset="train_seconds").drop_duplicates(["train_set", "method", "seed"])
    return [_sizes(rows, methods), _training_time(times, methods)]


_TABLES: dict[str, Callable[[Path, Shown], list[Table]]] = {
    "summary": summary,
    "main": main,
    "pairs": pairs,
    "compatibility": compatibility,
    "upgrade": upgrade,
    "refresh": refresh,
    "ablation": ablation,
    "contrasts": contrasts,
    "cost": cost,
}


def _sizes(rows: pd.DataFrame, methods: Sequence[str]) -> Table:
    everyone = rows.groupby("train_set")["method"].nunique()
    # Methods may build a width differently; those that agree share a row.
    data = (
        rows.groupby(list(ARCHITECTURE))
        .agg(
            file_bytes=("file_bytes", "mean"),
            single_ms=("single_ms", "first"),
            batch_ms=("batch_ms", "first"),
            users=("method", "unique"),
        )
        .reset_index()
    )
    data["methods"] = [
        "all"
        if len(users) == everyone[train_set]
        else ", ".join(methods[place] for place in sorted(users))
        for train_set, users in zip(data["train_set"], data["users"], strict=True)
    ]
    data = data.drop(columns="users")
    cells = pd.DataFrame(
        {
            "training set": data["train_set"],
            "model": data["model"],
            "methods": data["methods"],
            "parameters": data["parameters"].map("{:,.0f}".format),
            "multiply-adds (millions)": (data["multiply_adds"] / 1e6).map("{:,.2f}".format),
            "file (kB)": (data["file_bytes"] / 1e3).map("{:,.1f}".format),
            "one image (ms)": data["single_ms"].map(_milliseconds),
            f"{BATCH} images (ms)": data["batch_ms"].map(_milliseconds),
        }
    )
    labels = 3
    if (data["methods"] == "all").all():
        cells, labels = cells.drop(columns="methods"), 2
    caption = (
        "What one sub-model costs: multiply-adds are for one image, 1 kB is 1000 bytes. The times "
        "are median latencies of the sub-model exported as ONNX, in ONNX Runtime, on as many CPU "
        "threads as the profile gives a process."
    )
    return Table(
        "cost", caption, data, [Block("", _blank_repeats(cells, ["training set"]), labels)]
    )


def _milliseconds(latency: float) -> str:
    return _ABSENT if pd.isna(latency) else f"{latency:,.2f}"


def _training_time(times: pd.DataFrame, methods: Sequence[str]) -> Table:
    if times.empty:
        return Table("training_time", "No training time was recorded.", _NOTHING, [])
    data = over_seeds(times.assign(value=times["train_seconds"]), ["train_set", "method"])
    data["method"] = [methods[place] for place in data["method"]]
    unit, seconds = ("min", 60) if data["mean"].max() >= 600 else ("s", 1)
    cells = pd.DataFrame(
        {
            "training set": data["train_set"],
            "method": data["method"],
            f"training time ({unit})": [
                _plus_minus(mean / seconds, half / seconds)
                for mean, half in zip(data["mean"], data["half"], strict=True)
            ],
        }
    )
    caption = f"Wall time of training a family, all its widths together: {spread(data['seeds'])}."
    block = Block("", _blank_repeats(cells, ["training set"]), 2)
    return Table("training_time", caption, data, [block])


def _ordered_as(data: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    return other.astype({name: data[name].dtype for name in ("dataset", "protocol", "method")})


def _of_queries(results: Path, methods: Sequence[str]) -> pd.DataFrame:
    """The average precision of each query, by `measure`: self-test or cross-test."""
    rows = _of_methods(read_per_query(results), methods, results)
    same = rows["query_model"].astype(str) == rows["gallery_model"].astype(str)
    measure = same.map({True: _MEASURES["self_mean"], False: _MEASURES["cross_mean"]})
    return rows[rows["protocol"] != _LEFT_OUT].assign(measure=measure)


def _of_methods(frame: pd.DataFrame, methods: Sequence[str], results: Path) -> pd.DataFrame:
    rows = primary(frame, methods)
    if rows.empty:
        raise InputError(
            f"{results}: no result of {', '.join(methods) or 'any method'}; evaluate one first"
        )
    return rows


def _percentages(data: pd.DataFrame, signed: bool = False) -> "pd.Series[str]":
    cells = [
        _plus_minus(100 * mean, 100 * half, signed)
        for mean, half in zip(data["mean"], data["half"], strict=True)
    ]
    return pd.Series(cells, data.index, dtype=object)


def _brackets(data: pd.DataFrame) -> "pd.Series[str]":
    cells = [
        f" [{100 * low:.1f}, {100 * high:.1f}]"
        for low, high in zip(data["low"], data["high"], strict=True)
    ]
    return pd.Series(cells, data.index, dtype=object)


def _p_values(data: pd.DataFrame) -> "pd.Series[str]":
    cells = ["" if pd.isna(p) else f", p {_p_value(p)}" for p in data["p_holm"]]
    return pd.Series(cells, data.index, dtype=object)


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _plus_minus(mean: float, half: float, signed: bool = False) -> str:
    # Adding zero turns a rounded -0.0 into 0.0.
    value = round(mean, 1) + 0.0
    text = f"{value:+.1f}" if signed else f"{value:.1f}"
    return text if pd.isna(half) else f"{text} ± {half:.1f}"


def _pivot(
    data: pd.DataFrame, index: Sequence[str], column: str, columns: Sequence[str]
) -> pd.DataFrame:
    wide = data.set_index([*index, column])["cell"].unstack(column)
    wide = wide.sort_index().reindex(columns=list(columns), fill_value=_ABSENT)
    wide = wide.fillna(_ABSENT).reset_index()
    return wide.rename_axis(columns=None).astype(object)


def _blank_repeats(cells: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    repeats = pd.Series(True, cells.index)
    blanked = cells.copy()
    for key in keys:
        repeats &= cells[key] == cells[key].shift()
        blanked[key] = cells[key].mask(repeats, "")
    return blanked


def _write(folder: Path, table: Table) -> None:
    with replacing(folder / f"{table.name}.csv") as path:
        table.data.to_csv(path, index=False)
    with replacing(folder / f"{table.name}.md") as path:
        path.write_text(_markdown(table), encoding="utf-8")
    with replacing(folder / f"{table.name}.tex") as path:
        path.write_text(_latex(table), encoding="utf-8")


def _markdown(table: Table) -> str:
    parts = [table.caption]
    for block in table.blocks:
        if block.title:
            parts.append(f"**{block.title}**")
        align = ["left"] * block.labels + ["right"] * (block.cells.shape[1] - block.labels)
        cells = block.cells.copy()
        cells.iloc[:, : block.labels] = cells.iloc[:, : block.labels].map(_plain)
        parts.append(cells.to_markdown(index=False, disable_numparse=True, colalign=align))
    return "\n\n".join(parts) + "\n"


def _plain(name: str) -> str:
    """A name in a cell of Markdown, where none of its signs is markup."""
    return re.sub(r"[\\|*$<`]", r"\\\g<0>", name)


def _latex(table: Table) -> str:
    parts = [r"% \usepackage{booktabs}"]
    for number, block in enumerate(table.blocks):
        cells = block.cells.map(lambda cell: _tex(str(cell))).rename(columns=_tex)
        groups = cells.iloc[1:, 0]
        cells.iloc[1:, 0] = groups.mask(groups != "", r"\midrule " + groups)
        title = f"{block.title}. " if block.title else ""
        parts.append(
            cells.to_latex(
                index=False,
                column_format="l" * block.labels + "r" * (cells.shape[1] - block.labels),
                caption=_tex(title + table.caption),
                label=f"tab:{table.name}" + (f"-{number + 1}" if len(table.blocks) > 1 else ""),
            )
        )
    return "\n".join(parts)


_TEX_SIGNS = {"±": r"$\pm$", "–": "--", "−": "$-$", "\\": r"\textbackslash{}"}
_TEX_SIGNS |= {"~": r"\textasciitilde{}", "<": "$<$", "^": r"\textasciicircum{}"}
_TEX_SIGNS |= {sign: f"\\{sign}" for sign in "&%$#_{}"}


def _tex(cell: str) -> str:
    text = "".join(_TEX_SIGNS.get(sign, sign) for sign in cell)
    text = re.sub(r"(?<![\w.])-(?=\d)", "$-$", text)
    return re.sub(r"^\*\*(.*)\*\*$", r"\\textbf{\1}", text)
