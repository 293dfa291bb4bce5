"""Batches of images too many for the memory: threads decode them ahead of the training."""

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sfsc.data.batches import Batches, load_pixels
from sfsc.data.normalisation import normalisation_of
from sfsc.data.order import Order
from sfsc.data.reading import squared
from sfsc.data.sets import Images
from sfsc.profile import Augment

_SAMPLE = 4096
_AHEAD = 3
"""Batches decoded or about to be, while another is trained on."""


class DecodedBatches(Batches):
    """Batches whose images are decoded and resized when their turn comes.

    The colour statistics are those of 4,096 images, evenly spaced.
    """

    def __init__(
        self, images: Images, size: int, augment: Augment, device: torch.device, threads: int
    ):
        """`size` is that of the square to which images are resized; `threads` decode them."""
        count = len(images.ids)
        some = np.unique(np.linspace(0, count - 1, _SAMPLE).round().astype(int)).tolist()
        pixels, _ = load_pixels(images, some, size)
        super().__init__(augment, normalisation_of(pixels), device)
        self.digest = hashlib.sha256(pixels.data).hexdigest()
        self._images, self._size, self._fit = images, size, squared(size)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)
        self._ahead: deque[_Ahead] = deque()

    def plain(self, rows: Tensor) -> Tensor:
        pixels, jobs = self._decoded(rows.numpy())
        for job in jobs:
            job.result()
        return self.normalisation(pixels.to(self.device))

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _read(self, order: Order, step: int, part: int, parts: int) -> Tensor:
        if not self._ahead or self._ahead[0].place != (order, step, part, parts):
            for other in self._ahead:
                other.cancel()
            self._ahead.clear()
        while len(self._ahead) <= _AHEAD:
            place = (order, step + len(self._ahead), part, parts)
            rows, _ = order.batch(*place[1:])
            self._ahead.append(_Ahead(place, *self._decoded(rows.numpy())))
        return self._ahead.popleft().pixels()

    def _decoded(self, rows: NDArray[np.int64]) -> tuple[Tensor, list[Future[None]]]:
        """The pixels of some rows, (B, S, S, 3), and the jobs that fill them in."""
        # Pinned, a GPU fetches it while the CPU goes on, and torch uses the memory again after it.
        pinned = self.device.type == "cuda"
        pixels = torch.empty(
            (len(rows), self._size, self._size, 3), dtype=torch.uint8, pin_memory=pinned
        )
        shares = zip(
            np.array_split(rows, self._threads),
            np.array_split(pixels.numpy(), self._threads),
            strict=True,
        )
        return pixels, [self._pool.submit(self._decode, *share) for share in shares]

    def _decode(self, rows: NDArray[np.int64], pixels: NDArray[np.uint8]) -> None:
        for place, row in enumerate(rows.tolist()):
            pixels[place] = self._fit(self._images.read(row))


@dataclass(frozen=True)
class _Ahead:
    """A batch that threads fill with pixels."""

    place: tuple[Order, int, int, int]
    buffer: Tensor
    jobs: list[Future[None]]

    def pixels(self) -> Tensor:
        for job in self.jobs:
            job.result()
        return self.buffer

    def cancel(self) -> None:
        for job in self.jobs:
            job.cancel()
