"""Whether the code of plug-ins can be imported, found out in a process of its own.

What is imported there may print, hang, or end the process: the one that asks goes on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from layered_nst.errors import PluginError
from layered_nst.plugins.code import object_of
from layered_nst.plugins.manifests import Plugin
from layered_nst.plugins.parameters import check_schema
from layered_nst.plugins.registry import Registry

PATIENCE = 60.0
"""Seconds that importing a plug-in may take."""


@dataclass(frozen=True)
class Examined:
    """What importing a plug-in has come to.

    Attributes:
        seconds: that it took, with all that it imports in turn.
        problems: what is wrong with it, in sentences.
    """

    seconds: float
    problems: tuple[str, ...] = ()


def examine(plugins: Sequence[Plugin]) -> dict[str, Examined]:
    """Import all parts of plug-ins in another process.

    Returns:
        What has come of it, by the name of each plug-in.
    """
    found: dict[str, Examined] = {}
    waiting = list(plugins)
    while waiting:
        for name, examined in _run(waiting):
            found[name] = examined
        # A process that ended early has at least begun with the first.
        waiting = [plugin for plugin in waiting if plugin.name not in found]
    return found


def _run(plugins: Sequence[Plugin]) -> Iterator[tuple[str, Examined]]:
    program = "from layered_nst.plugins.examining import answer; answer()"
    files = [str(plugin.source) for plugin in plugins if plugin.folder is None]
    asked = json.dumps({"names": [plugin.name for plugin in plugins], "files": files})
    patience = PATIENCE * len(plugins)
    started, ended = time.monotonic(), ""
    with tempfile.TemporaryFile("w+") as answers:
        try:
            done = subprocess.run(
                [sys.executable, "-c", program, str(answers.fileno())],
                input=asked,
                text=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=patience,
                pass_fds=(answers.fileno(),) if os.name == "posix" else (),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            ended = f"importing it ends the process, with exit code {done.returncode}"
        except subprocess.TimeoutExpired:
            ended = f"importing it takes longer than {patience:.0f} s"
        answers.seek(0)
        names = iter([plugin.name for plugin in plugins])
        for line in answers:
            yield next(names), _examined(line)
    if (first := next(names, None)) is not None:
        yield first, Examined(time.monotonic() - started, (ended,))


def _examined(line: str) -> Examined:
    told = json.loads(line)
    return Examined(told["seconds"], tuple(told["problems"]))


def answer() -> None:
    """Import what standard input names, and write a line for each to the file that is named."""
    asked = json.load(sys.stdin)
    registry = Registry()
    for path in asked["files"]:
        registry.add_file(Path(path))
    with os.fdopen(int(sys.argv[1]), "w") as answers:
        for name in asked["names"]:
            answers.write(json.dumps(_imported(registry, name)) + "\n")
            answers.flush()


def _imported(registry: Registry, name: str) -> dict[str, Any]:
    problems = []
    with tempfile.TemporaryFile("w+") as printed:
        started = time.perf_counter()
        with _printing_into(printed):
            for part in registry.installed().parts:
                if part.plugin is not None and part.plugin.name == name:
                    try:
                        check_schema(part)
                        object_of(part)
                    except PluginError as error:
                        problems.append(str(error))
        seconds = time.perf_counter() - started
        printed.seek(0)
        if said := printed.readline().strip():
            problems.append(f"prints when it is imported: {said[:60]!r}")
    return {"seconds": round(seconds, 3), "problems": problems}


class _printing_into:  # noqa: N801 - used as a function is
    """Sends what is printed, by C libraries too, into a file."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file

    def __enter__(self) -> None:
        self.kept = [os.dup(1), os.dup(2)]
        for number in (1, 2):
            os.dup2(self.file.fileno(), number)

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, kept in zip((1, 2), self.kept, strict=True):
            os.dup2(kept, number)
            os.close(kept)
