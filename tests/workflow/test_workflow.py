"""The real Snakefile, on a tiny profile."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
TINY = Path(__file__).with_name("tiny.yaml")
# Of the ablation alone: no table of all methods shows it.
ABLATION = ["sfsc", "sfsc-plain", "sfsc-cold", "sfsc-weighted"]
TRAINED = ["independent", "bct", "joint", *ABLATION]


def jobs(run):
    """How many jobs of each rule a dry run counts."""
    assert run.returncode == 0, run.stderr
    return dict(re.findall(r"^(\w+) +(\d+)$", run.stdout, flags=re.MULTILINE))


def snakemake(directory, *arguments, source=REPOSITORY, config=TINY):
    """Run Snakemake as a user would, with results and data below `directory`."""
    command = call(directory, *arguments, source=source, config=config)
    return subprocess.run(**command, capture_output=True, text=True)


def call(directory, *arguments, source=REPOSITORY, config=TINY):
    """The arguments of subprocess's functions for `snakemake`."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(source),
    }
    command = ["snakemake", "--cores", "2", *arguments, "--snakefile", source / "Snakefile"]
    command += ["--directory", directory, "--configfile", config]
    return {"args": [str(word) for word in command], "env": environment}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A directory with the results of a full run."""
    directory = tmp_path_factory.mktemp("run")
    run = snakemake(directory, "all", "ablation")
    assert run.returncode == 0, run.stderr[-5000:]
    return directory


@pytest.fixture
def results(finished):
    return finished / "results" / "tiny"


def test_every_pair_of_every_method_is_scored(results):
    config = yaml.safe_load(TINY.read_text())
    metrics = pd.read_csv(results / "metrics.csv")
    assert list(metrics) == [
        "dataset",
        "protocol",
        "metric",
        "method",
        "seed",
        "query_model",
        "gallery_model",
        "value",
        "low",
        "high",
    ]
    assert metrics["value"].between(0, 1).all()
    pairs = metrics.groupby(["method", "dataset", "protocol", "metric"]).size()
    assert (pairs == 4).all()
    assert set(metrics["method"]) == {"chance", *TRAINED} - {"sfsc-weighted"}
    assert set(metrics["dataset"]) == set(config["eval_sets"])
    per_query = pd.read_parquet(results / "per_query.parquet")
    keys = [c for c in metrics if c not in ("value", "low", "high")]
    means = per_query.groupby(keys, observed=True)["value"].mean().reset_index()
    merged = metrics.merge(means, on=keys, suffixes=("", "_of_queries"))
    assert len(merged) == len(means) > 0
    assert merged["value"].to_numpy() == pytest.approx(merged["value_of_queries"], abs=1e-6)
    # One seed: no other's galleries to search for a floor.
    floors = pd.read_csv(results / "floor.csv")
    assert len(floors) == len(merged)
    assert floors["value"].isna().all()
    assert floors["random"].between(0, 1).all()


def test_options_of_an_entry_reach_its_training(results):
    weights = [
        (results / f"models/landmarks/{method}/seed0/w100.safetensors").read_bytes()
        for method in ("sfsc", "sfsc-cold")
    ]
    assert weights[0] != weights[1]
    rows = pd.read_csv(results / "tables" / "ablation.csv")
    assert set(rows["method"]) == set(ABLATION)


def test_contracts_of_the_results_folder(results):
    tables = ("main", "pairs", "compatibility", "ablation", "contrasts", "cost", "training_time")
    for name in tables:
        for ending in ("csv", "md", "tex"):
            assert (results / "tables" / f"{name}.{ending}").stat().st_size > 0
    figures = ("cost-accuracy", "latency-accuracy", "training-conflict", "training-uncertainty")
    for name in figures:
        for ending in ("png", "pdf"):
            assert (results / "figures" / f"{name}.{ending}").stat().st_size > 1000
    models = results / "models" / "landmarks" / "sfsc" / "seed0"
    assert [path.name for path in sorted(models.iterdir())] == [
        "w050.safetensors",
        "w100.safetensors",
    ]
    assert (results / "training/landmarks/sfsc/seed0/conflicts.csv").stat().st_size > 0
    provenance = json.loads((results / "provenance.json").read_text())
    assert provenance["profile"] == "tiny"
    assert {"generate", "train", "embed", "evaluate"} <= set(provenance["stages"])
    page = (results / "README.md").read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", page):
        if "://" not in link:
            assert (results / link).exists(), link
    logs = {path.parent.name for path in (results / "logs").rglob("*.log")}
    assert {"train", "embed", "evaluate"} <= logs


def test_the_same_seed_gives_the_same_metrics(results, tmp_path):
    config = tmp_path / "again.yaml"
    again = yaml.safe_load(TINY.read_text()) | {"methods": ["chance", "bct", "sfsc"]}
    del again["ablation"]
    config.write_text(yaml.safe_dump(again))
    run = snakemake(tmp_path, "results/tiny/metrics.csv", config=config)
    assert run.returncode == 0, run.stderr[-5000:]
    lines = (results / "metrics.csv").read_text().splitlines()
    expected = [line for line in lines if line.split(",")[3] in {"method", *again["methods"]}]
    assert (tmp_path / "results/tiny/metrics.csv").read_text().splitlines() == expected


def test_a_second_run_finds_nothing_to_do(finished):
    run = snakemake(finished, "all", "ablation")
    assert run.returncode == 0
    assert "Nothing to be done" in run.stderr + run.stdout


@pytest.mark.parametrize(
    ("change", "trained"),
    [({"training": {"epochs": 3}}, len(TRAINED)), ({"methods": {"bct": {"epochs": 3}}}, 1)],
    ids=["of all methods", "of one"],
)
def test_a_changed_setting_reruns_what_depends_on_it(finished, tmp_path, change, trained):
    changed = yaml.safe_load(TINY.read_text())
    changed["train_sets"]["landmarks"] |= change
    config = tmp_path / "changed.yaml"
    config.write_text(yaml.safe_dump(changed))
    before = files_in(finished / "results")
    run = snakemake(finished, "--dry-run", "all", "ablation", config=config)
    assert files_in(finished / "results") == before
    counts = jobs(run)
    assert counts["train"] == str(trained)
    assert "generate" not in counts
    assert "chance" not in counts


def files_in(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_the_configuration_as_it_was_run_is_kept(results):
    kept = yaml.safe_load((results / "config.yaml").read_text())
    assert kept == yaml.safe_load(TINY.read_text())
    assert kept == json.loads((results / "provenance.json").read_text())["config"]


CHANCE = "results/tiny/embeddings/rsynthetic/chance/seed{}/w050/query.npy"


@pytest.mark.parametrize("question", ["--dry-run", "--summary", "--lint"])
def test_a_question_about_a_run_writes_nothing(tmp_path, question):
    run = snakemake(tmp_path, question, "ablation")
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "results").exists()


def test_jobs_keep_the_configuration_of_the_run_that_started_them(tmp_path):
    """What a scheduler starts reads the Snakefile again, when the profile may have changed."""
    profile = tmp_path / "mine.yaml"
    shutil.copy(TINY, profile)
    assert snakemake(tmp_path, CHANCE.format(0), config=profile).returncode == 0
    (started_with,) = (tmp_path / "results/tiny/configurations").iterdir()
    profile.write_text(TINY.read_text().replace("seeds: [0]", "seeds: [5]"))
    job = call(
        tmp_path,
        "--mode",
        "remote",
        "--no-hooks",
        "--nolock",
        "--force",
        CHANCE.format(0),
        config=profile,
    )
    job["env"]["SFSC_CONFIG"] = str(started_with.relative_to(tmp_path))
    run = subprocess.run(**job, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-5000:]
    assert not (tmp_path / CHANCE.format(5)).exists()


def test_the_ablation_alone_trains_no_baseline(tmp_path):
    counts = jobs(snakemake(tmp_path, "--dry-run", "ablation"))
    assert counts["train"] == str(len(ABLATION))
    assert "chance" not in counts


def test_a_deleted_table_is_rendered_again_and_alone(finished, results):
    (results / "tables" / "ablation.md").unlink()
    run = snakemake(finished, "ablation")
    assert run.returncode == 0, run.stderr
    assert (results / "tables" / "ablation.md").exists()
    assert "rule train" not in run.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wdiths": [1.0]}, "wdiths: unknown key; did you mean 'widths'?"),
        ({"widths": [0, 1.0]}, "widths[0]: 0 is less than or equal to the minimum of 0"),
        ({"methods": ["sfsc", "mine"]}, "methods: 'mine': there is no file"),
    ],
)
def test_a_bad_configuration_stops_before_anything_runs(tmp_path, change, message):
    config = tmp_path / "bad.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(TINY.read_text()) | change))
    run = snakemake(tmp_path / "run", "all", config=config)
    assert run.returncode != 0
    assert message in run.stdout + run.stderr
    assert not (tmp_path / "run" / "results").exists()


def test_a_repeated_key_stops_before_anything_runs(tmp_path):
    config = tmp_path / "bad.yaml"
    config.write_text(TINY.read_text() + "seeds: [1]\n")
    run = snakemake(tmp_path / "run", "all", config=config)
    assert run.returncode != 0
    assert "the key 'seeds' is already in line 3" in run.stdout + run.stderr


def test_what_takes_a_network_to_find_out_is_found_before_the_first_job(tmp_path):
    config = tmp_path / "bad.yaml"
    changed = yaml.safe_load(TINY.read_text())
    changed["model"]["args"] = {"layer": [1, 1, 1, 1]}
    config.write_text(yaml.safe_dump(changed))
    run = snakemake(tmp_path / "run", "all", config=config)
    assert run.returncode != 0
    assert "train_sets.landmarks: model.args: resnet18 does not take" in run.stderr
    assert not (tmp_path / "run/data").exists()


def test_a_profile_without_ablation_and_numbers_in_lists(tmp_path):
    config = tmp_path / "joint.yaml"
    changed = yaml.safe_load(TINY.read_text()) | {"methods": ["chance", "joint"]}
    del changed["ablation"], changed["contrasts"]
    config.write_text(yaml.safe_dump(changed))
    given = ("--config", "seeds=[5, 6]", "widths=[0.25, 1.0]")
    run = snakemake(tmp_path, "--dry-run", "tables", *given, config=config)
    assert run.returncode == 0, run.stderr
    counts = jobs(run)
    assert counts["train"] == "2"
    assert not {"ablation_table", "collect_ablation"} & set(counts)
    run = snakemake(tmp_path, "--dry-run", "ablation", config=config)
    assert run.returncode != 0
    assert "none of them is an ablation of another one" in run.stderr + run.stdout


def test_a_baseline_is_one_file_and_a_line(tmp_path):
    """docs/adding-a-baseline.md: write the file, add the name, run, find it in the tables."""
    source = tmp_path / "clone"
    for name in ("sfsc", "baselines", "workflow", "profiles", "config"):
        shutil.copytree(REPOSITORY / name, source / name)
    shutil.copy(REPOSITORY / "Snakefile", source)
    shutil.copy(source / "baselines/equal-voices.py", source / "baselines/mine.py")
    config = tmp_path / "mine.yaml"
    changed = yaml.safe_load(TINY.read_text()) | {"methods": ["sfsc-plain", "mine"]}
    del changed["ablation"], changed["contrasts"]
    config.write_text(yaml.safe_dump(changed))
    run = snakemake(tmp_path / "run", "all", source=source, config=config)
    assert run.returncode == 0, run.stderr[-5000:]
    for table in ("main", "pairs", "compatibility", "training_time"):
        text = (tmp_path / "run/results/tiny/tables" / f"{table}.md").read_text()
        assert "mine" in text
    assert "`mine`" in (tmp_path / "run/results/tiny/README.md").read_text()
