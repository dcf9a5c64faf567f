"""What tests of dissolves and wipes share: small clips of changes, found and painted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from moving_pictures import MovingPicture
from PIL import Image
from torch import Tensor
from workbench import lay_out

from layered_nst import apply_video
from layered_nst.errors import Interrupted
from layered_nst.video.mixing import Mixings

STEPS = ("optimize.levels=[96]", "optimize.steps=[2]", "video.steps=1")


def frame(clip: MovingPicture, number: int) -> Tensor:
    return torch.from_numpy(clip.frame(number)).movedim(-1, 0).contiguous()


def found_in(photos: Sequence[Tensor]) -> list[Any]:
    mixings = Mixings(iter(photos))
    found = [mixings.at(number) for number in range(len(photos))]
    return [change for change in found if change is not None]


def recipe_on(photos: Iterable[Tensor], place: Path, *regions: dict[str, Any]) -> dict[str, Any]:
    """A recipe for a clip of some photos, in one style, with further regions."""
    folder = lay_out(place)
    (folder / "clip").mkdir()
    for number, photo in enumerate(photos):
        pixels = (photo * 255 + 0.5).byte().movedim(0, -1).numpy()
        Image.fromarray(pixels).save(folder / "clip" / f"{number}.png")
    whole = {"name": "all", "select": "rest", "style": str(folder / "stripes.png")}
    return {
        "recipe": 1,
        "content": str(folder / "clip"),
        "size": 96,
        "regions": [whole, *regions],
        "optimize": {"quality": "draft"},
    }


def painted(stated: dict[str, Any], **options: Any) -> Any:
    return apply_video(stated, overrides=STEPS, cache=False, **options)


def painted_with_stops(stated: dict[str, Any], output: Path, stops: Sequence[int]) -> Any:
    """A clip whose painting was stopped after some frames, and gone on with each time."""

    def run(stop: int) -> Any:
        def stop_at(told: Any) -> None:
            if told.frame == stop:
                raise KeyboardInterrupt

        resume = output.with_suffix(".frames").exists()
        return painted(stated, on_frame=stop_at, output=output, resume=resume)

    for stop in stops:
        with pytest.raises(Interrupted):
            run(stop)
    return run(0)


def planes(result: Any) -> list[Tensor]:
    return [torch.from_numpy(np.asarray(f) / np.float32(255)).movedim(-1, 0) for f in result]
