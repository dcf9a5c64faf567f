"""The whole story of a clip: recipe, frames, regions in time, painting, film."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from layered_nst.api import Event, Overrides, load, question_of
from layered_nst.errors import ClipError
from layered_nst.machine.cache import Cache, open_cache
from layered_nst.machine.device import choose_device
from layered_nst.machine.memory import parse_memory
from layered_nst.painting.progress import OnProgress
from layered_nst.picture import MAX_PIXELS
from layered_nst.recipe import Recipe
from layered_nst.scene.scene import Scene
from layered_nst.video.clips import Clip, Excerpt, open_clip
from layered_nst.video.progress import OnFrame
from layered_nst.video.result import VideoResult
from layered_nst.video.running import ClipRun

WHOLE = Excerpt()


@torch.inference_mode(False)
@torch.enable_grad()
def apply_video(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    clip: str | os.PathLike[str] | None = None,
    *,
    output: str | Path | None = None,
    part: Excerpt = WHOLE,
    size: int | None = None,
    quality: str | None = None,
    steps: int | Sequence[int] | None = None,
    seed: int | None = None,
    overrides: Overrides = (),
    device: str | torch.device | None = None,
    strict: bool = False,
    weights_dir: Path | None = None,
    max_pixels: int = MAX_PIXELS,
    cache: bool | str | Path | Cache = True,
    resume: bool = False,
    memory: float | str | None = None,
    stop: Event | Callable[[], bool] | None = None,
    on_scene: Callable[[Scene, Clip], None] = lambda *_: None,
    on_frame: OnFrame = lambda _: None,
    on_progress: OnProgress = lambda _: None,
) -> VideoResult:
    """Restyle a clip region by region, steady from frame to frame.

    Args:
        recipe: as ``apply`` takes it.
        clip: a film, an animation or a folder of frames, in place of the recipe's content.
        output: what the clip will be saved as: frames are kept beside it until then, and its
            format is checked before the work. Without it they are kept in a temporary folder.
        part: which of its frames are taken: ``Excerpt(start, end, every)``, in seconds since the
            first one.
        size, quality, steps, seed, overrides, device, strict, weights_dir, max_pixels, cache,
            memory, stop: as ``apply`` takes them; a size above the clip's own is the clip's own.
        resume: go on from the frames that are there: the clip has the same bytes as that of a run
            without a break.
        on_scene: called once, when the regions of the first frame are known.
        on_frame: called after each frame.
        on_progress: called after each step of each frame.

    Returns:
        The clip; ``save`` writes it.

    Raises:
        LayeredNstError: one of its kinds, in one sentence. ``ClipError`` for a clip that cannot be
            read; ``Interrupted`` carries the frames so far as ``partial``.
    """
    loaded = load(
        recipe, clip, size=size, quality=quality, steps=steps, seed=seed, overrides=overrides
    )
    run = run_of(
        loaded,
        output=None if output is None else Path(output),
        part=part,
        device=device,
        strict=strict,
        weights_dir=weights_dir,
        max_pixels=max_pixels,
        cache=cache,
        memory=memory,
        asked_to_stop=question_of(stop),
        on_scene=on_scene,
        on_frame=on_frame,
        on_progress=on_progress,
    )
    return run.painted(resume=resume)


def run_of(
    loaded: Recipe,
    *,
    output: Path | None = None,
    part: Excerpt = WHOLE,
    device: str | torch.device | None = None,
    strict: bool = False,
    weights_dir: Path | None = None,
    max_pixels: int = MAX_PIXELS,
    cache: bool | str | Path | Cache = True,
    memory: float | str | None = None,
    asked_to_stop: Callable[[], bool] = lambda: False,
    on_scene: Callable[[Scene, Clip], None] = lambda *_: None,
    on_frame: OnFrame = lambda _: None,
    on_progress: OnProgress = lambda _: None,
) -> ClipRun:
    """A run that has painted nothing yet.

    Args:
        loaded: the recipe, with the clip as its content.
        output, part, device, strict, weights_dir, max_pixels, cache, memory, on_scene, on_frame,
            on_progress: as ``apply_video`` takes them.
        asked_to_stop: asked before each frame and after each step.

    Raises:
        LayeredNstError: there is no such clip, or something asked for is not there.
    """
    if loaded.content is None:
        raise ClipError("content: the recipe names no clip; add content: or give `content`")
    return ClipRun(
        recipe=loaded,
        clip=open_clip(loaded.content, max_pixels=max_pixels),
        excerpt=part,
        output=output,
        device=choose_device(device),
        strict=strict,
        weights_dir=weights_dir,
        max_pixels=max_pixels,
        cache=open_cache(cache),
        memory=None if memory is None else parse_memory(memory),
        asked_to_stop=asked_to_stop,
        on_scene=on_scene,
        on_frame=on_frame,
        on_progress=on_progress,
    )
