"""The engine: hands jobs to workers, hears of them, keeps the ledger, and loses nothing.

It knows no pictures and no processes: jobs are data, workers are an ``Executor``, the time is a
clock. So the same code runs on one machine, on a cluster, and in a simulation of a thousand.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from layered_nst.campaign.executors.interface import Alive, Ended, Executor, Lost, News
from layered_nst.campaign.jobs import Ending, Job, JobState, Outcome
from layered_nst.campaign.ledger import Counts, Ledger
from layered_nst.campaign.scheduling import Schedule
from layered_nst.words import duration, storage

log = logging.getLogger(__name__)

POLL = 0.5
"""Seconds between looks at limits and leases while nothing happens."""
LEASE = 120.0
"""Seconds without a sign of life after which a worker counts as hanging."""
KINDLY = 60.0
"""Seconds that workers have to stop with a checkpoint before they are ended."""
SEEN = 2.0
"""Seconds between progress that the ledger keeps of a job."""
USUAL_TIMES, USUAL_LEAST = 30.0, 3600.0
"""Without a limit a job may take this many times what was expected, and at least these seconds."""
MOST_UNBORN = 5
"""Workers in a row that end before they could begin: then something is wrong with them all."""


@dataclass(frozen=True)
class Happening:
    """What has happened, for whoever watches.

    Attributes:
        kind: ``started``, ``progress``, ``done``, ``failed``, ``poisoned``, ``again``.
        job: that it happened to.
        worker: that has it.
        sentence: what went wrong, or was noted.
        told: how far the job is: ``done`` (0 to 1), ``stage``, ``level``, ``levels``,
            ``seconds_left``.
        outcome: of a job that has ended.
    """

    kind: str
    job: Job
    worker: str = ""
    sentence: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)
    outcome: Outcome | None = None


OnEvent = Callable[[Happening], None]


@dataclass(frozen=True)
class Summary:
    """How a campaign stands after a run.

    Attributes:
        counts: jobs by state.
        seconds: that the run took.
        worked: seconds that workers spent on jobs in this run.
        done: jobs that this run has done.
        interrupted: whether it was stopped before all was done.
        halted: why it could not go on; "" if it could.
    """

    counts: Counts
    seconds: float
    worked: float = 0.0
    done: int = 0
    interrupted: bool = False
    halted: str = ""

    @property
    def exit_code(self) -> int:
        """0 if every picture is there, 1 if some failed, 3 if it could not go on, 130 stopped."""
        if self.interrupted:
            return 130
        if self.halted:
            return 3
        return 1 if self.counts.bad else 0

    def as_dict(self) -> dict[str, Any]:
        """The same as data that JSON can hold."""
        return {
            "done": self.counts[JobState.DONE],
            "failed": self.counts[JobState.FAILED],
            "poisoned": self.counts[JobState.POISONED],
            "open": self.counts.open,
            "skipped": self.counts[JobState.SKIPPED],
            "total": self.counts.total,
            "seconds": round(self.seconds, 2),
            "painted": self.done,
            "interrupted": self.interrupted,
            "halted": self.halted or None,
        }


@dataclass(frozen=True)
class Rules:
    """What a run holds to.

    Attributes:
        tries: beginnings of a job that ends its worker.
        time: seconds that a job may take; None for thirty times what was expected.
        disk: bytes of all pictures together; None for no limit.
        lease: seconds without a sign of life.
        kindly: seconds that workers have to stop.
    """

    tries: int = 3
    time: float | None = None
    disk: float | None = None
    lease: float = LEASE
    kindly: float = KINDLY


@dataclass
class _Running:
    job: Job
    since: float
    seen: float
    kept: float = 0.0


class Engine:
    """One run of a campaign.

    Args:
        ledger: that knows all jobs.
        executor: with its workers.
        jobs: that are to be done.
        rules: limits and patience.
        clock: seconds that only ever rise.
        on_event: is told what happens.
    """

    def __init__(
        self,
        ledger: Ledger,
        executor: Executor,
        jobs: Sequence[Job],
        *,
        rules: Rules,
        clock: Callable[[], float] = time.monotonic,
        on_event: OnEvent = lambda _: None,
    ) -> None:
        self.ledger, self.executor, self.rules = ledger, executor, rules
        self.clock, self.on_event = clock, on_event
        self.waiting = Schedule(jobs)
        self.running: dict[str, _Running] = {}
        self.idle = list(executor.places)
        self.warm: dict[str, str] = {}
        self.halted = ""
        self.stopping = False
        self.done = 0
        self.worked = 0.0
        self.rate = _Rate()
        self._unborn = 0
        self._bytes = ledger.counts().bytes
        self._beaten = self._looked = float("-inf")

    def run(self) -> Summary:
        """Go on until no job is left, or it cannot go on, or somebody stops it."""
        began = self.clock()
        interrupted = False
        try:
            while self.step():
                pass
        except KeyboardInterrupt:
            interrupted = True
            self._stop_kindly()
        if self.halted and self.running:
            self._stop_kindly()
        with self.ledger.batch():
            for running in self.running.values():
                self.ledger.release(running.job.name, counted=False)
        return Summary(
            self.ledger.counts(),
            self.clock() - began,
            worked=self.worked,
            done=self.done,
            interrupted=interrupted,
            halted=self.halted,
        )

    def step(self) -> bool:
        """Hand out what can be, hear the news, look at limits; False when nothing is left."""
        with self.ledger.batch():
            events = [*self._hand_out()]
        self._tell(events)
        if not self.running:
            return False
        self._tell(self._hear(self.executor.poll(POLL)))
        self._tell(self._look_at_limits())
        return not (self.halted and not self.running)

    def _tell(self, events: Sequence[Happening]) -> None:
        for event in events:
            self.on_event(event)

    def _hand_out(self) -> list[Happening]:
        events = []
        now = self.clock()
        if now - self._beaten >= SEEN:
            self.ledger.beat()
            self._beaten = now
        while self.idle and not self.halted and not self.stopping:
            worker = self.idle[-1]
            job = self.waiting.take(self.warm.get(worker))
            if job is None:
                break
            self.idle.pop()
            self.ledger.start(job.name, worker)
            self.executor.submit(worker, job)
            self.running[worker] = _Running(job, now, now)
            self.warm[worker] = job.group
            events.append(Happening("started", job, worker))
        return events

    def _hear(self, news: Sequence[News]) -> list[Happening]:
        if not news:
            return []
        with self.ledger.batch():
            found = [self._heard(one) for one in news]
        return [event for event in found if event is not None]

    def _heard(self, news: News) -> Happening | None:
        running = self.running.get(news.worker)
        if isinstance(news, Lost):
            return self._lost(news, running)
        if running is None:
            return None
        if isinstance(news, Ended):
            return self._ended(news.worker, running, news.outcome)
        assert isinstance(news, Alive)
        running.seen = self.clock()
        if not news.told:
            return None
        if running.seen - running.kept >= SEEN:
            running.kept = running.seen
            self.ledger.progress(running.job.name, news.told)
        return Happening("progress", running.job, news.worker, told=news.told)

    def _ended(self, worker: str, running: _Running, outcome: Outcome) -> Happening:
        self._free(worker)
        job = running.job
        self.worked += outcome.seconds
        self._unborn = 0
        if outcome.ending is Ending.DONE:
            self._bytes += outcome.size
            self.ledger.end(job.name, JobState.DONE, outcome)
            self.done += 1
            self.rate.add(job.cost, outcome.seconds)
            self._check_disk()
            return Happening("done", job, worker, outcome.sentence, outcome=outcome)
        if outcome.ending is Ending.FAILED:
            self.ledger.end(job.name, JobState.FAILED, outcome)
            return Happening("failed", job, worker, outcome.sentence, outcome=outcome)
        self.ledger.release(job.name, counted=False)
        if outcome.ending is Ending.HALTED:
            self.halted = self.halted or outcome.sentence
        elif not self.stopping:
            self.waiting.add(job)
        return Happening("again", job, worker, outcome.sentence, outcome=outcome)

    def _lost(self, news: Lost, running: _Running | None) -> Happening | None:
        if news.unborn:
            self._check_workers(news.sentence)
        if running is None:
            return None
        if news.unborn:
            self._free(news.worker)
            self.ledger.release(running.job.name, counted=False)
            self.waiting.add(running.job)
            return None
        return self._failed_hard(news.worker, running, news.sentence, final=news.final)

    def _failed_hard(
        self, worker: str, running: _Running, sentence: str, *, final: bool
    ) -> Happening:
        """A job has ended its worker, or was ended with it."""
        self._free(worker)
        job, tries = running.job, self.ledger.tries(running.job.name)
        seconds = self.clock() - running.since
        if final:
            outcome = Outcome(Ending.FAILED, sentence, seconds=seconds, exit_code=3)
            self.ledger.end(job.name, JobState.FAILED, outcome)
            return Happening("failed", job, worker, sentence, outcome=outcome)
        if tries >= self.rules.tries:
            times = "once" if tries == 1 else f"{tries} times"
            said = f"ended its worker {times}: {sentence}"
            outcome = Outcome(Ending.FAILED, said, seconds=seconds, exit_code=3)
            self.ledger.end(job.name, JobState.POISONED, outcome)
            return Happening("poisoned", job, worker, said, outcome=outcome)
        self.ledger.release(job.name)
        if not self.stopping:
            self.waiting.add(job)
        return Happening("again", job, worker, sentence)

    def _free(self, worker: str) -> None:
        del self.running[worker]
        self.idle.append(worker)

    def _check_workers(self, sentence: str) -> None:
        """Give up where one worker after another ends before it has begun."""
        self._unborn += 1
        if self._unborn >= MOST_UNBORN:
            self.halted = self.halted or f"no worker could be started: {sentence}"

    def _check_disk(self) -> None:
        if self.rules.disk is not None and self._bytes >= self.rules.disk:
            self.halted = (
                f"the pictures take {storage(self._bytes)}, limits.disk allows "
                f"{storage(self.rules.disk)}"
            )

    def _look_at_limits(self) -> list[Happening]:
        now, events = self.clock(), list[Happening]()
        if now - self._looked < POLL:
            return events
        self._looked = now
        for worker, running in [*self.running.items()]:
            most = self._time_of(running.job)
            if now - running.since > most:
                sentence = f"took longer than {duration(most)}"
                sentence += "" if self.rules.time is None else " (limits.time)"
            elif now - running.seen > self.rules.lease:
                sentence = f"its worker has shown no sign of life for {duration(self.rules.lease)}"
            else:
                continue
            self.executor.cancel(worker, kill=True)
            final = now - running.since > most
            with self.ledger.batch():
                events.append(self._failed_hard(worker, running, sentence, final=final))
        return events

    def _time_of(self, job: Job) -> float:
        if self.rules.time is not None:
            return self.rules.time
        return max(USUAL_LEAST, USUAL_TIMES * job.cost * self.rate.factor)

    def _stop_kindly(self) -> None:
        """Have all workers stop with a checkpoint; a second Ctrl-C ends them at once."""
        self.stopping = True
        for worker in self.running:
            self.executor.cancel(worker, kill=False)
        end = self.clock() + self.rules.kindly
        try:
            while self.running and self.clock() < end:
                self._tell(self._hear(self.executor.poll(POLL)))
        except KeyboardInterrupt:
            log.info("stopped at once")
            self.executor.close(kill=True)


class _Rate:
    """How long jobs take by what they were thought to cost."""

    def __init__(self) -> None:
        self.cost = self.seconds = 0.0

    def add(self, cost: float, seconds: float) -> None:
        self.cost += cost
        self.seconds += seconds

    @property
    def factor(self) -> float:
        """Seconds by what was thought."""
        return self.seconds / self.cost if self.cost and self.seconds else 1.0
