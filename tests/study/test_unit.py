"""Units of a tiny study, run by the real Snakefile and by hand."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sfsc.study.plan import Unit, read_study
from sfsc.study.unit import run

ROOT = Path(__file__).parents[2]
PROFILE = """
profile: study-tiny
seeds: [101]
threads: 1
methods: [independent, mlp-adapter]
widths: [0.5, 1.0]
model:
  backbone: resnet18
  args: {layers: [1, 1, 1, 1]}
  base_channels: 4
  stem_stride: 2
  embedding_dim: 8
training: {epochs: 1, batch_size: 128, learning_rate: 0.01}
train_sets: {digits: {kind: digits, image_size: 8}}
eval_sets: {digits: {kind: digits, train_set: digits}}
"""
STUDY = """
units: published/units
sets: {digits: {profile: profile.yaml, protocol: all, seeds: [101, 102]}}
hypotheses:
  - {name: H, claim: "Maps help", contrast: {mlp-adapter: 1, independent: -1}, measure: cross_mean}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "profile.yaml").write_text(PROFILE)
    (tmp_path / "study.yaml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_unit_has_the_same_bytes_another_day(folder):
    study = read_study(folder / "study.yaml")
    unit = Unit("digits", "mlp-adapter", 101)  # with translated embeddings
    run(study, unit)
    first = (study.units / unit.file).read_bytes()
    Path("results").rename("earlier")
    run(replace(study, units=Path("again")), unit)
    assert (Path("again") / unit.file).read_bytes() == first
    scores = json.loads(first)["scores"]
    assert [each["protocol"] for each in scores] == ["all"]
    values = np.array(scores[0]["values"])
    assert values.shape == (2, 2)
    assert ((values > 0) & (values <= 1)).all()


def test_the_workflow_runs_what_is_missing(folder):
    study = read_study(folder / "study.yaml")
    for unit in study.missing("digits")[:-1]:
        path = study.units / unit.file
        path.parent.mkdir(parents=True, exist_ok=True)
        score = {"protocol": "all", "random": 0.1, "values": [[0.5, 0.4], [0.4, 0.5]]}
        path.write_text(
            json.dumps({"arm": unit.arm, "seed": unit.seed, "training": {}} | {"scores": [score]})
        )
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "workflow" / "study.smk"]
    command += ["--cores", "1", "--config", "study=study.yaml", "--directory", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not study.missing("digits")
    page = (folder / "published" / "verdicts.md").read_text()
    assert "2 units of 2 arms are planned, and all are there." in page
    assert (folder / "published" / "verdicts.png").stat().st_size > 10_000
