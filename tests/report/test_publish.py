"""Published results replace their like, and nothing else."""

import pytest

from sfsc.files import InputError
from sfsc.report.publish import publish

FILES = [
    "README.md",
    "metrics.csv",
    "floor.csv",
    "compatibility.csv",
    "cost.csv",
    "latency.csv",
    "provenance.json",
    "config.yaml",
    "tables/main.md",
    "figures/pairs.png",
]


@pytest.fixture
def results(tmp_path):
    for name in FILES:
        (tmp_path / "results" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "results" / name).write_text("new")
    return tmp_path / "results"


def below(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_published_results_are_replaced_whole(results, tmp_path):
    published = tmp_path / "published"
    publish(results, published, "mini")
    (published / "mini" / "figures" / "of-an-earlier-run.png").touch()
    publish(results, published, "mini")
    assert below(published) == sorted(f"mini/{name}" for name in FILES)


@pytest.mark.parametrize("name", ["", ".", "..", "../other", "a/b", "/tmp/a", ".hidden", "a\n"])
def test_a_name_that_is_none_is_refused(results, tmp_path, name):
    (tmp_path / "published" / "other").mkdir(parents=True)
    (tmp_path / "published" / "other" / "README.md").touch()
    before = below(tmp_path)
    with pytest.raises(InputError, match="--name"):
        publish(results, tmp_path / "published", name)
    assert below(tmp_path) == before


@pytest.mark.parametrize("file", ["thesis.txt", "figures/own.svg", "tables/.hidden"])
def test_a_folder_with_something_else_in_it_is_refused(results, tmp_path, file):
    publish(results, tmp_path / "published", "mini")
    (tmp_path / "published" / "mini" / file).touch()
    with pytest.raises(InputError, match=f"holds something else, {file}"):
        publish(results, tmp_path / "published", "mini")
    assert (tmp_path / "published" / "mini" / file).exists()
