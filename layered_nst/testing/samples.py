"""Small things to test parts with: photos, problems, and what may be said to a part."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst import plugins
from layered_nst.painting.problem import Colors, Earlier, PaintedRegion, Problem
from layered_nst.picture import Picture
from layered_nst.plugins import Part
from layered_nst.styles.style import StylePicture

SIZES = ((33, 48), (1, 1), (7, 40))
"""Heights and widths of photos, px."""


def sample(schema: Mapping[str, Any]) -> Any:
    """Something that a JSON Schema takes: its first example, or what its parts allow."""
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    several = schema.get("anyOf") or schema.get("oneOf")
    if several:
        return sample(several[0])
    kind = schema.get("type", "object")
    kind = kind if isinstance(kind, str) else kind[0]
    if kind == "object":
        needed = schema.get("required", ())
        properties = schema.get("properties", {})
        return {key: sample(properties[key]) for key in needed if key in properties}
    if kind == "array":
        return [sample(schema.get("items", {})) for _ in range(schema.get("minItems", 0))]
    if kind in ("number", "integer"):
        return _number(schema, whole=kind == "integer")
    return {"string": "x" * max(1, schema.get("minLength", 1)), "boolean": True}.get(kind)


def _number(schema: Mapping[str, Any], *, whole: bool) -> float:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None or high is None:
        found = 1.0 if low is None and high is None else low + 1 if high is None else high - 1
    else:
        found = (low + high) / 2
    return round(found) if whole else float(found)


def spelled(part: Part) -> str:
    """A part's name, with what its schema takes."""
    return plugins.spelled(part.full_name, sample(part.parameters))


def random(*shape: int, seed: int = 0) -> Tensor:
    """Numbers from 0 to 1, the same for the same seed."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def photo(height: int, width: int) -> Tensor:
    """A photo with edges, a light part above and grain, shape (3, height, width) in [0, 1]."""
    coarse = random(1, 3, max(2, height // 12), max(2, width // 12), seed=5)
    enlarged = F.interpolate(coarse, (height, width), mode="nearest")[0]
    light = torch.linspace(0.35, 0, height)[None, :, None]
    return (0.5 * enlarged + light + 0.15 * random(3, height, width, seed=6)).clamp(0, 1)


def pictures() -> dict[str, Picture]:
    """Photos that a part may meet, by what they are."""
    found = {f"a photo of {w}×{h} px": Picture(photo(h, w), None) for h, w in SIZES}
    gray = torch.full((3, 20, 30), 0.5)
    return {
        **found,
        "a photo of one color": Picture(gray, None),
        "a photo with transparency": Picture(photo(20, 30), (random(20, 30) > 0.5).float()),
    }


@cache
def problem(height: int = 72, width: int = 56, *, double: bool = False) -> Problem:
    """Three regions with feathers that overlap, one of them small; a frozen square.

    It is a frame of a clip, with an earlier one and the colors that its shot began with, and has a
    coarser picture behind it, so that losses which ask for these have something to hold.

    Args:
        double: in float64.
    """
    dtype = torch.float64 if double else torch.float32
    down = torch.linspace(0, 1, height, dtype=dtype)[:, None]
    across = torch.linspace(0, 1, width, dtype=dtype)[None]
    sky = (4 * (across - down) + 0.3).clamp(0, 1)
    spot = (5 - 30 * ((down - 0.7) ** 2 + (across - 0.7) ** 2).sqrt()).clamp(0, 1)
    shares = [sky * (1 - spot), (1 - sky) * (1 - spot), spot]
    ones = torch.ones(45, 61, dtype=dtype)
    noise = [random(3, 45, 61, seed=s).to(dtype) for s in (1, 2)]
    painted = [*noise, 0.4 + 0.1 * noise[0]]
    wild, other, calm = (StylePicture(rgb, ones, 1, f"style {n}") for n, rgb in enumerate(painted))
    styles_of = [wild], [wild, other], [calm]
    frozen = torch.zeros(height, width, dtype=dtype)
    frozen[height // 2 : height // 2 + 9, : width // 3] = 1
    began = Colors(torch.full((3,), 0.4, dtype=dtype), 0.05 * torch.eye(3, dtype=dtype))
    regions = [
        PaintedRegion(f"r{k}", share, styles, content=1 + k, contour=0.5 * k, anchor=began)
        for k, (share, styles) in enumerate(zip(shares, styles_of, strict=True))
    ]
    seen = photo(height, width).to(dtype)
    return Problem(
        content=seen.flip(2),
        photo=seen,
        start=seen,
        regions=regions,
        frozen=frozen,
        earlier=[Earlier(seen.flip(1), random(height, width, seed=7).to(dtype))],
        steadiness=1.0,
        composed=photo(height // 2, width // 2).to(dtype),
    )


def speed(pixels: int, work: Callable[[], Any]) -> str:
    """Seconds that something takes for each million pixels, in words; the better of two tries."""
    took = []
    for _ in range(2):
        started = time.perf_counter()
        work()
        took.append(time.perf_counter() - started)
    return f"{min(took) / pixels * 1e6:.2g} s a megapixel"
