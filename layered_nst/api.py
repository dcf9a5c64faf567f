"""The whole story: recipe, scene, painting, result."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from layered_nst.errors import Interrupted, LayeredNstWarning, PictureError
from layered_nst.machine import allocator
from layered_nst.machine.cache import Cache, open_cache
from layered_nst.machine.device import choose_device
from layered_nst.machine.memory import memory_errors, obtainable_bytes, parse_memory
from layered_nst.networks.encoders import load_encoders
from layered_nst.outputs.rerun import Record, read_record
from layered_nst.outputs.result import Result
from layered_nst.painting.plan import Plan, make_plan
from layered_nst.painting.progress import OnProgress, Progress
from layered_nst.painting.state import State
from layered_nst.picture import MAX_PIXELS, read_picture, resize
from layered_nst.recipe import Recipe, load_recipe
from layered_nst.scene.provenance import Inputs, pixel_hash, read_inputs
from layered_nst.scene.resolving import resolve
from layered_nst.scene.scene import Scene
from layered_nst.strategies.budget import Room, advice, make_room
from layered_nst.strategies.costs import LevelCost, footprint, level_costs
from layered_nst.strategies.keeper import Keeper, belonging
from layered_nst.strategies.looks import check_looks, planned, thin_notes
from layered_nst.strategies.problems import finished
from layered_nst.strategies.run import paint


def apply(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    content: Any = None,
    *,
    size: int | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    device: str | torch.device | None = None,
    strict: bool = False,
    weights_dir: Path | None = None,
    max_pixels: int = MAX_PIXELS,
    cache: bool | str | Path | Cache = True,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    memory: float | str | None = None,
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
        overrides: ``["regions.sky.strength=0.5"]`` or ``{"optimize.seed": 3}``.
        device: ``cpu``, ``cuda``, ``mps``; by default the fastest there is.
        strict: a region that is empty on this photo is an error, not a note.
        weights_dir: folder with weights that are not bundled.
        max_pixels: largest picture that is read.
        cache: where moments of styles and segmentations are kept for the next time: True for the
            user's cache directory, False for nowhere, or another folder. It never changes the
            picture.
        checkpoint: a file that holds, every ``optimize.checkpoint`` seconds and after Ctrl-C,
            where the run stands. The result's ``save`` removes it.
        resume: go on from ``checkpoint`` if it is there: the picture has the same bytes as that
            of a run without a break.
        memory: bytes to stay within, or ``6G``, ``4000M``: what does not fit is painted in tiles,
            which takes longer. By default, what is free; a resumed run keeps what it began with.
        on_scene: called once when regions and plan are known, before the optimization.
        on_progress: called after each step.

    Returns:
        The picture, its masks and its losses.

    Raises:
        LayeredNstError: one of its kinds, in one sentence. ``BudgetError`` if ``memory`` says no
            amount; ``OutOfMemoryError`` if not even tiles fit into it; ``CheckpointError`` if the
            checkpoint to resume is broken or of another run; ``Interrupted`` carries the picture
            so far as ``partial``.
    """
    asked = None if memory is None else parse_memory(memory)
    loaded = load(recipe, content, size=size, overrides=overrides)
    device = choose_device(device)
    options = {"strict": strict, "weights_dir": weights_dir, "max_pixels": max_pixels}
    with memory_errors(lambda: _out_of_memory(loaded, device)):
        scene, plan = prepare(loaded, content, device=device, cache=cache, **options)
    encoders = load_encoders(plan.encoders, weights_dir=weights_dir, device=device)
    inputs = read_inputs(scene, plan.encoders, plan.precision, weights_dir=weights_dir)
    looks = check_looks(scene, encoders, plan)
    scene = replace(scene, notes=scene.notes + looks + thin_notes(scene, encoders, plan))
    keeper = Keeper(
        None if checkpoint is None else Path(checkpoint),
        belonging(scene, plan, inputs),
        every=loaded.optimize.checkpoint,
    )
    state = keeper.begin(resume=resume, device=device)
    costs = level_costs(scene, plan, encoders)
    room = make_room(costs, asked=asked, resumed=state, obtainable=obtainable_bytes(device))
    if room.readings:
        allocator.spare_memory()
    scene = replace(scene, notes=scene.notes + room.notes)
    on_scene(scene, plan)
    track = _Track(scene, plan, on_progress, inputs, keeper, state, room)
    try:
        with memory_errors(lambda: _out_of_memory(loaded, device, scene, costs, room.tried)):
            painted = paint(
                scene,
                encoders,
                plan,
                on_progress=track,
                resume=state,
                keep=track.keep,
                readings=room.readings,
            )
        kept = keeper.write_last()
    except KeyboardInterrupt as stop:
        raise track.interrupted() from stop
    return Result(
        painted.cpu(), scene, plan, track.losses, track.seconds, inputs=inputs, checkpoint=kept
    )


def load(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    content: Any = None,
    *,
    size: int | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
) -> Recipe:
    """Load a recipe for ``apply``: a photo given beside it stands in for the recipe's own.

    What has changed since a picture was made is a LayeredNstWarning when it is made again.
    """
    record = read_record(Path(recipe)) if isinstance(recipe, str | Path) else None
    source: Any = recipe if record is None else record.recipe
    called = "" if record is None else str(record.source)
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


def prepare(
    recipe: Recipe,
    content: Any = None,
    *,
    device: str | torch.device | None = None,
    cache: bool | str | Path | Cache = True,
    **options: Any,
) -> tuple[Scene, Plan]:
    """Find the regions and settle the plan; nothing is optimized."""
    chosen, store = choose_device(device), open_cache(cache)
    scene = resolve(recipe, content, device=chosen, cache=store, **options)
    return scene, planned(scene)


@dataclass
class _Track:
    """Keeps the losses of every step and the last picture, whatever the callback does.

    Of a resumed run it also has what its earlier part had.
    """

    scene: Scene
    plan: Plan
    tell: OnProgress
    inputs: Inputs
    keeper: Keeper
    resumed: State | None
    room: Room

    def __post_init__(self) -> None:
        self.losses = [] if self.resumed is None else [*self.resumed.losses]
        self.last: Progress | None = None
        self.started = time.monotonic() - (0.0 if self.resumed is None else self.resumed.seconds)

    def __call__(self, progress: Progress) -> None:
        self.losses.append(progress.losses)
        self.last = progress
        self.tell(progress)

    def keep(self, state: State) -> None:
        losses, memory = tuple(self.losses), self.room.memory
        self.keeper(replace(state, losses=losses, seconds=self.seconds, memory=memory))

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def interrupted(self) -> Interrupted:
        partial = self.partial()
        with suppress(KeyboardInterrupt):
            # Whoever hits Ctrl-C again will not wait: the checkpoint before stays.
            self.keeper.write_last()
        return Interrupted("interrupted", partial=partial, checkpoint=self.keeper.written)

    def partial(self) -> Result | None:
        """The picture so far at the result's size, None before the first step."""
        if self.last is None:
            return None
        canvas = resize(self.last.picture.clamp(0, 1), self.scene.size)
        rgb = finished(canvas, self.scene).cpu()
        return Result(
            rgb,
            self.scene,
            self.plan,
            self.losses,
            self.seconds,
            complete=False,
            inputs=self.inputs,
        )


def _out_of_memory(
    recipe: Recipe,
    device: torch.device,
    scene: Scene | None = None,
    costs: Sequence[LevelCost] = (),
    tried: float | None = None,
) -> str:
    # Before the photo has been read, its form is not known: a square is the worst.
    size = (recipe.size, recipe.size) if scene is None else scene.size
    plan = make_plan(recipe.optimize, size, recipe.encoder)
    need, there = footprint(plan, scene), obtainable_bytes(device)
    return advice(size, need, there, costs=costs, tried=tried)
