"""How many threads a worker should have, by trying it on this machine: once, and remembered.

As many workers as fit beside one another pass a picture through an encoder and back, which is what
painting does most of the time. Run as a module, this is one of them.
"""

from __future__ import annotations

import contextlib
import json
import math
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from layered_nst.campaign.executors.surroundings import surroundings
from layered_nst.errors import ExecutorError
from layered_nst.files.atomic import replacing
from layered_nst.files.targets import make_folder
from layered_nst.machine.folders import cache_folder

SIDES = (256, 768)
"""Of the picture that is tried, px: small ones leave a second thread idle for longer. That which is
nearest by its ratio stands for a campaign's own."""
SECONDS = 0.7
"""Of one try."""
TURNS = 2
"""Tries of each number of threads, in turn; the better counts, since others use the machine too."""
BETTER = 1.05
"""More threads have to bring so much more: they bring pictures that take more memory at once."""
FILE = "threads.json"


@dataclass(frozen=True)
class Measured:
    """Steps a second of all workers together, by the threads of each."""

    rates: Mapping[int, float]

    @property
    def best(self) -> int:
        """The fewest threads that are about as good as the best."""
        most = max(self.rates.values())
        return min(threads for threads, rate in self.rates.items() if rate * BETTER >= most)

    def in_words(self) -> str:
        """What was found, for people."""
        told = [f"{rate:.1f} by {threads}" for threads, rate in sorted(self.rates.items())]
        return f"steps a second here by threads of a worker: {', '.join(told)}"


def remembered(processors: int, size: int = 0) -> Measured | None:
    """What was measured on this machine before; None if nothing was.

    Args:
        size: longest side of the pictures, px; 0 if unknown.
    """
    with contextlib.suppress(KeyError):
        return _known(processors)[side_for(size)]
    return None


def measured(processors: int, size: int = 0) -> Measured:
    """What was measured before, or is now, in some seconds.

    Raises:
        ExecutorError: a process that measures has ended.
    """
    found = remembered(processors, size)
    if found is None:
        side = side_for(size)
        found = Measured(_rates(processors, side))
        rates = {one: known.rates for one, known in _known(processors).items()}
        with contextlib.suppress(Exception):  # then it is measured again
            make_folder(_file().parent)
            with replacing(_file()) as file:
                said = {"of": _machine(processors), "rates": {**rates, side: found.rates}}
                file.write(json.dumps(said).encode())
    return found


def side_for(size: int) -> int:
    """The picture that is tried for pictures of a size."""
    return min(SIDES, key=lambda side: abs(math.log(side / max(size, 1)))) if size else SIDES[0]


def _known(processors: int) -> dict[int, Measured]:
    """What was measured on this machine, by the side of the picture."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        found = json.loads(_file().read_text("utf-8"))
        if found["of"] == _machine(processors):
            return {
                int(side): Measured({int(n): float(rate) for n, rate in rates.items()})
                for side, rates in found["rates"].items()
                if rates
            }
    return {}


def _file() -> Path:
    return cache_folder() / FILE


def _machine(processors: int) -> str:
    return f"{platform.node()} {platform.machine()} {processors} torch {version('torch')}"


def _choices(processors: int) -> list[int]:
    """One thread, twice as many while they fit, and all."""
    doubled = [2**n for n in range(processors.bit_length()) if 2**n < processors]
    return [*doubled, processors]


def _rates(processors: int, side: int) -> dict[int, float]:
    command = [sys.executable, "-m", __spec__.name if __spec__ else __name__, str(side)]
    with contextlib.ExitStack() as all_of_them:
        workers = [
            all_of_them.enter_context(
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=surroundings(processors),
                )
            )
            for _ in range(processors)
        ]
        for worker in workers:
            all_of_them.callback(worker.kill)
            _heard(worker)
        found: dict[int, float] = {}
        for threads in _choices(processors) * TURNS:
            busy = workers[: processors // threads]
            for worker in busy:
                _ask(worker, threads)
            rate = sum(_heard(worker) for worker in busy)
            found[threads] = max(rate, found.get(threads, 0.0))
    return found


def _ask(worker: subprocess.Popen[str], threads: int) -> None:
    assert worker.stdin is not None
    with contextlib.suppress(OSError):
        worker.stdin.write(f"{threads}\n")
        worker.stdin.flush()


def _heard(worker: subprocess.Popen[str]) -> float:
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if not line:
        raise ExecutorError("threads could not be measured: a process that tried has ended")
    return float(line)


def main() -> None:
    """Try each number of threads that a line of standard input names; tell steps a second."""
    import torch

    from layered_nst.networks.encoders import load_encoder

    side, encoder = int(sys.argv[1]), load_encoder("light")
    picture = torch.rand(1, 3, side, side, requires_grad=True)

    def step() -> None:
        features = encoder(picture, ["conv4_1"])["conv4_1"]
        features.square().mean().backward()

    print(0.0, flush=True)
    for line in sys.stdin:
        torch.set_num_threads(int(line))
        step()
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < SECONDS:
            step()
            count += 1
        print(count / (time.perf_counter() - began), flush=True)


if __name__ == "__main__":
    main()
