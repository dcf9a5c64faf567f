"""What executors keep, each with one worker and a job that paints nothing."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from layered_nst import plugins
from layered_nst.campaign.executors.interface import Ended, Executor, News, Workers
from layered_nst.campaign.jobs import Ending, Job, Outcome
from layered_nst.errors import ExecutorError
from layered_nst.plugins import Part
from layered_nst.plugins.parameters import accepted
from layered_nst.testing.contracts import NotHere
from layered_nst.testing.samples import sample

PATIENCE = 60.0
"""Seconds in which a worker must be there and have done its job."""
ECHO = "layered_nst.testing.executors:echo"


def echo(job: Job, tell: Callable[[Any], None], stop: threading.Event) -> Outcome:
    """A job that is done at once; one that is called so fails, or waits until it is stopped."""
    if job.name == "fails":
        raise ValueError("as it was asked to")
    if job.name == "waits":
        stop.wait(PATIENCE)
        return Outcome(Ending.STOPPED)
    return Outcome(Ending.DONE, sentence=job.name, size=os.getpid())


@contextmanager
def _opened(part: Part) -> Iterator[Executor]:
    with tempfile.TemporaryDirectory() as logs:
        asked = Workers(count=1, threads=1, device="cpu", task=ECHO, logs=Path(logs))
        said = accepted(part, sample(part.parameters))
        try:
            executor: Executor = plugins.object_of(part)(asked, **said)
        except ExecutorError as error:
            raise NotHere(str(error)) from error
        try:
            yield executor
        finally:
            executor.close(kill=True)


def _ended(executor: Executor) -> Outcome:
    """What becomes of the one job that runs."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        news: list[News] = [*executor.poll(0.2)]
        for one in news:
            if isinstance(one, Ended):
                return one.outcome
    raise AssertionError(f"no job has ended within {PATIENCE:.0f} s")


def _job(name: str) -> Job:
    return Job(name, output=f"/nowhere/{name}.png", recipe="", photo="")


def runs_jobs(part: Part) -> None:
    with _opened(part) as executor:
        assert len(executor.places) == 1, f"it has {len(executor.places)} places where 1 was asked"
        assert executor.threads >= 1, f"its workers have {executor.threads} threads"
        (place,) = executor.places
        for name in ("one", "two"):
            executor.submit(place, _job(name))
            outcome = _ended(executor)
            assert outcome.ending == Ending.DONE, outcome.sentence
            assert outcome.sentence == name, f"job {name} ends as {outcome.sentence}"
            assert outcome.size != os.getpid(), "it runs jobs in the process that asks for them"


def survives_failures(part: Part) -> None:
    with _opened(part) as executor:
        (place,) = executor.places
        executor.submit(place, _job("fails"))
        outcome = _ended(executor)
        assert outcome.ending == Ending.FAILED, f"a job that fails ends as {outcome.ending}"
        assert "as it was asked to" in outcome.sentence, f"it says {outcome.sentence!r}"
        executor.submit(place, _job("next"))
        assert _ended(executor).ending == Ending.DONE, "after a failure nothing runs"


def stops_kindly(part: Part) -> None:
    with _opened(part) as executor:
        (place,) = executor.places
        executor.submit(place, _job("waits"))
        started = time.monotonic()
        executor.poll(1.0)
        executor.cancel(place, kill=False)
        assert _ended(executor).ending == Ending.STOPPED, "a job that was stopped ends otherwise"
        assert time.monotonic() - started < PATIENCE / 2, "it does not tell the worker to stop"


def closes_twice(part: Part) -> None:
    with _opened(part) as executor:
        executor.close()
        executor.close()


CONTRACTS = {
    "it runs jobs, one after the other, in other processes": runs_jobs,
    "a job that fails leaves the next one alone": survives_failures,
    "a job stops when it is asked to": stops_kindly,
    "it may be closed twice": closes_twice,
}
