"""From a task to the sub-model files of a family."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import torch

from sfsc import layout, submodel
from sfsc.config import Config, model_name, results, settings
from sfsc.data import kinds
from sfsc.data.decoding import DecodedBatches
from sfsc.data.loader import Augment, Batches, MemoryBatches, load_pixels
from sfsc.data.sets import TrainSet
from sfsc.files import InputError, replacing
from sfsc.seeds import derive
from sfsc.submodel import SubModel
from sfsc.switchable.backbone import NetworkSpec
from sfsc.switchable.network import SwitchableNetwork, build
from sfsc.training.aggregation import Aggregation, total
from sfsc.training.log import TrainingLog, write_logs
from sfsc.training.loop import train
from sfsc.training.normalisation import synchronise
from sfsc.training.objectives import Objective
from sfsc.training.options import TrainingOptions
from sfsc.training.processes import Processes, joined

AnObjective = TypeVar("AnObjective", bound=Objective)


@dataclass(frozen=True)
class Task:
    """Everything that a family's training depends on, and where its files go."""

    train_set: TrainSet
    widths: tuple[float, ...]
    seed: int
    spec: NetworkSpec
    options: TrainingOptions
    models: Path
    """Folder of the sub-model files, w<width>.safetensors."""
    records: Path
    """Folder of log.parquet, conflicts.csv, summary.json and, while training, the checkpoints."""


def task(config: Config, train_set: str, method: str, seed: int) -> Task:
    """The task of a method and a seed on one of a profile's training sets."""
    entry, chosen = config["train_sets"][train_set], settings(config, train_set, method)
    training = chosen["training"]
    options = TrainingOptions(**training | {"augment": Augment(**training.get("augment", {}))})
    return Task(
        kinds.train_set(entry, options.on_bad_image),
        tuple(sorted(config["widths"])),
        seed,
        NetworkSpec(**chosen["model"], image_size=entry["image_size"]),
        options,
        layout.models(results(config), train_set, method, seed),
        layout.records(results(config), train_set, method, seed),
    )


class Family:
    """Trains one family; a recipe calls `fit` once for each network that it trains."""

    def __init__(self, task: Task, processes: Processes, device: torch.device):
        self.task = task
        self.processes, self.device = processes, device
        options = task.options
        images, labels = task.train_set.images, task.train_set.labels
        self.batches: Batches
        self._skipped = 0
        if options.workers:
            self.batches = DecodedBatches(
                images, task.spec.image_size, labels, options.batch_size, options.augment, device,
                options.workers, task.train_set.together,
            )  # fmt: skip
        else:
            pixels, rows = load_pixels(
                images, range(len(images.ids)), task.spec.image_size, options.on_bad_image
            )
            self._skipped, labels = len(images.ids) - len(rows), labels[rows]
            self.batches = MemoryBatches(
                pixels, labels, options.batch_size, options.augment, device,
                task.train_set.together,
            )  # fmt: skip
        if self.batches.batch_size % processes.count:
            raise InputError(
                f"training.batch_size: {self.batches.batch_size} images cannot be shared equally"
                f" by {processes.count} processes; choose a multiple"
            )
        # A checkpoint counts only for the very images and settings it was made with.
        digest = hashlib.sha256(self.batches.digest.encode())
        digest.update(labels.data)
        digest.update("\n".join(images.ids).encode())
        self._data = digest.hexdigest()
        self._logs: list[TrainingLog] = []
        self._conflicts: list[pd.DataFrame] = []
        self._seconds = 0.0

    def start(
        self, widths: Sequence[float], objective: Callable[[int, int, int], AnObjective]
    ) -> tuple[SwitchableNetwork, AnObjective]:
        """A network of `widths` and its objective before training."""
        seed = derive(self.task.seed, "-".join(model_name(width) for width in widths))
        network = build(self.task.spec, widths, seed)
        if self.task.options.batch_norm == "synchronised" and self.processes.count > 1:
            synchronise(network)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "classifiers"))
            classes = len(self.task.train_set.classes)
            criterion = objective(len(widths), self.task.spec.embedding_dim, classes)
        return network.to(self.device), criterion.to(self.device)

    def fit(
        self,
        widths: Sequence[float],
        objective: Callable[[int, int, int], AnObjective],
        aggregation: Aggregation = total,
    ) -> AnObjective:
        """Train one network of `widths` (a static one, if single) and save its sub-models.

        `objective` is called with the number of sub-models, D and the number of classes. Data
        order, augmentation and further draws follow from the task's seed alone, so that all
        methods see the same batches; initial weights also from `widths`: methods that train the
        same widths together start alike, and models trained separately start differently.
        """
        task, name = self.task, "-".join(model_name(width) for width in widths)
        network, criterion = self.start(widths, objective)
        fingerprint = {
            "seed": task.seed,
            "data": self._data,
            "widths": list(widths),
            "spec": dataclasses.asdict(task.spec),
            "options": {
                name: value
                for name, value in dataclasses.asdict(task.options).items()
                if name not in ("workers", "checkpoint_seconds")
            },
            "processes": self.processes.count,
            # With its losses.
            "objective": [type(module).__name__ for module in criterion.modules()],
        }
        log, conflicts, seconds = train(
            network, criterion, aggregation, self.batches, task.options, task.seed,
            task.records / f"checkpoint-{name}.safetensors", fingerprint, self.processes,
        )  # fmt: skip
        self._logs.append(log)
        self._conflicts.append(conflicts)
        self._seconds += seconds
        for index, width in enumerate(widths if self.processes.rank == 0 else ()):
            submodel.save(
                task.models / f"{model_name(width)}.safetensors",
                SubModel(
                    network.extract(index).cpu(), task.spec, width,
                    self.batches.normalisation, len(task.train_set.classes),
                ),
            )  # fmt: skip
        return criterion

    def finish(self) -> None:
        """Write log.parquet, conflicts.csv and summary.json, and remove the checkpoints."""
        if self.processes.rank > 0:
            return
        records = self.task.records
        write_logs(records / "log.parquet", self._logs)
        with replacing(records / "conflicts.csv") as beside:
            pd.concat(self._conflicts).to_csv(beside, index=False)
        summary: dict[str, Any] = {
            "train_seconds": self._seconds,
            "images": len(self.task.train_set.images.ids) - self._skipped,
            "images_skipped": self._skipped,
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "processes": self.processes.count,
        }
        with replacing(records / "summary.json") as beside:
            beside.write_text(json.dumps(summary, indent=2) + "\n")
        for path in sorted(records.glob("checkpoint-*.safetensors")):
            path.unlink()


Recipe = Callable[[Family], None]
"""A method: it calls `family.fit` for the networks it trains."""


def train_family(task: Task, recipe: Recipe) -> None:
    """Run a recipe and record it, with all processes that torchrun started."""
    with joined() as (processes, device):
        family = Family(task, processes, device)
        try:
            recipe(family)
            family.finish()
        finally:
            family.batches.close()
