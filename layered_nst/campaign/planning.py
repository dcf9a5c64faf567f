"""What a campaign will take, and what is wrong with it, before anything starts."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from layered_nst.campaign.campaign import Campaign, is_same, usual_size
from layered_nst.campaign.executors.interface import Workers
from layered_nst.campaign.executors.places import settled, tried
from layered_nst.campaign.expanding import Expansion
from layered_nst.campaign.jobs import Job, JobState
from layered_nst.campaign.ledger import NAME, Ledger
from layered_nst.campaign.naming import ending_of
from layered_nst.errors import CampaignError

BYTES = {".png": 1.9, ".tif": 3.0, ".tiff": 3.0, ".jpg": 0.7, ".jpeg": 0.7, ".webp": 0.45}
"""Bytes of a pixel of a painted picture on disk, by its format: means over the gallery's."""
SLOWER = 1.45
"""How much longer a picture takes by one of two workers of one thread than by two threads alone;
see ``tests/benchmarks/campaign.py``."""


@dataclass(frozen=True)
class Forecast:
    """What a campaign will take.

    Attributes:
        pictures: all of them.
        done: that are there already.
        to_do: that can be painted now.
        seconds: until the last of them is there.
        bytes: of the pictures that are to be painted.
        free: bytes of the disk that they go to.
        workers, threads: that will paint, and of how many threads each.
        threads_measured: what was measured here of workers' threads; "" if nothing was.
        measured: whether the time comes from pictures that were painted; else from rates.
        clashes: sentences about pictures that would have one name.
        problems: sentences about photos, rows and recipes that cannot be painted.
    """

    pictures: int
    done: int
    to_do: int
    seconds: float
    bytes: float
    free: float
    workers: int
    threads: int
    threads_measured: str
    measured: bool
    clashes: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 if all of it can be painted."""
        return 1 if self.clashes or self.problems or self.bytes > self.free else 0

    def as_dict(self) -> dict[str, Any]:
        """The same as data that JSON can hold."""
        return {
            "pictures": self.pictures,
            "done": self.done,
            "to_do": self.to_do,
            "hours": round(self.seconds / 3600, 3),
            "gigabytes": round(self.bytes / 1e9, 3),
            "free_gigabytes": round(self.free / 1e9, 1),
            "workers": self.workers,
            "threads": self.threads,
            "threads_measured": self.threads_measured,
            "measured": self.measured,
            "clashes": list(self.clashes),
            "problems": list(self.problems),
        }


def forecast(
    campaign: Campaign, *, workers: int | None = None, threads: int | None = None
) -> Forecast:
    """Look at all that a campaign names; nothing is painted or written.

    Where it will take long, how many threads are best for a worker is measured, once a machine.

    Args:
        workers, threads: as ``Campaign.run`` takes them.

    Raises:
        CampaignError: photos or recipes that match nothing.
    """
    found = campaign.jobs()
    done, rates = _known(campaign, found)
    problems = dict.fromkeys(job.problem for job in found.jobs if job.problem)
    sizes, broken = _looked_at(job.photo for job in found.jobs if not job.problem)
    good = [job for job in found.jobs if job.name not in done and not job.problem]
    to_do = [job for job in good if job.photo not in broken]
    asked = Workers(workers, threads, campaign.device, size=usual_size(to_do))
    known = tried(asked, sum(job.cost for job in to_do))
    places = settled(asked)
    work = sum(job.cost * rates.get(job.group, _slowed(places.count)) for job in to_do)
    longest = max((job.cost for job in to_do), default=0.0)
    return Forecast(
        pictures=len(found.jobs),
        done=len(done),
        to_do=len(to_do),
        seconds=max(longest, work / places.count),
        bytes=sum(_bytes_of(job, sizes) for job in to_do),
        free=float(shutil.disk_usage(_existing(campaign.output)).free),
        workers=places.count,
        threads=places.threads,
        threads_measured="" if known is None else known.in_words(),
        measured=any(job.group in rates for job in to_do),
        clashes=found.clashes,
        problems=(*problems, *broken.values()),
    )


def _slowed(workers: int) -> float:
    return SLOWER if workers > 1 else 1.0


def _known(campaign: Campaign, found: Expansion) -> tuple[set[str], Mapping[str, float]]:
    """Names of the pictures that are there, and seconds by what was thought, by group."""
    if not (campaign.output / NAME).is_file():
        return set(), {}
    try:
        with Ledger(campaign.output, readonly=True) as ledger:
            standing, rates = ledger.standing(), ledger.measured()
    except CampaignError:
        return set(), {}
    done = {
        job.name
        for job in found.jobs
        if not job.problem
        and (known := standing.get(job.name)) is not None
        and known.state is JobState.DONE
        and is_same(job, known)
    }
    return done, rates


def _looked_at(photos: Iterable[str]) -> tuple[dict[str, float], dict[str, str]]:
    """The shorter side of photos by their longer one, and sentences about those that are broken."""
    sizes, broken = dict[str, float](), dict[str, str]()
    for photo in dict.fromkeys(photos):
        try:
            with Image.open(photo) as opened:
                sizes[photo] = min(opened.size) / max(1, *opened.size)
                opened.verify()
        except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
            # Formats that only our own reader knows are for it to judge.
            if Path(photo).suffix.lower() not in (".tif", ".tiff"):
                reason = (
                    "is no picture" if isinstance(error, UnidentifiedImageError) else "is broken"
                )
                broken[photo] = f"{photo}: {reason}"
        except Image.DecompressionBombError:
            continue
    return sizes, broken


def _bytes_of(job: Job, sizes: Mapping[str, float]) -> float:
    per_pixel = BYTES.get(ending_of(job.name).lower(), 1.9)
    return job.size**2 * sizes.get(job.photo, 0.75) * per_pixel


def _existing(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    return next(one for one in (folder, *folder.parents) if one.exists())
