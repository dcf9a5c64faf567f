"""What the processes of workers are begun with."""

from __future__ import annotations

import os
import sys


def threads_in_words(threads: int) -> dict[str, str]:
    """The variables by which libraries are told how many threads to work with."""
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))


def surroundings(threads: int) -> dict[str, str]:
    """Our own variables, for a process of so many threads.

    Modules that were put in our way by a script are in the way of its workers too.
    """
    path = os.pathsep.join(part for part in sys.path if part)
    return {**os.environ, **threads_in_words(threads), "PYTHONPATH": path}
