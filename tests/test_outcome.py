"""The scientific outcome: what compatible training is for happens, and only where it should."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from sfsc import config
from sfsc.data.kinds import retrieval_set
from sfsc.embedding.embed import embed_set
from sfsc.retrieval.inference import half_width
from sfsc.retrieval.pairs import evaluate_pairs, open_files
from sfsc.training.family import train_family
from sfsc.training.task import task

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "results" / "published" / "mini" / "compatibility.csv"


def outcome(matrix):
    """Mean self-test and mean cross-test of a matrix of pairs."""
    own = np.eye(len(matrix), dtype=bool)
    return matrix[own].mean(), matrix[~own].mean()


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The digits of the default profile, at its narrowest and widest, by two methods."""
    profile = yaml.safe_load((ROOT / "config" / "mini.yaml").read_text())
    profile["widths"] = [0.25, 1.0]
    data = retrieval_set(profile["eval_sets"]["digits"])
    matrices = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("digits"))
        for method in ("independent", "sfsc"):
            work = task(profile, "digits", method, seed=0)
            train_family(work)
            names = config.model_names(profile)
            embed_set(
                data, {work.records / name: work.models / f"{name}.safetensors" for name in names}
            )
            files = [
                {name: work.records / name / f"{part}.npy" for name in names}
                for part in ("query", "gallery")
            ]
            means = evaluate_pairs(data.ground_truth, *open_files(data.ground_truth, *files))[0]
            means = means[means["metric"] == "mAP"]
            pairs = means.pivot(index="query_model", columns="gallery_model", values="value")
            matrices[method] = pairs.to_numpy()
    return matrices


def test_sfsc_is_compatible_with_itself(digits):
    own, cross = outcome(digits["sfsc"])
    assert cross >= 0.9 * own
    assert digits["sfsc"][1, 1] >= 0.9 * digits["independent"][1, 1]


def test_independent_models_are_not(digits):
    own, cross = outcome(digits["independent"])
    assert own > 0.8
    # Ten classes: chance is a tenth; tight clusters in a random order reach about twice that.
    assert cross < 0.3


def test_the_published_run_of_the_default_profile():
    """By intervals over the seeds, so that another run says the same."""
    measures = pd.read_csv(PUBLISHED)
    for _, part in measures.groupby("dataset"):  # the mean over its protocols, seed by seed
        of_seeds = part.groupby(["method", "measure", "seed"])[["value", "floor"]].mean()

        def interval(values):
            half = np.nan_to_num(half_width(values.to_numpy()[:, None])[0])
            return values.mean() - half, values.mean() + half

        C, own = of_seeds.loc["sfsc", "C"], of_seeds.loc["sfsc", "self_mean"]["value"]
        # Nearer to models that lose nothing (1) than to models that share no space (0).
        assert interval(C["value"])[0] > 0.5
        assert interval(C["value"] - C["floor"].fillna(0))[0] > 0
        single = of_seeds.loc["independent", "self_mean"]["value"]
        assert interval(own / single)[1] > 0.9
        # Nothing ties independent models: they search each other's galleries as those of models
        # of another seed.
        cross = of_seeds.loc["independent", "cross_mean"]
        low, high = interval((cross["value"] - cross["floor"]) / single)
        assert low < 0.05
        assert high > -0.05
        assert of_seeds.loc["chance", "C"]["value"].abs().max() < 0.1
