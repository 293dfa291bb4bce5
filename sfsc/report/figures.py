"""From metrics and training logs to figures: PNG for pages, PDF for papers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image

from sfsc.files import InputError, replacing
from sfsc.report.inputs import (
    REFERENCE,
    matrix,
    over_seeds,
    primary,
    read_cost_and_latency,
    read_logs,
    read_metrics,
    read_refresh,
    shown_protocol,
    spread,
)
from sfsc.report.style import RC, method_looks

_DPI = 150
_SMOOTHING = 0.05
# What accuracy is drawn against: a column and what the axis says.
_PRICES = {
    "cost-accuracy": ("multiply_adds", "multiply-adds for one image (millions, log scale)"),
    "latency-accuracy": ("single_ms", "latency of one image in ONNX Runtime (ms, log scale)"),
}


def write_figures(results: Path, methods: Sequence[str], train_set_of: Mapping[str, str]) -> None:
    """Write figures/<name>.{png,pdf} below `results`, the same bytes for the same results.

    `pairs-<dataset>` always; `cost-accuracy` and `latency-accuracy` where a cost is known;
    `training-conflict` and `training-uncertainty` where a method's log holds their quantities.
    `train_set_of` names the training set of each evaluated dataset. Raises InputError for a missing
    or malformed input file, or a dataset without a training set.
    """
    metrics = primary(read_metrics(results), methods)
    if metrics.empty:
        raise InputError(f"{results}: no result of {', '.join(methods)}; evaluate one first")
    metrics = pd.concat(
        part[part["protocol"] == shown_protocol(list(part["protocol"].unique()))]
        for _, part in metrics.groupby("dataset", observed=True)
    )
    logs = read_logs(results, methods)
    with matplotlib.rc_context(RC):
        for dataset, part in metrics.groupby("dataset", observed=True):
            _save(results / "figures" / f"pairs-{dataset}", _pairs(str(dataset), part))
        costs = _costs(results, metrics, train_set_of)
        for name, (column, label) in _PRICES.items():
            prices = costs[column].dropna()
            if not prices.empty:
                figure = _cost_accuracy(metrics, prices, label, methods)
                _save(results / "figures" / name, figure)
        if (results / "refresh.csv").exists():
            curves = primary(read_refresh(results), methods)
            if not curves.empty:
                _save(results / "figures" / "refresh", _refresh(curves, methods))
        if (logs["quantity"] == "conflict_share").any():
            _save(results / "figures" / "training-conflict", _conflict(logs, methods))
        uncertain = logs[logs["quantity"] == "uncertainty"]
        if not uncertain.empty:
            first = next(method for method in methods if method in set(uncertain["method"]))
            figure = _uncertainty(uncertain[uncertain["method"] == first], first)
            _save(results / "figures" / "training-uncertainty", figure)


def _pairs(dataset: str, metrics: pd.DataFrame) -> Figure:
    data = over_seeds(metrics, ["method", "query_model", "gallery_model"])
    methods = [str(method) for method in data["method"].unique()]
    rows = -(-len(methods) // 4)
    columns = -(-len(methods) // rows)
    size = (max(5.5, 2.5 * columns + 1.2), 2.65 * rows + 0.75)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    high = 100 * data["mean"].max()
    colours = ScalarMappable(Normalize(0, high), "cividis")
    for axes, method in zip(grid.flat, methods, strict=False):
        part = data[data["method"] == method].assign(
            mean=100 * data["mean"], half=100 * data["half"]
        )
        means, intervals = matrix(part, "mean"), matrix(part, "half")
        axes.imshow(means, cmap=colours.cmap, norm=colours.norm)
        axes.set(title=method, xticks=range(means.shape[1]), yticks=range(means.shape[0]))
        axes.set_xticklabels(means.columns)
        axes.set_yticklabels(means.index)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        halves = intervals.to_numpy()
        for (row, column), mean in np.ndenumerate(means.to_numpy()):
            half = halves[row, column]
            text = f"{mean:.1f}" + ("" if np.isnan(half) else f"\n±{half:.1f}")
            colour = "white" if mean < high / 2 else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=colour)
    for axes in grid.flat[len(methods) :]:
        axes.remove()
    for axes in grid[:, 0]:
        axes.set_ylabel("query model")
    for place in range(len(methods)):
        if place + columns >= len(methods):
            grid.flat[place].set_xlabel("gallery model")
    metric, protocol = metrics["metric"].iat[0], metrics["protocol"].iat[0]
    figure.colorbar(colours, ax=figure.axes, label=f"{metric} (%)", shrink=0.8, aspect=25)
    figure.suptitle(
        f"{dataset}, {protocol}: {metric} (%) of every pair of models\n"
        f"{spread(data['seeds'])}; the diagonal is the self-test"
    )
    return figure


def _costs(results: Path, metrics: pd.DataFrame, train_set_of: Mapping[str, str]) -> pd.DataFrame:
    """Return multiply-adds in millions and latency in ms by (dataset, method, model)."""
    cost = read_cost_and_latency(results).drop_duplicates(["train_set", "method", "model"])
    parts = []
    for dataset in metrics["dataset"].unique():
        if dataset not in train_set_of:
            raise InputError(f"{results / 'metrics.csv'}: {dataset} has no training set; name it")
        parts.append(cost[cost["train_set"] == train_set_of[dataset]].assign(dataset=dataset))
    index = ["dataset", "method", "model"]
    costs = pd.concat(parts).set_index(index)[["multiply_adds", "single_ms"]]
    return costs.assign(multiply_adds=costs["multiply_adds"] / 1e6)


def _cost_accuracy(
    metrics: pd.DataFrame, costs: "pd.Series[float]", label: str, methods: Sequence[str]
) -> Figure:
    same = metrics["query_model"] == metrics["gallery_model"]
    # One value a seed: a query model's mean over the galleries of the other widths.
    family = ["dataset", "protocol", "metric", "method", "seed", "query_model"]
    kinds = {
        "self-test (%):\nits own gallery": metrics[same],
        "mean cross-test (%):\ngalleries of the other models": (
            metrics[~same].groupby(family, observed=True)["value"].mean().reset_index()
        ),
    }
    datasets = list(metrics["dataset"].unique())
    looks = method_looks(methods)
    figure = Figure(figsize=(3.3 * len(datasets) + 2.2, 6.4), layout="constrained")
    grid = figure.subplots(2, len(datasets), squeeze=False, sharex="col")
    for row, values in enumerate(kinds.values()):
        data = over_seeds(values, ["dataset", "protocol", "metric", "method", "query_model"])
        for axes, dataset in zip(grid[row], datasets, strict=True):
            part = data[data["dataset"] == dataset]
            for method in part["method"].unique():
                line = part[part["method"] == method]
                mean, half = 100 * line["mean"], 100 * line["half"]
                if method == REFERENCE:
                    # Beside self-tests it would only squeeze the scale.
                    if row:
                        axes.axhline(mean.mean(), linestyle=":", color=looks[method].colour)
                    continue
                keys = [(dataset, method, model) for model in line["query_model"]]
                axes.errorbar(
                    costs.reindex(pd.MultiIndex.from_tuples(keys)).to_numpy(),
                    mean,
                    yerr=half.fillna(0),
                    linestyle="--" if row else "-",
                    capsize=2,
                    alpha=0.9,
                    color=looks[method].colour,
                    marker=looks[method].marker,
                )
    for axes, dataset in zip(grid[0], datasets, strict=True):
        first = metrics[metrics["dataset"] == dataset].iloc[0]
        axes.set_title(f"{dataset}\n{first['protocol']}, {first['metric']}")
    for axes, dataset in zip(grid[1], datasets, strict=True):
        axes.set_ylim(bottom=0)
        _cost_ticks(axes, costs[costs.index.get_level_values("dataset") == dataset])
    for axes, kind in zip(grid[:, 0], kinds, strict=True):
        axes.set_ylabel(kind)
    figure.supxlabel(label, fontsize=9)
    present = [method for method in looks if (metrics["method"] == method).any()]
    figure.legend(
        [
            Line2D(
                [],
                [],
                color=looks[method].colour,
                marker=looks[method].marker,
                linestyle=":" if method == REFERENCE else "-",
            )
            for method in present
        ],
        present,
        loc="outside right center",
    )
    seeds = metrics.groupby(["dataset", "method"], observed=True)["seed"].nunique()
    figure.suptitle(f"Accuracy against the cost of the query model\n{spread(seeds)}")
    return figure


def _cost_ticks(axes: Axes, costs: "pd.Series[float]") -> None:
    axes.set_xscale("log")
    ticks = costs.rename("cost").reset_index().drop_duplicates("cost").sort_values("cost")
    places = np.log(ticks["cost"].to_numpy(float))
    # Where two costs are nearly the same, their labels would lie on each other: one names both.
    apart = np.diff(places, prepend=-np.inf) > 0.1 * np.ptp(places)
    labels = ticks.groupby(apart.cumsum()).agg({"model": ", ".join, "cost": "mean"})
    axes.set_xticks(labels["cost"])
    axes.set_xticklabels(
        f"{model}\n{cost:.3g}" for model, cost in zip(labels["model"], labels["cost"], strict=True)
    )
    axes.minorticks_off()


def _conflict(logs: pd.DataFrame, methods: Sequence[str]) -> Figure:
    rows = {
        "conflict_share": "pairs of sub-models whose\ngradients conflict (%)",
        "cosine": "cosine of two gradients,\nmean over pairs",
    }
    # Cosines have one row a pair; the mean over pairs is one value a step.
    kept = logs[logs["quantity"].isin(rows)]
    keys = ["train_set", "method", "seed", "quantity", "step"]
    values = kept.groupby(keys, sort=False)["value"].mean().reset_index()
    train_sets = sorted(values["train_set"].unique())
    looks = method_looks(methods)
    figure = Figure(figsize=(3.9 * len(train_sets) + 1.9, 5.6), layout="constrained")
    grid = figure.subplots(2, len(train_sets), squeeze=False, sharex="col", sharey="row")
    handles = {}
    for (quantity, label), line in zip(rows.items(), grid, strict=True):
        line[0].set_ylabel(label)
        for axes, train_set in zip(line, train_sets, strict=True):
            part = values[(values["train_set"] == train_set) & (values["quantity"] == quantity)]
            scale = 100 if quantity == "conflict_share" else 1
            for method in [name for name in methods if (part["method"] == name).any()]:
                handles[method] = _curves(
                    axes, part[part["method"] == method], looks[method].colour, scale
                )
            if quantity == "cosine":
                axes.axhline(0, color="black", linewidth=0.8)
                axes.set_xlabel("training step")
            else:
                axes.set_title(f"trained on {train_set}")
    # After the last panel: a limit on a shared axis stops it from growing with the next.
    grid[0][0].set_ylim(bottom=0)
    figure.legend(list(handles.values()), list(handles), loc="outside right center")
    figure.suptitle(f"Do the sub-models' gradients conflict?\n{_curve_note(values)}")
    return figure


def _refresh(curves: pd.DataFrame, methods: Sequence[str]) -> Figure:
    """Each pair of models a panel: the score against the share of the gallery that is new."""
    curves = curves[curves["order"] == "random"]
    first = curves["dataset"].iloc[0]
    curves = curves[curves["dataset"] == first]
    shown = shown_protocol(list(curves["protocol"].unique()))
    curves = curves[curves["protocol"] == shown]
    pairs = list(curves.groupby(["old_model", "new_model"], observed=True, sort=False))
    figure = Figure(figsize=(3.4 * len(pairs) + 1.6, 3.6), layout="constrained")
    line = figure.subplots(1, len(pairs), squeeze=False, sharey=True)[0]
    handles: dict[str, Line2D] = {}
    looks = method_looks(methods)
    for axes, ((old, new), part) in zip(line, pairs, strict=True):
        for method, own in part.groupby("method", observed=True, sort=False):
            means = 100 * own.groupby("share")["value"].mean()
            look = looks[str(method)]
            handles[str(method)] = axes.plot(
                means.index, means, color=look.colour, marker=look.marker, markersize=3
            )[0]
        axes.set(title=f"{old} → {new}", xlabel="share of the gallery by the new model")
    line[0].set_ylabel(f"{first}, {shown} (%)")
    figure.legend(list(handles.values()), list(handles), loc="outside right center")
    figure.suptitle("While a gallery is re-embedded, in a random order: mean over the seeds")
    return figure


def _uncertainty(logs: pd.DataFrame, method: str) -> Figure:
    train_sets = sorted(logs["train_set"].unique())
    models = sorted(logs["model"].unique())
    shades = matplotlib.colormaps["viridis"](np.linspace(0.85, 0.0, len(models)))
    figure = Figure(figsize=(3.9 * len(train_sets) + 1.3, 3.6), layout="constrained")
    line = figure.subplots(1, len(train_sets), squeeze=False, sharey=True)[0]
    handles = {}
    for axes, train_set in zip(line, train_sets, strict=True):
        for model, shade in zip(models, shades, strict=True):
            part = logs[(logs["train_set"] == train_set) & (logs["model"] == model)]
            if not part.empty:
                handles[model] = _curves(axes, part, shade, 1)
        axes.set(title=f"trained on {train_set}", xlabel="training step")
    line[0].set_ylim(0, 1)
    line[0].set_ylabel("uncertainty u = K / S\n(1: no evidence, 0: certain)")
    figure.legend(
        list(handles.values()), list(handles), loc="outside right center", title="sub-model"
    )
    figure.suptitle(f"Uncertainty of each sub-model while {method} trains\n{_curve_note(logs)}")
    return figure


def _curves(
    axes: Axes, part: pd.DataFrame, colour: str | NDArray[np.float64], scale: float
) -> Line2D:
    """Draw each seed thinly and the mean over seeds boldly; return the bold line."""
    seeds = part.pivot(index="step", columns="seed", values="value").sort_index() * scale
    window = max(1, round(_SMOOTHING * len(seeds)))
    smooth = seeds.rolling(window, min_periods=1, center=True).mean()
    if smooth.shape[1] > 1:
        axes.plot(smooth.index, smooth, color=colour, linewidth=0.6, alpha=0.4)
    return axes.plot(smooth.index, smooth.mean(axis=1), color=colour)[0]


def _curve_note(values: pd.DataFrame) -> str:
    seeds = values["seed"].nunique()
    smoothing = f"running mean over {_SMOOTHING:.0%} of training"
    if seeds == 1:
        return f"one seed, {smoothing}"
    return f"bold: mean over {seeds} seeds, thin: each seed\n{smoothing}"


def _save(stem: Path, figure: Figure) -> None:
    # Nothing that changes from run to run, such as the date, goes into the files.
    with replacing(stem.with_name(f"{stem.name}.png")) as path:
        figure.savefig(path, dpi=_DPI)
        # A palette of 256 colours makes the file a third as large, and no difference to the eye.
        with Image.open(path) as image:
            small = image.convert("RGB").quantize(256)
        small.save(path, optimize=True)
    # The layout is settled; finding it again for the PDF would take as long as drawing.
    figure.set_layout_engine("none")
    with replacing(stem.with_name(f"{stem.name}.pdf")) as path:
        figure.savefig(path, metadata={"CreationDate": None, "Producer": None, "Creator": None})
