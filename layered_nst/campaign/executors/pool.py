"""Jobs that take moments, by Ray Data: a dataset of jobs, mapped by a pool of actors.

Ray Data is quick and easily lost: its pool hangs where it takes all processors, and where an actor
has died. So nobody waits for it for long, and what it does not bring is done otherwise.
"""

from __future__ import annotations

import logging
import pickle
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from layered_nst.campaign.executors.watching import Watch, outcome_of
from layered_nst.campaign.executors.worker import actors_task
from layered_nst.campaign.jobs import Job, Outcome

log = logging.getLogger(__name__)

BATCH = 8
"""Jobs that an actor takes at once."""
STALLS = 120.0
"""Seconds without any news after which a stream is given up."""
LOOK = 0.5
"""Seconds between news, at most."""


class BatchWorker:
    """What runs in an actor of the pool: a batch of jobs, one after the other."""

    def __init__(self, task: str, threads: int, files: Sequence[str]) -> None:
        self._task = actors_task(task, threads, files)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[bytes]]:
        """Pickled jobs in, pickled pairs of a job's number among all and its outcome out."""
        return {"ended": [self._ended(bytes(one)) for one in batch["job"]]}

    def _ended(self, pickled: bytes) -> bytes:
        number, job = pickle.loads(pickled)
        # A process that ends for its memory takes its batch with it; that is done otherwise.
        with Watch(job.memory, log.error):
            outcome = outcome_of(self._task, job, lambda _: None, threading.Event())
        return pickle.dumps((number, outcome))


class Pool:
    """A stream of jobs.

    Args:
        size: actors.
        given: what each is made with.
        options: of Ray, for each.
    """

    def __init__(self, size: int, given: Sequence[Any], options: Mapping[str, Any]) -> None:
        self.size, self.given, self.options = size, tuple(given), options
        self.stalled = False
        self._stop = threading.Event()
        self._news = SimpleQueue[tuple[int, Outcome] | None]()

    def run(self, jobs: Sequence[Job]) -> Iterator[Sequence[tuple[Job, Outcome]]]:
        """See ``Streaming.stream``."""
        threading.Thread(target=self._map, args=(jobs,), daemon=True).start()
        heard = time.monotonic()
        try:
            while True:
                found, ended = self._heard()
                if found:
                    heard = time.monotonic()
                yield [(jobs[number], outcome) for number, outcome in found]
                if ended:
                    return
                if time.monotonic() - heard > STALLS:
                    self.stalled = True
                    return
        finally:
            self._stop.set()

    def _heard(self) -> tuple[list[tuple[int, Outcome]], bool]:
        """News since the last time, and whether these are the last."""
        found: list[tuple[int, Outcome]] = []
        wait = LOOK
        while True:
            try:
                one = self._news.get(timeout=wait) if wait else self._news.get_nowait()
            except Empty:
                return found, False
            if one is None:
                return found, True
            found.append(one)
            wait = 0.0

    def _map(self, jobs: Sequence[Job]) -> None:
        try:
            for row in self._dataset(jobs).iter_rows():
                self._news.put(pickle.loads(row["ended"]))
                if self._stop.is_set():
                    break
        except Exception as error:
            # Such as an actor that has died with its batch: the engine finds out by which job.
            if not self._stop.is_set():
                log.warning("Ray Data has ended early: %s", str(error).partition("\n")[0])
        finally:
            self._news.put(None)

    def _dataset(self, jobs: Sequence[Job]) -> Any:
        import ray.data as data

        data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        rows = [{"job": pickle.dumps(one)} for one in enumerate(jobs)]
        blocks = max(1, len(jobs) // BATCH)
        return data.from_items(rows, override_num_blocks=blocks).map_batches(
            BatchWorker,
            fn_constructor_args=self.given,
            batch_size=BATCH,
            batch_format="numpy",
            compute=data.ActorPoolStrategy(size=self.size),
            **self.options,
        )
