"""From a task to the files of a family: what a method trains with."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from sfsc.data.batches import Batches, MemoryBatches, load_pixels
from sfsc.data.decoding import DecodedBatches
from sfsc.data.order import Order
from sfsc.data.share import some_labels, some_rows
from sfsc.files import InputError, replacing
from sfsc.layout import SIDES, Side
from sfsc.profile import TrainingOptions
from sfsc.progress import progress
from sfsc.seeds import derive
from sfsc.switchable import submodel, translation
from sfsc.switchable.network import StaticNetwork, SwitchableNetwork, build
from sfsc.switchable.separate import SeparateNetworks
from sfsc.switchable.submodel import SubModel
from sfsc.switchable.translation import Translation, translation_file, translation_files
from sfsc.training.aggregation import Aggregation, total
from sfsc.training.fitted import AnObjective, Fitted, Teacher
from sfsc.training.gradients import Scope
from sfsc.training.log import TrainingLog, write_logs
from sfsc.training.loop import Turns, train
from sfsc.training.member import Member
from sfsc.training.normalisation import recalibrate, synchronise
from sfsc.training.objectives import Problem
from sfsc.training.processes import Processes, joined
from sfsc.training.state import State
from sfsc.training.step import Step
from sfsc.training.task import Task
from sfsc.training.trainable import Trainable

TheTeacher = Literal["scenario", "last", "first", "before"]
"""Which member is the teacher of another."""

_EMBEDDED = 256
"""Images of the training set that pass through a network at a time."""


class Family:
    """Trains one family. A method builds networks, fits them, and saves each member."""

    def __init__(
        self,
        task: Task,
        processes: Processes,
        device: torch.device,
        before_step: Callable[[int], None] = lambda step: None,
    ):
        self.task, self.members = task, task.members
        self.processes, self.device = processes, device
        self._before_step = before_step
        options, images = task.options, task.train_set.images
        size = task.members[0].spec.image_size
        self.labels: NDArray[np.int64] = task.train_set.labels
        """Of the images that were read, int64 (N,)."""
        self._skipped = 0
        self.batches: Batches
        if options.decoding_threads:
            self.batches = DecodedBatches(
                images, size, options.augment, device, options.decoding_threads
            )
        else:
            pixels, rows = load_pixels(images, range(len(images.ids)), size, options.on_bad_image)
            self._skipped, self.labels = len(images.ids) - len(rows), self.labels[rows]
            self.batches = MemoryBatches(pixels, options.augment, device)
        # A checkpoint counts only for the very images and settings it was made with.
        digest = hashlib.sha256(self.batches.digest.encode())
        digest.update(self.labels.data)
        digest.update("\n".join(images.ids).encode())
        self._data = digest.hexdigest()
        self._fits: list[str] = []
        self._saved: set[str] = set()
        self._translations: set[Path] = set()
        self._logs: list[TrainingLog] = []
        self._conflicts: list[pd.DataFrame] = []
        self._seconds = 0.0
        self._seed_draws()

    def _seed_draws(self) -> None:
        """What a method draws itself, between trainings, is the same whether or not one resumed."""
        torch.manual_seed(derive(self.task.seed, "method", len(self._fits)))

    def static(self, member: Member) -> SwitchableNetwork:
        """A new network of one member. Its initial weights depend on the seed and the name."""
        return self._built(member.spec, [member])

    def switchable(self, members: Sequence[Member] | None = None) -> SwitchableNetwork:
        """A new network whose sub-models are `members` (default: all), with nested weights."""
        chosen = list(self.members if members is None else members)
        return self._built(chosen[0].spec, chosen)

    def separate(self, members: Sequence[Member] | None = None) -> SeparateNetworks:
        """New networks that share nothing, to be trained together."""
        return SeparateNetworks([self.static(member) for member in members or self.members])

    def ties(self, teacher: TheTeacher = "scenario") -> list[tuple[Member, Member | None]]:
        """The members in the order of one-to-one training, each with the teacher it is tied to.

        The one that is trained first has none. The teacher of all others is the `last` member, the
        `first`, or the one `before`; `scenario` is the last, the widest, by capacity, and the one
        before by generations.
        """
        if teacher == "scenario":
            teacher = "before" if self.task.scenario == "generations" else "last"
        if teacher == "before":
            return list(zip(self.members, [None, *self.members[:-1]], strict=True))
        known = self.members[-1 if teacher == "last" else 0]
        return [(known, None), *((member, known) for member in self.members if member != known)]

    def classes(self, member: Member) -> NDArray[np.int64]:
        """The labels in the training set of the classes that a member may see, sorted, (K,).

        In batches of this member's data, label k stands for the k-th of them.
        """
        return some_labels(len(self.task.train_set.classes), member.classes)

    def rows(self, member: Member) -> NDArray[np.int64]:
        """The rows of the images that a member may see, sorted, (N,)."""
        return some_rows(self.labels, self.classes(member), member.images)

    def fit(
        self,
        network: Trainable,
        objective: Callable[[Problem], AnObjective],
        aggregation: Aggregation = total,
        scope: Scope = "network",
        *,
        data: Member | None = None,
        options: TrainingOptions | None = None,
        turns: Turns | None = None,
        images_per_class: int = 1,
        recalibrated: bool = False,
    ) -> Fitted[AnObjective]:
        """Train a network, resuming where an earlier process stopped, to the same bits.

        `data` is the member whose images and classes are trained on, by default the network's last
        one. `options` are the profile's, unless a method changes them; `turns` says which members
        train in a step, by default all in order; batches hold `images_per_class` of each class;
        `recalibrated` measures all normalisation anew at the end.

        Data order, augmentation and further draws follow from the task's seed alone, so that all
        methods see the same batches; initial weights also from the names of the members.
        """
        chosen, criterion, order = self.prepared(
            network, objective, data, options, images_per_class
        )
        task, name = self.task, "-".join(network.names)
        fingerprint = {
            "seed": task.seed,
            "data": [self._data, hashlib.sha256(order.rows.numpy().data).hexdigest()],
            "members": [dataclasses.asdict(member) for member in task.members],
            "options": {
                key: value
                for key, value in dataclasses.asdict(chosen).items()
                if key not in ("decoding_threads", "checkpoint_seconds")
            },
            "method": [task.code, dataclasses.asdict(task.method_options)],
            "fit": [scope, images_per_class, recalibrated],
            # Teachers, and whatever else this training depends on, come from those before it.
            "after": list(self._fits),
            "processes": self.processes.count,
            # With its losses.
            "objective": [type(module).__name__ for module in criterion.modules()],
        }
        update = Step(network, criterion, aggregation, scope, chosen, self.processes)
        path = task.records / f"checkpoint-{len(self._fits)}-{name}.safetensors"
        state = State(path, json.loads(json.dumps(fingerprint)), update, self.processes)
        train(
            update,
            state,
            self.batches,
            order,
            chosen,
            task.seed,
            self.processes,
            turns,
            self._before_step,
        )
        if recalibrated:
            recalibrate(network, self.batches, order, task.seed)
        self._logs.append(state.log)
        self._conflicts.append(update.conflicts.frame())
        self._seconds += state.seconds
        fitted = Fitted(network, criterion, self.device)
        self._fits.append(fitted.digest())
        self._seed_draws()
        return fitted

    def fit_alone(
        self, member: Member, objective: Callable[[Problem], AnObjective], **how: Any
    ) -> Fitted[AnObjective]:
        """Fit a member as a network of its own and save it; `how` as in `fit`."""
        fitted = self.fit(self.static(member), objective, data=member, **how)
        self.save(member, fitted.extract(member))
        return fitted

    def fit_together(
        self, objective: Callable[[Problem], AnObjective], *how: Any, **more: Any
    ) -> Fitted[AnObjective]:
        """Fit all members as one switchable network and save them; the others as in `fit`."""
        fitted = self.fit(self.switchable(), objective, *how, **more)
        for member in self.members:
            self.save(member, fitted.extract(member))
        return fitted

    def embed(self, model: Teacher, data: Member | None = None) -> NDArray[np.float32]:
        """Unit embeddings (N, D) of the training images, not augmented, in the order of `rows`.

        All images, or those that `data` may see.
        """
        rows = torch.arange(len(self.labels)) if data is None else torch.from_numpy(self.rows(data))
        parts = rows.split(_EMBEDDED)
        shown = progress(parts, "training images", "batch", shown=self.processes.rank == 0)
        return np.concatenate([model(self.batches.plain(part)).cpu().numpy() for part in shown])

    def save(self, member: Member, network: nn.Module) -> None:
        """Write a member's sub-model file, from a network of `Fitted.extract`.

        Raises InputError for a member that is saved already or not of this family.
        """
        if member.name in self._saved or member not in self.members:
            raise InputError(f"family.save: {member.name} is saved already, or no member here")
        self._saved.add(member.name)
        assert isinstance(network, StaticNetwork)
        if self.processes.rank == 0:
            submodel.save(
                self.task.models / f"{member.name}.safetensors",
                SubModel(
                    network,
                    network.spec,
                    network.width,
                    self.batches.normalisation,
                    len(self.classes(member)),
                ),
            )

    def save_translation(self, of: Member, side: Side, other: Member, network: Translation) -> None:
        """Write what translates the queries or the gallery of `of` where it meets `other`.

        `side` is "query" or "gallery".
        """
        if side not in SIDES:
            raise InputError(f"save_translation: {side!r} is not one of {', '.join(SIDES)}")
        path = translation_file(self.task.models, of.name, side, other.name)
        self._translations.add(path)
        if self.processes.rank == 0:
            translation.save(path, network.cpu())

    def finish(self) -> None:
        """Write log.parquet, conflicts.csv and summary.json, and remove the checkpoints.

        Raises InputError where a member was not saved.
        """
        if missing := [m.name for m in self.members if m.name not in self._saved]:
            raise InputError(
                f"the method saved no {', '.join(missing)}; let it call family.save(member,"
                " fitted.extract(member)), or family.fit_alone"
            )
        if self.processes.rank > 0:
            return
        records = self.task.records
        write_logs(records / "log.parquet", self._logs)
        with replacing(records / "conflicts.csv") as beside:
            pd.concat(self._conflicts).to_csv(beside, index=False)
        summary: dict[str, Any] = {
            "train_seconds": self._seconds,
            "networks": len(self._fits),
            "images": len(self.labels),
            "images_skipped": self._skipped,
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "processes": self.processes.count,
        }
        with replacing(records / "summary.json") as beside:
            beside.write_text(json.dumps(summary, indent=2) + "\n")
        for path in sorted(records.glob("checkpoint-*.safetensors")):
            path.unlink()
        for path in translation_files(self.task.models):  # of an earlier version of the method
            if path not in self._translations:
                path.unlink()

    def _built(self, spec: Any, members: Sequence[Member]) -> SwitchableNetwork:
        names = [member.name for member in members]
        seed = derive(self.task.seed, "-".join(names))
        network = build(spec, [member.width for member in members], seed, names)
        if self.task.options.batch_norm == "synchronised" and self.processes.count > 1:
            synchronise(network)
        return network

    def prepared(
        self,
        network: Trainable,
        objective: Callable[[Problem], AnObjective],
        data: Member | None,
        options: TrainingOptions | None,
        images_per_class: int,
    ) -> tuple[TrainingOptions, AnObjective, Order]:
        """What `fit` trains with, on the device."""
        task, chosen = self.task, options or self.task.options
        by_name = {member.name: member for member in self.members}
        trained = [by_name[name] for name in network.names]
        if data is None and len({(each.classes, each.images) for each in trained}) > 1:
            raise InputError(
                f"members: {', '.join(network.names)} see different data, and this method trains"
                " them in one step, on the same batches; leave it out of this profile"
            )
        seen = data or trained[-1]
        known, rows = self.classes(seen), self.rows(seen)
        order = Order(
            rows,
            np.searchsorted(known, self.labels[rows]),
            chosen.batch_size,
            task.seed,
            task.train_set.together,
            images_per_class,
        )
        if order.batch_size % self.processes.count:
            raise InputError(
                f"training.batch_size: {order.batch_size} images cannot be shared equally"
                f" by {self.processes.count} processes; choose a multiple"
            )
        problem = Problem(
            len(network.names),
            network.embedding_dim,
            len(known),
            chosen.embedding_scale,
            chosen.margin,
            chosen.label_smoothing,
        )
        with torch.random.fork_rng(devices=[]):
            seed = derive(task.seed, "-".join(network.names))
            torch.manual_seed(derive(seed, "classifiers"))
            criterion = objective(problem)
        network.to(self.device)
        return chosen, criterion.to(self.device), order


def train_family(task: Task, before_step: Callable[[int], None] = lambda step: None) -> None:
    """Run a task's method and record it, with all processes that torchrun started.

    `before_step` is called with the number of each step that is about to be made.
    """
    assert task.method.train is not None
    with joined() as (processes, device):
        family = Family(task, processes, device, before_step)
        try:
            task.method.train(family, task.method_options)
            family.finish()
        finally:
            family.batches.close()
