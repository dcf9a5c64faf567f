"""What strategies keep, each on a scene of 48 px."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from layered_nst import api
from layered_nst.errors import Interrupted
from layered_nst.outputs.result import Result
from layered_nst.picture import to_image
from layered_nst.plugins import Part
from layered_nst.testing.samples import photo, random, sample, speed

STEPS = 2


@contextmanager
def _recipe(part: Part) -> Iterator[dict[str, Any]]:
    """A recipe with its files, in a folder that goes away."""
    said = {part.full_name: sample(part.parameters)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        to_image(photo(36, 48)).save(folder / "photo.png")
        to_image(random(3, 40, 40, seed=1)).save(folder / "style.png")
        box = {"box": [0.2, 0.2, 0.7, 0.8]}
        yield {
            "recipe": 1,
            "content": str(folder / "photo.png"),
            "size": 48,
            "strategy": part.name if part.is_own else said,
            "product": ["thing"],
            "encoder": "light",
            "regions": [
                {"name": "ground", "select": "rest", "style": str(folder / "style.png")},
                {"name": "thing", "select": box, "style": str(folder / "style.png"), "scale": 0.5},
                {"name": "kept", "select": {"box": [0, 0, 0.1, 1]}, "protect": True, "feather": 0},
            ],
            "optimize": {"steps": STEPS, "levels": [32, 48], "checkpoint": 1e-6},
        }


def _painted(part: Part, **options: Any) -> Result:
    with _recipe(part) as recipe:
        return api.apply(recipe, device="cpu", cache=False, **options)


def paints(part: Part) -> None:
    result = _painted(part)
    assert tuple(result.rgb.shape) == (3, *result.scene.size), f"shape {tuple(result.rgb.shape)}"
    low, high = result.rgb.min().item(), result.rgb.max().item()
    assert low >= 0, f"the picture has {low:g}"
    assert high <= 1, f"the picture has {high:g}"


def keeps_what_is_protected(part: Part) -> None:
    result = _painted(part)
    kept = result.scene.mask("kept") == 1
    assert torch.equal(result.rgb[:, kept], result.scene.picture.rgb[:, kept]), "it is painted over"


def the_same(part: Part) -> None:
    if part.determinism == "same-bytes":
        assert torch.equal(_painted(part).rgb, _painted(part).rgb), "two pictures differ"


def goes_on(part: Part) -> None:
    if part.determinism != "same-bytes":
        return
    with _recipe(part) as recipe:
        whole = api.apply(recipe, device="cpu", cache=False)
        path, seen = Path(recipe["content"]).with_name("c.checkpoint"), []

        def stop() -> bool:
            seen.append(1)
            return len(seen) == STEPS + 1

        try:
            result = api.apply(recipe, device="cpu", cache=False, checkpoint=path, stop=stop)
        except Interrupted:
            result = api.apply(recipe, device="cpu", cache=False, checkpoint=path, resume=True)
        assert torch.equal(result.rgb, whole.rgb), "a run that went on ends otherwise"


def how_fast(part: Part) -> str:
    return speed(36 * 48, lambda: _painted(part))


CONTRACTS = {
    "its picture is in [0, 1], of the photo's size": paints,
    "what is protected stays the photo": keeps_what_is_protected,
    "the same seed gives the same picture, to the byte": the_same,
    "a run that was stopped goes on to the same picture": goes_on,
    "how fast it is, with a few steps": how_fast,
}
