"""This package against what else one could take, on the same task with the same weights.

    python tests/benchmarks/peers.py [RECIPE] [--size 512] [--steps 300] [--rounds 3] [--json FILE]

Peers: this package once for each region, pasted; pystiche 1.0.1's guided multi-region loss; and on
a single region the loop of Gatys, Ecker and Bethge 2016. Needs the extra ``benchmark`` (the judge)
and, for its row, ``pip install --no-deps pystiche==1.0.1``, here or into a folder that --packages
names.

All compute in float32; what this package does where a device multiplies bfloat16 natively, which
is its own choice there, has a row of its own.

First the time of a step at full size: all methods in turn, round after round, each run in a process
of its own. Then each method paints once: a peer for --steps steps, this package through its whole
plan. The judge tells what came of it and when this package had come as near to the styles as the
peer did in the end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from processes import Ended, started

HERE = Path(__file__).parent
RUNS = HERE / "peer_runs.py"
RECIPE = HERE / "four_regions.yaml"
# Each method with the scene that it paints.
METHODS = {
    "ours": ("ours", "regions"),
    "ours, bfloat16": ("bfloat16", "regions"),
    "pasted": ("pasted", "regions"),
    "pystiche": ("pystiche", "regions"),
    "ours, one region": ("ours", "one"),
    "gatys, one region": ("gatys", "one"),
}
OURS = {"regions": "ours", "one": "ours, one region"}


class Bench:
    """All runs of one comparison.

    Args:
        folder: for scenes, pictures and times.
        given: the command line.
    """

    def __init__(self, folder: Path, given: argparse.Namespace) -> None:
        self.folder, self.given = folder, given
        self.methods = {
            name: method
            for name, method in METHODS.items()
            if given.only is None or name in given.only
        }
        self.results: dict[str, dict[str, Any]] = {
            name: {"step_seconds": [], "peaks": []} for name in self.methods
        }

    def prepare(self) -> None:
        for scene, more in (("regions", ()), ("one", ("--one",))):
            words = (self.given.recipe, self.given.size, self.given.quality, self._scene(scene))
            ended = self._start("prepare", *words, *more)
            if ended.failure:
                raise SystemExit(ended.failure)

    def time_steps(self) -> None:
        for _ in range(self.given.rounds):
            for name, (method, scene) in self.methods.items():
                # The first step also sets up the styles, so it is left out.
                target, count = self.folder / "timed", self.given.timed + 1
                ended = self._start("run", method, self._scene(scene), count, target, "--only-time")
                if self._noted(name, ended):
                    seconds = self._seconds(target)
                    steps = [end - begin for begin, end in pairwise(seconds)]
                    self.results[name]["step_seconds"] += steps

    def paint(self) -> None:
        for name, (method, scene) in self.methods.items():
            whole_plan = method in ("ours", "bfloat16", "pasted")
            target = self.folder / name
            steps = 0 if whole_plan else self.given.steps
            ended = self._start("run", method, self._scene(scene), steps, target)
            if not self._noted(name, ended):
                continue
            self.results[name]["peaks"].append(ended.peak)
            self.results[name]["seconds"] = self._seconds(target)
            words = (self._scene(scene), target, *(["--trajectory"] if method == "ours" else []))
            judged = self._start("judge", *words)
            if self._noted(name, judged):
                self.results[name] |= json.loads(judged.output)

    def to_equal(self, name: str) -> float | None:
        """Seconds until this package is as near to the styles as a peer was in the end."""
        ours = self.results.get(OURS[self.methods[name][1]], {})
        if "score" not in self.results[name] or "distances" not in ours:
            return None
        wanted = self.results[name]["score"]["distance"]
        near = [int(step) for step, d in ours["distances"].items() if d <= wanted]
        return ours["seconds"][min(near) - 1] if near else None

    def _scene(self, name: str) -> Path:
        return self.folder / f"{name}.pt"

    def _seconds(self, folder: Path) -> list[float]:
        seconds: list[float] = json.loads((folder / "seconds.json").read_text())
        return seconds

    def _start(self, *words: object) -> Ended:
        paths = () if self.given.packages is None else (self.given.packages,)
        return started(RUNS, *words, threads=self.given.threads, paths=paths)

    def _noted(self, name: str, ended: Ended) -> bool:
        """Whether a run came to its end; a peer that doesn't is no reason to stop."""
        if ended.failure:
            self.results[name]["failure"] = ended.failure
        return not ended.failure


# The table

COLUMNS: dict[str, Callable[[dict[str, Any]], float]] = {
    "s/step": lambda found: statistics.median(found["step_seconds"]),
    "spread": lambda found: _spread(found["step_seconds"]),
    "steps": lambda found: len(found["seconds"]),
    "seconds": lambda found: found["seconds"][-1],
    "GB": lambda found: max(found["peaks"]) / 1e9,
    "distance": lambda found: found["score"]["distance"],
    "gain": lambda found: found["score"]["gain"],
    "leak": lambda found: found["score"]["leak"],
    "seam": lambda found: found["score"]["seam"],
    "content": lambda found: found["score"]["content"],
    "edges": lambda found: found["score"]["edges"],
}


def _spread(seconds: list[float]) -> float:
    """Range of the middle half over the median."""
    if len(seconds) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(seconds, n=4)
    return (high - low) / middle


def table(bench: Bench) -> str:
    heads = [f"{head:>10}" for head in (*COLUMNS, "÷ ours", "ours to =", "faster")]
    lines = [f"{'method':<18}" + "".join(heads)]
    for name, found in bench.results.items():
        cells = [_cell(lambda f=found, c=column: c(f)) for column in COLUMNS.values()]
        cells += [_cell(lambda n=name, c=c: c(bench, n)) for c in (_per_step, _equal, _faster)]
        lines.append(f"{name:<18}" + "".join(f"{cell:>10}" for cell in cells))
        if "failure" in found:
            lines.append(f"  {found['failure']}")
    return "\n".join(lines)


def _per_step(bench: Bench, name: str) -> float:
    """Median time of a step over ours on the same scene."""
    ours = bench.results[OURS[bench.methods[name][1]]]["step_seconds"]
    return statistics.median(bench.results[name]["step_seconds"]) / statistics.median(ours)


def _equal(bench: Bench, name: str) -> float | None:
    return bench.to_equal(name)


def _faster(bench: Bench, name: str) -> float | None:
    """How many times as fast as the peer this package came as near to the styles."""
    seconds = bench.to_equal(name)
    return None if seconds is None else bench.results[name]["seconds"][-1] / seconds


def _cell(number: Callable[[], float | None]) -> str:
    """A number, or a dash where a run failed, was left out or never came as near."""
    try:
        value = number()
    except (KeyError, IndexError, ValueError, TypeError):
        value = None
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", nargs="?", default=RECIPE, type=Path)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--quality", default="standard", help="of this package's own run")
    parser.add_argument("--steps", type=int, default=300, help="of a peer's run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timed", type=int, default=8, help="steps timed in each round")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", action="append", choices=METHODS, help="method; several times")
    parser.add_argument("--packages", type=Path, help="folder with pystiche")
    parser.add_argument("--json", type=Path, help="file for the raw numbers")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), given)
        bench.prepare()
        bench.time_steps()
        bench.paint()
    print(
        f"{given.recipe.name}, {given.size} px, {given.threads} threads, {given.rounds} rounds of "
        f"{given.timed} steps, {given.steps} steps of a peer, quality {given.quality}"
    )
    print(table(bench))
    if given.json is not None:
        numbers = {"options": {k: str(v) for k, v in vars(given).items()}, "runs": bench.results}
        given.json.write_text(json.dumps(numbers, indent=1))


if __name__ == "__main__":
    main()
