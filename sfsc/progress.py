"""Progress bars: live on a terminal, a line every half minute in a log file."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress(
    items: Iterable[Any] | None,
    label: str,
    unit: str,
    total: int | None = None,
    done: int = 0,
    shown: bool = True,
) -> "tqdm[Any]":
    """A bar on standard error over `items`, or, without them, one that `update` moves.

    Work that takes less than a second shows none.
    """
    return tqdm(
        items,
        label,
        total,
        unit=unit,
        initial=done,
        disable=not shown,
        delay=1.0,
        mininterval=0.1 if sys.stderr.isatty() else 30.0,
        file=sys.stderr,
    )
