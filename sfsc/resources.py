"""What a job asks a cluster for: MB of memory and minutes, from the configuration and the data.

They are bounds for a scheduler, not forecasts. A job that reaches one is started again with more,
and training goes on from its checkpoint.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfsc.config import Config, data_path, model_names, settings, typed
from sfsc.options import part
from sfsc.profile import Sizes, TrainingOptions, TrainSetEntry

_LISTED = 17
"""Bytes of an image's id, and of what parts it from the next, in Google Landmarks v2's lists."""

CLEAN_IMAGES, INDEX_IMAGES = 1_580_470, 761_757
"""Google Landmarks v2's clean training set, and its gallery."""

_DISTRACTORS, _OTHER = 1_001_001, 60_000
"""Images of Revisited's distractors, and of any other set at most."""

_TRAINED = {"gpu": 1500, "thread": 15}
"""Images per second and sub-model at 224 pixels: ResNet-50's order of magnitude."""

_EMBEDDED = {"gpu": 1000, "thread": 20}
"""Images per second and sub-model at 512 pixels."""

_PACKED = 40
"""Images a second and thread that a shared disk may leave of benchmarks/preparation.py's rate."""

_IDLE_MB = 3000
"""torch, timm and what they load, with a GPU's libraries."""

_WORKER_MB = 1000
"""A process that packs."""

_THREAD_MB = 250
"""A thread that decodes: a photograph of up to 36 megapixels, and what it is resized to."""

_SAMPLE, _BATCHES = 4096, 5
"""Images whose colours are measured at the start, and batches that wait or are trained on."""


def train(config: Config, train_set: str) -> tuple[int, int]:
    """Memory of each machine, and time, of training one family."""
    entry, profile = config["train_sets"][train_set], typed(config)
    training = part(TrainingOptions, settings(config, train_set)["training"])
    images, area = _training_images(entry), entry["image_size"] ** 2
    decoding, processes = training.decoding_threads, profile.processes
    waiting = _SAMPLE + _BATCHES * training.batch_size
    held = decoding * _THREAD_MB + 3 * area * (waiting if decoding else images) / 2**20
    passes = images * training.epochs * len(model_names(config)) * area / 224**2
    return round(processes * (_IDLE_MB + held)), _minutes(
        passes / _rate(config, _TRAINED) / processes / profile.nodes
    )


def embed(config: Config, eval_set: str) -> tuple[int, int]:
    """Memory and time of embedding a set with every sub-model and seed of a method."""
    entry = config["eval_sets"][eval_set]
    scales = part(Sizes, entry).scales
    models = len(model_names(config)) * len(config["seeds"])
    passes = _evaluated_images(entry) * models * len(scales)
    return 2 * _IDLE_MB, _minutes(passes / _rate(config, _EMBEDDED))


def evaluate(embeddings_mb: float) -> tuple[int, int]:
    """The same of scoring all pairs of a method's embeddings, of so many MB."""
    return round(_IDLE_MB + embeddings_mb), _minutes(embeddings_mb / 20)


def pack(entry: Mapping[str, Any], threads: int) -> tuple[int, int]:
    """The same of packing the training set of an entry of the config's `train_sets`."""
    return _IDLE_MB + threads * _WORKER_MB, _minutes(_training_images(entry) / _PACKED / threads)


def _minutes(seconds: float) -> int:
    return round(15 + seconds / 60)


def _rate(config: Config, rates: Mapping[str, int]) -> int:
    profile = typed(config)
    return rates["gpu"] if profile.gpu else rates["thread"] * profile.threads


def _training_images(entry: Mapping[str, Any]) -> int:
    if entry["kind"] != "gldv2":
        return _OTHER
    share = part(TrainSetEntry, entry).class_fraction
    return round(share * _listed(data_path(entry) / "train_clean.csv", CLEAN_IMAGES))


def _evaluated_images(entry: Mapping[str, Any]) -> int:
    if entry["kind"] == "gldv2":
        return _listed(data_path(entry) / "index.csv", INDEX_IMAGES)
    return _OTHER + (_DISTRACTORS if "distractors" in entry else 0)


def _listed(path: Path, official: int) -> int:
    """Images in a list, by its length; the official number where it is not fetched yet."""
    return path.stat().st_size // _LISTED if path.exists() else official
