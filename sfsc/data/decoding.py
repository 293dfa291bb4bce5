"""Batches of images too many for the memory: worker processes decode them ahead of the training."""

import atexit
import hashlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from sfsc.data.loader import Augment, Batches, load_pixels, normalisation_of
from sfsc.data.reading import squared
from sfsc.data.sets import Images
from sfsc.files import InputError

_SAMPLE = 4096


class DecodedBatches(Batches):
    """Batches whose images are decoded and resized when their turn comes.

    The colour statistics are those of 4,096 images, evenly spaced.
    """

    def __init__(
        self,
        images: Images,
        size: int,
        labels: NDArray[np.int64],
        batch_size: int,
        augment: Augment,
        device: torch.device,
        workers: int,
        together: int = 1,
    ):
        """`size` is that of the square to which images are resized."""
        some = np.unique(np.linspace(0, len(labels) - 1, _SAMPLE).round().astype(int)).tolist()
        pixels, _ = load_pixels(images, some, size)
        super().__init__(labels, batch_size, augment, normalisation_of(pixels), device, together)
        self.digest = hashlib.sha256(pixels.data).hexdigest()
        self._decoded = _Decoded(images, size)
        self._workers = workers
        self._ahead: Iterator[Tensor] = iter(())
        # Before multiprocessing's own exit, which waits for workers that ignore its SIGTERM.
        atexit.register(self.close)
        self._next: tuple[int, int, int, int] | None = None

    def close(self) -> None:
        """End the worker processes: at Python's own exit, which sends SIGTERM, they would stay."""
        self._ahead, self._next = iter(()), None

    def _read(self, seed: int, step: int, part: int, parts: int) -> Tensor:
        if self._next != (seed, step, part, parts):
            loader = DataLoader(
                self._decoded,
                batch_sampler=_RowsFrom(self, seed, step, part, parts),
                num_workers=self._workers,
                # A fork of a process that has trained inherits the locks of torch's threads.
                multiprocessing_context="forkserver",
                collate_fn=_together,
                worker_init_fn=_leave_sigterm_to_the_trainer,
                pin_memory=self.device.type == "cuda",
            )
            self._ahead = iter(loader)
        pixels = next(self._ahead)
        if isinstance(pixels, InputError):
            raise pixels
        self._next = seed, step + 1, part, parts
        return pixels


@dataclass(frozen=True)
class _Decoded(Dataset[NDArray[np.uint8] | InputError]):
    images: Images
    size: int

    def __getitem__(self, row: int) -> NDArray[np.uint8] | InputError:
        try:
            return np.asarray(squared(self.size)(self.images.read(row)))
        except InputError as error:
            return error  # raised in a worker it would come with a traceback


@dataclass(frozen=True)
class _RowsFrom(Sampler[list[int]]):
    """The rows of each batch from `step` on, without end."""

    batches: Batches
    seed: int
    step: int
    part: int
    parts: int

    def __iter__(self) -> Iterator[list[int]]:
        step = self.step
        while True:
            yield self.batches.rows(self.seed, step, self.part, self.parts).tolist()
            step += 1


def _leave_sigterm_to_the_trainer(worker: int) -> None:
    # Schedulers signal a whole group of processes; a worker that dies would take training along.
    del worker
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _together(images: list[NDArray[np.uint8] | InputError]) -> Tensor | InputError:
    pixels = []
    for image in images:
        if isinstance(image, InputError):
            return image
        pixels.append(image)
    return torch.from_numpy(np.stack(pixels))
