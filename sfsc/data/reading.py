"""Images decoded by threads before they are needed."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sfsc.data.sets import Images
from sfsc.files import InputError

Prepare = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""What is done to an image, (H, W, 3)."""

_AHEAD = 256
"""Images that wait for their turn."""


def read_all(
    images: Images,
    rows: Iterable[int],
    prepare: Prepare,
) -> Generator[NDArray[np.uint8] | InputError, None, None]:
    """The pixels (H, W, 3) of each row's image after `prepare`, in order, or why there are none.

    As many threads as torch uses: images are decoded and resized without Python's lock.
    """

    def read(row: int) -> NDArray[np.uint8] | InputError:
        try:
            return prepare(images.read(row))
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


def squared(size: int) -> Prepare:
    """What makes an image (H, W, 3) one of (size, size, 3), whatever its aspect ratio."""

    def fit(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return _resized(pixels, (size, size))

    return fit


def at_most(long_side: int) -> Prepare:
    """What shrinks an image to that long side; as usual in this field, smaller ones stay."""

    def fit(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width, _ = pixels.shape
        factor = min(1.0, long_side / max(height, width))
        return _resized(pixels, (max(1, round(width * factor)), max(1, round(height * factor))))

    return fit


def _resized(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    height, width, _ = pixels.shape
    if (width, height) == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
