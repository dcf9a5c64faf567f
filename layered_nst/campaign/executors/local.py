"""Workers as processes of this machine: the default, with no dependency."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from layered_nst import plugins
from layered_nst.campaign.executors.interface import Alive, Ended, Lost, News, Workers
from layered_nst.campaign.executors.places import gpus, settled
from layered_nst.campaign.executors.surroundings import surroundings
from layered_nst.campaign.executors.worker import Line
from layered_nst.campaign.jobs import Job
from layered_nst.files.targets import make_folder

MODULE = "layered_nst.campaign.executors.worker"
LONGEST_LOG = 5_000_000
"""Bytes after which a worker's log begins anew with the next worker."""
ENDS_WITHIN = 10.0
"""Seconds that workers have to end by themselves."""


@dataclass
class _Process:
    """A worker that runs, and the line to it."""

    worker: str
    process: subprocess.Popen[bytes]
    line: Line
    said: str = ""
    heard: bool = False
    given_up: bool = False


class LocalExecutor:
    """Runs jobs in processes of this machine, each of which stays warm from job to job."""

    def __init__(self, asked: Workers) -> None:
        self.asked = settled(asked)
        self.places: Sequence[str] = tuple(f"worker-{n}" for n in range(1, self.asked.count + 1))
        self.threads = self.asked.threads
        self._news = SimpleQueue[tuple[_Process, str, Any]]()
        self._ends = False
        self._at: dict[str, _Process] = {}
        make_folder(self.asked.logs)
        for place in self.places:
            self._at[place] = self._started(place)

    def submit(self, worker: str, job: Job) -> None:
        """See ``Executor``."""
        # One that has died meanwhile is found out about by its news.
        with contextlib.suppress(OSError):
            self._at[worker].line.send(("job", job))

    def poll(self, seconds: float) -> Sequence[News]:
        """See ``Executor``."""
        found: list[News] = []
        end = time.monotonic() + seconds
        while True:
            try:
                wait = 0.0 if found else max(0.0, end - time.monotonic())
                one = self._news.get(timeout=wait) if wait else self._news.get_nowait()
            except Empty:
                return found
            found += self._told(*one)

    def cancel(self, worker: str, *, kill: bool) -> None:
        """See ``Executor``."""
        if not kill:
            with contextlib.suppress(OSError):
                self._at[worker].line.send(("stop", None))
            return
        old = self._at[worker]
        old.given_up = True
        _kill(old.process)
        self._at[worker] = self._started(worker)

    def close(self, *, kill: bool = False) -> None:
        """See ``Executor``."""
        self._ends = True
        for one in self._at.values():
            with contextlib.suppress(OSError):
                one.line.writing.close()
        end = time.monotonic() + (0.0 if kill else ENDS_WITHIN)
        for one in self._at.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.process.wait(max(0.0, end - time.monotonic()))
            _kill(one.process)

    def _told(self, one: _Process, kind: str, value: Any) -> list[News]:
        if one.given_up or self._ends:
            return []
        one.heard = one.heard or kind != "closed"
        if kind == "told":
            return [Alive(one.worker, value)]
        if kind == "ended":
            return [Ended(one.worker, value)]
        if kind == "lost":
            one.said = value
            return []
        # The line has closed: the process has ended.
        code = one.process.wait()
        self._at[one.worker] = self._started(one.worker)
        log = self._log(one.worker)
        sentence = one.said or f"{ended_how(code)}; what it said last is in {log}"
        return [Lost(one.worker, sentence, final=bool(one.said), unborn=not one.heard)]

    def _started(self, place: str) -> _Process:
        log = self._log(place)
        with contextlib.suppress(OSError):
            if log.stat().st_size > LONGEST_LOG:
                log.unlink()
        with log.open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", MODULE, self.asked.task, *map(str, plugins.files())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self._surroundings(place),
                # Ctrl-C on the terminal is for us: we tell the workers what follows.
                start_new_session=True,
            )
        assert process.stdin is not None
        assert process.stdout is not None
        one = _Process(place, process, Line(process.stdout, process.stdin))
        threading.Thread(target=self._listen, args=(one,), daemon=True).start()
        return one

    def _listen(self, one: _Process) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._news.put((one, *one.line.receive()))
        self._news.put((one, "closed", None))

    def _log(self, place: str) -> Path:
        return self.asked.logs / f"{place}.log"

    def _surroundings(self, place: str) -> dict[str, str]:
        found = surroundings(self.asked.threads)
        cards = gpus() if self.asked.device in ("auto", "cuda") else []
        if cards:
            number = self.places.index(place) if place in self.places else 0
            found["CUDA_VISIBLE_DEVICES"] = cards[number % len(cards)]
        return found


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(ENDS_WITHIN)


def ended_how(code: int) -> str:
    """How a process ended, by its exit code, in words."""
    if code >= 0:
        return f"its process ended with code {code}"
    with contextlib.suppress(ValueError):
        name = signal.Signals(-code).name
        often = {"SIGKILL": ", as where memory runs out", "SIGSEGV": ", a fault in a library"}
        return f"its process was ended by {name}{often.get(name, '')}"
    return f"its process was ended by signal {-code}"


def open_local(asked: Workers) -> LocalExecutor:
    """Start workers on this machine."""
    return LocalExecutor(asked)
