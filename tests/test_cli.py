"""The command line: its help, its results, and one clear line for bad input."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from sfsc.cli import main
from sfsc.retrieval.collect import METRIC_COLUMNS


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def unit_vectors(path, rows, dimension=8, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((rows, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(path, vectors.astype(np.float32))
    return path


def refused(result, *parts):
    """One line on standard error, exit code 1."""
    assert result.exit_code == 1, result.output
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    for part in parts:
        assert part in result.stderr
    return True


def test_every_command_has_help():
    assert "Usage" in run("--help").output
    for name, command in main.commands.items():
        assert command.help, name
        result = run(name, "--help")
        assert result.exit_code == 0
        assert "Usage" in result.output


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("id,label\n" + "".join(f"i{n},{n % 3}\n" for n in range(12)))
    return path


def evaluate(truth, query, gallery, out, *more):
    return run(
        "evaluate",
        "--ground-truth",
        truth,
        "--query",
        f"a={query}",
        "--gallery",
        f"a={gallery}",
        "--gallery",
        f"b={gallery}",
        "--out",
        out,
        *more,
    )


def test_evaluate_labels(tmp_path, labels):
    vectors = unit_vectors(tmp_path / "e.npy", 12)
    result = evaluate(labels, vectors, vectors, tmp_path / "m.csv", "--method", "mine")
    assert result.exit_code == 0, result.output
    metrics = pd.read_csv(tmp_path / "m.csv")
    assert list(metrics) == METRIC_COLUMNS
    assert len(metrics) == 2 * 4
    assert set(metrics["method"]) == {"mine"}
    assert len(pd.read_parquet(tmp_path / "m.per_query.parquet")) == 2 * 12


def test_evaluate_with_a_faiss_index(tmp_path, labels):
    vectors = unit_vectors(tmp_path / "e.npy", 12)
    exact, flat = tmp_path / "exact.csv", tmp_path / "flat.csv"
    assert evaluate(labels, vectors, vectors, exact).exit_code == 0
    assert evaluate(labels, vectors, vectors, flat, "--factory", "Flat").exit_code == 0
    assert flat.read_bytes() == exact.read_bytes()
    out = tmp_path / "rough.csv"
    refused(evaluate(labels, vectors, vectors, out, "--factory", "Flut"), "'Flut'", "faiss")
    assert not out.exists()


def test_evaluate_with_a_refinement(tmp_path, labels):
    vectors = unit_vectors(tmp_path / "e.npy", 12)
    assert evaluate(labels, vectors, vectors, tmp_path / "plain.csv").exit_code == 0
    plain = (tmp_path / "plain.csv").read_bytes()
    for more in (
        ("--query-expansion", 3, 0.0),
        ("--database-augmentation", 3, 0.0),
        ("--reranking", 10, 3, 2, 0.0),
    ):
        result = evaluate(labels, vectors, vectors, tmp_path / "m.csv", *more)
        assert result.exit_code == 0, result.output
        assert (tmp_path / "m.csv").read_bytes() != plain
        refused(
            evaluate(labels, vectors, vectors, tmp_path / "m.csv", *more, "--factory", "Flat"),
            "exact search",
        )


def test_evaluate_revisited(tmp_path):
    gnd = {
        "imlist": [f"g{n}" for n in range(9)],
        "qimlist": ["q0"],
        "gnd": [{"bbx": [0.0, 0.0, 5.0, 5.0], "easy": [0, 1], "hard": [2], "junk": [3]}],
    }
    (tmp_path / "gnd_x.pkl").write_bytes(pickle.dumps(gnd))
    query = unit_vectors(tmp_path / "q.npy", 1)
    gallery = unit_vectors(tmp_path / "g.npy", 9, seed=1)
    result = evaluate(tmp_path / "gnd_x.pkl", query, gallery, tmp_path / "m.csv")
    assert result.exit_code == 0, result.output
    assert set(pd.read_csv(tmp_path / "m.csv")["protocol"]) == {"easy", "medium", "hard"}


def test_evaluate_gldv2(tmp_path):
    queries = [f"{n:016x}" for n in range(3)]
    index = [f"{n:016x}" for n in range(100, 110)]
    solution = tmp_path / "retrieval_solution_v2.1.csv"
    solution.write_text(
        "id,images,Usage\n"
        f"{queries[0]},{index[0]} {index[4]},Private\n"
        f"{queries[1]},{index[1]},Public\n"
        f"{queries[2]},None,Ignored\n"
    )
    (tmp_path / "q.txt").write_text("\n".join(queries[:2]) + "\n")
    (tmp_path / "g.txt").write_text("\n".join(index) + "\n")
    query = unit_vectors(tmp_path / "q.npy", 2)
    gallery = unit_vectors(tmp_path / "g.npy", 10, seed=1)
    ids = ("--query-ids", tmp_path / "q.txt", "--gallery-ids", tmp_path / "g.txt")
    result = evaluate(solution, query, gallery, tmp_path / "m.csv", *ids)
    assert result.exit_code == 0, result.output
    metrics = pd.read_csv(tmp_path / "m.csv")
    assert set(metrics["protocol"]) == {"private", "public"}
    assert set(metrics["metric"]) == {"mAP@100"}
    refused(evaluate(solution, query, gallery, tmp_path / "n.csv"), "--query-ids")


def test_evaluate_refuses_and_writes_nothing(tmp_path, labels):
    good = unit_vectors(tmp_path / "good.npy", 12)
    short = unit_vectors(tmp_path / "short.npy", 11)
    other = unit_vectors(tmp_path / "other.npy", 12, dimension=4)
    broken = np.load(good)
    broken[5, 2] = np.nan
    np.save(tmp_path / "nan.npy", broken)
    out = tmp_path / "out" / "m.csv"
    refused(evaluate(labels, good, short, out), "short.npy", "11", "12")
    refused(evaluate(labels, good, other, out), "good.npy", "other.npy", "8", "4")
    refused(evaluate(labels, good, tmp_path / "nan.npy", out), "nan.npy", "5")
    refused(evaluate(labels, good, tmp_path / "absent.npy", out), "absent.npy")
    refused(evaluate(tmp_path / "absent.csv", good, good, out), "absent.csv")
    refused(
        run(
            "evaluate",
            "--ground-truth",
            labels,
            "--query",
            "good.npy",
            "--gallery",
            f"a={good}",
            "--out",
            out,
        ),
        "--query good.npy",
        "NAME=FILE",
    )
    assert not out.parent.exists() or not list(out.parent.iterdir())


class Evil:
    def __reduce__(self):
        return os.system, ("touch pwned",)


def test_a_hostile_ground_truth_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "gnd_evil.pkl"
    path.write_bytes(pickle.dumps({"imlist": [], "qimlist": [], "gnd": Evil()}))
    vectors = unit_vectors(tmp_path / "e.npy", 12)
    refused(evaluate(path, vectors, vectors, tmp_path / "m.csv"), "gnd_evil.pkl", "system")
    assert not (tmp_path / "pwned").exists()
    assert not (tmp_path / "m.csv").exists()


PROFILE = """
profile: test
seeds: [0]
methods: [sfsc]
widths: [0.5, 1.0]
model:
  {backbone: resnet18, base_channels: 8, stem_stride: 2, embedding_dim: 8,
   args: {layers: [1, 1, 1, 1]}}
training: {epochs: 1, batch_size: 8, learning_rate: 0.05}
train_sets: {digits: {kind: digits, image_size: 8}}
eval_sets: {digits: {kind: digits, train_set: digits}}
"""


def test_a_family_by_hand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(PROFILE)
    common = ("--config", "p.yaml", "--method", "sfsc")
    assert run("check", "--config", "p.yaml").exit_code == 0
    for command in (
        ("train", *common, "--train-set", "digits", "--seed", "0"),
        ("embed", *common, "--eval-set", "digits"),
        ("evaluate-method", *common, "--eval-set", "digits"),
        ("collect", "--config", "p.yaml"),
        ("cost", "--config", "p.yaml"),
    ):
        result = run(*command)
        assert result.exit_code == 0, (command, result.output)
    metrics = pd.read_csv("results/test/metrics.csv")
    assert len(metrics) == 4 * 4
    assert len(pd.read_csv("results/test/cost.csv")) == 2

    searched = PROFILE.replace(
        "train_set: digits}}",
        "train_set: digits, search: {kind: faiss, factory: 'IVF8,Flat', parameters: nprobe=1}}}",
    )
    Path("q.yaml").write_text(searched)
    result = run(
        "evaluate-method", "--config", "q.yaml", "--method", "sfsc", "--eval-set", "digits"
    )
    assert result.exit_code == 0, result.output
    rough = pd.read_csv("results/test/evaluation/digits/sfsc/metrics.csv")
    whole = (metrics["metric"] == "mAP").to_numpy()
    assert (rough["value"][whole] < metrics["value"][whole]).all()  # seven of eight cells unseen

    refused(run("train", *common, "--train-set", "nope", "--seed", "0"), "--train-set nope")
    refused(run("embed", *common, "--eval-set", "nope"), "--eval-set nope", "digits")
    refused(run("embed", "--config", "p.yaml", "--method", "x", "--eval-set", "digits"), "w050")
    refused(run("generate", "--config", "p.yaml"), "synthetic")


def test_methods_of_the_ablation_and_entries_with_options_are_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = "{name: cold, method: sfsc, embedding_scale: 4}"
    profile = PROFILE.replace("methods: [sfsc]", f"methods: [sfsc, {entry}]\nablation: [joint]")
    Path("p.yaml").write_text(profile.replace("batch_size: 8", "batch_size: 128"))
    train = ("train", "--config", "p.yaml", "--train-set", "digits", "--seed", "0", "--method")
    for method in ("joint", "cold"):
        result = run(*train, method)
        assert result.exit_code == 0, result.output
        assert Path(f"results/test/models/digits/{method}/seed0/w050.safetensors").exists()
    refused(run(*train, "bct"), "--method bct", "sfsc, cold, joint")


def test_broken_training_images(tmp_path, monkeypatch):
    """A truncated JPEG, then an absent image: one line, exit code 1, nothing half-written."""
    monkeypatch.chdir(tmp_path)
    ids = [f"{n:016x}" for n in range(12)]
    for name in ids:
        path = Path("gldv2/train", *name[:3], f"{name}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((24, 24), 60).convert("RGB").save(path)
    Path("gldv2/train_clean.csv").write_text(
        f"landmark_id,images\n1,{' '.join(ids[:6])}\n2,{' '.join(ids[6:])}\n"
    )
    profile = yaml.safe_load(PROFILE)
    profile["train_sets"] = {"digits": {"kind": "gldv2", "path": "gldv2", "image_size": 16}}
    Path("p.yaml").write_text(yaml.safe_dump(profile))
    train = (
        "train",
        "--config",
        "p.yaml",
        "--method",
        "sfsc",
        "--train-set",
        "digits",
        "--seed",
        "0",
    )
    broken = path.read_bytes()
    path.write_bytes(broken[: len(broken) // 2])
    refused(run(*train), f"{path.name}: cannot be decoded")
    path.unlink()
    refused(run(*train), f"{path.name}: no such image")
    assert not Path("results").exists()

    path.write_bytes(broken[: len(broken) // 2])
    profile["training"]["on_bad_image"] = "skip"
    Path("p.yaml").write_text(yaml.safe_dump(profile))
    result = run(*train)
    assert result.exit_code == 0, result.output
    summary = json.loads(Path("results/test/training/digits/sfsc/seed0/summary.json").read_text())
    assert summary["images_skipped"] == 1


def test_what_cannot_be_exported_fetched_or_packed_is_one_line(tmp_path):
    mini = Path(__file__).parents[1] / "config" / "mini.yaml"
    refused(run("export", tmp_path / "w025.safetensors"), "w025.safetensors: no such file")
    (tmp_path / "w025.safetensors").write_bytes(b"no tensors")
    refused(run("export", tmp_path / "w025.safetensors"), "not a safetensors file of this suite")
    assert "nothing to fetch" in run("plan", "--config", mini).output
    refused(run("fetch", "--config", mini, "gldv2/x.tar"), "gldv2/x.tar is no file of its sets")
    refused(
        run("pack", "--config", mini, "--train-set", "digits"), "digits.packed: names no folder"
    )
    refused(run("pack", "--config", mini, "--train-set", "x"), "--train-set x: not in")
    assert [path.name for path in tmp_path.iterdir()] == ["w025.safetensors"]


def test_light_commands_import_neither_torch_nor_timm():
    code = (
        "import sys, sfsc.cli, sfsc.config, sfsc.data.kinds, sfsc.retrieval.collect, "
        "sfsc.retrieval.ground_truth, sfsc.report.tables, sfsc.measure.cost, sfsc.report.page;"
        "print([m for m in ('torch', 'timm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
