"""How far campaigns reach beyond one machine: the real engine and ledger, with simulated workers.

Jobs take the lengths that were measured (drafts and standard at two sizes), one in a hundred takes
four times as long, one in five hundred ends its worker, one in a thousand fails. Time is simulated,
but what the engine and the ledger themselves take is real and added to it: while they are busy, no
worker is handed a job. The ideal is all work, tries that failed too, spread evenly, or the longest
job where that takes more.

    python tests/benchmarks/campaign_scale.py --workers 1,10,100,1000 --jobs 100000
    python tests/benchmarks/campaign_scale.py --workers 1000 --shorter 100
"""

from __future__ import annotations

import argparse
import heapq
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from layered_nst.campaign.engine import Engine, Rules
from layered_nst.campaign.executors.interface import Ended, Lost, News
from layered_nst.campaign.jobs import Ending, Job, Outcome
from layered_nst.campaign.ledger import Ledger

SECONDS = {"draft-320": 2.0, "draft-1024": 8.0, "standard-320": 23.0, "standard-1024": 162.0}
SHARES = {"draft-320": 0.4, "draft-1024": 0.3, "standard-320": 0.2, "standard-1024": 0.1}
LOOKS = 20
RESTART = 3.0
"""Seconds until a worker that has ended is there again."""


class Simulated:
    """Workers that do nothing, and say so after as long as the job would have taken."""

    threads = 1

    def __init__(self, workers: int, seconds: dict[str, float], seed: int) -> None:
        self.places: Sequence[str] = tuple(f"worker-{n}" for n in range(workers))
        self.seconds, self.random = seconds, random.Random(seed)
        self.now = self.worked = self.longest = self.engine = 0.0
        self._ends: list[tuple[float, int, News]] = []
        self._left = time.perf_counter()
        self._count = 0

    def submit(self, worker: str, job: Job) -> None:
        """See ``Executor``."""
        luck = self.random.random()
        taken = self.seconds[job.name] * (4.0 if luck < 0.01 else self.random.uniform(0.8, 1.25))
        news: News = Ended(worker, Outcome(Ending.DONE, seconds=taken, size=1_000_000, exit_code=0))
        busy = taken
        if 0.5 < luck < 0.502:
            taken *= self.random.random()
            news, busy = Lost(worker, "ended by SIGKILL"), taken + RESTART
        elif 0.6 < luck < 0.601:
            news = Ended(worker, Outcome(Ending.FAILED, "is broken", seconds=taken))
        self.worked += busy
        self.longest = max(self.longest, busy)
        self._count += 1
        heapq.heappush(self._ends, (self.now + busy, self._count, news))

    def poll(self, seconds: float) -> Sequence[News]:
        """See ``Executor``; what has passed since the last time was the engine's."""
        passed = time.perf_counter() - self._left
        self.now += passed
        self.engine += passed
        if self._ends and self._ends[0][0] > self.now:
            self.now = min(self._ends[0][0], self.now + seconds)
        found = []
        while self._ends and self._ends[0][0] <= self.now:
            found.append(heapq.heappop(self._ends)[2])
        self._left = time.perf_counter()
        return found

    def cancel(self, worker: str, *, kill: bool) -> None:
        """See ``Executor``."""

    def close(self, *, kill: bool = False) -> None:
        """See ``Executor``."""


def jobs_of(count: int, shorter: float, seed: int) -> tuple[list[Job], dict[str, float]]:
    """Jobs, and how long each takes."""
    luck = random.Random(seed)
    kinds = luck.choices([*SHARES], [*SHARES.values()], k=count)
    jobs = [
        Job(
            name=f"{number:06}.png",
            output=f"/nowhere/{number:06}.png",
            recipe="look.yaml",
            photo=f"/photos/{number:06}.jpg",
            number=number,
            spec=kind,
            group=f"{kind}-{luck.randrange(LOOKS)}",
            cost=SECONDS[kind] / shorter,
            labels={"photo": f"{number:06}", "recipe": "look", "format": kind, "seed": "0"},
        )
        for number, kind in enumerate(kinds, 1)
    ]
    return jobs, {job.name: job.cost for job in jobs}


def simulate(workers: int, count: int, shorter: float, folder: Path) -> None:
    """Run one campaign and print a line."""
    jobs, seconds = jobs_of(count, shorter, seed=1)
    began = time.perf_counter()
    with Ledger(folder, create=True) as ledger:
        with ledger.batch():
            ledger.add(jobs)
        prepared = time.perf_counter() - began
        executor = Simulated(workers, seconds, seed=2)
        summary = Engine(ledger, executor, jobs, rules=Rules(tries=3)).run()
    ideal = max(executor.worked / workers, executor.longest)
    print(
        f"{workers:5d} workers  {count} jobs of {sum(seconds.values()) / count:.2f} s  "
        f"{summary.counts.total - summary.counts.bad} done, {summary.counts.bad} failed  "
        f"{ideal / executor.now:6.1%} of the ideal  "
        f"{count / executor.engine:,.0f} jobs a second at most  "
        f"ledger begun in {prepared:.1f} s  {status_seconds(folder):.2f} s for status",
        flush=True,
    )


def status_seconds(folder: Path) -> float:
    """Processor time of the whole command, whatever else the machine does: the least of three."""
    words = [sys.executable, "-m", "layered_nst.cli", "campaign", "status", str(folder)]
    taken = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", default="1,10,100,1000")
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--shorter", type=float, default=1.0, help="divides the lengths")
    asked = parser.parse_args()
    for workers in map(int, asked.workers.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            simulate(workers, asked.jobs, asked.shorter, Path(folder))


if __name__ == "__main__":
    main()
