import itertools
import re

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from made_up_results import CONTRASTS, METHODS, MODELS, SHOWN

from sfsc.files import InputError
from sfsc.profile import Contrast
from sfsc.report.tables import Shown, write_tables

NAMES = ["main", "pairs", "compatibility", "ablation", "contrasts", "cost"]


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
    return text if len(values) == 1 else f"{text} ± {100 * _half(values):.1f}"


def _half(values):
    """Half the interval of scipy's t-test."""
    interval = scipy.stats.ttest_1samp(list(values), 0).confidence_interval(0.95)
    return (interval.high - interval.low) / 2


@pytest.mark.parametrize("seeds", [[0, 1, 2], [7]])
def test_main_equals_a_computation_by_hand(make_results, seeds):
    results = make_results(seeds=seeds)
    write_tables(results, results / "tables", SHOWN, ["main"])
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


@pytest.mark.parametrize("seeds", [[0, 1, 2, 3], [0]])
def test_bold_marks_the_best_trained_methods_that_cannot_be_told_apart(make_results, seeds):
    methods = ["chance", "bct", "sfsc", "sfsc-plain"]
    results = make_results(methods, seeds, ["digits"])
    path = results / "compatibility.csv"
    frame = pd.read_csv(path)
    # Per seed: sfsc-plain is best; sfsc differs from it by luck, bct by a little, always.
    values = {
        "chance": [0.9, 0.9, 0.9, 0.9],  # never the best of the trained
        "bct": [0.59, 0.69, 0.78, 0.79],
        "sfsc": [0.62, 0.67, 0.84, 0.76],
        "sfsc-plain": [0.60, 0.71, 0.80, 0.81],
    }
    for method, level in values.items():
        rows = (frame["method"] == method) & (frame["measure"] == "cross_mean")
        frame.loc[rows, "value"] = level[: len(seeds)]
    frame.to_csv(path, index=False)
    write_tables(results, results / "tables", Shown(methods), ["main"])
    rows = {row["method"]: row for row in _markdown_rows(results / "tables/main.md")}
    marked = {name for name, row in rows.items() if row["mean cross-test"].startswith("**")}
    assert marked == (set() if len(seeds) == 1 else {"sfsc", "sfsc-plain"})
    for row in rows.values():
        assert not row["over the queries"].startswith("**")
    assert (r"\textbf{" in (results / "tables/main.tex").read_text()) == (len(seeds) > 1)


def test_csv_holds_full_values(make_results):
    results = make_results(["sfsc", "bct"], [0, 1])
    write_tables(results, results / "tables", Shown(["bct", "sfsc"]), ["pairs"])
    metrics = pd.read_csv(results / "metrics.csv")
    data = pd.read_csv(results / "tables/pairs.csv")
    changes = data[data["quantity"] == "change"]
    data = data[data["quantity"] == "value"]
    key = ["dataset", "protocol", "metric", "method", "query_model", "gallery_model"]
    metrics = metrics[metrics["metric"].isin(["mAP", "mAP@100"])]
    expected = metrics.groupby(key)["value"].agg(mean="mean", half=_half)
    found = data.set_index(key)[["mean", "half"]].sort_index()
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=1e-9)
    assert (data["seeds"] == 2).all()

    # What a cross-test gains or loses against the gallery model's own queries, seed by seed.
    assert len(changes) == len(data) * 12 / 16
    values = metrics.set_index([*key, "seed"])["value"]
    for row in changes.sample(20, random_state=0).to_dict("records"):
        assert row["query_model"] != row["gallery_model"]
        pair = [row[name] for name in key]
        apart = [
            values[*pair, seed]
            - values[*pair[:4], row["gallery_model"], row["gallery_model"], seed]
            for seed in (0, 1)
        ]
        assert (row["mean"], row["half"]) == pytest.approx((np.mean(apart), _half(apart)))


def test_pairs_rows_are_queries_and_columns_galleries(make_results):
    results = make_results(["sfsc"], [0])
    path = results / "metrics.csv"
    frame = pd.read_csv(path)
    frame["value"] = 0.1
    one = (frame["query_model"] == "w025") & (frame["gallery_model"] == "w100")
    frame.loc[one, "value"] = 0.9
    frame.to_csv(path, index=False)
    write_tables(results, results / "tables", Shown(["sfsc"]), ["pairs"])
    text = (results / "tables/pairs.md").read_text()
    # A titled block for each dataset and protocol: of values, then of changes.
    assert text.count("**") == 2 * 2 * 6
    rows = _markdown_rows(results / "tables/pairs.md")
    assert rows[0]["query"] == "w025"
    assert rows[0]["gallery w100"].startswith("90.0 [")
    assert rows[3]["query"] == "w100"
    assert rows[3]["gallery w025"].startswith("10.0 [")
    changes = rows[len(rows) // 2 :]
    assert changes[0]["gallery w025"] == "–"
    assert changes[0]["gallery w100"] == "+80.0"
    assert changes[3]["gallery w025"] == "+0.0"


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
    write_tables(results, results / "tables", Shown(["sfsc"]), ["main", "pairs"])
    pairs = _markdown_rows(results / "tables/pairs.md")
    assert pairs[0]["gallery w100"].endswith("[50.0, 50.0]")
    # 40 coins: 0.5 plus or minus 1.96 * 0.5 / sqrt(40).
    low, high = re.search(r"\[(.*), (.*)\]", pairs[1]["gallery w050"]).groups()
    assert float(low) == pytest.approx(34.5, abs=2)
    assert float(high) == pytest.approx(65.5, abs=2)
    (row,) = _markdown_rows(results / "tables/main.md")
    assert float(row["over the queries"].strip("± ")) == pytest.approx(15.5, abs=2)
    data = pd.read_csv(results / "tables/main.csv").set_index("column")
    assert data.loc["worst pair", ["low", "high"]].isna().all()
    assert data.loc["self-test w025", "low"] == pytest.approx(0.345, abs=0.02)


def test_queries_of_one_landmark_are_not_counted_twice(make_results):
    results = make_results(["sfsc"], [0, 1], ["gldv2-synthetic"])
    path = results / "per_query.parquet"
    frame = pd.read_parquet(path)
    # Pairs of queries of one landmark agree: twenty coins, not forty.
    coin = frame["query"].str[1:].astype(int) // 2 % 2
    frame.assign(value=coin.astype(np.float32)).to_parquet(path, index=False)
    write_tables(results, results / "tables", Shown(["sfsc"]), ["main"])
    row = _markdown_rows(results / "tables/main.md")[0]
    expected = 100 * 1.96 * 0.5 / np.sqrt(20)
    assert float(row["over the queries"].strip("± ")) == pytest.approx(expected, abs=2)


def _with_values(results, values):
    """Set every compatibility measure of a (method, seed)."""
    path = results / "compatibility.csv"
    frame = pd.read_csv(path)
    keys = zip(frame["method"], frame["seed"], strict=True)
    frame.assign(value=[values[key] for key in keys]).to_csv(path, index=False)


def test_compatibility_and_its_floors_equal_what_was_measured(make_results):
    results = make_results(["chance", "sfsc"], [0, 1, 2], ["roxford-synthetic"])
    write_tables(results, results / "tables", Shown(["chance", "sfsc"]), ["compatibility"])
    measured = pd.read_csv(results / "compatibility.csv")
    rows = _markdown_rows(results / "tables/compatibility.md")
    assert [(row["protocol"], row["method"]) for row in rows] == list(
        itertools.product(["medium", "hard"], ["chance", "sfsc"])
    )
    names = {
        "cross_mean": "mean cross-test",
        "cross_others": "cross-test without the widest",
        "C": "C",
    }
    for row in rows:
        own = measured[
            (measured["protocol"] == row["protocol"]) & (measured["method"] == row["method"])
        ]
        for measure, name in names.items():
            part = own[own["measure"] == measure]
            assert row[name] == _percent(part["value"])
            assert row[f"floor of {name}"] == _percent(part["floor"])
        assert row["worst pair"] == _percent(own[own["measure"] == "worst_pair"]["value"])
        assert "update gain" not in row  # there is no independent model to compare with


def test_one_seed_has_no_floors(make_results):
    results = make_results(["sfsc"], [0], ["digits"])
    write_tables(results, results / "tables", Shown(["sfsc"]), ["compatibility"])
    (row,) = _markdown_rows(results / "tables/compatibility.md")
    assert not any("floor" in name for name in row)


def test_the_update_gain_is_pooled_over_pairs_and_seeds(make_results):
    methods = ["independent", "sfsc"]
    results = make_results(methods, [0, 1, 2], ["digits"])
    metrics = pd.read_csv(results / "metrics.csv")
    metrics = metrics[metrics["metric"] == "mAP"]
    write_tables(results, results / "tables", Shown(methods), ["compatibility"])
    found = pd.read_csv(results / "tables/compatibility.csv")
    found = found[(found["column"] == "update gain") & (found["method"] == "sfsc")]
    value = metrics.set_index(["method", "seed", "query_model", "gallery_model"])["value"]
    gained, possible = np.zeros(3), np.zeros(3)
    for seed in range(3):
        for narrow, wide in itertools.combinations(MODELS, 2):
            own = value["sfsc", seed, narrow, narrow]
            gained[seed] += value["sfsc", seed, wide, narrow] - own
            possible[seed] += value["independent", seed, wide, wide] - own
    assert found["mean"].item() == pytest.approx(gained.sum() / possible.sum())
    # The jackknife, by pseudo-values (Miller 1974).
    pseudo = [
        3 * gained.sum() / possible.sum()
        - 2 * np.delete(gained, seed).sum() / np.delete(possible, seed).sum()
        for seed in range(3)
    ]
    assert found["half"].item() == pytest.approx(_half(pseudo))


def test_ablation_differences_are_paired_by_seed(make_results):
    results = make_results(["sfsc", "sfsc-plain"], [0, 1])
    _with_values(
        results,
        {("sfsc", 0): 0.5, ("sfsc", 1): 0.7, ("sfsc-plain", 0): 0.4, ("sfsc-plain", 1): 0.62},
    )
    write_tables(results, results / "tables", SHOWN, ["ablation"])
    rows = _markdown_rows(results / "tables/ablation.md")
    full, plain, difference = rows[0], rows[1], rows[2 * 5]
    assert full["mean self-test"] == _percent([0.5, 0.7])
    assert plain["worst pair"] == _percent([0.4, 0.62])
    # Differences -0.10 and -0.08; unpaired, the deviation would be ten times as large.
    assert difference["method"] == "sfsc-plain"
    assert difference["mean cross-test"] == "-9.0 ± 12.7"  # no p: too few seeds
    assert full["what it changes"] == "–"
    assert plain["what it changes"] == "sfsc: cross entropy, gradients summed"
    assert "update gain" not in full


def test_ablation_differences_are_corrected_for_all_of_the_table(make_results):
    seeds = range(10)
    results = make_results(["sfsc", "sfsc-plain"], seeds, ["digits"])
    _with_values(
        results,
        {("sfsc", seed): 0.5 + seed / 100 for seed in seeds}
        | {("sfsc-plain", seed): 0.48 + seed / 100 + 0.0004 * (seed % 2) for seed in seeds},
    )
    write_tables(results, results / "tables", SHOWN, ["ablation"])
    row = _markdown_rows(results / "tables/ablation.md")[-1]
    # All ten agree: p = 2 / 2**10, times the five measures.
    assert row["mean cross-test"] == "-2.0 ± 0.0, p = 0.010"
    data = pd.read_csv(results / "tables/ablation.csv")
    tested = data[data["quantity"] == "difference"]
    assert len(tested) == 5
    assert tested["p"].to_numpy() == pytest.approx(2 / 2**10)
    assert tested["p_holm"].to_numpy() == pytest.approx(10 / 2**10)


@pytest.mark.parametrize("seeds", [range(6), range(1)])
def test_contrasts_by_hand(make_results, seeds):
    methods = ["bct", "sfsc", "sfsc-plain"]
    results = make_results(methods, seeds, ["digits"])
    # sfsc is better than bct by 0.03 or so, each time; now better, now worse than sfsc-plain.
    values = {("sfsc", seed): 0.5 + seed / 100 for seed in seeds}
    values |= {("bct", seed): 0.47 + seed / 100 + 0.001 * seed for seed in seeds}
    values |= {("sfsc-plain", seed): 0.5 + seed / 100 + 0.1 * (-1) ** seed for seed in seeds}
    _with_values(results, values)
    write_tables(results, results / "tables", Shown(methods, {}, CONTRASTS), ["contrasts"])
    rows = _markdown_rows(results / "tables/contrasts.md")
    assert [row["difference"] for row in rows] == ["sfsc − bct", "sfsc − bct", "sfsc − sfsc-plain"]
    assert [row["in"] for row in rows] == ["mean cross-test", "self-test w100", "C"]
    assert rows[0]["question"] == rows[1]["question"] == "Does SFSC beat BCT?"
    assert {row["seeds"] for row in rows} == {str(len(seeds))}
    apart = [100 * (values["sfsc", seed] - values["bct", seed]) for seed in seeds]
    assert float(rows[0]["points"]) == pytest.approx(np.mean(apart), abs=0.005)
    if len(seeds) == 1:
        assert [row["interval"] for row in rows] == ["–"] * 3
        assert [row["p"] for row in rows] == ["–"] * 3
        return
    low, high = map(float, rows[0]["interval"].strip("[]").split(", "))
    assert (low, high) == pytest.approx(
        (np.mean(apart) - _half(apart), np.mean(apart) + _half(apart)), abs=0.06
    )
    # Holm over the three contrasts of the table; the last is far from significant.
    data = pd.read_csv(results / "tables/contrasts.csv")
    assert data["p"][0] == pytest.approx(2 / 2**6)
    assert rows[0]["p"] == f"= {3 * 2 / 2**6:.3f}"
    assert data["p_holm"][2] == max(data["p"][2], data["p_holm"][1])


def test_without_contrasts_there_is_no_table_of_them(make_results):
    results = make_results(["sfsc"], [0])
    write_tables(results, results / "tables", Shown(["sfsc"]), ["contrasts"])
    assert not (results / "tables/contrasts.md").exists()
    asked = [Contrast("?", "sfsc", "sfsc", "crossmean")]
    with pytest.raises(InputError, match="contrasts: 'crossmean' is no measure of sfsc"):
        write_tables(results, results / "tables", Shown(["sfsc"], {}, asked), ["contrasts"])


def test_random_embeddings_alone_are_tabulated(make_results):
    results = make_results(["chance"], [0, 1], ["digits"])
    write_tables(results, results / "tables", Shown(["chance"]), ["main", "compatibility"])
    assert "**" not in (results / "tables/main.md").read_text()


def test_without_ablations_the_table_says_so(make_results):
    results = make_results(["bct", "joint"], [0])
    write_tables(results, results / "tables", Shown(["bct", "joint"]), NAMES)
    assert "was run" in (results / "tables/ablation.md").read_text()
    assert pd.read_csv(results / "tables/ablation.csv").empty


def test_cost_merges_methods_that_agree(make_results):
    shown = Shown(["independent", "bct", "sfsc"])
    results = make_results(shown.methods, [0, 1])
    write_tables(results, results / "tables", shown, ["cost"])
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
    assert times[0]["training time (s)"] == "181.0 ± 12.7"

    path = results / "cost.csv"
    frame = pd.read_csv(path)
    frame.loc[frame["method"] == "bct", "parameters"] += 1000
    frame["train_seconds"] *= 60
    frame.to_csv(path, index=False)
    write_tables(results, results / "tables", shown, ["cost"])
    rows = _markdown_rows(results / "tables/cost.md")
    assert {row["methods"] for row in rows} == {"bct", "independent, sfsc"}
    # Nobody measured what bct now has.
    assert {row["one image (ms)"] for row in rows if row["methods"] == "bct"} == {"–"}
    assert "–" not in {row["one image (ms)"] for row in rows if row["methods"] != "bct"}
    times = _markdown_rows(results / "tables/training_time.md")
    assert times[0]["training time (min)"] == "181.0 ± 12.7"


@pytest.mark.parametrize("seeds", [[0, 1, 2, 3, 4], [0]])
def test_latex_is_well_formed(make_results, seeds):
    results = make_results(seeds=seeds)
    write_tables(results, results / "tables", SHOWN, NAMES)
    files = sorted((results / "tables").glob("*.tex"))
    assert [path.stem for path in files] == [
        "ablation",
        "compatibility",
        "contrasts",
        "cost",
        "main",
        "pairs",
        "training_time",
    ]
    for path in files:
        assert "nan" not in path.read_text()
        assert "nan" not in path.with_suffix(".md").read_text()
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
    write_tables(results, results / "tables", Shown(["my_50%&co"]), ["main"])
    assert r"my\_50\%\&co" in (results / "tables/main.tex").read_text()


def test_names_are_no_markup_in_markdown(make_results):
    results = make_results(["sfsc"], [0], ["digits"])
    for name in ["metrics.csv", "compatibility.csv"]:
        path = results / name
        path.write_text(path.read_text().replace("\ndigits,", "\na|b $x$ *c*,"))
    path = results / "per_query.parquet"
    pd.read_parquet(path).assign(dataset="a|b $x$ *c*").to_parquet(path, index=False)
    write_tables(results, results / "tables", Shown(["sfsc"]), ["main"])
    assert r"| a\|b \$x\$ \*c\* " in (results / "tables/main.md").read_text()


def test_refusals(make_results):
    results = make_results(["sfsc"], [0])
    with pytest.raises(InputError, match="no table is called 'mian'; choose from summary, main"):
        write_tables(results, results / "tables", SHOWN, ["mian"])
    with pytest.raises(InputError, match="no result of bct"):
        write_tables(results, results / "tables", Shown(["bct"]), ["main"])


ALL = ["main", "pairs", "compatibility", "ablation", "cost"]


def test_families_of_one_width(make_results):
    methods = ["independent", "sfsc", "sfsc-plain"]
    results = make_results(methods, [0], ["digits"], ["w100"])
    write_tables(
        results,
        results / "tables",
        Shown(methods, {methods[1]: dict.fromkeys(methods[2:], "")}),
        ALL,
    )
    row = _markdown_rows(results / "tables/main.md")[0]
    assert row["self-test w100"] == row["worst pair"]
    assert row["mean cross-test"] == "–"
    assert (
        "No family has models of several widths"
        in (results / "tables/compatibility.md").read_text()
    )


def test_chance_alone_has_no_sub_models(make_results):
    results = make_results(["chance"], [0], ["digits"])
    write_tables(results, results / "tables", Shown(["chance"]), ALL)
    for name in ("cost", "training_time"):
        assert (results / "tables" / f"{name}.md").read_text().startswith("No ")
        assert pd.read_csv(results / "tables" / f"{name}.csv").empty


def _refresh(results, method, seed, values):
    """A straight curve from the old gallery's value to the new one's."""
    shares = np.linspace(0, 1, 11)
    return pd.DataFrame(
        {
            "dataset": "digits",
            "protocol": "all",
            "metric": "mAP",
            "method": method,
            "seed": seed,
            "old_model": "w025",
            "new_model": "w100",
            "order": "random",
            "share": shares,
            "value": np.interp(shares, [0, 1], values),
        }
    )


def test_areas_of_refresh_curves_and_their_figure(make_results):
    from sfsc.report.figures import write_figures

    results = make_results(["bct", "sfsc"], [0, 1], ["digits"])
    curves = [
        _refresh(results, "bct", 0, [0.2, 0.6]),
        _refresh(results, "bct", 1, [0.3, 0.7]),
        _refresh(results, "sfsc", 0, [0.5, 0.6]),
        _refresh(results, "sfsc", 1, [0.5, 0.6]),
    ]
    pd.concat(curves).to_csv(results / "refresh.csv", index=False)
    methods = ["bct", "sfsc"]
    write_tables(results, results / "tables", Shown(methods), ["refresh", "upgrade", "summary"])
    rows = _markdown_rows(results / "tables/refresh.md")
    column = "w025 → w100, random"
    assert {row["method"]: row[column] for row in rows} == {
        "bct": _percent([0.4, 0.5]),
        "sfsc": _percent([0.55, 0.55]),
    }
    assert "(AC)" in (results / "tables/upgrade.md").read_text()
    assert len(_markdown_rows(results / "tables/summary.md")) == 2
    write_figures(results, methods, {"digits": "digits"})
    assert (results / "figures/refresh.png").exists()


def test_the_summary_is_the_means_over_models(make_results):
    results = make_results(["sfsc"], [0, 1], ["digits"])
    measures = pd.read_csv(results / "compatibility.csv").pivot_table(
        index="seed", columns="measure", values="value"
    )
    write_tables(results, results / "tables", Shown(["sfsc"]), ["summary"])
    (row,) = _markdown_rows(results / "tables/summary.md")
    assert row["digits, all: self-test"] == _percent(measures["self_mean"].to_numpy())
    assert row["digits, all: cross-test"] == _percent(measures["cross_mean"].to_numpy())


def test_the_summary_says_what_a_method_costs(make_results):
    methods = ["independent", "fct", "sfsc"]
    results = make_results(methods, [0, 1], ["digits"])
    path = results / "cost.csv"
    cost = pd.read_csv(path)
    write_tables(results, results / "tables", Shown(methods), ["summary"])
    rows = _markdown_rows(results / "tables/summary.md")
    assert "trainings" not in rows[0]  # a file of an earlier version does not say
    assert [row["time"] for row in rows] == ["1.0 x", "0.7 x", "0.7 x"]
    trainings = {"independent": 3, "fct": 5, "sfsc": 1}
    cost["networks"] = cost["method"].map(trainings)
    cost["translated"] = np.where(cost["method"].eq("fct") & cost["width"].lt(1), "gallery", "")
    cost.to_csv(path, index=False)
    write_tables(results, results / "tables", Shown(methods), ["summary"])
    rows = _markdown_rows(results / "tables/summary.md")
    assert [row["trainings"] for row in rows] == ["3", "5", "1"]
    assert [row["at deployment"] for row in rows] == [
        "nothing",
        "a mapped gallery for each query model",
        "nothing",
    ]
