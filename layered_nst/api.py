"""The whole story: recipe, scene, painting, result."""

from __future__ import annotations

import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from layered_nst import plugins
from layered_nst.errors import LayeredNstWarning, PictureError
from layered_nst.instant.painting import AT_ONCE
from layered_nst.machine import allocator
from layered_nst.machine.cache import Cache, open_cache, own_cache
from layered_nst.machine.device import choose_device
from layered_nst.machine.memory import memory_errors, obtainable_bytes, parse_memory
from layered_nst.networks.encoders import Encoder, load_encoders
from layered_nst.outputs.rerun import Record, read_record
from layered_nst.outputs.result import Result
from layered_nst.outputs.track import Stopped, Track
from layered_nst.painting.plan import Plan, make_plan
from layered_nst.painting.progress import OnProgress
from layered_nst.picture import MAX_PIXELS, read_picture
from layered_nst.recipe import Recipe, load_recipe
from layered_nst.recipe.unpacking import is_look, unpack_look
from layered_nst.scene.provenance import pixel_hash, read_inputs
from layered_nst.scene.resolving import resolve
from layered_nst.scene.scene import Scene
from layered_nst.strategies.at_once import painter_for
from layered_nst.strategies.budget import Room, advice, enough_for, make_room
from layered_nst.strategies.checking import Check, checked, plugin_notes
from layered_nst.strategies.costs import LevelCost, footprint, level_costs
from layered_nst.strategies.hurry import Deadline, check_alone, deadline_of, fitted
from layered_nst.strategies.keeper import Keeper, belonging
from layered_nst.strategies.looks import check_looks, planned, settled, sketch_side, thin_notes
from layered_nst.strategies.run import paint

log = logging.getLogger(__name__)


class Event(Protocol):
    """What tells a run to stop, such as ``threading.Event``."""

    def is_set(self) -> bool:
        """Whether it shall."""


Overrides = Sequence[str] | Mapping[str, Any]


@plugins.blamed()
@torch.inference_mode(False)
@torch.enable_grad()
def apply(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    content: Any = None,
    *,
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
    checkpoint: str | Path | None = None,
    resume: bool = False,
    output: str | Path | None = None,
    memory: float | str | None = None,
    within: float | str | Deadline | None = None,
    stop: Event | Callable[[], bool] | None = None,
    on_scene: Callable[[Scene, Plan], None] = lambda *_: None,
    on_progress: OnProgress = lambda _: None,
) -> Result:
    """Restyle a photo region by region.

    Nothing is printed and no global state is touched; calls may run in several threads.

    Args:
        recipe: a path, a mapping or a loaded recipe; or a picture made before, or its OUT.json,
            to run it again.
        content: the photo, in place of the recipe's: a path, bytes, a binary file, a Pillow
            picture, an array (H, W, 3) or a tensor (3, H, W); see ``read_picture``.
        size: longest side of the result in px, in place of the recipe's.
        quality, steps, seed: those of ``optimize``, in place of the recipe's.
        overrides: ``["regions.sky.strength=0.5"]`` or ``{"optimize.history": 3}``.
        device: ``cpu``, ``cuda``, ``mps``; by default the fastest there is.
        strict: a region that is empty on this photo is an error, not a note.
        weights_dir: folder with weights that are not bundled.
        max_pixels: largest picture that is read.
        cache: where moments of styles and segmentations are kept for the next time: True for the
            user's cache directory, False for nowhere, or another folder. It never changes the
            picture.
        checkpoint: a file that holds, every ``optimize.checkpoint`` seconds and after whatever
            stops it, where the run stands. The result's ``save`` removes it.
        resume: go on from ``checkpoint`` if it is there: the picture has the same bytes as that
            of a run without a break.
        output: the file that the picture will be saved as; its name goes into the checkpoint, to
            tell whose it is.
        memory: bytes to stay within, or ``6G``, ``4000M``: what does not fit is painted in tiles,
            which takes longer. By default, what is free; a resumed run keeps what it began with.
        within: seconds from now, or ``10s``, ``2min``: quality and steps are then the best that
            fit, by the measured speed of this machine, and a note says which.
        stop: an event, or a callable, that is asked after each step whether to stop there.
        on_scene: called once when regions and plan are known, before the optimization.
        on_progress: called after each step. What it raises ends the run, once the checkpoint is
            written; the error's cause is then an ``Interrupted`` with the picture so far.

    Returns:
        The picture, its masks and its losses.

    Raises:
        LayeredNstError: one of its kinds, in one sentence. ``BudgetError`` if ``memory`` says no
            amount or ``within`` no time; ``OutOfMemoryError`` if not even tiles fit into it;
            ``CheckpointError`` if the checkpoint to resume is broken or of another run;
            ``Interrupted`` carries the picture so far as ``partial``, after ``stop`` and after
            Ctrl-C.
    """
    check_alone(within, {"quality": quality, "steps": steps, "resume": resume})
    asked, deadline, chosen = _amount(memory), deadline_of(within), choose_device(device)
    loaded = load(
        recipe, content, size=size, quality=quality, steps=steps, seed=seed, overrides=overrides
    )
    scene, plan, encoders = _ready(
        loaded,
        content,
        device=chosen,
        strict=strict,
        weights_dir=weights_dir,
        max_pixels=max_pixels,
        cache=cache,
        deadline=deadline,
    )
    inputs = read_inputs(
        scene, plan.encoders, plan.precision, painter=plan.painter, weights_dir=weights_dir
    )
    path = None if checkpoint is None else Path(checkpoint)
    every, name = loaded.optimize.checkpoint, "" if output is None else Path(output).name
    keeper = Keeper(path, belonging(scene, plan, inputs), every=every, picture=name)
    state = keeper.begin(resume=resume, device=chosen)
    costs = level_costs(scene, plan, encoders)
    room = make_room(
        costs,
        asked=asked,
        resumed=state,
        obtainable=obtainable_bytes(chosen),
        enough=enough_for(scene),
    )
    scene = replace(scene, notes=scene.notes + room.notes)
    on_scene(scene, plan)
    track = Track(
        scene, plan, inputs, on_progress, keeper, state, room.memory, question_of(stop), deadline
    )
    with memory_errors(lambda: _out_of_memory(loaded, chosen, scene, costs, room.tried)):
        painted = _painted(track, encoders, room)
    return replace(track.result(painted), checkpoint=keeper.written)


def _painted(track: Track, encoders: Mapping[str, Encoder], room: Room) -> torch.Tensor:
    """Paint, and leave a checkpoint behind whatever stops it; shape (3, H, W), on the CPU."""
    height, width = track.scene.size
    if room.readings or (track.plan.painter is not None and height * width > AT_ONCE):
        allocator.spare_memory()
    try:
        track.look()
        painted = paint(
            track.scene,
            encoders,
            track.plan,
            on_progress=track,
            resume=track.resumed,
            keep=track.keep,
            readings=room.readings,
        )
        track.keeper.write_last()
    except (KeyboardInterrupt, Stopped) as stop:
        so_far = track.partial() if isinstance(stop, Stopped) and track.is_late else None
        if so_far is not None:
            log.info("the time is over: the picture is the last")
            return so_far.rgb
        raise track.interrupted() from stop
    except Exception as error:
        track.failed(error)
        raise
    return painted.cpu()


def question_of(stop: Event | Callable[[], bool] | None) -> Callable[[], bool]:
    """The question whether to stop, in one form."""
    if stop is None:
        return lambda: False
    return stop if callable(stop) else stop.is_set


def _amount(memory: float | str | None) -> float | None:
    return None if memory is None else parse_memory(memory)


@plugins.blamed()
@torch.inference_mode(False)
@torch.enable_grad()
def check(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    content: Any = None,
    *,
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
    memory: float | str | None = None,
) -> Check:
    """Find a recipe's regions in its photo and estimate what painting would cost.

    Args:
        recipe, content, size, quality, steps, seed, overrides, device, strict, weights_dir,
            max_pixels, cache, memory: as ``apply`` takes them.

    Raises:
        LayeredNstError: whatever ``apply`` would raise before its first step.
    """
    started = time.perf_counter()
    asked, chosen = _amount(memory), choose_device(device)
    loaded = load(
        recipe, content, size=size, quality=quality, steps=steps, seed=seed, overrides=overrides
    )
    scene, plan, encoders = _ready(
        loaded,
        content,
        device=chosen,
        strict=strict,
        weights_dir=weights_dir,
        max_pixels=max_pixels,
        cache=cache,
    )
    spent = time.perf_counter() - started
    there = obtainable_bytes(chosen)
    return checked(scene, plan, encoders, asked=asked, obtainable=there, seconds=spent)


def _ready(
    loaded: Recipe,
    content: Any,
    *,
    device: torch.device,
    strict: bool,
    weights_dir: Path | None,
    max_pixels: int,
    cache: bool | str | Path | Cache,
    deadline: Deadline | None = None,
) -> tuple[Scene, Plan, Mapping[str, Encoder]]:
    """Everything that painting needs, and the notes of what it will meet."""
    with memory_errors(lambda: _out_of_memory(loaded, device)):
        scene, plan = prepare(
            loaded,
            content,
            device=device,
            strict=strict,
            weights_dir=weights_dir,
            max_pixels=max_pixels,
            cache=cache,
        )
    load = partial(load_encoders, weights_dir=weights_dir, device=device)
    if deadline is not None:
        scene, plan, encoders = fitted(scene, deadline, load)
    else:
        encoders = load(plan.encoders)
    if plan.painter is not None:
        painter_for(plan, encoders[plan.levels[-1].encoder])  # whether it is there, and fits
    notes = check_looks(scene, encoders, plan) + thin_notes(scene, encoders, plan)
    notes += plugin_notes(loaded)
    return replace(scene, notes=scene.notes + notes), plan, encoders


def load(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    content: Any = None,
    *,
    size: int | None = None,
    quality: str | None = None,
    steps: int | Sequence[int] | None = None,
    seed: int | None = None,
    overrides: Overrides = (),
) -> Recipe:
    """Load a recipe for ``apply``: a photo given beside it stands in for the recipe's own.

    What has changed since a picture was made is a LayeredNstWarning when it is made again.
    """
    if isinstance(recipe, str | Path) and is_look(Path(recipe)):
        recipe = unpack_look(Path(recipe).expanduser(), own_cache().looks)
    record = read_record(Path(recipe)) if isinstance(recipe, str | Path) else None
    source: Any = recipe if record is None else record.recipe
    if record is not None and content is not None:
        source = record.recipe_for_other_photo()
    called = "" if record is None else str(record.source)
    overrides = _with(overrides, quality=quality, steps=steps, seed=seed)
    if content is None or isinstance(content, str | os.PathLike):
        loaded = load_recipe(source, overrides=overrides, content=content, called=called)
    else:
        loaded = load_recipe(
            source,
            overrides=_without_photo(overrides),
            called=called,
            same_photo=partial(_same_pixels, content),
        )
    _tell_changes(record, loaded)
    return loaded if size is None else loaded.model_copy(update={"size": _checked_size(size)})


def _with(overrides: Overrides, **optimize: Any) -> Overrides:
    """Overrides, and after them the options of ``optimize`` that are given."""
    given = {f"optimize.{key}": value for key, value in optimize.items() if value is not None}
    if isinstance(overrides, Mapping):
        return {**overrides, **given}
    texts = [overrides] if isinstance(overrides, str) else overrides
    return [*texts, *(f"{key}={json.dumps(value)}" for key, value in given.items())]


def _tell_changes(record: Record | None, loaded: Recipe) -> None:
    for sentence in () if record is None else record.changes(loaded):
        warnings.warn(sentence, LayeredNstWarning, stacklevel=4)


def _same_pixels(content: Any, path: Path) -> bool:
    """Whether a photo that comes from no file has the pixels of one that does."""
    with suppress(PictureError):
        return pixel_hash(read_picture(content)) == pixel_hash(read_picture(path))
    return False


def _without_photo(overrides: Sequence[str] | Mapping[str, Any]) -> Any:
    """Overrides that also take the recipe's photo out: it need not exist beside a given one."""
    if isinstance(overrides, Mapping):
        return {**overrides, "content": None}
    return [*([overrides] if isinstance(overrides, str) else overrides), "content="]


def _checked_size(size: int) -> int:
    return load_recipe(_PROBE, overrides={"size": size}, check_files=False).size


_PROBE = {"recipe": 1, "regions": [{"name": "all", "select": "rest", "protect": True}]}


@torch.inference_mode(False)
def prepare(
    recipe: Recipe,
    content: Any = None,
    *,
    device: str | torch.device | None = None,
    strict: bool = False,
    weights_dir: Path | None = None,
    max_pixels: int = MAX_PIXELS,
    cache: bool | str | Path | Cache = True,
) -> tuple[Scene, Plan]:
    """Find the regions and settle the plan; nothing is optimized."""
    chosen = choose_device(device)
    scene = resolve(
        recipe,
        content,
        strict=strict,
        weights_dir=weights_dir,
        device=chosen,
        max_pixels=max_pixels,
        cache=open_cache(cache),
        sketch=sketch_side(recipe),
    )
    plan = planned(scene)
    height, width = scene.size
    log.info("%d×%d px on %s, %s in %s", width, height, chosen, plan.encoders, plan.precision)
    log.debug("plan: %s", plan)
    return scene, plan


def _out_of_memory(
    recipe: Recipe,
    device: torch.device,
    scene: Scene | None = None,
    costs: Sequence[LevelCost] = (),
    tried: float | None = None,
) -> str:
    # Before the photo has been read, its form is not known: a square is the worst.
    size = (recipe.size, recipe.size) if scene is None else scene.size
    plan = make_plan(settled(recipe), size, recipe.encoder)
    need, there = footprint(plan, scene), obtainable_bytes(device)
    return advice(size, need, there, costs=costs, tried=tried)
