"""Named members, maps between models and galleries of several, through the real workflow."""

import numpy as np
import pandas as pd
import pytest
import yaml
from test_workflow import snakemake

PROFILE = """
profile: tiny
scenario: generations
mixed_galleries: true
seeds: [0, 1]
methods: [chance, bct, procrustes, {fct: {epochs: 2, hidden: 32, rate: 0.01}}]
members:
  old: {class_fraction: 0.5, width: 0.5}
  new:
model: {backbone: resnet18, args: {layers: [1, 1, 1, 1]}, base_channels: 8, stem_stride: 1,
        embedding_dim: 16}
training: {epochs: 2, batch_size: 64, learning_rate: 0.01, embedding_scale: 8}
train_sets: {digits: {kind: digits, image_size: 8}}
eval_sets: {digits: {kind: digits, train_set: digits}}
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generations")
    config = yaml.safe_load(PROFILE)

    (folder / "p.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    run = snakemake(folder, "all", config=folder / "p.yaml")
    assert run.returncode == 0, run.stderr[-5000:]
    return folder / "results/tiny"


def test_members_have_their_names_everywhere(results):
    metrics = pd.read_csv(results / "metrics.csv")
    assert list(metrics["query_model"].unique()) == ["old", "new"]
    assert len(pd.read_csv(results / "cost.csv")) == 3 * 2 * 2  # translations cost nothing here
    text = (results / "README.md").read_text()
    assert "`old`, `new`." in text
    for name in ("upgrade", "refresh", "summary"):
        assert (results / "tables" / f"{name}.md").read_text().strip() in text
    assert (results / "figures/refresh.png").exists()


def test_translated_embeddings_count_for_their_pair(results):
    for method in ("procrustes", "fct"):
        folder = results / f"embeddings/digits/{method}/seed0/old"
        names = {path.name for path in folder.glob("*.npy")}
        assert names == {
            "query.npy",
            "gallery.npy",
            "query-for-new.npy",
            "gallery-for-new.npy",
        }
        norms = np.linalg.norm(np.load(folder / "gallery-for-new.npy"), axis=1)
        np.testing.assert_allclose(norms, 1, atol=1e-4)


def test_refresh_curves_begin_at_the_cross_test_and_end_at_the_self_test(results):
    metrics = pd.read_csv(results / "metrics.csv")
    metrics = metrics[metrics["metric"] == "mAP"]
    curves = pd.read_csv(results / "refresh.csv")
    curves = curves[(curves["metric"] == "mAP") & (curves["old_model"] == "old")]
    assert set(curves["method"]) == {"chance", "bct", "procrustes", "fct"}
    for share, gallery in ((0.0, "old"), (1.0, "new")):
        for row in curves[curves["share"] == share].itertuples():
            (value,) = metrics[
                (metrics["method"] == row.method)
                & (metrics["seed"] == row.seed)
                & (metrics["query_model"] == "new")
                & (metrics["gallery_model"] == gallery)
            ]["value"]
            assert row.value == value
    mixed = pd.read_csv(results / "mixed.csv")
    assert set(mixed["method"]) == {"chance", "bct"}
