"""What a campaign gives and takes: pictures an hour, its own time, its start, the same bytes.

Both ways paint the same pictures, one after the other, by workers that are warm: two of one thread
each, and one of two threads. What starting takes is told apart.

    python tests/benchmarks/campaign.py
    python tests/benchmarks/campaign.py --executor ray
    python tests/benchmarks/campaign.py --executor ray --starts 5   # nothing but starts, in medians
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    counted = len(ends) - 2 * workers + 1
    return Measured(
        an_hour=counted / (last - warm) * 3600 if counted > 0 else 0.0,
        own=own / worked if worked else 0.0,
        started=first["started"],
        # Of a picture that ends before a step is told, its end.
        painted=first.get("progress", first["done"]),
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


def start_once(executor: str) -> None:
    """Begin a campaign of one small picture; print the seconds of every part of its start."""
    parts: dict[str, float] = {}
    if executor == "ray":
        from layered_nst.campaign.executors import cluster

        for part, name in (("import ray", "imported"), ("ray.init", "_begun")):
            setattr(cluster, name, _timed(getattr(cluster, name), part, parts))
    with tempfile.TemporaryDirectory() as folder:
        more = {"quality": "draft", "set": {"size": 64, "optimize.steps": 1}}
        found = measure(Campaign.of(RECIPE, [], folder, more=more), executor, 1, 1)
    parts |= {"first job handed out": found.started, "its first step": found.painted}
    print(json.dumps(parts))


def _timed(function: Callable[..., Any], part: str, parts: dict[str, float]) -> Callable[..., Any]:
    def timed(*given: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*given)
        finally:
            parts[part] = time.perf_counter() - began

    return timed


def measure_starts(executor: str, times: int) -> None:
    """Print medians and extremes of starts, each in a process of its own."""
    command = [sys.executable, __file__, "--executor", executor, "--starts", "0"]
    # Ray says something about itself first.
    told = [subprocess.check_output(command).splitlines()[-1] for _ in range(times)]
    found = [json.loads(line) for line in told]
    for part in found[0]:
        seconds = sorted(one[part] for one in found)
        middle = statistics.median(seconds)
        print(f"{part}: {middle:.2f} s in the middle, {seconds[0]:.2f} to {seconds[-1]:.2f} s")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--executor", default="local")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--quality", default="draft")
    parser.add_argument("--pictures", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--compared", type=int, default=3, help="pictures made by single runs too")
    parser.add_argument("--starts", type=int, help="measure so many starts, and nothing else")
    asked = parser.parse_args()
    if asked.starts is not None:
        start_once(asked.executor) if asked.starts == 0 else measure_starts(
            asked.executor, asked.starts
        )
        return
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
