"""Ctrl-C and its kin: they end the work, but not the writing of a picture."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Signal handler: a shutdown or a closed terminal ends the work as Ctrl-C does.

    It remembers, because libraries that are interrupted while they are imported may raise
    something else than KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.asked = False
        for number in STOPPING:
            # Who starts us with a signal ignored, such as nohup, wants it ignored.
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        raise KeyboardInterrupt


STOPPING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Finish writing a picture even if Ctrl-C is hit again."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
