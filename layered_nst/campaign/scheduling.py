"""Which job comes next: the longest, by a worker that is warm for it where that costs nothing.

Long jobs that come last leave all other workers idle. Jobs of one group share recipe, styles and
size, so a worker that has just painted one has all of that at hand.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable

from layered_nst.campaign.jobs import Job

WARM = 0.5
"""A worker stays with its group while the group's longest job is at least this share of the
longest of all."""


class Schedule:
    """Waiting jobs."""

    def __init__(self, jobs: Iterable[Job] = ()) -> None:
        self._groups: dict[str, list[tuple[float, int, str, Job]]] = defaultdict(list)
        self._longest: list[tuple[float, int, str, str]] = []
        self._count = 0
        self.cost = 0.0
        for job in jobs:
            self.add(job)

    def __len__(self) -> int:
        return self._count

    def add(self, job: Job) -> None:
        """Put a job among those that wait."""
        heapq.heappush(self._groups[job.group], (-job.cost, job.number, job.name, job))
        heapq.heappush(self._longest, (-job.cost, job.number, job.name, job.group))
        self._count += 1
        self.cost += job.cost

    def take(self, warm_for: str | None = None) -> Job | None:
        """The next job, for a worker that has last done one of a group; None if none waits."""
        longest = self._top()
        if longest is None:
            return None
        own = self._groups.get(warm_for or "")
        stays = bool(own) and own[0][0] <= WARM * longest[0]  # type: ignore[index]
        group = warm_for if stays else longest[3]
        job = heapq.heappop(self._groups[str(group)])[3]
        if not self._groups[job.group]:
            del self._groups[job.group]
        self._count -= 1
        self.cost -= job.cost
        return job

    def _top(self) -> tuple[float, int, str, str] | None:
        """The longest job that still waits; those taken by other ways are dropped on the way."""
        while self._longest:
            cost, number, name, group = self._longest[0]
            first = self._groups.get(group)
            if first and first[0][:3] == (cost, number, name):
                return self._longest[0]
            heapq.heappop(self._longest)
        return None
