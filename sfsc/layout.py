"""Where the files of a profile's results are; `results` is results/<profile>."""

from pathlib import Path
from typing import Literal

Side = Literal["query", "gallery"]
"""Which embeddings of a model are translated where it meets another one."""

SIDES: tuple[Side, ...] = ("query", "gallery")


def models(results: Path, train_set: str, method: str, seed: int) -> Path:
    """Folder of a family's sub-model files, w<width>.safetensors."""
    return results / "models" / train_set / method / f"seed{seed}"


def sub_models(models: Path) -> list[Path]:
    """The sub-model files of such a folder, without the translations next to them."""
    translated = (".query-for-", ".gallery-for-")
    files = sorted(models.glob("*.safetensors"))
    return [path for path in files if not any(mark in path.name for mark in translated)]


def records(results: Path, train_set: str, method: str, seed: int) -> Path:
    """Folder of log.parquet and summary.json of a family that our loop trained."""
    return results / "training" / train_set / method / f"seed{seed}"


def embeddings(results: Path, eval_set: str, method: str, seed: int, model: str) -> Path:
    """Folder of query.npy and gallery.npy."""
    return results / "embeddings" / eval_set / method / f"seed{seed}" / model


def translated(folder: Path, side: str) -> dict[str, Path]:
    """The files `<side>-for-<other model>.npy` of a folder of embeddings, by the other model."""
    start = f"{side}-for-"
    return {path.stem.removeprefix(start): path for path in sorted(folder.glob(f"{start}*.npy"))}


def evaluation(results: Path, eval_set: str, method: str) -> Path:
    """Folder of metrics.csv and per_query.parquet of all seeds of a method."""
    return results / "evaluation" / eval_set / method
