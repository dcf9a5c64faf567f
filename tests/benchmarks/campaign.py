"""What a campaign gives and takes: pictures an hour, its own time, its start, the same bytes.

Both ways paint the same pictures, one after the other, by workers that are warm: two of one thread
each, and one of two threads. What starting takes is told apart.

    python tests/benchmarks/campaign.py
    python tests/benchmarks/campaign.py --executor ray
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from layered_nst.campaign import Campaign
from layered_nst.campaign.engine import Happening

RECIPE = Path(__file__).parents[2] / "recipes" / "cathedral.yaml"


@dataclass(frozen=True)
class Measured:
    """One way of painting the pictures.

    Attributes:
        an_hour: pictures, once all workers are warm.
        own: time that passed between a worker's jobs, by the time that these took.
        started, painted: seconds until the first job was handed out, and until its first step.
    """

    an_hour: float
    own: float
    started: float
    painted: float


def measure(asked: Campaign, executor: str, workers: int, threads: int) -> Measured:
    """Run a campaign and look at its times."""
    began = time.perf_counter()
    first: dict[str, float] = {}
    since: dict[str, float] = {}
    ends: list[float] = []
    own = worked = 0.0

    def heard(event: Happening) -> None:
        nonlocal own, worked
        now = time.perf_counter() - began
        first.setdefault(event.kind, now)
        if event.kind != "done" or event.outcome is None:
            return
        # From the end of the worker's last job to that of this one; its first loads libraries.
        if event.worker in since:
            own += now - since[event.worker] - event.outcome.seconds
            worked += event.outcome.seconds
        since[event.worker] = now
        ends.append(now)

    summary = asked.run(executor, workers=workers, threads=threads, on_event=heard)
    assert summary.exit_code == 0, summary
    # Between the ends of each worker's first and last job, so that none counts in part.
    warm, last = ends[workers - 1], ends[-workers]
    return Measured(
        an_hour=(len(ends) - 2 * workers + 1) / (last - warm) * 3600,
        own=own / worked,
        started=first["started"],
        painted=first["progress"],
    )


def same_bytes(asked: Campaign, folder: Path, count: int) -> int:
    """How many of the first pictures have the bytes of single runs of one thread."""
    found = 0
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    for job in asked.jobs().jobs[:count]:
        single = folder / "single.png"
        overrides = [f"--set={k}={v.plain()}" for k, v in job.overrides.items()]
        words = ["apply", job.recipe, "-c", job.photo, *overrides, "-o", str(single)]
        command = [sys.executable, "-m", "layered_nst.cli", *words]
        subprocess.run(command, check=True, env=surroundings, stderr=subprocess.DEVNULL)
        found += single.read_bytes() == Path(job.output).read_bytes()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--executor", default="local")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--quality", default="draft")
    parser.add_argument("--pictures", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--compared", type=int, default=3, help="pictures made by single runs too")
    asked = parser.parse_args()
    more = {
        "quality": asked.quality,
        "set": {"size": asked.size},
        "seeds": list(range(asked.pictures)),
    }
    for turn in range(asked.rounds):
        with tempfile.TemporaryDirectory() as name:
            found = {}
            for workers, threads in ((2, 1), (1, 2)):
                folder = Path(name, f"{workers}x{threads}")
                made = Campaign.of(RECIPE, [], folder, more=more)
                found[workers] = one = measure(made, asked.executor, workers, threads)
                print(
                    f"{workers} × {threads} threads  {one.an_hour:.0f} an hour  "
                    f"the engine's own {one.own:.1%}  first job after {one.started:.2f} s, "
                    f"its first step after {one.painted:.1f} s",
                    flush=True,
                )
            print(f"two workers against one: {found[2].an_hour / found[1].an_hour:.2f}", flush=True)
            if turn == 0 and asked.compared:
                made = Campaign.of(RECIPE, [], Path(name, "2x1"), more=more)
                same = same_bytes(made, Path(name), asked.compared)
                print(f"same bytes as single runs of one thread: {same} of {asked.compared}")


if __name__ == "__main__":
    main()
