"""How many workers fit on a machine, and with how many threads.

Two workers of one thread mostly paint more than one of two: convolutions of small pictures leave a
second thread idle for part of its time (``tests/benchmarks/campaign.py`` measures it). So there is
a worker for each processor, unless more threads were measured to do more on this machine, as long
as memory lasts; threads are what is left over.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from layered_nst.campaign.executors.interface import Workers
from layered_nst.campaign.executors.measuring import Measured, measured, remembered
from layered_nst.errors import ExecutorError

WORTH = 1200.0
"""Seconds of work from which finding out how many threads are best is worth some seconds."""
USABLE = 0.9
"""Share of the free memory that workers are thought to fill."""


@dataclass(frozen=True)
class SettledWorkers(Workers):
    """``Workers`` with nothing left open."""

    count: int = 1
    threads: int = 1


def settled(asked: Workers) -> SettledWorkers:
    """Fill in how many workers there are, and how many threads each has.

    Raises:
        ExecutorError: fewer than one is asked for.
    """
    for name in ("count", "threads"):
        value = getattr(asked, name)
        if value is not None and value < 1:
            word = "workers" if name == "count" else name
            raise ExecutorError(f"`{word}={value}`: allowed: at least 1")
    cores = processors()
    cards = gpus() if asked.device in ("auto", "cuda") else []
    each = asked.threads or (1 if asked.count or cards else _measured_threads(cores, asked.size))
    count = asked.count or len(cards) or _fitting(cores // each, asked)
    threads = asked.threads or max(1, cores // count)
    return SettledWorkers(**{**vars(asked), "count": count, "threads": threads})


def leaves_threads_open(asked: Workers) -> bool:
    """Whether nothing says how many threads a worker has, and there are several to share."""
    cards = gpus() if asked.device in ("auto", "cuda") else []
    return not (asked.count or asked.threads or asked.address or cards) and processors() > 1


def tried(asked: Workers, seconds: float) -> Measured | None:
    """How many threads are best here, where that is left open; None if it is not, or unknown.

    Args:
        seconds: of all jobs, from whose sum on it is worth to find out.

    Raises:
        ExecutorError: a process that measures has ended.
    """
    if not leaves_threads_open(asked):
        return None
    cores = processors()
    return measured(cores, asked.size) if seconds >= WORTH else remembered(cores, asked.size)


def _measured_threads(cores: int, size: int) -> int:
    found = remembered(cores, size)
    return 1 if found is None else found.best


def _fitting(most: int, asked: Workers) -> int:
    if asked.device == "mps" or (asked.device == "auto" and sys.platform == "darwin"):
        return 1
    room = USABLE * psutil.virtual_memory().available
    return max(1, min(most, int(room / asked.memory)))


def processors() -> int:
    """Processors that this process may use; of two threads on one core, one counts."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(usable or 1, psutil.cpu_count(logical=False) or usable or 1))


def gpus() -> list[str]:
    """The graphics cards of NVIDIA's that this process may use, as CUDA names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [part.strip() for part in named.split(",") if part.strip() not in ("", "-1")]
    found = [p.name for p in Path("/dev").glob("nvidia*") if re.fullmatch(r"nvidia\d+", p.name)]
    return [name.removeprefix("nvidia") for name in sorted(found, key=lambda n: int(n[6:]))]
