"""The interface between the engine and whatever runs its jobs.

An executor is a fixed number of places for workers. What happens to them comes as news; the engine
decides what follows. A place whose worker has ended gets a new one by itself.

Register one as ``{"executor": {"name": "package.module:function"}}``; the function takes
``Workers`` and gives an ``Executor``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from layered_nst.campaign.jobs import Job, Outcome

PAINT = "layered_nst.campaign.work:paint"
"""Where the function is that workers run for each job, ``(job, tell, stop) -> Outcome``."""


@dataclass(frozen=True)
class Workers:
    """What is asked of an executor.

    Attributes:
        count: places for workers; None for as many as fit.
        threads: of each worker; None for what the processors allow.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``; of ``cuda`` each worker takes one.
        task: where the function is that a worker runs for each job.
        logs: folder for what workers say beside their news.
        address: of a cluster; "" for one of our own.
        carry: files travel with the jobs and results come back: workers share no disk with us.
        memory: bytes that a picture's process is thought to take, for how many fit.
        size: longest side of most pictures, px, for how many threads are best; 0 if unknown.
    """

    count: int | None = None
    threads: int | None = None
    device: str = "auto"
    task: str = PAINT
    logs: Path = Path()
    address: str = ""
    carry: bool = False
    memory: float = 1.5e9
    size: int = 0


@dataclass(frozen=True)
class News:
    """What has happened at a place."""

    worker: str


@dataclass(frozen=True)
class Alive(News):
    """A worker has shown that it lives; ``told`` says how far its job is, if that is new."""

    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended(News):
    """A worker has ended its job, and waits for the next."""

    outcome: Outcome


@dataclass(frozen=True)
class Lost(News):
    """A worker has ended itself, and its job with it.

    Attributes:
        sentence: how, such as by which signal.
        final: whether its job would end it again, so that no further try is worth it.
        unborn: whether it ended before it could begin with anything; no job is to blame.
    """

    sentence: str
    final: bool = False
    unborn: bool = False


class Executor(Protocol):
    """Places for workers that run jobs."""

    places: Sequence[str]
    """Names of the places; their number is what the executor can do at once."""
    threads: int
    """Of each worker. They decide the last digits of sums, and so the bytes of pictures."""

    def submit(self, worker: str, job: Job) -> None:
        """Hand a job to a worker that has none."""

    def poll(self, seconds: float) -> Sequence[News]:
        """News since the last time; waits for some, ``seconds`` at most."""

    def cancel(self, worker: str, *, kill: bool) -> None:
        """Have a worker leave its job: kindly, with news to come, or at once and without any."""

    def close(self, *, kill: bool = False) -> None:
        """End all workers, with a moment to stop by themselves or at once; twice does no harm."""
