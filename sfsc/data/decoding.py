"""Batches of images too many for the memory: threads decode them ahead of the training."""

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sfsc.data.loader import Augment, Batches, load_pixels, normalisation_of
from sfsc.data.reading import squared
from sfsc.data.sets import Images

_SAMPLE = 4096
_AHEAD = 3
"""Batches decoded or about to be, while another is trained on."""


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
        """`size` is that of the square to which images are resized; `workers` are threads."""
        some = np.unique(np.linspace(0, len(labels) - 1, _SAMPLE).round().astype(int)).tolist()
        pixels, _ = load_pixels(images, some, size)
        super().__init__(labels, batch_size, augment, normalisation_of(pixels), device, together)
        self.digest = hashlib.sha256(pixels.data).hexdigest()
        self._images, self._size, self._fit = images, size, squared(size)
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers)
        self._ahead: deque[_Ahead] = deque()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _read(self, seed: int, step: int, part: int, parts: int) -> Tensor:
        if not self._ahead or self._ahead[0].place != (seed, step, part, parts):
            for other in self._ahead:
                other.cancel()
            self._ahead.clear()
        while len(self._ahead) <= _AHEAD:
            self._ahead.append(self._begun(seed, step + len(self._ahead), part, parts))
        return self._ahead.popleft().pixels()

    def _begun(self, seed: int, step: int, part: int, parts: int) -> "_Ahead":
        rows = self.rows(seed, step, part, parts).numpy()
        # Pinned, a GPU fetches it while the CPU goes on, and torch uses the memory again after it.
        pinned = self.device.type == "cuda"
        pixels = torch.empty(
            (len(rows), self._size, self._size, 3), dtype=torch.uint8, pin_memory=pinned
        )
        shares = zip(
            np.array_split(rows, self._workers),
            np.array_split(pixels.numpy(), self._workers),
            strict=True,
        )
        jobs = [self._pool.submit(self._decode, *share) for share in shares]
        return _Ahead((seed, step, part, parts), pixels, jobs)

    def _decode(self, rows: NDArray[np.int64], pixels: NDArray[np.uint8]) -> None:
        for place, row in enumerate(rows.tolist()):
            pixels[place] = self._fit(self._images.read(row))


@dataclass(frozen=True)
class _Ahead:
    """A batch that threads fill with pixels."""

    place: tuple[int, int, int, int]
    buffer: Tensor
    jobs: list[Future[None]]

    def pixels(self) -> Tensor:
        for job in self.jobs:
            job.result()
        return self.buffer

    def cancel(self) -> None:
        for job in self.jobs:
            job.cancel()
