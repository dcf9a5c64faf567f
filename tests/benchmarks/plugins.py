"""What plug-ins cost those who do not use them, and what the registry costs a step.

Twenty packages are written into a folder of Python's path; ten of them import torch, four bring a
command. The processor time of ``--help`` with them and without is taken in turn. A step with a loss
of our own is compared with a step of the same loss as a plug-in's.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

MANIFEST = """\
api: 1
name: studio-{n}
version: "1.0"
license: MIT
parts:
  - {{kind: selector, name: bright, object: "studio_{n}:bright"}}
{command}"""
COMMAND = '  - {{kind: command, name: greet-{n}, object: "studio_{n}:greet", summary: Greet.}}\n'
LOSS = """\
PLUGIN = {"api": 1, "parts": [{"kind": "loss", "name": "content", "object": "content"}]}

from layered_nst.painting.objective import content_loss

def content(asked):
    return content_loss(asked)
"""


def install(site: Path, count: int) -> None:
    """Write packages as pip leaves them."""
    for n in range(count):
        package = site / f"studio_{n}"
        package.mkdir()
        (package / "__init__.py").write_text("import torch\n" if n < count // 2 else "")
        command = COMMAND.format(n=n) if n < 4 else ""
        (package / "plugin.yaml").write_text(MANIFEST.format(n=n, command=command))
        info = site / f"studio_{n}-1.0.dist-info"
        info.mkdir()
        points = f"[layered_nst.plugins]\nstudio-{n} = studio_{n}:plugin.yaml\n"
        (info / "entry_points.txt").write_text(points)


def processor_time(site: Path | None) -> float:
    """Seconds of ``layered-nst --help``."""
    path = os.pathsep.join([*([] if site is None else [str(site)]), *sys.path])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [sys.executable, "-m", "layered_nst.cli", "--help"]
    environment = {**os.environ, "PYTHONPATH": path}
    subprocess.run(words, check=True, env=environment, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def steps(folder: Path, tries: int) -> tuple[float, float]:
    """Seconds of a step with a loss of ours, and with the same as a plug-in's; the least."""
    from layered_nst import plugins
    from layered_nst.testing.losses import _objective, _picture

    path = folder / "mine.py"
    path.write_text(LOSS)
    plugins.add_file(path)
    picture = _picture()
    parts = [plugins.part("loss", name) for name in ("content", "mine/content")]
    objectives = [_objective(part) for part in parts]
    found: list[list[float]] = [[], []]
    for _ in range(tries):
        for times, objective in zip(found, objectives, strict=True):
            started = time.perf_counter()
            objective.backward(picture)
            times.append(time.perf_counter() - started)
    return min(found[0]), min(found[1])


def each(work: Callable[[], object], count: int = 20_000) -> float:
    """Seconds that one call takes."""
    started = time.perf_counter()
    for _ in range(count):
        work()
    return (time.perf_counter() - started) / count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20, help="Plug-ins that are installed.")
    parser.add_argument("--tries", type=int, default=15, help="Of each measurement.")
    options = parser.parse_args()
    from layered_nst import plugins

    with tempfile.TemporaryDirectory() as name:
        site = Path(name, "site")
        site.mkdir()
        install(site, options.count)
        times = [(processor_time(None), processor_time(site)) for _ in range(options.tries)]
        without, with_them = (min(column) for column in zip(*times, strict=True))
        ours, theirs = steps(Path(name), 10 * options.tries)
    print(
        json.dumps(
            {
                "help_ms": round(1000 * without, 1),
                "help_more_ms": round(1000 * (with_them - without), 1),
                "help_more_median_ms": round(
                    1000 * statistics.median(more - less for less, more in times), 1
                ),
                "get_us": round(1e6 * each(lambda: plugins.get("loss", "style")), 2),
                "step_as_plugin": round(theirs / ours, 3),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
