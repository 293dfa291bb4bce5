"""Random embeddings: what every measure is for models that know nothing.

Writes embeddings instead of training sub-models:
python baselines/chance.py --config FILE --eval-set NAME
"""

from pathlib import Path

import click
import numpy as np

from sfsc import config, layout
from sfsc.cli import OneLine
from sfsc.data.kinds import retrieval_set
from sfsc.files import replacing
from sfsc.method import Method

METHOD = Method(
    None,
    summary="random embeddings; what a search reaches without having learned anything",
)


@click.command(cls=OneLine)
@click.option("--config", "file", type=click.Path(path_type=Path), required=True)
@click.option("--eval-set", required=True)
def main(file: Path, eval_set: str) -> None:
    """Write random unit vectors as the embeddings of every sub-model."""
    profile = config.read(file)
    entry = profile["eval_sets"][eval_set]
    truth = retrieval_set(entry).ground_truth
    members = config.member_sections(profile)
    model = config.settings(profile, entry["train_set"])["model"]
    dimensions = {name: (model | own.model)["embedding_dim"] for name, own in members.items()}
    rows = {"query": len(truth.query_ids), "gallery": len(truth.gallery_ids)}
    for seed in profile["seeds"]:
        random = np.random.default_rng(seed)
        for name, dimension in dimensions.items():
            folder = layout.embeddings(config.results(profile), eval_set, "chance", seed, name)
            for role, count in rows.items():
                vectors = random.standard_normal((count, dimension))
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
                with replacing(folder / f"{role}.npy") as beside:
                    np.save(beside, vectors.astype(np.float32))


if __name__ == "__main__":
    main()
