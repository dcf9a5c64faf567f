"""What a worker does for a job: paints its picture as a single run would, to the same bytes."""

from __future__ import annotations

import json
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from layered_nst import api
from layered_nst.campaign.expanding import with_places
from layered_nst.campaign.identity import Hashes, drawn_on, photo_key, spec_of
from layered_nst.campaign.jobs import Ending, Job, Outcome, mark_path, thumbnail_path
from layered_nst.errors import (
    CampaignError,
    CheckpointError,
    LayeredNstWarning,
    RecipeError,
)
from layered_nst.files.atomic import replacing
from layered_nst.files.hashes import file_hash
from layered_nst.files.targets import check_target, make_folder
from layered_nst.machine.allocator import reuse_memory
from layered_nst.machine.device import choose_device
from layered_nst.machine.memory import obtainable_bytes
from layered_nst.outputs.leaving import Targets, write_all
from layered_nst.outputs.result import Result, files_of
from layered_nst.painting.progress import Progress
from layered_nst.picture import is_ours
from layered_nst.recipe import Recipe
from layered_nst.strategies.budget import ROUND_AMOUNTS

THUMBNAIL = 256
"""Longest side of a thumbnail, px."""
RESERVE = 0.85
"""Share of a process's memory that painting may plan with: the rest is for libraries."""

_hashes = Hashes()
_warmed = False

Tell = Callable[[Mapping[str, Any]], None]


class Source(Protocol):
    """Where a job's recipe comes from, and under which names its files are told."""

    def recipe(self, photo: Path) -> Recipe:
        """The recipe on a photo, or on a crop of it."""

    def as_told(self, result: Result) -> Result:
        """A result that names its files as the campaign does."""


class Here:
    """A worker that shares its disk with the campaign."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def recipe(self, photo: Path) -> Recipe:
        """See ``Source``."""
        return _loaded(self.job, photo)

    def as_told(self, result: Result) -> Result:
        """See ``Source``."""
        return result


def paint(job: Job, tell: Tell, stop: threading.Event, source: Source | None = None) -> Outcome:
    """Paint a job's picture.

    Args:
        source: of its recipe; this disk if not given.

    Raises:
        LayeredNstError: whatever a single run would raise.
    """
    _warm()
    notes: list[str] = []
    source = source or Here(job)
    with _kept_warnings(notes):
        photo = Path(job.photo)
        loaded = source.recipe(photo)
        drawn, content, photo_hash = drawn_on(loaded, photo, _hashes), photo, ""
        if job.crop:
            # What finds products takes a while to import.
            from layered_nst.campaign.cropping import cropped

            photo_hash = _hashes(photo)
            content = cropped(job, loaded, photo_hash)
            loaded = source.recipe(content)
        result, targets = _painted(job, loaded, content, tell, stop)
        write_all(source.as_told(result), targets)
    # Of a photo that changes meanwhile, what was read counts.
    read = photo_hash or (result.inputs.photo if result.inputs else _hashes(photo))
    key = photo_key(read, drawn)
    return _done(job, result, key, [*notes, *result.notes])


def _warm() -> None:
    global _warmed
    if not _warmed:
        reuse_memory()
        _warmed = True


def _loaded(job: Job, photo: Path) -> Recipe:
    """The recipe on the photo, which must be the one that the campaign was made of."""
    try:
        loaded = api.load(Path(job.recipe), photo, overrides=job.overrides)
    except RecipeError as error:
        raise RecipeError(with_places(str(error), job.overrides)) from error
    if job.spec:
        now = spec_of(loaded, crop=job.crop, keep=job.keep, device=job.device, hashes=_hashes)
        if now != job.spec:
            raise CampaignError(
                f"{job.recipe}: it, or a style that it names, has changed since the campaign was "
                "begun; run the campaign again"
            )
    return loaded


def _painted(
    job: Job, loaded: Recipe, content: Path, tell: Tell, stop: threading.Event
) -> tuple[Result, Targets]:
    picture = Path(job.output)
    make_folder(picture.parent)
    targets = Targets(picture, manifest=False, reads=(Path(job.recipe), *files_of(loaded)))
    targets.check(loaded)
    # The campaign has chosen this name, not the user.
    check_target(picture, reads=targets.reads, known=is_ours)
    make_folder(job.checkpoint.parent)
    options: dict[str, Any] = {
        "device": job.device,
        "cache": job.cache,
        "checkpoint": job.checkpoint,
        "output": picture,
        "memory": _memory(job),
        "stop": stop,
        "on_scene": lambda scene, _: targets.check_size(scene.size),
        "on_progress": _telling(tell),
    }
    try:
        return api.apply(loaded, content, resume=job.checkpoint.exists(), **options), targets
    except CheckpointError:
        # Of another version, or cut short by whatever ended the try before.
        job.checkpoint.unlink(missing_ok=True)
        return api.apply(loaded, content, **options), targets


def _memory(job: Job) -> float | None:
    """Bytes that painting may take: a part of the limit, or a share of what is free."""
    if job.memory is not None:
        return RESERVE * job.memory
    device = choose_device(job.device)
    if job.sharing <= 1 or device.type == "cuda":
        return None
    room = RESERVE * obtainable_bytes(device) / job.sharing
    return max((n for n in ROUND_AMOUNTS if n <= room), default=room)


def _telling(tell: Tell) -> Callable[[Progress], None]:
    def told(step: Progress) -> None:
        tell(
            {
                "done": round(step.done, 4),
                "stage": step.stage,
                "level": step.level,
                "levels": step.levels,
                "seconds_left": round(step.seconds_left, 1),
            }
        )

    return told


def _done(job: Job, result: Result, key: str, notes: list[str]) -> Outcome:
    height, width = result.scene.size
    outcome = Outcome(
        Ending.DONE,
        "; ".join(dict.fromkeys(notes)),
        sha256=file_hash(Path(job.output)),
        size=os.path.getsize(job.output),
        photo_key=key,
        exit_code=0,
        pixels=(width, height),
    )
    _write_thumbnail(job, result)
    _write_mark(job, outcome)
    return outcome


def _write_thumbnail(job: Job, result: Result) -> None:
    path = thumbnail_path(Path(job.work), job.mark)
    make_folder(path.parent)
    small = result.image.convert("RGBA")
    paper = small.copy()
    paper.paste((255, 255, 255, 255), (0, 0, *small.size))
    paper.alpha_composite(small)
    shown = paper.convert("RGB")
    shown.thumbnail((THUMBNAIL, THUMBNAIL))
    with replacing(path) as file:
        shown.save(file, "JPEG", quality=82)


def _write_mark(job: Job, outcome: Outcome) -> None:
    """Say that the picture is whole, for the case that nobody is there to hear it."""
    path = mark_path(Path(job.work), job.mark)
    make_folder(path.parent)
    said = {
        "name": job.name,
        "spec": job.spec,
        "photo_key": outcome.photo_key,
        "sha256": outcome.sha256,
        "size": outcome.size,
        "pixels": list(outcome.pixels),
        "sentence": outcome.sentence,
    }
    with replacing(path) as file:
        file.write(json.dumps(said).encode())


@contextmanager
def _kept_warnings(kept: list[str]) -> Iterator[None]:
    """Keep the package's warnings as sentences, but for those about checkpoints."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", LayeredNstWarning)
        try:
            yield
        finally:
            told = [str(w.message) for w in caught if issubclass(w.category, LayeredNstWarning)]
            kept += [sentence for sentence in told if ".checkpoint: " not in sentence]
