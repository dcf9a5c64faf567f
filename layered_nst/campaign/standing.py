"""How a campaign stands, and whether somebody is running it: quick to ask, at any time."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from layered_nst.campaign.jobs import AGAIN, WORK, JobState
from layered_nst.campaign.ledger import Counts, Entry, Ledger
from layered_nst.errors import CampaignError
from layered_nst.files.targets import make_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = "running"
"""Name of the file below ``WORK`` that a run holds."""


@dataclass(frozen=True)
class Status:
    """How a campaign stands, by its ledger.

    Attributes:
        title: of the campaign.
        output: its folder.
        counts: jobs by state.
        running: jobs that workers have now, or had when the last run was killed.
        failed: jobs that ended without a picture, or the first of them.
        active: whether a run is going on now.
    """

    title: str
    output: Path
    counts: Counts
    running: tuple[Entry, ...]
    failed: tuple[Entry, ...]
    active: bool

    def as_dict(self) -> dict[str, Any]:
        """The same as data that JSON can hold."""
        return {
            "title": self.title,
            "output": str(self.output),
            "active": self.active,
            **{state.value: self.counts[state] for state in JobState},
            "total": self.counts.total,
            "bytes": self.counts.bytes,
            "seconds": round(self.counts.seconds, 2),
            "jobs_running": [_told(entry) for entry in self.running],
            "jobs_failed": [_told(entry) for entry in self.failed],
        }


def _told(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "state": entry.state.value,
        "photo": entry.photo,
        "sentence": entry.sentence,
        "tries": entry.tries,
        "worker": entry.worker,
        "progress": dict(entry.progress),
    }


def status_of(folder: Path, *, most: int = -1) -> Status:
    """How the campaign in a folder stands; see ``Campaign.status``.

    Args:
        most: jobs that failed, and that run, of which more is told; all if negative.
    """
    with Ledger(folder, readonly=True) as ledger:
        return Status(
            ledger.told("title"),
            folder,
            ledger.counts(),
            tuple(ledger.entries((JobState.RUNNING,), most=most)),
            tuple(ledger.entries(AGAIN, most=most)),
            is_running(folder),
        )


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a campaign's folder; a second run there is refused.

    A run that is killed holds nothing any more. Where a disk knows no locks, the ledger's counter
    tells of other machines.
    """
    make_folder(folder / WORK)
    with (folder / WORK / LOCK).open("a+") as lock:
        if not _locked(lock):
            lock.seek(0)
            holder = lock.read().strip()
            raise CampaignError(f"{folder}: a campaign is running there already ({holder})")
        lock.truncate(0)
        now = datetime.now().strftime("%H:%M")
        lock.write(f"process {os.getpid()} on {socket.gethostname()}, since {now}")
        lock.flush()
        yield


def _locked(lock: IO[str]) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a disk without locks
    return True


def is_running(folder: Path) -> bool:
    """Whether a run holds a campaign's folder on this machine."""
    path = folder / WORK / LOCK
    if fcntl is None or not path.is_file():
        return False
    try:
        with path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
