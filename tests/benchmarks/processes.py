"""Runs in processes of their own, with the memory that each of them took.

Imports nothing large: on Linux a child's peak starts from what its parent held.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """How a process ended: its output, its peak of resident memory in bytes, and why it failed."""

    output: str
    peak: int
    failure: str | None = None


def started(
    script: Path, *words: object, threads: int | None, paths: tuple[Path, ...] = ()
) -> Ended:
    """Run a Python script to its end.

    Args:
        threads: how many threads it computes on; None leaves that to it.
        paths: folders with further packages.
    """
    environment = dict(os.environ)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    places = [*map(str, paths), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(place for place in places if place)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            [sys.executable, str(script), *map(str, words)], stdout=out, stderr=err, env=environment
        )
        # The usage of this child alone; getrusage(RUSAGE_CHILDREN) is that of the largest so far.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        lines = err.read().decode(errors="replace").strip().splitlines()
        output = out.read().decode(errors="replace")
    failure = None if process.returncode == 0 else (lines or [f"exit {process.returncode}"])[-1]
    unit = 1 if sys.platform == "darwin" else 1024
    return Ended(output, usage.ru_maxrss * unit, failure)
