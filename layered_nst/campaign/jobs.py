"""Jobs: one picture each, as plain data that any process can be handed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from layered_nst.files.hashes import text_hash


class JobState(StrEnum):
    """Where a job stands in the ledger."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    POISONED = "poisoned"
    SKIPPED = "skipped"


WORK = ".campaign"
"""Folder below a campaign's output for checkpoints, crops, thumbnails and logs."""

AGAIN = (JobState.FAILED, JobState.POISONED)
"""States of jobs that ended without a picture, which ``retry`` begins again."""

OPEN = (JobState.QUEUED, JobState.RUNNING)
"""States of jobs that are still to be done."""


@dataclass(frozen=True)
class Job:
    """A picture to be painted.

    Attributes:
        name: of the picture, below the output.
        output: absolute path of the picture.
        recipe: absolute path of the recipe.
        photo: absolute path of the photo.
        number: its place in the campaign, from 1.
        where: file and line of the row that names its photo, "" if none does.
        size: longest side of the picture, px; 0 if unknown.
        overrides: values of the recipe by key path, with their places.
        crop: width by height of the photo's part that is painted, such as ``4:5``; "" for all.
        keep: what the crop lies around.
        spec: hash of all that decides the pixels but the photo; "" if it could not be taken.
        photo_state: what changes whenever the photo, or what is drawn on it alone, does.
        drawn: hash of what is drawn on the photo alone; "" if that is nothing.
        group: of jobs that share recipe, styles and size, and so what a warm worker holds.
        cost: what it takes, relative to others, or seconds once some were measured.
        labels: what reports tell it by: photo, recipe, format, seed and what varies.
        problem: why it cannot be painted, known before; "" if nothing is wrong.
        files: that it reads, for workers that do not share a disk.
        work: folder for checkpoints, crops and thumbnails.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``.
        memory: bytes that its process may take; None for no limit.
        sharing: workers that share a machine's memory with it, itself among them.
        cache: whether what was computed before is used and kept.
        at_once: whether it is painted by one pass of a network, in a moment.
    """

    name: str
    output: str
    recipe: str
    photo: str
    number: int = 0
    where: str = ""
    size: int = 0
    overrides: Mapping[str, Any] = field(default_factory=dict)
    crop: str = ""
    keep: str = "product"
    spec: str = ""
    photo_state: str = ""
    drawn: str = ""
    group: str = ""
    cost: float = 1.0
    labels: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    files: Sequence[str] = ()
    work: str = ""
    device: str = "auto"
    memory: float | None = None
    sharing: int = 1
    cache: bool = True
    at_once: bool = False

    @property
    def checkpoint(self) -> Path:
        """Where it keeps how far it is: by what it paints, so that another never goes on there."""
        return Path(self.work, "checkpoints", f"{self.mark}.checkpoint")

    @property
    def mark(self) -> str:
        """A short name of its own for files that belong to it."""
        return text_hash(f"{self.name} {self.spec}")[:24]


def mark_path(work: Path, mark: str) -> Path:
    """Where a worker says that a job is done, until the ledger says it."""
    return work / "done" / f"{mark}.json"


def thumbnail_path(work: Path, mark: str) -> Path:
    """Where the small picture of a job lies."""
    return work / "thumbnails" / f"{mark}.jpg"


class Ending(StrEnum):
    """How a job ended in its worker."""

    DONE = "done"
    FAILED = "failed"
    """By an error that it would meet again."""
    STOPPED = "stopped"
    """By our wish, with a checkpoint."""
    HALTED = "halted"
    """By what all other jobs would meet as well, such as a full disk."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        ending: how it ended.
        sentence: what went wrong, or was noted.
        seconds: that it took in its worker.
        sha256: of the picture's file.
        size: of the picture's file, bytes.
        photo_key: hash of the photo that was painted and of what is drawn for it alone.
        exit_code: of the error, as a single run would end with.
        pixels: width and height of the picture.
        peak: most memory of the worker so far, bytes; 0 if unknown.
        brought: files that a worker without our disk hands over, by their path here.
    """

    ending: Ending
    sentence: str = ""
    seconds: float = 0.0
    sha256: str = ""
    size: int = 0
    photo_key: str = ""
    exit_code: int = 1
    pixels: tuple[int, int] = (0, 0)
    peak: float = 0.0
    brought: Mapping[str, bytes] = field(default_factory=dict, repr=False)
