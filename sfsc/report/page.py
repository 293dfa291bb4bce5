"""The result page of a profile: its tables and figures with what is needed to read them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sfsc.files import InputError, replacing
from sfsc.report.inputs import REFERENCE, primary, read_metrics, shown_protocol, spread


def write_page(
    results: Path, title: str, methods: Mapping[str, str], train_set_of: Mapping[str, str]
) -> None:
    """Write README.md in `results`, from the tables and figures that are there.

    `methods` are the shown methods with a line on each; `train_set_of` names the training set of
    each evaluated dataset. provenance.json is summed up where it exists. Raises InputError for
    missing metrics or a malformed provenance file.
    """
    metrics = primary(read_metrics(results), list(methods))
    if metrics.empty:
        raise InputError(f"{results}: no result of {', '.join(methods)}; evaluate one first")
    sections = [
        f"# {title}",
        "Every number, table and figure here was generated from the files in this folder.",
        _setting(metrics, methods, train_set_of),
        _section(
            "In short",
            "How well each method searches, with one model and across models.",
            _table(results, "summary"),
        ),
        _reading(metrics),
        _section(
            "Accuracy and compatibility",
            "A family is worth deploying on unequal machines if its cross-tests come close to its "
            "self-tests, and its self-tests close to those of the independent models, trained with "
            "the same loss.",
            _table(results, "main"),
            _table(results, "compatibility"),
            _table(results, "upgrade"),
            _table(results, "refresh"),
            _figure(results, "refresh", "Scores while a gallery is re-embedded"),
        ),
        _section(
            "Questions",
            "Differences that the profile asks about. An interval that holds 0 does not show that "
            "there is no effect: it shows how large one may be.",
            _table(results, "contrasts"),
        ),
        _section(
            "Every pair of models",
            "Each square is one search: the row's model embeds the query, the column's model the "
            "gallery. All squares of a figure share one colour scale. A compatible family is "
            "bright everywhere; an incompatible one only on its diagonal.",
            *(
                _figure(results, f"pairs-{dataset}", f"All pairs of models on {dataset}")
                for dataset in _present(metrics["dataset"])
            ),
            _pairs_link(results),
        ),
        _section(
            "What accuracy costs",
            "Each point is one width as the query model, by what it computes for one image, and by "
            "the time that takes. Above: "
            "it searches a gallery of its own. Below: galleries that the other widths embedded, so "
            "a small query model is of use on a device even though the server holds another.",
            _figure(results, "cost-accuracy", "Accuracy against multiply-adds for each method"),
            _figure(results, "latency-accuracy", "Accuracy against latency for each method"),
            _table(results, "cost"),
            _table(results, "training_time"),
        ),
        _section(
            "What each part of a method contributes",
            "Each of these methods is another one with a part changed or left out.",
            _table(results, "ablation"),
        ),
        _section(
            "During training",
            "Two gradients conflict if their cosine is negative: a step that helps one sub-model "
            "then hurts the other. The uncertainty of a sub-model is K / S, 1 without evidence. "
            "Evidence is bounded by the length that embeddings have in training, so the "
            "uncertainty has a lower bound that does not depend on what the model knows. The "
            "length of each sub-model's gradient is in training/<set>/<method>/seed<k>/log.parquet,"
            " each layer's conflicts are in conflicts.csv next to it.",
            _figure(
                results, "training-conflict", "Conflicting gradients and cosines over training"
            ),
            _figure(results, "training-uncertainty", "Uncertainty of each sub-model over training"),
        ),
        _provenance(results / "provenance.json"),
    ]
    with replacing(results / "README.md") as path:
        path.write_text("\n\n".join(part for part in sections if part) + "\n", encoding="utf-8")


def _setting(
    metrics: pd.DataFrame, methods: Mapping[str, str], train_set_of: Mapping[str, str]
) -> str:
    rows = [
        {
            "searched": dataset,
            "trained on": train_set_of.get(str(dataset), "–"),
            "protocols": ", ".join(_present(part["protocol"])),
            "in figures": shown_protocol(_present(part["protocol"])),
            "primary metric": ", ".join(part["metric"].unique()),
        }
        for dataset, part in metrics.groupby("dataset", observed=True)
    ]
    lines = [f"- `{method}`: {methods[method]}" for method in _present(metrics["method"])]
    models = [str(model) for model in metrics["query_model"].unique()]
    by_width = all(re.fullmatch(r"w\d{3}", model) for model in models)
    return "\n\n".join(
        [
            "## What was compared",
            pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True),
            f"Each method makes a family of models: {', '.join(f'`{model}`' for model in models)}"
            + (", named by width in percent of the full network's channels." if by_width else "."),
            "\n".join(lines),
        ]
    )


def _present(column: "pd.Series[str]") -> list[str]:
    return [str(name) for name in column.cat.remove_unused_categories().cat.categories]


def _reading(metrics: pd.DataFrame) -> str:
    seeds = metrics.groupby(["dataset", "method"], observed=True)["seed"].nunique()
    lines = [
        "**Self-test**: query and gallery are embedded by the same model.",
        "**Cross-test**: they are embedded by different models of one family; "
        "*mean cross-test* averages over all ordered pairs, *worst pair* is the lowest of all.",
        f"**Numbers** are percentages: {spread(seeds)}.",
        "**Runs**: a run is one seed of training on one data set. Intervals over the seeds are for "
        "further seeds on these data, not for other data.",
    ]
    if seeds.max() == 1:
        lines.append("**One seed** shows no difference between methods: another may reverse it.")
    if (metrics["method"] == REFERENCE).any():
        lines.append(f"**Chance** (`{REFERENCE}`) is the floor: random embeddings, same search.")
    return "## How to read it\n\n" + "\n".join(f"- {line}" for line in lines)


def _section(heading: str, caption: str, *parts: str) -> str:
    present = [part for part in parts if part]
    return "\n\n".join([f"## {heading}", caption, *present]) if present else ""


def _table(results: Path, name: str) -> str:
    path = results / "tables" / f"{name}.md"
    if not path.exists():
        return ""
    text = path.read_text(encoding="utf-8").strip()
    return f"{text}\n\nThis table as [CSV](tables/{name}.csv) or [LaTeX](tables/{name}.tex)."


def _pairs_link(results: Path) -> str:
    if not (results / "tables" / "pairs.md").exists():
        return ""
    return "[The numbers of every protocol](tables/pairs.md)."


def _figure(results: Path, name: str, alternative: str) -> str:
    if not (results / "figures" / f"{name}.png").exists():
        return ""
    return f"![{alternative}](figures/{name}.png)"


def _provenance(path: Path) -> str:
    if not path.exists():
        return ""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        parts = [
            "## Provenance",
            "\n".join(f"- {line}" for line in _origin(record)),
            _durations(record["stages"]),
            _details("Package versions", record["packages"]),
            _details("Configuration", record["config"]),
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a provenance record; write it again: {error!r}") from None
    return "\n\n".join(parts)


def _origin(record: dict[str, Any]) -> list[str]:
    hardware = record["hardware"]
    changed = ", with uncommitted changes" if record["dirty"] else ""
    return [
        f"Profile `{record['profile']}`, seeds {', '.join(map(str, record['seeds']))}",
        f"Commit `{record['commit'] or 'unknown'}`{changed}",
        f"{hardware['cpu']}, {hardware['cores']} cores, {hardware['memory_gib']:.0f} GiB memory, "
        f"GPU: {hardware['gpu'] or 'none'}",
    ]


def _durations(stages: Mapping[str, float]) -> str:
    rows = [{"stage": stage, "time": _duration(seconds)} for stage, seconds in stages.items()]
    return pd.DataFrame(rows, columns=["stage", "time"]).to_markdown(
        index=False, disable_numparse=True, colalign=("left", "right")
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def _details(summary: str, content: Mapping[str, Any]) -> str:
    text = json.dumps(content, indent=2, ensure_ascii=False)
    return f"<details><summary>{summary}</summary>\n\n```json\n{text}\n```\n\n</details>"
