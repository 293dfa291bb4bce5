"""Run one unit of a study, from its data to a small file of scores."""

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from sfsc import config, layout
from sfsc.config import Config
from sfsc.data.kinds import retrieval_set
from sfsc.data.synthetic import generate
from sfsc.embedding.embed import embed_set
from sfsc.embedding.sizes import sizes_of
from sfsc.files import replacing
from sfsc.retrieval.families import open_family
from sfsc.retrieval.floor import random_floor
from sfsc.retrieval.pairs import primary_means
from sfsc.study.plan import Study, Unit
from sfsc.training.family import train_family
from sfsc.training.task import task

_LAST = 0.1
"""The share of the steps, at the end, over which losses and uncertainties are averaged."""


def run(study: Study, unit: Unit) -> None:
    """Train, embed and score a unit, and write its file; a training that was cut off goes on.

    The file holds, for each protocol, the primary metric of every pair and what random rankings
    score; for each member the digest of its sub-model file; the means of what training recorded;
    and the instructions of the processor, on which the last bits depend.
    """
    profile = study.profile(unit)
    torch.set_num_threads(config.typed(profile).threads)
    results, models = config.results(profile), config.model_names(profile)
    (train_set,) = profile["train_sets"]
    train_family(task(profile, train_set, unit.arm, unit.seed))
    folder = layout.models(results, train_set, unit.arm, unit.seed)
    log = layout.records(results, train_set, unit.arm, unit.seed) / "log.parquet"
    written = {
        "set": unit.set,
        "arm": unit.arm,
        "seed": unit.seed,
        "generator": profile.get("synthetic", {}).get("seed"),
        "processor": torch.backends.cpu.get_cpu_capability(),
        "models": {
            name: hashlib.sha256((folder / f"{name}.safetensors").read_bytes()).hexdigest()
            for name in models
        },
        "training": _recorded(pd.read_parquet(log)),
        "scores": _scores(profile, unit, folder),
    }
    with replacing(study.units / unit.file) as beside:
        beside.write_text(json.dumps(written, indent=1) + "\n")


def draw(profile: Config) -> None:
    """Draw the generated data of a unit's profile, where it has some and it is not there yet."""
    if synthetic := config.typed(profile).synthetic:
        path = config.expanded(synthetic.path)
        if not path.exists():
            generate(path, synthetic)


def _scores(profile: Config, unit: Unit, models: Path) -> list[dict[str, Any]]:
    ((eval_set, entry),) = profile["eval_sets"].items()
    names = config.model_names(profile)
    data = retrieval_set(entry)
    with tempfile.TemporaryDirectory() as temporary:
        results = Path(temporary)
        where = {
            layout.embeddings(results, eval_set, unit.arm, unit.seed, name): models
            / f"{name}.safetensors"
            for name in names
        }
        embed_set(data, where, sizes_of(entry))
        opened = open_family(results, data.ground_truth, eval_set, unit.arm, unit.seed, names)
        means = primary_means(data.ground_truth, *opened)
    return [
        {
            "protocol": protocol,
            "metric": metric,
            "random": random,
            # Rows are query models, columns gallery models, in the family's order.
            "values": [
                [float(value) for value in means.loc[_of(means, protocol, query), "value"]]
                for query in names
            ],
        }
        for (protocol, metric), random in random_floor(data.ground_truth).items()
    ]


def _of(means: pd.DataFrame, protocol: str, query: str) -> "pd.Series[bool]":
    return (means["protocol"] == protocol) & (means["query_model"] == query)


def _recorded(log: pd.DataFrame) -> dict[str, dict[str, float]]:
    """The mean of each recorded quantity and member, and of conflicts over the whole training."""
    last = log[log["step"] >= (1 - _LAST) * (log["step"].max() + 1)]
    found: dict[str, dict[str, float]] = {}
    for quantity, of in (("loss", last), ("uncertainty", last), ("conflict_share", log)):
        means = of[of["quantity"] == quantity].groupby("model")["value"].mean()
        if len(means):
            found[quantity] = {str(name): float(value) for name, value in means.items()}
    return found
