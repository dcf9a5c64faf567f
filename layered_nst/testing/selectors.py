"""What selectors keep."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor

from layered_nst.networks.segmenters import NetworkSegmenter, Segmentation, load_segmenter, segment
from layered_nst.picture import Picture, to_image
from layered_nst.plugins import Part
from layered_nst.recipe import Selector
from layered_nst.regions import select
from layered_nst.testing.samples import photo, pictures, sample, speed

SAID: Mapping[str, Any] = {
    "class": {"class": "sky"},
    "subject": {"subject": True},
    "face": {"face": "all"},
    "points": {"points": {"in": [[0.5, 0.5]]}},
    "object_in": {"object_in": [0, 0, 1, 1]},
    "box": {"box": [0.1, 0, 0.7, 0.9]},
    "ellipse": {"ellipse": [0.1, 0, 0.7, 0.9]},
    "polygon": {"polygon": [[0.1, 0.1], [0.9, 0.2], [0.4, 0.8]]},
    "color": {"color": "gray", "tolerance": 30},
    "alpha": {"alpha": True},
    "rest": "rest",
    "any": {"any": [{"box": [0, 0, 0.5, 1]}, {"color": "white"}]},
    "all": {"all": [{"box": [0, 0, 0.5, 1]}, {"ellipse": [0, 0, 1, 1]}]},
    "not": {"not": {"box": [0, 0, 0.5, 1]}},
}
"""What is said to our own, which the recipe's schema checks."""


@cache
def _segmenter() -> NetworkSegmenter:
    return load_segmenter("scenes")


def _seen(rgb: Tensor) -> Segmentation:
    return segment(_segmenter(), rgb, scales=(0.5,), connect=False)


def _mask(part: Part, picture: Picture) -> Tensor:
    with tempfile.TemporaryDirectory() as folder:
        if part.is_own:
            stated = SAID.get(part.name) or {"mask": _drawn(picture, Path(folder, "mask.png"))}
        else:
            stated = {part.full_name: sample(part.parameters)}
        selector = TypeAdapter(Selector).validate_python(stated)
        return select(selector, picture=picture, segment=partial(_seen, picture.rgb))


def _drawn(picture: Picture, path: Path) -> str:
    """A mask file with the photo's form."""
    to_image(picture.rgb).convert("L").save(path)
    return str(path)


def in_range(part: Part) -> None:
    for what, picture in pictures().items():
        mask = _mask(part, picture)
        assert tuple(mask.shape) == picture.size, f"{what} gives a mask {tuple(mask.shape)}"
        assert mask.dtype == torch.float32, f"{what} gives a mask of {mask.dtype}"
        low, high = mask.min().item(), mask.max().item()
        assert low >= 0, f"{what} gives a mask with {low:g}"
        assert high <= 1, f"{what} gives a mask with {high:g}"


def the_same(part: Part) -> None:
    picture = Picture(photo(33, 48), None)
    if part.determinism == "same-bytes":
        assert torch.equal(_mask(part, picture), _mask(part, picture)), "two masks differ"


def photo_stays(part: Part) -> None:
    picture = Picture(photo(33, 48), None)
    before = picture.rgb.clone()
    _mask(part, picture)
    assert torch.equal(picture.rgb, before), "it writes into the photo"


def how_fast(part: Part) -> str:
    picture = Picture(photo(200, 300), None)
    return speed(60_000, partial(_mask, part, picture))


CONTRACTS = {
    "its masks are in [0, 1], of the photo's size": in_range,
    "the same photo gives the same mask, to the byte": the_same,
    "the photo stays as it is": photo_stays,
    "how fast it is": how_fast,
}
