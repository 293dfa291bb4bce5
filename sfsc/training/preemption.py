"""SIGTERM, with which clusters take a machine back, as a request to stop between two steps."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 128 + signal.SIGTERM
"""What the command line exits with: as a shell reports a process that SIGTERM ended."""


class Preempted(Exception):  # noqa: N818 -- somebody's wish, not an error
    """Training was asked to stop and saved its state; run again, it goes on from there."""


@contextmanager
def postponed_sigterm() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether SIGTERM arrived; nothing else happens upon it."""
    arrived = False

    def note(signum: int, frame: FrameType | None) -> None:
        nonlocal arrived
        del signum, frame
        arrived = True

    earlier = signal.signal(signal.SIGTERM, note)
    try:
        yield lambda: arrived
    finally:
        signal.signal(signal.SIGTERM, earlier)
