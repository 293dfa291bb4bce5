"""Which images make up batch t of a training, and what they are labelled."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sfsc.files import InputError
from sfsc.seeds import generator

_WINDOW = 64


class Order:
    """A random order of images, another one in each epoch; an incomplete last batch is left out.

    Batch t depends on the seed and on t alone, so training resumes at any step.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        labels: NDArray[np.int64],
        batch_size: int,
        seed: int,
        together: int = 1,
        images_per_class: int = 1,
    ):
        """`rows` (N,) of the data set are trained on; `labels` (N,) are what they are labelled.

        With `together` an epoch shuffles blocks of that many rows, and rows within each 64
        consecutive blocks, so that reading stays near where it is. With `images_per_class` above
        one, a batch holds that many images of each of its classes, as long as a class has them.
        """
        if len(rows) < 2:
            raise InputError(
                f"a training set of {len(rows)} image: training takes two or more; add images"
            )
        self.rows, self.labels = torch.from_numpy(rows), torch.from_numpy(labels)
        self.batch_size = min(batch_size, len(rows))
        self.steps_per_epoch = len(rows) // self.batch_size
        self._seed, self._together, self._per_class = seed, together, images_per_class
        # Two epochs: a reader that reads ahead has begun the next one.
        self._epoch = lru_cache(maxsize=2)(self._new_epoch)

    def batch(self, step: int, part: int = 0, parts: int = 1) -> tuple[Tensor, Tensor]:
        """Rows of the data set and labels, int64 (B,), of part `part` of batch `step`.

        Several processes share a batch in `parts` equal parts.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        size = self.batch_size // parts
        start = place * self.batch_size + part * size
        chosen = self._epoch(epoch)[start : start + size]
        return self.rows[chosen], self.labels[chosen]

    def _new_epoch(self, epoch: int) -> Tensor:
        random = generator(self._seed, "order", epoch)
        if self._per_class > 1:
            return self._by_class(random)
        if self._together == 1:
            return torch.randperm(len(self.rows), generator=random)
        rows = torch.arange(len(self.rows)).split(self._together)
        blocks = [rows[block] for block in torch.randperm(len(rows), generator=random)]
        windows = [
            torch.cat(blocks[start : start + _WINDOW]) for start in range(0, len(blocks), _WINDOW)
        ]
        return torch.cat([w[torch.randperm(len(w), generator=random)] for w in windows])

    def _by_class(self, random: torch.Generator) -> Tensor:
        """Groups of images of one class, in random order; what is left of each class comes last."""
        shuffled = torch.randperm(len(self.rows), generator=random)
        by_class = shuffled[torch.argsort(self.labels[shuffled], stable=True)]
        groups: list[Tensor] = []
        for of_class in by_class.split(torch.bincount(self.labels).tolist()):
            groups += of_class.split(self._per_class)
        whole = [group for group in groups if len(group) == self._per_class]
        rest = [group for group in groups if len(group) < self._per_class]
        return torch.cat([whole[i] for i in torch.randperm(len(whole), generator=random)] + rest)
