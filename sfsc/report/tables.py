"""From metrics to tables: CSV with full values, Markdown and LaTeX with what people read."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sfsc import config as profiles
from sfsc.files import InputError, replacing
from sfsc.report.inputs import (
    ARCHITECTURE,
    BATCH,
    REFERENCE,
    over_seeds,
    primary,
    read_compatibility,
    read_cost_and_latency,
    read_metrics,
    read_per_query,
    spread,
)
from sfsc.report.queries import GROUP, intervals, paired_tests

_LEFT_OUT = "easy"
_ABSENT = "–"
_NEVER_HURTS = (
    "Never hurts: the share of pairs in which a wider partner, as query and as gallery model, is "
    "no worse than the narrower model's self-test."
)
_NOTHING = pd.DataFrame(columns=["mean", "std", "seeds"])

# The loss of SFSC and of each variant of it, and what becomes of the sub-models' gradients.
_COMPONENTS = {
    "sfsc": ("uncertainty", "projected"),
    "sfsc-no-projection": ("uncertainty", "summed"),
    "sfsc-no-uncertainty": ("cross entropy", "projected"),
    "sfsc-plain": ("cross entropy", "summed"),
    "sfsc-upgrad": ("uncertainty", "UPGrad"),
    "sfsc-mgda": ("uncertainty", "MGDA"),
    "sfsc-cagrad": ("uncertainty", "CAGrad"),
}
_MEASURES = {
    "self_mean": "mean self-test",
    "cross_mean": "mean cross-test",
    "worst_pair": "worst pair",
    "never_hurts": "never hurts",
    "update_gain": "update gain",
}


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


def write_tables(results: Path, tables: Path, methods: Sequence[str], names: Sequence[str]) -> None:
    """Write <name>.{csv,md,tex} in the folder `tables` for `names` (main, pairs, compatibility,
    ablation, cost).

    `results` holds metrics.csv, per_query.parquet, compatibility.csv and, for `cost`, which also
    writes `training_time`, cost.csv. The CSV is long: mean and sample standard deviation over the
    seeds and bounds of intervals, as fractions at full precision; Markdown and LaTeX show
    percentages. Rows follow the order of
    `methods`; a method without metrics is left out. Raises InputError for an unknown name, a
    missing or malformed input file, or when none of the methods has a row.
    """
    for name in names:
        if name not in _TABLES:
            raise InputError(f"no table is called {name!r}; choose from {', '.join(_TABLES)}")
    for name in names:
        for table in _TABLES[name](results, methods):
            _write(tables, table)


def main(results: Path, methods: Sequence[str]) -> list[Table]:
    """Tabulate self-tests, mean cross-test and worst pair by dataset, protocol and method."""
    metrics, measures = read_metrics(results), read_compatibility(results)
    selves = metrics[metrics["query_model"] == metrics["gallery_model"]]
    selves = selves.assign(column="self-test " + selves["query_model"])
    pairs = measures[measures["measure"].isin(["cross_mean", "worst_pair"])]
    pairs = pairs.assign(column=pairs["measure"].map(_MEASURES))
    rows = _of_methods(pd.concat([selves, pairs]), methods, results)
    rows = rows[rows["protocol"] != _LEFT_OUT]
    data = over_seeds(rows, [*GROUP, "method", "column"])
    data = data.merge(_ordered_as(data, _intervals_of_main(results, methods)), "left")
    columns = [
        *sorted(name for name in set(data["column"]) if name.startswith("self-test")),
        *(_MEASURES[name] for name in ("cross_mean", "worst_pair")),
    ]
    trained = data["mean"].where(data["method"] != REFERENCE)
    best = trained.groupby([data[key] for key in (*GROUP, "column")], observed=True)
    texts = _percentages(data)
    cells = texts.where(trained != best.transform("max"), "**" + texts + "**")
    wide = _pivot(data.assign(cell=cells), [*GROUP, "method"], "column", columns)
    widest = (
        (data["high"] - data["low"])
        .groupby([data[key] for key in (*GROUP, "method")], observed=True)
        .max()
    )
    wide["interval"] = [f"± {50 * width:.1f}" for width in widest]
    caption = (
        f"The primary metric in %: {spread(data['seeds'])}. Self-test: a width searches a gallery "
        "that it embedded itself. Mean cross-test: query and gallery are embedded by different "
        "widths. Worst pair: the lowest of all ordered pairs. Interval: half the width of the 95 % "
        "interval over the queries, the widest of the row's self-tests and mean cross-test. Bold: "
        "the best trained method."
    )
    return [Table("main", caption, data, [Block("", _blank_repeats(wide, GROUP), 4)])]


def _intervals_of_main(results: Path, methods: Sequence[str]) -> pd.DataFrame:
    rows = _of_queries(results, methods)
    selves = rows["measure"] == _MEASURES["self_mean"]
    column = rows["measure"].mask(selves, "self-test " + rows["query_model"])
    return intervals(rows.assign(column=column), ["method", "column"])


def pairs(results: Path, methods: Sequence[str]) -> list[Table]:
    """Tabulate the matrix of every query model (rows) and gallery model (columns)."""
    key = ["method", "query_model", "gallery_model"]
    data = over_seeds(_of_methods(read_metrics(results), methods, results), [*GROUP, *key])
    of_queries = _of_methods(read_per_query(results), methods, results)
    data = data.merge(_ordered_as(data, intervals(of_queries, key)), "left")
    blocks = []
    for (dataset, protocol, metric), part in data.groupby(GROUP, observed=True):
        galleries = sorted(set(part["gallery_model"]))
        wide = _pivot(
            part.assign(cell=_percentages(part) + _brackets(part)),
            ["method", "query_model"],
            "gallery_model",
            galleries,
        )
        wide = wide.rename(columns={"query_model": "query"}).rename(
            columns={name: f"gallery {name}" for name in galleries}
        )
        title = f"{dataset}, {protocol}: {metric} in %"
        blocks.append(Block(title, _blank_repeats(wide, ["method"]), 2))
    caption = (
        "Every cross-model pair: the row's model embeds the queries, the column's model embeds the "
        f"gallery; {spread(data['seeds'])}, [95 % interval over the queries]."
    )
    return [Table("pairs", caption, data, blocks)]


def compatibility(results: Path, methods: Sequence[str]) -> list[Table]:
    """Tabulate what a partner of another width does to a search, for every method."""
    rows = _of_methods(read_compatibility(results), methods, results)
    shown = ["never_hurts", "update_gain"]
    rows = rows[(rows["protocol"] != _LEFT_OUT) & rows["measure"].isin(shown)]
    rows = rows.assign(measure=rows["measure"].map(_MEASURES))
    if rows.empty:
        return [Table("compatibility", "No family has models of several widths.", _NOTHING, [])]
    data = over_seeds(rows, [*GROUP, "method", "measure"])
    columns = [_MEASURES[name] for name in shown if _MEASURES[name] in set(data["measure"])]
    wide = _pivot(data.assign(cell=_percentages(data)), [*GROUP, "method"], "measure", columns)
    caption = (
        f"Compatibility measures in %: {spread(data['seeds'])}. {_NEVER_HURTS} Update gain: how "
        "much of the wider independent model's advantage a wider query model realises on the "
        "narrower model's gallery, which nobody had to embed anew."
    )
    return [Table("compatibility", caption, data, [Block("", _blank_repeats(wide, GROUP), 4)])]


def ablation(results: Path, methods: Sequence[str]) -> list[Table]:
    """Tabulate the compatibility measures of SFSC and its ablations, and differences to SFSC.

    Differences are paired twice: by seed, where mean and deviation are those of the per-seed
    differences; and by query, after the mean over seeds, with a 95 % interval and a p-value.
    """
    shown = profiles.ablation(methods)
    if not shown:
        return [Table("ablation", "Neither SFSC nor an ablation of it was run.", _NOTHING, [])]
    rows = _of_methods(read_compatibility(results), shown, results)
    # The update gain is relative to independent models, which the ablation alone does not train.
    measured = rows["measure"].isin(_MEASURES) & (rows["measure"] != "update_gain")
    rows = rows[(rows["protocol"] != _LEFT_OUT) & measured]
    rows = rows.assign(measure=rows["measure"].map(_MEASURES), quantity="value")

    paired = [*GROUP, "seed", "measure"]
    full = rows[rows["method"] == "sfsc"].set_index(paired)["value"].rename("full")
    others = rows[rows["method"] != "sfsc"].join(full, on=paired, how="inner")
    others = others.assign(value=others["value"] - others["full"], quantity="difference to sfsc")
    both = pd.concat([rows, others.drop(columns="full")])
    data = over_seeds(both, ["quantity", *GROUP, "method", "measure"])

    tests = paired_tests(_of_queries(results, shown), "sfsc", ["measure"])
    if not tests.empty:
        tests = tests.assign(quantity="difference by query")
        data = pd.concat([data, _ordered_as(data, tests)], ignore_index=True)

    titles = {
        "value": "Compatibility measures in %",
        "difference to sfsc": "Difference to sfsc in percentage points, paired by seed",
        "difference by query": "Difference to sfsc in percentage points, paired by query: mean, "
        "95 % interval over the queries, p of a sign-flip test",
    }
    blocks = []
    for quantity, title in titles.items():
        part = data[data["quantity"] == quantity]
        if part.empty:
            continue
        if quantity == "difference by query":
            cells = _tests(part)
        else:
            cells = _percentages(part, signed=quantity != "value")
        measures = [name for name in _MEASURES.values() if name in set(part["measure"])]
        wide = _pivot(part.assign(cell=cells), [*GROUP, "method"], "measure", measures)
        known = [_COMPONENTS.get(method, (_ABSENT, _ABSENT)) for method in wide["method"]]
        for place, name in enumerate(("loss", "gradients")):
            wide.insert(4 + place, name, [components[place] for components in known])
        blocks.append(Block(title, _blank_repeats(wide, GROUP), 6))
    caption = f"What each component of SFSC contributes: {spread(data['seeds'])}. {_NEVER_HURTS}"
    return [Table("ablation", caption, data, blocks)]


def cost(results: Path, methods: Sequence[str]) -> list[Table]:
    """Tabulate what each sub-model costs, and how long training its family took."""
    rows = read_cost_and_latency(results)
    rows = rows[rows["method"].isin(methods)].dropna(subset=["parameters", "multiply_adds"])
    if rows.empty:
        none = Table("cost", "No method has sub-models whose cost is known.", _NOTHING, [])
        return [none, _training_time(rows, methods)]
    order = {method: place for place, method in enumerate(methods)}
    rows = rows.assign(method=rows["method"].map(order)).sort_values("method", kind="stable")
    times = rows.dropna(subset="train_seconds").drop_duplicates(["train_set", "method", "seed"])
    return [_sizes(rows, methods), _training_time(times, methods)]


_TABLES: dict[str, Callable[[Path, Sequence[str]], list[Table]]] = {
    "main": main,
    "pairs": pairs,
    "compatibility": compatibility,
    "ablation": ablation,
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
                _plus_minus(mean / seconds, std / seconds)
                for mean, std in zip(data["mean"], data["std"], strict=True)
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
        _plus_minus(100 * mean, 100 * std, signed)
        for mean, std in zip(data["mean"], data["std"], strict=True)
    ]
    return pd.Series(cells, data.index, dtype=object)


def _brackets(data: pd.DataFrame) -> "pd.Series[str]":
    cells = [
        f" [{100 * low:.1f}, {100 * high:.1f}]"
        for low, high in zip(data["low"], data["high"], strict=True)
    ]
    return pd.Series(cells, data.index, dtype=object)


def _tests(data: pd.DataFrame) -> "pd.Series[str]":
    cells = []
    for mean, low, high, p in data[["mean", "low", "high", "p"]].itertuples(index=False):
        mean, low, high = (f"{round(100 * value, 1) + 0.0:+.1f}" for value in (mean, low, high))
        cells.append(f"{mean} [{low}, {high}], p {_p_value(p)}")
    return pd.Series(cells, data.index, dtype=object)


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _plus_minus(mean: float, std: float, signed: bool = False) -> str:
    # Adding zero turns a rounded -0.0 into 0.0.
    value = round(mean, 1) + 0.0
    text = f"{value:+.1f}" if signed else f"{value:.1f}"
    return text if pd.isna(std) else f"{text} ± {std:.1f}"


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


_TEX_SIGNS = {"±": r"$\pm$", "–": "--", "\\": r"\textbackslash{}"}
_TEX_SIGNS |= {"~": r"\textasciitilde{}", "<": "$<$", "^": r"\textasciicircum{}"}
_TEX_SIGNS |= {sign: f"\\{sign}" for sign in "&%$#_{}"}


def _tex(cell: str) -> str:
    text = "".join(_TEX_SIGNS.get(sign, sign) for sign in cell)
    text = re.sub(r"(?<![\w.])-(?=\d)", "$-$", text)
    return re.sub(r"^\*\*(.*)\*\*$", r"\\textbf{\1}", text)
