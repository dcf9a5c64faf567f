"""What it looks like when there is too little memory even to import what a command needs."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from layered_nst.cli.signals import STOPPING
from layered_nst.words import gigabytes

# Of the loader of the system, of numpy and of the C library.
_SIGNS = ("failed to map segment", "cannot allocate", "bad_alloc", "can't start new thread")
# Less than this of addresses, and no library that computes can be mapped.
_LEAST = 300e6
# With less than this of them they may not find all that they want.
_SCARCE = 4.5e9
_STATUS = Path("/proc/self/statm")


def ended_for_want_of_memory() -> bool:
    """Go on in a process of its own where there are few addresses, and see how that one ends.

    What C++ finds no memory for while libraries are loaded, or in a thread of theirs, ends a
    process there and then, without an error that could be caught. So this one waits, with nothing
    loaded, ends as the other does, and is left to say what happened.

    Returns:
        False at once where there is enough, and in the process that goes on; True if that was ended
        by a library.
    """
    if _limit() >= _SCARCE:
        return False
    # A signal that comes between is for the child too, and waits until it is handed on.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    child = os.fork()
    if child == 0:
        os.setpgrp()  # a terminal's Ctrl-C comes from the one that waits, and not twice
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return False
    for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda sent, _: os.kill(child, sent))
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == -signal.SIGABRT:
        return True
    sys.exit(code if code >= 0 else 128 - code)


def is_shortage_while_importing(error: BaseException) -> bool:
    """Whether an error is that of a library which finds no memory while it is imported.

    They say so in many ways, some of them none; then it counts how many addresses are left.
    """
    chain = [*_chain(error)]
    if not any(isinstance(one, ImportError) or _is_from_import(one) for one in chain):
        return False
    return any(_says_so(one) for one in chain) or _addresses_left() < _LEAST


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_from_import(error: BaseException) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return any(frame.filename.startswith("<frozen importlib") for frame in frames)


def _says_so(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    return any(sign in str(error).lower() for sign in _SIGNS)


def _addresses_left() -> float:
    with contextlib.suppress(ImportError, OSError, ValueError, IndexError):
        import resource

        return _limit() - int(_STATUS.read_text().split()[0]) * resource.getpagesize()
    return float("inf")


def _limit() -> float:
    """Addresses that this process may have, in bytes."""
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return float("inf")
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return float("inf") if limit == resource.RLIM_INFINITY else float(limit)


def room_in_words() -> str:
    """``the 2.6 GB that this process may have``."""
    limit = _limit()
    there = "the memory" if limit == float("inf") else f"the {gigabytes(limit)}"
    return f"{there} that this process may have"
