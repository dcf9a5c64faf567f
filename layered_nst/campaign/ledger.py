"""The ledger: what has become of every job, in one SQLite file beside the pictures.

It is the campaign's memory. Whatever is killed, what it says is so: a job is ``done`` in it once
its picture lies whole under its name. Times between processes are told by counters, not by clocks.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from layered_nst.campaign.jobs import OPEN, Job, JobState, Outcome
from layered_nst.errors import CampaignError, OutputError
from layered_nst.files.targets import make_folder

NAME = "campaign.db"
VERSION = 1
"""Of the form of ledgers."""
APPLICATION = 0x6C6E7374
"""Tells a ledger from other SQLite files."""
PATIENCE = 5.0
"""Seconds after which another machine that has not moved its counter counts as gone."""

_TABLES = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE jobs (
    name TEXT PRIMARY KEY, number INTEGER, state TEXT, spec TEXT, photo_key TEXT DEFAULT '',
    photo TEXT, recipe TEXT, grp TEXT, cost REAL, labels TEXT, tries INTEGER DEFAULT 0,
    sentence TEXT DEFAULT '',
    worker TEXT DEFAULT '', progress TEXT DEFAULT '', started REAL, ended REAL,
    seconds REAL DEFAULT 0, sha256 TEXT DEFAULT '', bytes INTEGER DEFAULT 0,
    width INTEGER DEFAULT 0, height INTEGER DEFAULT 0, exit_code INTEGER DEFAULT 0,
    mark TEXT DEFAULT '', photo_state TEXT DEFAULT ''
);
CREATE INDEX jobs_by_state ON jobs (state, seconds, bytes);
"""


@dataclass(frozen=True)
class Entry:
    """What the ledger says of a job; for what is not told here see ``Job`` and ``Outcome``.

    Attributes:
        state: where it stands.
        tries: how often it was begun.
        worker: that has it, or had it last.
        progress: how far it is, as its worker has told it.
        started, ended: seconds since 1970; None if it has not.
        seconds: that it took in its worker.
        bytes: size of the picture's file.
        width, height: of the picture, px.
        mark: see ``Job.mark``.
    """

    name: str
    number: int
    state: JobState
    spec: str
    photo_key: str
    photo: str
    recipe: str
    group: str
    cost: float
    labels: Mapping[str, str]
    tries: int
    sentence: str
    worker: str
    progress: Mapping[str, Any]
    started: float | None
    ended: float | None
    seconds: float
    sha256: str
    bytes: int
    width: int
    height: int
    exit_code: int
    mark: str


@dataclass(frozen=True)
class Standing:
    """Where a job stands and what it was begun with: see ``Job`` and ``Outcome``."""

    state: JobState
    spec: str
    photo_key: str
    photo_state: str


@dataclass(frozen=True)
class Counts:
    """How many jobs are in which state, and what those that are done have taken.

    Attributes:
        by_state: number of jobs.
        seconds: of all that are done, in their workers.
        bytes: of all their pictures.
    """

    by_state: Mapping[JobState, int]
    seconds: float = 0.0
    bytes: int = 0

    def __getitem__(self, state: JobState) -> int:
        return self.by_state.get(state, 0)

    @property
    def total(self) -> int:
        """All jobs but those that are left out."""
        return sum(self.by_state.values()) - self[JobState.SKIPPED]

    @property
    def open(self) -> int:
        """Those that are still to be done."""
        return sum(self[state] for state in OPEN)

    @property
    def bad(self) -> int:
        """Those that ended without a picture."""
        return self[JobState.FAILED] + self[JobState.POISONED]


class Ledger:
    """A campaign's ledger, open.

    Args:
        folder: the campaign's output.
        create: make one if there is none.

    Raises:
        CampaignError: there is none, or it is damaged, of a newer version, or another file.
        OutputError: the folder is closed to us.
    """

    def __init__(self, folder: Path, *, create: bool = False, readonly: bool = False) -> None:
        self.folder, self.path = folder, folder / NAME
        self.readonly = readonly
        there = self.path.exists()
        if not there and not create:
            raise CampaignError(f"{folder}: no campaign has been run there; it has no {NAME}")
        if not there:
            make_folder(folder)
        try:
            self._db = self._opened(there)
        except sqlite3.DatabaseError as error:
            raise self._refused(error) from error

    def _opened(self, there: bool) -> sqlite3.Connection:
        if there and self.path.stat().st_size == 0 and self.readonly:
            raise sqlite3.DatabaseError("it is empty")
        mode = "?mode=ro" if self.readonly else ""
        db = sqlite3.connect(
            f"{self.path.absolute().as_uri()}{mode}",
            uri=True,
            timeout=30,
            isolation_level=None,
            check_same_thread=False,
        )
        version = db.execute("PRAGMA user_version").fetchone()[0]
        kind = db.execute("PRAGMA application_id").fetchone()[0]
        empty = not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not empty and kind != APPLICATION:
            raise CampaignError(f"{self.path}: is no ledger of a campaign; name another output")
        if version > VERSION:
            raise CampaignError(
                f"{self.path}: a ledger of version {version}; this program reads {VERSION}"
            )
        if there and not self.readonly and not empty and self._is_damaged(db):
            raise sqlite3.DatabaseError("its pages do not fit together")
        if not self.readonly:
            self._prepare(db, empty)
        elif empty:
            raise sqlite3.DatabaseError("it is empty")
        return db

    @staticmethod
    def _is_damaged(db: sqlite3.Connection) -> bool:
        return bool(db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")

    @staticmethod
    def _prepare(db: sqlite3.Connection, empty: bool) -> None:
        # Where a disk knows no WAL, such as a share, SQLite stays with its journal.
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        if empty:
            with contextlib.suppress(sqlite3.OperationalError):
                db.executescript(
                    f"BEGIN;{_TABLES}PRAGMA user_version={VERSION};"
                    f"PRAGMA application_id={APPLICATION};COMMIT;"
                )

    def _refused(self, error: sqlite3.Error) -> Exception:
        words = str(error).lower()
        if "unable to open" in words or "readonly" in words or "permission" in words:
            return OutputError(f"{self.path}: cannot be written: {words}")
        if "locked" in words:
            return CampaignError(f"{self.path}: another program holds it")
        return CampaignError(
            f"{self.path}: is damaged ({words}); `rebuild` makes it again from the pictures, and "
            "keeps the damaged one beside it"
        )

    def close(self) -> None:
        """Close it; what was written stays."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Write all that is written meanwhile together, or nothing of it.

        Raises:
            OutputError: the disk is full, or closed to us by now.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise OutputError(f"{self.path}: cannot be written: {str(error).lower()}") from error
        finally:
            # A signal may come right after the first statement, or right before the last.
            if self._db.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")

    # what the campaign is

    def told(self, key: str) -> str:
        """A text about the campaign, "" if there is none."""
        found = self._db.execute("SELECT value FROM about WHERE key=?", (key,)).fetchone()
        return "" if found is None else str(found[0])

    def tell(self, key: str, value: str) -> None:
        """Keep a text about the campaign."""
        self._db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, value))

    def beat(self) -> None:
        """Say that a run is going on here."""
        count = json.loads(self.told("beat") or "{}").get("count", 0) + 1
        here = {"host": socket.gethostname(), "pid": os.getpid(), "count": count}
        self.tell("beat", json.dumps({**here, "at": time.time()}))

    def running_elsewhere(self, *, patience: float = PATIENCE) -> str:
        """Which other machine is running this campaign now, "" if none is.

        Locks of files don't reach everywhere; a counter that moves while we look does, and no
        clock that was set back misleads it.
        """
        before = json.loads(self.told("beat") or "{}")
        if not before or before.get("ended") or before["host"] == socket.gethostname():
            return ""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            time.sleep(0.25)
            if json.loads(self.told("beat"))["count"] != before["count"]:
                return f"process {before['pid']} on {before['host']}"
        return ""

    def beat_ended(self) -> None:
        """Say that the run has come to its end."""
        found = json.loads(self.told("beat") or "{}")
        self.tell("beat", json.dumps({**found, "ended": True}))

    # jobs

    def add(self, jobs: Sequence[Job], *, state: JobState = JobState.QUEUED) -> None:
        """Write jobs anew, whatever was said of them before."""
        rows = [
            (j.name, j.number, state, "" if j.problem else j.spec, j.photo, j.photo_state,
             j.recipe, j.group, j.cost, json.dumps(dict(j.labels)), j.mark, j.problem)
            for j in jobs
        ]  # fmt: skip
        self._db.executemany(
            "INSERT OR REPLACE INTO jobs (name, number, state, spec, photo, photo_state, recipe,"
            " grp, cost, labels, mark, sentence) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )

    def renumber(self, jobs: Sequence[Job]) -> None:
        """Keep what is said of jobs, but for their place and labels, and their photo's state."""
        rows = [(j.number, json.dumps(dict(j.labels)), j.photo_state, j.name) for j in jobs]
        self._db.executemany("UPDATE jobs SET number=?, labels=?, photo_state=? WHERE name=?", rows)

    def set_state(self, names: Sequence[str], state: JobState, sentence: str = "") -> None:
        """Move jobs to a state."""
        rows = [(state, sentence, name) for name in names]
        self._db.executemany(
            "UPDATE jobs SET state=?, sentence=?, worker='', progress='' WHERE name=?", rows
        )

    def start(self, name: str, worker: str) -> None:
        """A worker has been handed the job."""
        self._db.execute(
            "UPDATE jobs SET state=?, worker=?, tries=tries+1, started=?, sentence='', progress=''"
            " WHERE name=?",
            (JobState.RUNNING, worker, time.time(), name),
        )

    def progress(self, name: str, told: Mapping[str, Any]) -> None:
        """How far a running job is."""
        self._db.execute("UPDATE jobs SET progress=? WHERE name=?", (json.dumps(dict(told)), name))

    def end(self, name: str, state: JobState, outcome: Outcome) -> None:
        """A job has ended."""
        width, height = outcome.pixels
        self._db.execute(
            "UPDATE jobs SET state=?, sentence=?, seconds=?, sha256=?, bytes=?, width=?, height=?,"
            " photo_key=CASE WHEN ?='' THEN photo_key ELSE ? END, exit_code=?, ended=?,"
            " progress='' WHERE name=?",
            (state, outcome.sentence, outcome.seconds, outcome.sha256, outcome.size, width, height,
             outcome.photo_key, outcome.photo_key, outcome.exit_code, time.time(), name),
        )  # fmt: skip

    def release(self, name: str, *, counted: bool = True) -> None:
        """A job that was begun goes back, to be begun again.

        Args:
            counted: whether the try counts against it.
        """
        self._db.execute(
            "UPDATE jobs SET state=?, worker='', progress='', tries=max(0, tries-?) WHERE name=?",
            (JobState.QUEUED, 0 if counted else 1, name),
        )

    def tries(self, name: str) -> int:
        """How often a job has been begun."""
        found = self._db.execute("SELECT tries FROM jobs WHERE name=?", (name,)).fetchone()
        return 0 if found is None else int(found[0])

    def counts(self) -> Counts:
        """How many jobs there are of each state."""
        rows = self._db.execute(
            "SELECT state, count(*), sum(seconds), sum(bytes) FROM jobs GROUP BY state"
        ).fetchall()
        done = next((row for row in rows if row[0] == JobState.DONE), (0, 0, 0, 0))
        return Counts({JobState(r[0]): r[1] for r in rows}, float(done[2] or 0), int(done[3] or 0))

    def entries(
        self, states: Sequence[JobState] = tuple(JobState), *, most: int = -1
    ) -> list[Entry]:
        """Jobs in some states, in the order of the campaign."""
        marks = ",".join("?" * len(states))
        rows = self._db.execute(
            "SELECT name, number, state, spec, photo_key, photo, recipe, grp, cost, labels, tries,"
            " sentence, worker, progress, started, ended, seconds, sha256, bytes, width, height,"
            f" exit_code, mark FROM jobs WHERE state IN ({marks}) ORDER BY number LIMIT ?",
            (*states, most),
        )
        return [_entry(row) for row in rows]

    def standing(self) -> dict[str, Standing]:
        """What decides whether a job is to be done again, of all jobs by name."""
        rows = self._db.execute("SELECT name, state, spec, photo_key, photo_state FROM jobs")
        return {row[0]: Standing(JobState(row[1]), *row[2:]) for row in rows}

    def measured(self) -> dict[str, float]:
        """By group of jobs: what those that are done have taken by what they were thought to cost.

        Those that were found painted, as by ``rebuild``, have no time.
        """
        rows = self._db.execute(
            "SELECT grp, sum(seconds) / sum(cost) FROM jobs"
            " WHERE state=? AND seconds > 0 AND cost > 0 GROUP BY grp",
            (JobState.DONE,),
        )
        return dict(rows.fetchall())


def _entry(row: Sequence[Any]) -> Entry:
    values = list(row)
    values[2] = JobState(values[2])
    values[9] = json.loads(values[9] or "{}")
    values[13] = json.loads(values[13] or "{}")
    return Entry(*values)
