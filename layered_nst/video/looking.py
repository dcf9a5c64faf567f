"""What a recipe finds in a clip and what painting it would cost, without painting it."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from layered_nst.api import Overrides, load
from layered_nst.files.targets import made_folder
from layered_nst.machine.cache import Cache
from layered_nst.machine.memory import obtainable_bytes
from layered_nst.outputs.result import files_of
from layered_nst.picture import MAX_PIXELS, is_ours, to_image, write_picture
from layered_nst.picture.layout import Words, grid, tile
from layered_nst.recipe import Recipe
from layered_nst.regions import RegionMasks
from layered_nst.regions.overlay import overlay
from layered_nst.strategies.checking import Check, checked
from layered_nst.strategies.costs import estimate
from layered_nst.video.clips import ClipFrame, Excerpt
from layered_nst.video.earlier import REACHES
from layered_nst.video.flow import CUT, motion
from layered_nst.video.run import WHOLE, run_of
from layered_nst.video.running import ClipRun
from layered_nst.words import duration, fine_duration, pixels, storage

SHOWN = 12
"""Frames on a sheet."""
COLUMNS = 4
SHEET = "sheet.png"
PLANES = 17
"""Numbers that are kept for each pixel of a frame until later ones do not need it."""
EXAMPLES = 2
"""Frames that are looked at for what finding the flow takes."""


@dataclass(frozen=True)
class ClipCheck:
    """What a recipe finds in the first frame of a clip and what the whole would cost.

    Attributes:
        first: the check of the first frame as a photo.
        frames: how many there will be, about; None if the clip does not say.
        seconds: about how long the whole takes, if it is one shot; None without ``frames``.
        frame_seconds: about how long each frame but the first takes.
        bytes: about how much room frames take on the disk until the film is written; None without
            ``frames``.
        notes: sentences for the user.
    """

    first: Check
    frames: int | None
    seconds: float | None
    frame_seconds: float
    bytes: float | None
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The same as data that JSON can hold, without pixels."""
        return {
            **self.first.as_dict(),
            "frames": self.frames,
            "seconds": None if self.seconds is None else round(self.seconds, 1),
            "seconds_a_frame": round(self.frame_seconds, 2),
            "disk": None if self.bytes is None else round(self.bytes),
            "notes": list(self.notes),
        }


def check_video(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    clip: str | Path | None = None,
    *,
    part: Excerpt = WHOLE,
    size: int | None = None,
    overrides: Overrides = (),
    device: str | torch.device | None = None,
    strict: bool = False,
    weights_dir: Path | None = None,
    max_pixels: int = MAX_PIXELS,
    cache: bool | str | Path | Cache = True,
    memory: float | str | None = None,
) -> ClipCheck:
    """Find a recipe's regions in a clip's first frame and estimate what the whole would cost.

    Args:
        recipe, clip, part, size, overrides, device, strict, weights_dir, max_pixels, cache,
            memory: as ``apply_video`` takes them.

    Raises:
        LayeredNstError: whatever ``apply_video`` would raise before its first step.
    """
    run = run_of(
        load(recipe, clip, size=size, overrides=overrides),
        part=part,
        device=device,
        strict=strict,
        weights_dir=weights_dir,
        max_pixels=max_pixels,
        cache=cache,
        memory=memory,
    )
    started = time.perf_counter()
    _, frames = run.begun()
    spent = time.perf_counter() - started
    there = obtainable_bytes(run.device)
    found = checked(
        run.scene, run.plan, run.encoders, asked=run.memory, obtainable=there, seconds=spent
    )
    return _told(run, found, _seconds_of_flow(run, frames))


def _seconds_of_flow(run: ClipRun, frames: Iterator[ClipFrame]) -> float:
    """About how long finding the flow of a frame takes, by the first ones."""
    started, before = time.perf_counter(), run.scene.picture.rgb.cpu()
    for frame, _ in zip(frames, range(EXAMPLES), strict=False):
        picture, _eyes = run.scenery.look(frame.picture, size=run.size, remembered=False)
        motion(picture.rgb.cpu(), before, run.flow)
        before = picture.rgb.cpu()
    return (time.perf_counter() - started) / EXAMPLES


def _told(run: ClipRun, found: Check, flowing: float) -> ClipCheck:
    steps = estimate(run.scene, run.painter.finest(), run.encoders, found.room.readings)
    each = flowing + steps.seconds
    count, picture_bytes = run.excerpt.count(run.clip), _png_bytes(run.scene.picture.rgb)
    kept = (max(REACHES) + 2) * 4 * PLANES * run.size[0] * run.size[1]
    return ClipCheck(
        first=found,
        frames=count,
        seconds=None if count is None else found.seconds + (count - 1) * each,
        frame_seconds=each,
        bytes=None if count is None else count * picture_bytes + kept,
        notes=tuple(dict.fromkeys([*found.notes, *run.clip.notes])),
    )


def _png_bytes(rgb: Tensor) -> float:
    """About what a painting of a photo takes as PNG: strokes take more than a photo."""
    data = io.BytesIO()
    to_image(rgb.cpu()).save(data, "PNG")
    return 1.3 * data.tell()


def video_masks(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    folder: Path,
    clip: str | Path | None = None,
    *,
    part: Excerpt = WHOLE,
    size: int | None = None,
    overrides: Overrides = (),
    device: str | torch.device | None = None,
    weights_dir: Path | None = None,
    max_pixels: int = MAX_PIXELS,
    cache: bool | str | Path | Cache = True,
    keep: Sequence[Path] = (),
) -> tuple[Path, dict[str, list[float]], tuple[str, ...]]:
    """Carry a recipe's regions through a clip and write a sheet of frames with them.

    Args:
        folder: where ``sheet.png`` goes; made if need be.
        recipe, clip, part, size, overrides, device, weights_dir, max_pixels, cache: as
            ``apply_video`` takes them.
        keep: files that the sheet replaces as little as what the recipe names.

    Returns:
        The sheet, the share of each frame that each region has, and sentences for the user.

    Raises:
        LayeredNstError: as ``apply_video``; ``OutputError`` if the sheet cannot be written.
    """
    run = run_of(
        load(recipe, clip, size=size, overrides=overrides),
        part=part,
        device=device,
        weights_dir=weights_dir,
        max_pixels=max_pixels,
        cache=cache,
    )
    reads = [*keep, *files_of(run.recipe)]
    first, frames = run.begun()
    (target,) = made_folder(folder, [SHEET], known=is_ours, reads=reads)
    count = run.excerpt.count(run.clip) or SHOWN
    chosen = {round(n * (count - 1) / max(1, SHOWN - 1)) for n in range(SHOWN)}
    shares: dict[str, list[float]] = {}
    tiles: list[Image.Image] = []
    for number, (frame, photo, masks) in enumerate(_carried(run, first, frames), run.lit):
        for name, share in masks.coverage.items():
            told = shares.setdefault(name, [])
            told += [0.0] * (number - len(told)) + [round(share, 4)]
        if number in chosen:
            shown = overlay(photo, masks.masks.cpu(), masks.names)
            words = f"frame {number}, {float(frame.time):.2f} s"
            tiles.append(tile(shown, [Words(words, 14)]))
    sheet = np.asarray(grid(tiles, columns=COLUMNS).convert("RGB")).copy()
    write_picture(target, torch.from_numpy(sheet).movedim(-1, 0).float() / 255)
    return target, shares, tuple(dict.fromkeys([*run.scene.notes, *run.clip.notes]))


def _carried(
    run: ClipRun, first: ClipFrame, frames: Iterator[ClipFrame]
) -> Iterator[tuple[ClipFrame, Tensor, RegionMasks]]:
    """Each frame, its photo (3, H, W) at the result's size, and its regions."""
    before = run.scene.picture.rgb.cpu()
    yield first, before, run.scene.masks
    for number, frame in enumerate(frames, run.lit + 1):
        run.now = number, frame.time
        picture, eyes = run.scenery.look(frame.picture, size=run.size, remembered=False)
        photo = picture.rgb.cpu()
        found = motion(photo, before, run.flow)
        seen = found if found.seen >= CUT else None
        yield frame, photo, run.regions.at(number, frame.picture, picture, eyes, seen)
        before = photo


def in_words(check: ClipCheck) -> list[str]:
    """What a check says, line by line."""
    size = pixels(check.first.scene.size)
    frames = "an unknown number of" if check.frames is None else f"about {check.frames}"
    room = "unknown" if check.bytes is None else f"about {storage(check.bytes)}"
    whole = "" if check.seconds is None else f", about {duration(check.seconds)} in one shot"
    return [
        f"frames    {frames}, {size}",
        f"a frame   about {fine_duration(check.frame_seconds)}{whole}",
        f"disk      {room} until the film is written",
    ]
