"""A process that is forked has none of the threads that torch works with, and waits for them."""

from __future__ import annotations

import os

import torch

from layered_nst.errors import ProcessError

_worked = False
_forked = False


def begin_work() -> None:
    """Say that threads are going to work in this process, so that its children cannot.

    Raises:
        ProcessError: see ``check_threads``.
    """
    global _worked
    check_threads()
    _worked = True


def check_threads() -> None:
    """Refuse to work where it would never end.

    Raises:
        ProcessError: this process was forked from one that has painted, with more than one thread.
    """
    if _forked and torch.get_num_threads() > 1:
        raise ProcessError(
            "this process was forked from one that has painted and would wait for its threads "
            "forever; start processes by multiprocessing's `spawn` or `forkserver`, or call "
            "`torch.set_num_threads(1)` in it"
        )


def use_threads(count: int) -> None:
    """Compute with so many threads in this whole process, as long as it has as many processors.

    The last digits of sums, and so the bytes of a picture, depend on it.
    """
    if 1 <= count <= (os.cpu_count() or 1):
        torch.set_num_threads(count)


def _tell_child() -> None:
    global _forked
    _forked = _worked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_tell_child)
