"""Workers as Ray's actors: on a cluster, or on a small one of our own.

Ray carries jobs and outcomes; what was done, tries, limits and going on are the engine's and the
ledger's. So actors are not restarted by Ray, and no task is tried again by it.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from layered_nst import plugins
from layered_nst.campaign.carrying import Parcel, laid_down, packed, paint_carried
from layered_nst.campaign.executors.cluster import ADVICE, Cluster, first_line
from layered_nst.campaign.executors.interface import Alive, Ended, Lost, News, Workers
from layered_nst.campaign.executors.places import SettledWorkers, settled
from layered_nst.campaign.executors.pool import STALLS, Pool
from layered_nst.campaign.executors.watching import Watch, outcome_of, outcome_of_error
from layered_nst.campaign.executors.worker import actors_task
from layered_nst.campaign.identity import state_of
from layered_nst.campaign.jobs import Job, Outcome
from layered_nst.errors import ExecutorError, LayeredNstError

log = logging.getLogger(__name__)

NEWS = 0.5
"""Seconds that a worker waits with its news for more of them."""


class ActorWorker:
    """What runs in an actor: one job at a time, with news of it from a second thread."""

    def __init__(self, task: str, threads: int, files: Sequence[str]) -> None:
        self._task = actors_task(task, threads, files)
        self._stop, self._asked = threading.Event(), threading.Event()
        self._told: Mapping[str, Any] = {}
        self._said = ""

    def ready(self) -> bool:
        """Whether the task could be imported."""
        return True

    def work(self, job: Job) -> Outcome:
        """Do a job."""
        self._stop.clear()
        with Watch(job.memory, self._over):
            return outcome_of(self._task, job, self._tell, self._stop)

    def work_carried(self, job: Job, parcel: Parcel) -> Outcome:
        """Do a job whose files have come along, as references to their bytes."""
        import ray

        def task(job: Job, tell: Any, stop: threading.Event) -> Outcome:
            there = dict(zip(parcel.files, ray.get([*parcel.files.values()]), strict=True))
            return paint_carried(job, replace(parcel, files=there), tell, stop)

        self._stop.clear()
        with Watch(job.memory, self._over):
            return outcome_of(task, job, self._tell, self._stop)

    def news(self) -> tuple[Mapping[str, Any], str]:
        """How far the job is since the last time, and why this worker is about to end."""
        self._asked.wait(NEWS)
        self._asked.clear()
        told, self._told = self._told, {}
        return told, self._said

    def stop(self) -> None:
        """Leave the job, with a checkpoint."""
        self._stop.set()

    def _tell(self, told: Mapping[str, Any]) -> None:
        self._told = told

    def _over(self, sentence: str) -> None:
        # The process ends right after this; its news must be on the way.
        self._said = sentence
        self._asked.set()
        time.sleep(1.0)


@dataclass
class _Actor:
    handle: Any
    heard: bool = False
    busy: bool = False
    said: str = ""
    waits: dict[Any, str] = field(default_factory=dict)


class RayExecutor:
    """Runs jobs in Ray's actors, each of which stays warm from job to job."""

    def __init__(self, asked: Workers) -> None:
        self._cluster, self._chosen = Cluster(), asked.count is not None
        self._ray = self._cluster.ray
        # Once: how many fit is told by the free memory, and a cluster of our own takes some.
        fitting = settled(asked)
        self._cluster.begin(fitting)
        self.asked = self._fitted(asked, fitting)
        self.threads = self.asked.threads
        self.places: Sequence[str] = tuple(f"worker-{n}" for n in range(1, self.asked.count + 1))
        self._at = {place: self._started() for place in self.places}
        self._put: dict[tuple[Path, str], Any] = {}
        self._news: list[News] = []

    def submit(self, worker: str, job: Job) -> None:
        """See ``Executor``."""
        if worker not in self._at:
            self._at[worker] = self._started()
        actor = self._at[worker]
        if not self.asked.carry:
            actor.waits[actor.handle.work.remote(job)] = "work"
        else:
            try:
                parcel = packed(job, self._reference)
            except (LayeredNstError, OSError) as error:
                self._news.append(Ended(worker, outcome_of_error(error)))
                return
            sent = actor.handle.work_carried.remote(job, parcel)
            actor.waits[sent] = "work"
        actor.busy = True
        actor.waits[actor.handle.news.remote()] = "news"

    def _reference(self, path: Path) -> Any:
        """A file's bytes in Ray's store, each state of it once."""
        key = (path, state_of(path))
        if key not in self._put:
            self._put[key] = self._ray.put(path.read_bytes())
        return self._put[key]

    def poll(self, seconds: float) -> Sequence[News]:
        """See ``Executor``."""
        if self._news:
            found, self._news = self._news, []
            return found
        waiting = {ref: place for place, actor in self._at.items() for ref in actor.waits}
        if not waiting:
            time.sleep(seconds)
            return []
        self._ray.wait([*waiting], num_returns=1, timeout=seconds)
        ready, _ = self._ray.wait([*waiting], num_returns=len(waiting), timeout=0)
        # What a worker has said comes before its end.
        ready.sort(key=lambda ref: self._at[waiting[ref]].waits[ref] == "work")
        return [one for ref in ready for one in self._told(waiting[ref], ref)]

    def can_stream(self) -> bool:
        """See ``Streaming``; Ray Data wants more packages, shared files and a free processor."""
        if self.asked.carry or self._processors() <= self.asked.threads:
            return False
        try:
            import ray.data  # noqa: F401
        except ImportError as error:
            log.warning("Ray Data is not here (%s): %s", error, ADVICE)
            return False
        return True

    def stream(self, jobs: Sequence[Job]) -> Iterator[Sequence[tuple[Job, Outcome]]]:
        """See ``Streaming``: by Ray Data, whose pool takes the place of our workers.

        Raises:
            ExecutorError: as many workers as processors; Ray Data would wait for ever.
        """
        size = self._pool_size()
        for place in [*self._at]:
            self._ray.kill(self._at.pop(place).handle, no_restart=True)
        files = [str(path) for path in plugins.files()]
        options = {"num_cpus": self.asked.threads, **self._card()}
        pool = Pool(size, (self.asked.task, self.asked.threads, files), options)
        yield from pool.run(jobs)
        if pool.stalled:
            # Its actors would keep the processors.
            log.warning("Ray Data has brought nothing for %.0f s; going on without it", STALLS)
            self._cluster.begin_again(self.asked)

    def _pool_size(self) -> int:
        """Actors of Ray Data: fewer than fit, or it hangs without a word (ray-project/ray#44687).

        Raises:
            ExecutorError: as many as fit are asked for.
        """
        there, threads = self._processors(), self.asked.threads
        most = (there - 1) // threads
        if self._chosen and self.asked.count > most:
            raise ExecutorError(
                f"`workers={self.asked.count}`: pictures painted at once go through Ray Data, "
                f"which waits for ever where workers take all {there} processors of the cluster; "
                f"allowed: at most {most}"
            )
        return min(self.asked.count, most)

    def _processors(self) -> int:
        return int(self._ray.cluster_resources().get("CPU", 0))

    def cancel(self, worker: str, *, kill: bool) -> None:
        """See ``Executor``."""
        if not kill:
            self._at[worker].handle.stop.remote()
            return
        self._ray.kill(self._at[worker].handle, no_restart=True)
        self._at[worker] = self._started()

    def close(self, *, kill: bool = False) -> None:
        """See ``Executor``."""
        for actor in self._at.values():
            with contextlib.suppress(Exception):
                self._ray.kill(actor.handle, no_restart=True)
        self._cluster.close()

    def _told(self, place: str, ref: Any) -> list[News]:
        actor = self._at[place]
        kind = actor.waits.pop(ref, "")
        try:
            found = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            return self._ended(place, actor, kind, error)
        actor.heard = True
        if kind == "work":
            actor.busy = False
            return [Ended(place, _received(found) if self.asked.carry else found)]
        if kind == "news":
            told, actor.said = found
            if actor.busy:
                actor.waits[actor.handle.news.remote()] = "news"
            return [Alive(place, told)]
        return []

    def _ended(self, place: str, actor: _Actor, kind: str, error: Exception) -> list[News]:
        if actor.busy and kind != "work":
            return []  # the job's own end will say so too
        # Mostly it is dead; one that was only out of reach must not go on beside its successor.
        with contextlib.suppress(Exception):
            self._ray.kill(actor.handle, no_restart=True)
        self._at[place] = self._started()
        sentence = actor.said or _why(error)
        return [Lost(place, sentence, final=bool(actor.said), unborn=not actor.heard)]

    def _started(self) -> _Actor:
        options: dict[str, Any] = {
            "num_cpus": self.asked.threads,
            "max_restarts": 0,
            "max_task_retries": 0,
            "max_concurrency": 4,
            **self._card(),
        }
        kind = self._ray.remote(ActorWorker).options(**options)
        files = [str(path) for path in plugins.files()]
        made = _Actor(kind.remote(self.asked.task, self.asked.threads, files))
        made.waits[made.handle.ready.remote()] = "ready"
        return made

    def _card(self) -> dict[str, int]:
        """What a worker asks of graphics cards."""
        takes = self.asked.device == "cuda" or (self.asked.device == "auto" and self._cards())
        return {"num_gpus": 1} if takes else {}

    def _cards(self) -> int:
        return int(self._ray.cluster_resources().get("GPU", 0))

    def _fitted(self, asked: Workers, fitting: SettledWorkers) -> SettledWorkers:
        """As many workers as the cluster has room for; more would wait for ever.

        Raises:
            ExecutorError: more are asked for.
        """
        there = self._processors()
        if asked.address and asked.count is None:
            threads = asked.threads or 1
            cards = self._cards() if asked.device in ("auto", "cuda") else 0
            count = cards or max(1, there // threads)
            fitting = replace(fitting, count=count, threads=threads)
        if fitting.count * fitting.threads > there:
            self._cluster.close()
            raise ExecutorError(
                f"{fitting.count} workers of {fitting.threads} threads do not fit: the cluster has "
                f"{there} processors, and those that do not fit would wait for ever"
            )
        return fitting


def _received(outcome: Outcome) -> Outcome:
    """An outcome whose files have been written here, or the error that this has met."""
    try:
        return laid_down(outcome)
    except LayeredNstError as error:
        return replace(outcome_of_error(error), seconds=outcome.seconds)


def _why(error: Exception) -> str:
    """What Ray says of an actor's end, without its advice."""
    text = str(error)
    raised = re.findall(r"^(\w+(?:Error|Exception)): (.+)$", text, re.MULTILINE)
    if "creation task" in text and raised:
        return f"its worker could not begin: {raised[-1][0]}: {raised[-1][1]}"
    memory = re.search(r"was ([\d.]+GB) used / ([\d.]+GB) limit", text)
    if memory:
        return f"Ray ended it as its machine ran out of memory ({memory[1]} of {memory[2]} taken)"
    pid = re.search(r"pid: (\d+)", text)
    if pid or "actor died" in text or "actor is dead" in text:
        return f"its process{f' {pid[1]}' if pid else ''} was killed or crashed"
    return f"Ray lost it: {first_line(text)}"


def open_ray(asked: Workers) -> RayExecutor:
    """Start workers on a Ray cluster."""
    return RayExecutor(asked)
