import re

import pandas as pd
import pytest
from made_up_results import CONTRASTS, METHODS, MODELS, TRAIN_SET_OF

from sfsc.files import InputError
from sfsc.report.figures import write_figures
from sfsc.report.page import write_page
from sfsc.report.tables import Shown, write_tables


def lines(methods):
    return {name: f"what {name} is" for name in methods}


def _links(text):
    return re.findall(r"\]\(([^)]+)\)", text)


def test_the_page_shows_tables_figures_and_provenance(make_results):
    methods = ["chance", "bct", "sfsc", "sfsc-plain"]
    results = make_results(methods, [0, 1], ["digits"])
    shown = Shown(methods, {"sfsc": {"sfsc-plain": "cross entropy"}}, CONTRASTS)
    names = ["main", "pairs", "compatibility", "ablation", "contrasts", "cost"]
    write_tables(results, results / "tables", shown, names)
    write_figures(results, methods, TRAIN_SET_OF)
    write_page(results, "A title", lines(methods), TRAIN_SET_OF)
    text = (results / "README.md").read_text()
    assert text.startswith("# A title\n")

    links = _links(text)
    assert links
    assert all((results / link).is_file() for link in links)
    figures = {path.name for path in (results / "figures").glob("*.png")}
    assert {link.split("/")[1] for link in links if link.endswith("png")} == figures

    for name in ["main", "compatibility", "contrasts", "ablation", "cost", "training_time"]:
        assert (results / "tables" / f"{name}.md").read_text().strip() in text
    assert (results / "tables" / "pairs.md").read_text().strip() not in text
    assert "over 2 seeds" in text
    assert "shows no difference between methods" not in text
    assert "- `bct`: what bct is\n" in text
    assert "`0123456789abcdef0123456789abcdef01234567`, with uncommitted changes" in text
    assert re.search(r"\| train +\| +12\.6 min \|", text)
    assert '"torch": "2.14.1"' in text


def test_what_is_not_there_is_left_out(make_results):
    results = make_results(["mine"], [0])
    (results / "provenance.json").unlink()
    write_page(results, "A title", lines(["mine"]), {})
    text = (results / "README.md").read_text()
    assert _links(text) == []
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == ["What was compared", "How to read it"]
    assert "- `mine`: what mine is\n" in text
    assert "one seed" in text
    assert "**One seed** shows no difference between methods" in text


def test_refusals(make_results):
    results = make_results(["sfsc"], [0])
    with pytest.raises(InputError, match="no result of bct"):
        write_page(results, "A title", lines(["bct"]), TRAIN_SET_OF)
    (results / "provenance.json").write_text('{"commit": "0123"}')
    with pytest.raises(InputError, match=r"provenance\.json: not a provenance record"):
        write_page(results, "A title", lines(METHODS), TRAIN_SET_OF)


def test_names_that_look_like_numbers_or_missing_values_are_names(make_results):
    """A data set 2024, trained on 01, and a method null: text wherever they are read back."""
    methods = ["null", "sfsc"]
    results = make_results(methods, [0], ["digits"])
    for name in ("metrics", "compatibility", "cost", "latency"):
        path = results / f"{name}.csv"
        train_set = name in ("cost", "latency")
        path.write_text(path.read_text().replace("\ndigits,", "\n01," if train_set else "\n2024,"))
    path = results / "per_query.parquet"
    pd.read_parquet(path).assign(dataset="2024").to_parquet(path)
    names = ["main", "pairs", "compatibility", "cost"]
    write_tables(results, results / "tables", Shown(methods), names)
    write_figures(results, methods, {"2024": "01"})
    write_page(results, "A title", lines(methods), {"2024": "01"})
    text = (results / "README.md").read_text()
    assert re.search(r"\| 2024 +\| 01 +\|", text)
    assert re.search(r"\| 01 +\| w025", text)
    assert "- `null`: what null is\n" in text
    assert (results / "figures/pairs-2024.png").exists()
    assert (results / "figures/cost-accuracy.png").exists()


def test_the_page_of_one_width_and_of_chance_alone(make_results):
    for methods, models in ((["sfsc"], ["w100"]), (["chance"], MODELS)):
        results = make_results(methods, [0], ["digits"], models)
        names = ["main", "pairs", "compatibility", "ablation", "cost"]
        write_tables(results, results / "tables", Shown(methods), names)
        write_figures(results, methods, TRAIN_SET_OF)
        write_page(results, "A title", lines(methods), TRAIN_SET_OF)
        text = (results / "README.md").read_text()
        assert all((results / link).is_file() for link in _links(text))
