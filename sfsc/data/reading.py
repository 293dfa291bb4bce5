"""Images decoded by threads, ahead of whom they are for."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sfsc.data.sets import Images
from sfsc.files import InputError

_AHEAD = 256
"""Images that wait for their turn."""


def read_all(
    images: Images,
    rows: Iterable[int],
    prepare: Callable[[Image.Image], Image.Image],
) -> Generator[NDArray[np.uint8] | InputError, None, None]:
    """The pixels (H, W, 3) of each row's image after `prepare`, in order, or why there are none.

    As many threads as torch uses: Pillow decodes and resizes without Python's lock.
    """

    def read(row: int) -> NDArray[np.uint8] | InputError:
        try:
            return np.asarray(prepare(images.read(row)))
        except InputError as error:
            return error

    waiting: deque[Future[NDArray[np.uint8] | InputError]] = deque()
    pool = ThreadPoolExecutor(torch.get_num_threads())
    try:
        for row in rows:
            waiting.append(pool.submit(read, row))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def squared(size: int) -> Callable[[Image.Image], Image.Image]:
    """What makes an image (size, size), whatever its aspect ratio."""

    def fit(image: Image.Image) -> Image.Image:
        if image.size == (size, size):
            return image
        return image.resize((size, size), Image.Resampling.BICUBIC)

    return fit


def at_most(long_side: int) -> Callable[[Image.Image], Image.Image]:
    """What shrinks an image to that long side; as usual in this field, smaller ones stay."""

    def fit(image: Image.Image) -> Image.Image:
        factor = long_side / max(image.size)
        if factor >= 1:
            return image
        size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        return image.resize(size, Image.Resampling.BICUBIC)

    return fit
