"""The whole story: recipe, scene, painting, result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from layered_nst.device import choose_device
from layered_nst.errors import Interrupted, OutOfMemoryError
from layered_nst.features import load_encoder
from layered_nst.optimize import OnProgress, Progress
from layered_nst.picture import MAX_PIXELS, resize
from layered_nst.plan import Plan, make_plan
from layered_nst.recipe import Recipe, load_recipe
from layered_nst.result import Result
from layered_nst.scene import Scene, resolve, thin_notes
from layered_nst.strategy import finished, paint


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
    on_scene: Callable[[Scene, Plan], None] = lambda *_: None,
    on_progress: OnProgress = lambda _: None,
) -> Result:
    """Restyle a photo region by region.

    Nothing is printed and no global state is touched; calls may run in several threads.

    Args:
        recipe: a path, a mapping or a loaded recipe.
        content: a path, a Pillow picture or an array (H, W, 3), in place of the recipe's photo.
        size: longest side of the result in px, in place of the recipe's.
        overrides: ``["regions.sky.strength=0.5"]`` or ``{"optimize.seed": 3}``.
        device: ``cpu``, ``cuda``, ``mps``; by default the fastest there is.
        strict: a region that is empty on this photo is an error, not a note.
        weights_dir: folder with weights that are not bundled.
        max_pixels: largest picture that is read.
        on_scene: called once when regions and plan are known, before the optimization.
        on_progress: called after each step.

    Returns:
        The picture, its masks and its losses.

    Raises:
        LayeredNstError: one of its kinds, in one sentence. ``Interrupted`` carries the picture so
            far as ``partial``.
    """
    loaded = load(recipe, content, size=size, overrides=overrides)
    device = choose_device(device)
    options = {"strict": strict, "weights_dir": weights_dir, "max_pixels": max_pixels}
    scene, plan = prepare(loaded, content, device=device, **options)
    encoder = load_encoder(loaded.encoder, weights_dir=weights_dir, device=device)
    scene = replace(scene, notes=scene.notes + thin_notes(scene, encoder, plan))
    on_scene(scene, plan)
    track = _Track(scene, on_progress)
    try:
        painting = paint(scene, encoder, plan, on_progress=track)
    except KeyboardInterrupt as stop:
        raise Interrupted("interrupted", partial=track.partial()) from stop
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemoryError(_out_of_memory(scene)) from error
    except RuntimeError as error:
        if "not enough memory" not in str(error) and "DefaultCPUAllocator" not in str(error):
            raise
        raise OutOfMemoryError(_out_of_memory(scene)) from error
    return Result(painting.rgb.cpu(), scene, track.losses, track.seconds)


def load(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    content: Any = None,
    *,
    size: int | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
) -> Recipe:
    """Load a recipe for ``apply``: a photo given beside it stands in for the recipe's own."""
    if content is None or isinstance(content, str | Path):
        loaded = load_recipe(recipe, overrides=overrides, content=content)
    else:
        loaded = load_recipe(recipe, overrides=_without_photo(overrides))
    return loaded if size is None else loaded.model_copy(update={"size": _checked_size(size)})


def _without_photo(overrides: Sequence[str] | Mapping[str, Any]) -> Any:
    """Overrides that also take the recipe's photo out: it need not exist beside a given one."""
    if isinstance(overrides, Mapping):
        return {**overrides, "content": None}
    return [*([overrides] if isinstance(overrides, str) else overrides), "content="]


def _checked_size(size: int) -> int:
    return load_recipe(_PROBE, overrides={"size": size}, check_files=False).size


_PROBE = {"recipe": 1, "regions": [{"name": "all", "select": "rest", "protect": True}]}


def prepare(
    recipe: Recipe, content: Any = None, *, device: str | torch.device | None = None, **options: Any
) -> tuple[Scene, Plan]:
    """Find the regions and settle the plan; nothing is optimized."""
    scene = resolve(recipe, content, device=choose_device(device), **options)
    return scene, make_plan(recipe.optimize, scene.size)


@dataclass
class _Track:
    """Keeps the losses of every step and the last picture, whatever the callback does."""

    scene: Scene
    tell: OnProgress

    def __post_init__(self) -> None:
        self.losses: list[Mapping[str, float]] = []
        self.last: Progress | None = None
        self.started = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        self.losses.append(progress.losses)
        self.last = progress
        self.tell(progress)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def partial(self) -> Result | None:
        """The picture so far at the result's size, None before the first step."""
        if self.last is None:
            return None
        canvas = resize(self.last.picture.clamp(0, 1), self.scene.size)
        rgb = finished(canvas, self.scene).cpu()
        return Result(rgb, self.scene, self.losses, self.seconds, complete=False)


def _out_of_memory(scene: Scene) -> str:
    height, width = scene.size
    smaller = max(64, round(max(height, width) / 1.5 / 16) * 16)
    return f"out of memory at {width}×{height} px; try --size {smaller}"
