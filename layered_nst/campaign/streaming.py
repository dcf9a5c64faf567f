"""Photos by the thousand that are painted at once go through an executor's stream.

Handing each of them out alone would take as long as painting it. The stream promises little: what
it does not bring is done by the engine, one by one, as all other jobs are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from layered_nst.campaign.engine import Happening, OnEvent
from layered_nst.campaign.jobs import Ending, Job, JobState, Outcome
from layered_nst.campaign.ledger import Ledger

MANY = 200
"""Jobs that are painted at once from which a stream is worth its start."""
WORKER = "stream"
"""What the ledger calls the worker of such a job."""

Brought = Sequence[tuple[Job, Outcome]]


@runtime_checkable
class Streaming(Protocol):
    """An executor that takes many short jobs together."""

    def can_stream(self) -> bool:
        """Whether it can here."""

    def stream(self, jobs: Sequence[Job]) -> Iterator[Brought]:
        """Do jobs, in any order, and bring what became of them; often nothing new.

        Closing it ends its workers. It may end before all jobs are done.
        """


@dataclass
class Streamed:
    """What has come of a stream.

    Attributes:
        left: jobs that are still to be done.
        done: how many are.
        worked: seconds that workers spent on jobs.
        halted: why all other jobs would fail as well; "" if they would not.
        interrupted: whether somebody stopped it.
    """

    left: list[Job]
    done: int = 0
    worked: float = 0.0
    halted: str = ""
    interrupted: bool = False
    names: set[str] = field(default_factory=set)


def streamed(executor: Any, ledger: Ledger, jobs: Sequence[Job], on_event: OnEvent) -> Streamed:
    """Do what jobs can be done by a stream, if the executor has one and they are many."""
    short = [job for job in jobs if job.at_once]
    found = Streamed(list(jobs))
    if len(short) < MANY or not isinstance(executor, Streaming) or not executor.can_stream():
        return found
    try:
        with closing(executor.stream(short)) as stream:  # type: ignore[type-var]
            for brought in stream:
                with ledger.batch():
                    ledger.beat()
                    events = [_settled(found, ledger, *one) for one in brought]
                for event in events:
                    on_event(event)
                if found.halted:
                    break
    except KeyboardInterrupt:
        found.interrupted = True
    found.left = [job for job in jobs if job.name not in found.names]
    return found


def _settled(found: Streamed, ledger: Ledger, job: Job, outcome: Outcome) -> Happening:
    """Write what became of a job; one that did not end stays in the queue."""
    found.worked += outcome.seconds
    states = {Ending.DONE: JobState.DONE, Ending.FAILED: JobState.FAILED}
    state = states.get(outcome.ending)
    if state is None:
        if outcome.ending is Ending.HALTED:
            found.halted = found.halted or outcome.sentence
        return Happening("again", job, WORKER, outcome.sentence, outcome=outcome)
    ledger.start(job.name, WORKER)
    ledger.end(job.name, state, outcome)
    found.names.add(job.name)
    found.done += state is JobState.DONE
    return Happening(state.value, job, WORKER, outcome.sentence, outcome=outcome)
