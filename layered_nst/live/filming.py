"""A clip or a camera as its recipe paints it, frame after frame, while the recipe is edited."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch import Tensor

from layered_nst import api
from layered_nst.errors import ClipError, Interrupted, LayeredNstError
from layered_nst.live.watching import Follower, jpeg
from layered_nst.machine.cache import own_cache
from layered_nst.machine.device import choose_device
from layered_nst.networks.encoders import load_encoders
from layered_nst.outputs.result import files_of
from layered_nst.picture import MAX_PIXELS, read_picture
from layered_nst.picture.writing import to_image
from layered_nst.recipe import Recipe
from layered_nst.scene.resolving import Scenery
from layered_nst.strategies.looks import planned
from layered_nst.strategies.run import paint
from layered_nst.video.clips import Clip, ClipFrame
from layered_nst.video.opencv import cv2
from layered_nst.video.running import clip_size

PASSED_OVER = 25
"""Frames that are passed over at most to keep up with the clip's own clock."""


def open_camera(number: int) -> Clip:
    """A camera of this machine, as a clip without an end.

    Raises:
        ClipError: there is none of this number, it is in use, or OpenCV is not installed.
    """
    try:
        opencv = cv2()
    except ClipError as error:
        raise ClipError(f"camera {number}: {error}") from error
    logs = opencv.utils.logging
    logs.setLogLevel(logs.LOG_LEVEL_SILENT)  # said below instead
    camera = opencv.VideoCapture(number)
    there, first = camera.read()
    if not there:
        camera.release()
        raise ClipError(f"camera {number}: gives no picture; is it there, and used by no other?")
    camera.set(opencv.CAP_PROP_BUFFERSIZE, 1)

    def read() -> Iterator[ClipFrame]:
        started = time.monotonic()
        while True:
            there, shown = camera.read()
            if not there:
                return
            picture = read_picture(opencv.cvtColor(shown, opencv.COLOR_BGR2RGB))
            yield ClipFrame(picture, Fraction(time.monotonic() - started))

    return Clip(Path(f"camera {number}"), first.shape[:2], read)


class FramePreview:
    """A recipe that is settled by one frame and painted on those after it.

    Regions are found anew in every so manyth frame, as the recipe's ``video`` says, and stay where
    they are in between.

    Args:
        recipe: with its quality ``instant``.
        size: height and width of the frames.
        device, weights_dir, max_pixels: as ``apply`` takes them.
    """

    def __init__(
        self,
        recipe: Recipe,
        size: tuple[int, int],
        *,
        device: str | None = None,
        weights_dir: Path | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.recipe, self.size, self.weights_dir = recipe, size, weights_dir
        self.device = choose_device(device)
        self.every = recipe.video.segment_every
        self.scenery = Scenery(
            recipe,
            weights_dir=weights_dir,
            device=self.device,
            max_pixels=max_pixels,
            cache=own_cache(),
        )
        self.number = 0
        self.notes: tuple[str, ...] = ()

    def paint(self, frame: ClipFrame) -> tuple[Tensor, Tensor]:
        """The next frame, painted and as it is, shape (3, H, W) each in [0, 1].

        Raises:
            LayeredNstError: whatever ``apply`` would raise.
        """
        picture, eyes = self.scenery.look(frame.picture, size=self.size, remembered=False)
        if self.number % self.every == 0:
            selected = self.recipe.regions_on(self.recipe.content)
            self.masks = self.scenery.find(selected, frame.picture, picture, eyes)
        if self.number == 0:
            self.styles = self.scenery.styles(picture, self.masks)
        scene = self.scenery.scene(frame.picture, picture, self.masks, self.styles)
        if self.number == 0:
            self.plan = planned(scene)
            self.encoders = load_encoders(
                self.plan.encoders, weights_dir=self.weights_dir, device=self.device
            )
            self.notes = scene.notes
        self.number += 1
        return paint(scene, self.encoders, self.plan, on_progress=lambda _: None), picture.rgb


class FilmWatcher(Follower):
    """Paints a clip over and over, or a camera, always by the recipe as it is now.

    A clip keeps its own pace: frames for which there is no time are passed over. While the recipe
    is wrong, the last one that was right goes on.

    Args:
        recipe: its file.
        clip: what is painted.
        load: gives the recipe as it is now.
        options: of ``FramePreview``.
    """

    def __init__(
        self, recipe: Path, clip: Clip, load: Callable[[], Recipe], **options: Any
    ) -> None:
        super().__init__(recipe)
        self.clip, self.load, self.options = clip, load, options
        self._preview: FramePreview | None = None
        self._error = ""
        self._playing = _Playing(clip)
        self._last: float | None = None

    def look(self) -> bool:
        """Paint the next frame; says whether there was one to be painted."""
        stamp = self._stamp_now()
        if stamp != self._stamp:
            self._stamp = stamp
            self._settle()
        if self._preview is None:
            self._playing.rest()
            return False
        frame = self._playing.next()
        begun = time.perf_counter()
        try:
            painted, photo = self._preview.paint(frame)
        except Interrupted:
            raise
        except LayeredNstError as error:
            self._preview, self._error = None, str(error)
            self._show(error=self._error)
            return False
        picture = jpeg(to_image(painted.cpu()))
        now = time.perf_counter()
        # What the pages see is how often there is a new frame, decoding and waiting included.
        if self._last is not None:
            self._taken.append(now - self._last)
        self._last = now
        if self._preview.number == 1:
            # A recipe takes its time once, and the next frame comes at once.
            self._playing.rest()
            self._last = None
        self._show(
            picture=picture,
            photo=jpeg(to_image(photo.cpu())),
            size=self._preview.size,
            seconds=now - begun,
            # Of frames that come late and on time in turn, half come sooner than the clip's own.
            rate=1 / statistics.mean(self._taken or [now - begun]),
            notes=self._preview.notes,
            error=self._error,
        )
        return True

    def _settle(self) -> None:
        """Take the recipe as it is now, or say what is wrong with it."""
        try:
            recipe = self.load()
            preview = FramePreview(recipe, clip_size(recipe, self.clip), **self.options)
        except Interrupted:
            raise
        except LayeredNstError as error:
            self._error = str(error)
            self._show(error=self._error)
            return
        self._preview, self._error = preview, ""
        self._read = tuple(path for path in files_of(recipe) if path != self.clip.path)
        self._stamp = self._stamp_now()


class _Playing:
    """The frames of a clip at its own pace, from the beginning again after the last."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self.rest()
        self._frames, self._end = clip.read(), 0.0

    def rest(self) -> None:
        """The clock stands still until the next frame."""
        self._started: float | None = None

    def next(self) -> ClipFrame:
        """The frame that is to be seen now, or the first that is not behind.

        Raises:
            ClipError: the clip has none.
        """
        for _ in range(PASSED_OVER):
            frame = self._following()
            if self._started is None:
                self._started = time.monotonic() - float(frame.time)
            ahead = self._started + float(frame.time) - time.monotonic()
            if ahead + float(frame.length) >= 0:
                time.sleep(max(0.0, min(ahead, 1.0)))
                return frame
        self.rest()  # too slow for this clip: show what there is
        return frame

    def _following(self) -> ClipFrame:
        frame = next(self._frames, None)
        if frame is None:
            self._frames = self.clip.read()
            frame = next(self._frames, None)
            if frame is not None and self._started is not None:
                # The last frame is seen as long as it lasts.
                self._started += self._end - float(frame.time)
        if frame is None:
            raise ClipError(f"{self.clip.path}: has no frame, or gives none any more")
        self._end = float(frame.time + frame.length)
        return frame


def load_for(named: Path, clip: Clip, *, size: int | None, overrides: Any) -> Callable[[], Recipe]:
    """What gives a recipe as it is now, on a clip; a camera stands for no file."""
    content = clip.path if clip.path.exists() else next(clip.read()).picture

    def load() -> Recipe:
        return api.load(named, content, size=size, overrides=overrides)

    return load
