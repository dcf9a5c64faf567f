"""What workers run in tests in place of painting: short, and wrong in every way that there is."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from layered_nst.campaign.jobs import Ending, Job, Outcome
from layered_nst.errors import OutputError, PictureError

HERE = "jobs_to_try:{}"


def say(job: Job, tell: Callable[[Mapping[str, Any]], None], stop: threading.Event) -> Outcome:
    """Do as the photo's name says: write who did it, or go wrong."""
    word = Path(job.photo).stem.split("-")[0]
    deeds = {
        "segfault": lambda: ctypes.string_at(0),
        "memory": _eat,
        "broken": lambda: _refuse(f"{job.photo}: is broken"),
        "bug": lambda: {}["nothing"],
        "full": lambda: _no_room(job),
        "endless": lambda: threading.Event().wait(),
        "hang": lambda: _hold_everything(),
        "patient": lambda: _until(stop, tell),
        "slow": lambda: time.sleep(0.3),
    }
    if word in deeds:
        deeds[word]()
    if stop.is_set():
        return Outcome(Ending.STOPPED, "stopped")
    if word == "twice" and not _second_time(job):
        os._exit(9)
    tell({"done": 0.5, "level": 1, "levels": 2, "seconds_left": 0.1})
    path = Path(job.output)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(f"{os.getpid()} {job.group}\n")
    return Outcome(Ending.DONE, sha256="0" * 64, size=path.stat().st_size, exit_code=0)


def _refuse(sentence: str) -> None:
    raise PictureError(sentence)


def _no_room(job: Job) -> None:
    try:
        raise OSError(28, "No space left on device")
    except OSError as error:
        raise OutputError(f"{job.output}: cannot be written: no space left on device") from error


def _eat() -> None:
    held = []
    while True:
        held.append(bytearray(b"x" * 20_000_000))
        time.sleep(0.01)


def _hold_everything() -> None:
    """Hang so that no thread of this process gets its turn."""
    pydll = ctypes.PyDLL(None)
    pydll.sleep(3600)


def _until(stop: threading.Event, tell: Callable[[Mapping[str, Any]], None]) -> None:
    tell({"done": 0.1, "level": 1, "levels": 2, "seconds_left": 9.0})
    stop.wait()


def _second_time(job: Job) -> bool:
    mark = Path(job.output + ".begun")
    there = mark.exists()
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return there
