"""Independent random streams from one seed and a name, so that there is no state to save."""

import zlib

import numpy as np
import torch


def derive(seed: int, *parts: str | int) -> int:
    """A seed (63 bits) that depends on `seed` and on each of `parts`."""
    words = [part if isinstance(part, int) else zlib.crc32(part.encode()) for part in parts]
    return int(np.random.SeedSequence([seed, *words]).generate_state(1, np.uint64)[0] >> 1)


def generator(seed: int, *parts: str | int) -> torch.Generator:
    """A torch generator on the CPU, seeded by `derive`."""
    return torch.Generator().manual_seed(derive(seed, *parts))
