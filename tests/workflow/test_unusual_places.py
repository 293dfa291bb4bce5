"""The real Snakefile in places of all kinds: read-only, oddly named, for a user without HOME."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
TINY = Path(__file__).with_name("tiny.yaml")
# Another user, without name and rights of root; the files of the one who tests are its own.
SOMEBODY = ["unshare", "--user", "--map-user=12345", "--map-group=12345", "--"]


def somebody_is_possible():
    return (
        shutil.which("unshare") and not subprocess.run([*SOMEBODY, "true"], check=False).returncode
    )


@pytest.mark.skipif(not somebody_is_possible(), reason="no other user can be made up here")
def test_a_read_only_checkout_and_a_user_without_home(tmp_path):
    suite, elsewhere = tmp_path / "it's my (work) $HOME" / "suite", tmp_path / "else where"
    elsewhere.mkdir()
    for name in ("sfsc", "baselines", "workflow", "profiles", "config"):
        shutil.copytree(REPOSITORY / name, suite / name, ignore=shutil.ignore_patterns("*cache*"))
    shutil.copy(REPOSITORY / "Snakefile", suite)
    profile = yaml.safe_load(TINY.read_text())
    profile |= {"methods": ["chance", "bct"], "widths": [0.5, 1.0]}
    del profile["ablation"], profile["contrasts"]
    profile["training"]["epochs"] = 1
    profile["eval_sets"].pop("gldv2-synthetic")
    profile["title"] = "Of {all} places"
    profile["synthetic"]["path"] = "${DRAWN}"
    for entry in (*profile["train_sets"].values(), *profile["eval_sets"].values()):
        entry["path"] = entry["path"].replace("data/synthetic", "${DRAWN}")
    (elsewhere / "tiny.yaml").write_text(yaml.safe_dump(profile))
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(suite),
        "LOGNAME": "somebody",
        "HOME": "/nonexistent",
        "OMP_NUM_THREADS": "1",
        "DRAWN": str(tmp_path / "data $HOME"),
    }
    command = [*SOMEBODY, sys.executable, "-m", "snakemake", "--snakefile", suite / "Snakefile"]
    command += ["--cores", "2", "all", "--configfile", "tiny.yaml"]
    subprocess.run(["chmod", "-R", "a-w", suite], check=True)
    try:
        run = subprocess.run(
            command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
        )
    finally:
        subprocess.run(["chmod", "-R", "u+w", suite], check=True)
    assert run.returncode == 0, run.stderr[-5000:]
    assert "# Of {all} places" in (elsewhere / "results/tiny/README.md").read_text()
    assert not list(suite.rglob("__pycache__"))
