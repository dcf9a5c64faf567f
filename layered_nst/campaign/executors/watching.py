"""What every worker does around its task, wherever it runs: memory is watched, errors are told."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol, Self

import psutil

from layered_nst.campaign.jobs import Ending, Job, Outcome
from layered_nst.errors import Interrupted, LayeredNstError
from layered_nst.words import gigabytes

log = logging.getLogger(__name__)

Tell = Callable[[Mapping[str, Any]], None]
LOOK = 0.2
"""Seconds between looks at the memory."""
CODE = 77
"""Exit code of a worker that took too much memory."""
EVERYONES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""Errors of the system that all jobs would meet alike."""


class Task(Protocol):
    """What a worker runs for each job."""

    def __call__(self, job: Job, tell: Tell, stop: threading.Event) -> Outcome:
        """Do it, tell how far it is, and leave it when ``stop`` is set."""


def outcome_of(task: Task, job: Job, tell: Tell, stop: threading.Event) -> Outcome:
    """What becomes of a job, also where its task ends by an error."""
    started = time.perf_counter()
    try:
        outcome = task(job, tell, stop)
    except (Exception, KeyboardInterrupt) as error:
        outcome = outcome_of_error(error)
    peak = float(psutil.Process().memory_info().rss)
    seconds = time.perf_counter() - started
    return replace(outcome, seconds=seconds, peak=max(peak, outcome.peak))


def outcome_of_error(error: BaseException) -> Outcome:
    """How a job ends that meets an error."""
    if isinstance(error, Interrupted | KeyboardInterrupt):
        return Outcome(Ending.STOPPED, "interrupted")
    if any(getattr(one, "errno", None) in EVERYONES for one in _chain(error)):
        return Outcome(Ending.HALTED, str(error), exit_code=3)
    if isinstance(error, LayeredNstError):
        return Outcome(Ending.FAILED, str(error), exit_code=error.exit_code)
    if isinstance(error, MemoryError):
        return Outcome(Ending.FAILED, "out of memory; try a smaller size", exit_code=3)
    # Into the worker's log; the ledger gets the sentence.
    traceback.print_exception(error)
    kind = type(error).__name__
    return Outcome(Ending.FAILED, f"unexpected {kind}: {error}", exit_code=1)


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


class Watch:
    """Ends this process when it takes more memory than a job may.

    Args:
        most: bytes; None for no limit.
        tell: is told the sentence before.
    """

    def __init__(self, most: float | None, tell: Callable[[str], None]) -> None:
        self.most, self.tell = most, tell
        self._over = threading.Event()

    def __enter__(self) -> Self:
        if self.most is not None:
            threading.Thread(target=self._look, args=(self.most,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._over.set()

    def _look(self, most: float) -> None:
        here = psutil.Process()
        while not self._over.wait(LOOK):
            held = here.memory_info().rss
            if held > most:
                try:
                    self.tell(f"took {gigabytes(held)} of memory, allowed: {gigabytes(most)}")
                finally:
                    os._exit(CODE)
