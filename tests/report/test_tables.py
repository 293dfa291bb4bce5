import re

import numpy as np
import pandas as pd
import pytest
from made_up_results import METHODS, MODELS

from sfsc.files import InputError
from sfsc.report.tables import write_tables

NAMES = ["main", "pairs", "ablation", "cost"]


def _markdown_rows(path):
    """Each row as a dictionary, with the cells left blank for a repeated name filled in."""
    rows, header, last = [], None, []
    for line in path.read_text().splitlines():
        if not line.startswith("|"):
            header = None
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if header is None:
            header, last = cells, []
        elif not set(line) <= set("|:-"):
            repeats = True
            for place, cell in enumerate(cells[:3]):
                repeats = repeats and cell == ""
                if repeats and last:
                    cells[place] = last[place]
            last = cells
            rows.append(dict(zip(header, cells, strict=True)))
    return rows


def _percent(values):
    text = f"{100 * np.mean(values):.1f}"
    return text if len(values) == 1 else f"{text} ± {100 * np.std(values, ddof=1):.1f}"


@pytest.mark.parametrize("seeds", [[0, 1, 2], [7]])
def test_main_equals_a_computation_by_hand(make_results, seeds):
    results = make_results(seeds=seeds)
    write_tables(results, results / "tables", METHODS, ["main"])
    metrics = pd.read_csv(results / "metrics.csv")
    rows = _markdown_rows(results / "tables/main.md")
    assert len(rows) == 5 * len(METHODS)  # private, public, medium, hard and all: not easy
    assert [row["method"] for row in rows[: len(METHODS)]] == METHODS
    for row in rows:
        mine = metrics[
            (metrics["dataset"] == row["dataset"])
            & (metrics["protocol"] == row["protocol"])
            & (metrics["metric"] == row["metric"])
            & (metrics["method"] == row["method"])
        ]
        same = mine["query_model"] == mine["gallery_model"]
        for model in MODELS:
            values = mine[same & (mine["query_model"] == model)]["value"]
            assert row[f"self-test {model}"].strip("*") == _percent(values)
        cross = mine[~same].groupby("seed")["value"].mean()
        assert row["mean cross-test"].strip("*") == _percent(cross)
        assert row["worst pair"].strip("*") == _percent(mine.groupby("seed")["value"].min())


def test_bold_is_the_best_trained_method(make_results):
    results = make_results()
    path = results / "compatibility.csv"
    frame = pd.read_csv(path)
    frame.loc[frame["method"] == "chance", "value"] = 0.999  # chance is never the best
    frame.to_csv(path, index=False)
    write_tables(results, results / "tables", METHODS, ["main"])
    rows = _markdown_rows(results / "tables/main.md")
    for start in range(0, len(rows), len(METHODS)):
        group = rows[start : start + len(METHODS)]
        for column in ["self-test w025", "mean cross-test", "worst pair"]:
            bold = [row for row in group if row[column].startswith("**")]
            values = {
                row["method"]: float(row[column].strip("*").split()[0])
                for row in group
                if row["method"] != "chance"
            }
            assert len(bold) == 1
            assert values[bold[0]["method"]] == max(values.values())
    assert r"\textbf{" in (results / "tables/main.tex").read_text()


def test_csv_holds_full_values(make_results):
    results = make_results(["sfsc", "bct"], [0, 1])
    write_tables(results, results / "tables", ["bct", "sfsc"], ["pairs"])
    metrics = pd.read_csv(results / "metrics.csv")
    data = pd.read_csv(results / "tables/pairs.csv")
    key = ["dataset", "protocol", "metric", "method", "query_model", "gallery_model"]
    metrics = metrics[metrics["metric"].isin(["mAP", "mAP@100"])]
    expected = metrics.groupby(key)["value"].agg(["mean", "std"])
    found = data.set_index(key)[["mean", "std"]].sort_index()
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=1e-12)
    assert (data["seeds"] == 2).all()


def test_pairs_rows_are_queries_and_columns_galleries(make_results):
    results = make_results(["sfsc"], [0])
    path = results / "metrics.csv"
    frame = pd.read_csv(path)
    frame["value"] = 0.1
    one = (frame["query_model"] == "w025") & (frame["gallery_model"] == "w100")
    frame.loc[one, "value"] = 0.9
    frame.to_csv(path, index=False)
    write_tables(results, results / "tables", ["sfsc"], ["pairs"])
    text = (results / "tables/pairs.md").read_text()
    assert text.count("**") == 2 * 6  # a titled block for each dataset and protocol
    rows = _markdown_rows(results / "tables/pairs.md")
    assert rows[0]["query"] == "w025"
    assert rows[0]["gallery w100"].startswith("90.0 [")
    assert rows[3]["query"] == "w100"
    assert rows[3]["gallery w025"].startswith("10.0 [")


def test_intervals_are_of_the_queries_means_over_seeds(make_results):
    results = make_results(["sfsc"], [0, 1], ["digits"])
    path = results / "per_query.parquet"
    frame = pd.read_parquet(path)
    # Seeds differ, but their mean is the same for every query of w025 in w100; elsewhere queries
    # are 0 or 1.
    pair = (frame["query_model"] == "w025") & (frame["gallery_model"] == "w100")
    spread = frame["query"].str[1:].astype(int) % 2
    value = np.where(pair, 0.2 + 0.6 * frame["seed"], spread)
    frame.assign(value=value.astype(np.float32)).to_parquet(path, index=False)
    write_tables(results, results / "tables", ["sfsc"], ["main", "pairs"])
    pairs = _markdown_rows(results / "tables/pairs.md")
    assert pairs[0]["gallery w100"].endswith("[50.0, 50.0]")
    # 40 coins: 0.5 plus or minus 1.96 * 0.5 / sqrt(40).
    low, high = re.search(r"\[(.*), (.*)\]", pairs[1]["gallery w050"]).groups()
    assert float(low) == pytest.approx(34.5, abs=2)
    assert float(high) == pytest.approx(65.5, abs=2)
    (row,) = _markdown_rows(results / "tables/main.md")
    assert float(row["interval"].strip("± ")) == pytest.approx(15.5, abs=2)
    data = pd.read_csv(results / "tables/main.csv").set_index("column")
    assert data.loc["worst pair", ["low", "high"]].isna().all()
    assert data.loc["self-test w025", "low"] == pytest.approx(0.345, abs=0.02)


def test_ablation_differences_are_paired_by_seed(make_results):
    results = make_results(["sfsc", "sfsc-plain"], [0, 1])
    path = results / "compatibility.csv"
    frame = pd.read_csv(path)
    values = {("sfsc", 0): 0.5, ("sfsc", 1): 0.7, ("sfsc-plain", 0): 0.4, ("sfsc-plain", 1): 0.62}
    keys = zip(frame["method"], frame["seed"], strict=True)
    frame["value"] = [values[key] for key in keys]
    frame.to_csv(path, index=False)
    write_tables(results, results / "tables", METHODS, ["ablation"])
    rows = _markdown_rows(results / "tables/ablation.md")
    full, plain, difference = rows[0], rows[1], rows[2 * 5]
    assert full["mean self-test"] == _percent([0.5, 0.7])
    assert plain["worst pair"] == _percent([0.4, 0.62])
    # Differences -0.10 and -0.08; unpaired, the deviation would be ten times as large.
    assert difference["method"] == "sfsc-plain"
    assert difference["mean cross-test"] == "-9.0 ± 1.4"
    assert (full["loss"], full["gradients"]) == ("uncertainty", "projected")
    assert (plain["loss"], plain["gradients"]) == ("cross entropy", "summed")
    assert "update gain" not in full  # there is no independent model to compare with


def test_ablation_differences_are_tested_query_by_query(make_results):
    results = make_results(["sfsc", "sfsc-plain"], [0, 1], ["digits"])
    path = results / "per_query.parquet"
    frame = pd.read_parquet(path)
    # Queries differ much, methods by 0.02 for each query but one: unpaired, that would not show.
    level = frame["query"].str[1:].astype(int) / 50
    loss = np.where(frame["query"] == "q0", -0.02, 0.02) * (frame["method"] == "sfsc-plain")
    frame.assign(value=(0.1 + level - loss).astype(np.float32)).to_parquet(path, index=False)
    write_tables(results, results / "tables", METHODS, ["ablation"])
    row = _markdown_rows(results / "tables/ablation.md")[-1]
    assert row["method"] == "sfsc-plain"
    assert re.fullmatch(r"-1\.9 \[-2\.0, -1\.7\], p < 0\.001", row["mean cross-test"])
    data = pd.read_csv(results / "tables/ablation.csv")
    tested = data[data["quantity"] == "difference by query"]
    assert set(tested["measure"]) == {"mean self-test", "mean cross-test"}
    assert (tested["queries"] == 40).all()
    assert tested["mean"].to_numpy() == pytest.approx(-0.02 * 38 / 40, abs=1e-6)


def test_without_ablations_the_table_says_so(make_results):
    results = make_results(["bct", "joint"], [0])
    write_tables(results, results / "tables", ["bct", "joint"], NAMES)
    assert "was run" in (results / "tables/ablation.md").read_text()
    assert pd.read_csv(results / "tables/ablation.csv").empty


def test_cost_merges_methods_that_agree(make_results):
    results = make_results(["independent", "bct", "sfsc"], [0, 1])
    write_tables(results, results / "tables", ["independent", "bct", "sfsc"], ["cost"])
    rows = _markdown_rows(results / "tables/cost.md")
    assert len(rows) == 2 * 4
    assert "methods" not in rows[0]
    assert rows[-1]["parameters"] == "1,208,000"
    assert rows[-1]["multiply-adds (millions)"] == "45.60"
    assert (rows[-1]["one image (ms)"], rows[-1]["32 images (ms)"]) == ("1.24", "24.80")

    times = _markdown_rows(results / "tables/training_time.md")
    assert [(row["training set"], row["method"]) for row in times] == [
        ("digits", "independent"),
        ("digits", "sfsc"),
        ("landmarks", "independent"),
        ("landmarks", "sfsc"),
    ]
    assert times[0]["training time (s)"] == "181.0 ± 1.4"

    path = results / "cost.csv"
    frame = pd.read_csv(path)
    frame.loc[frame["method"] == "bct", "parameters"] += 1000
    frame["train_seconds"] *= 60
    frame.to_csv(path, index=False)
    write_tables(results, results / "tables", ["independent", "bct", "sfsc"], ["cost"])
    rows = _markdown_rows(results / "tables/cost.md")
    assert {row["methods"] for row in rows} == {"bct", "independent, sfsc"}
    # Nobody measured what bct now has.
    assert {row["one image (ms)"] for row in rows if row["methods"] == "bct"} == {"–"}
    assert "–" not in {row["one image (ms)"] for row in rows if row["methods"] != "bct"}
    times = _markdown_rows(results / "tables/training_time.md")
    assert times[0]["training time (min)"] == "181.0 ± 1.4"


@pytest.mark.parametrize("seeds", [[0, 1], [0]])
def test_latex_is_well_formed(make_results, seeds):
    results = make_results(seeds=seeds)
    write_tables(results, results / "tables", METHODS, NAMES)
    files = sorted((results / "tables").glob("*.tex"))
    assert [path.stem for path in files] == ["ablation", "cost", "main", "pairs", "training_time"]
    for path in files:
        text = path.read_text()
        assert text.startswith(r"% \usepackage{booktabs")
        assert text.isascii()
        assert "*" not in text
        assert "_" not in re.sub(r"\\label\{.*?\}", "", text).replace(r"\_", "")
        body = text.split("\n", 1)[1]
        bare = body.replace(r"\{", "").replace(r"\}", "").replace(r"\%", "")
        assert "%" not in bare
        assert bare.count("{") == bare.count("}")
        assert bare.count("$") % 2 == 0
        for command in [r"\toprule", r"\midrule", r"\bottomrule"]:
            assert body.count(command) >= body.count(r"\begin{tabular}") > 0
        for tabular in re.findall(r"\\begin\{tabular\}.*?\\end\{tabular\}", body, re.DOTALL):
            columns = re.match(r"\\begin\{tabular\}\{([lr]+)\}", tabular)
            for line in tabular.splitlines():
                if line.endswith(r"\\"):
                    assert len(re.findall(r"(?<!\\)&", line)) == len(columns[1]) - 1


def test_names_are_escaped_in_latex(make_results):
    results = make_results(["sfsc"], [0])
    for name in ["metrics.csv", "compatibility.csv"]:
        path = results / name
        path.write_text(path.read_text().replace(",sfsc,", ",my_50%&co,"))
    path = results / "per_query.parquet"
    pd.read_parquet(path).replace({"method": {"sfsc": "my_50%&co"}}).to_parquet(path, index=False)
    write_tables(results, results / "tables", ["my_50%&co"], ["main"])
    assert r"my\_50\%\&co" in (results / "tables/main.tex").read_text()


def test_names_are_no_markup_in_markdown(make_results):
    results = make_results(["sfsc"], [0], ["digits"])
    for name in ["metrics.csv", "compatibility.csv"]:
        path = results / name
        path.write_text(path.read_text().replace("\ndigits,", "\na|b $x$ *c*,"))
    path = results / "per_query.parquet"
    pd.read_parquet(path).assign(dataset="a|b $x$ *c*").to_parquet(path, index=False)
    write_tables(results, results / "tables", ["sfsc"], ["main"])
    assert r"| a\|b \$x\$ \*c\* " in (results / "tables/main.md").read_text()


def test_refusals(make_results):
    results = make_results(["sfsc"], [0])
    with pytest.raises(InputError, match="no table is called 'mian'; choose from main"):
        write_tables(results, results / "tables", METHODS, ["mian"])
    with pytest.raises(InputError, match="no result of bct"):
        write_tables(results, results / "tables", ["bct"], ["main"])


ALL = ["main", "pairs", "compatibility", "ablation", "cost"]


def test_families_of_one_width(make_results):
    results = make_results(["independent", "sfsc", "sfsc-plain"], [0], ["digits"], ["w100"])
    write_tables(results, results / "tables", METHODS, ALL)
    row = _markdown_rows(results / "tables/main.md")[0]
    assert row["self-test w100"] == row["worst pair"]
    assert row["mean cross-test"] == "–"
    assert (
        "No family has models of several widths"
        in (results / "tables/compatibility.md").read_text()
    )


def test_chance_alone_has_no_sub_models(make_results):
    results = make_results(["chance"], [0], ["digits"])
    write_tables(results, results / "tables", ["chance"], ALL)
    for name in ("cost", "training_time"):
        assert (results / "tables" / f"{name}.md").read_text().startswith("No ")
        assert pd.read_csv(results / "tables" / f"{name}.csv").empty
