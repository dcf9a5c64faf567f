"""A problem of the optimization, painted at once in its place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from layered_nst.instant.network import LAYERS, Painter
from layered_nst.instant.painter_files import load_painter, painter_path
from layered_nst.instant.painting import Asked, Stacked, Steadied, painted
from layered_nst.instant.recoloring import recolored
from layered_nst.networks.encoders import Encoder
from layered_nst.painting.plan import Plan
from layered_nst.painting.problem import PaintedRegion, Problem, is_painted
from layered_nst.painting.tiled import STYLE_TILE
from layered_nst.styles.style import stroke_side, style_color, style_moments

LARGE = 1280
"""Styles that are seen at more px on their longest side are read in tiles."""

_LOADED: WeakKeyDictionary[Encoder, tuple[object, Painter]] = WeakKeyDictionary()
"""The painter that each encoder was asked for last, and what it was read from: frames of a clip are
painted one by one."""


def painter_for(plan: Plan, encoder: Encoder) -> Painter:
    """The painter that a plan names, on the encoder's device; read once as long as its file stays.

    Raises:
        ModelError: missing or broken weights, or ones that were taught with another encoder.
        ValueError: the plan names none.
    """
    if plan.painter is None:
        raise ValueError("a plan that optimizes has no painter")
    device, path = next(encoder.buffers()).device, painter_path(plan.painter)
    state = path.stat() if path.exists() else None
    asked = path, device, state and (state.st_ino, state.st_size, state.st_mtime_ns)
    known = _LOADED.get(encoder)
    if known is None or known[0] != asked:
        known = _LOADED[encoder] = asked, load_painter(plan.painter, encoder, device=device)
    return known[1]


@torch.no_grad()
def paint_problem(
    painter: Painter,
    encoder: Encoder,
    problem: Problem,
    plan: Plan,
    *,
    steadied: Steadied = dict,
) -> Tensor:
    """The canvas of a problem, shape (3, H, W) in [0, 1]; what is frozen is as it was.

    Scale and blends mean what they mean to the optimization. How firmly a region holds the photo's
    content lowers, above 1, how far it is carried. For ``steadied`` see ``painted``; its moments
    are those of the regions that are painted, in their order.
    """
    regions = [region for region in problem.regions if is_painted(region)]
    if not regions:
        return problem.start.clone()
    masks = [region.mask for region in regions]
    amount = problem.content.new_tensor([amount_of(region) for region in regions])
    asked = Asked(_targets(encoder, problem, regions, plan), amount)
    canvas = painted(
        painter,
        encoder,
        problem.content,
        masks,
        asked,
        precision=plan.precision,
        steadied=steadied,
    )
    recolored(canvas, masks, *_colors(problem, regions))
    return canvas.lerp_(problem.start, problem.frozen)


def _colors(problem: Problem, regions: Sequence[PaintedRegion]) -> Stacked:
    """The colors that regions are to have: mean (R, 3) and raw second moment (R, 3, 3)."""
    styles = [style_color(region.styles) for region in regions]
    mean = torch.stack([style.mean for style in styles])
    second = torch.stack([style.second for style in styles])
    return mean.to(problem.photo), second.to(problem.photo)


def amount_of(region: PaintedRegion) -> float:
    """How far a region is carried to its style, from 0 to 1."""
    return 1 / math.sqrt(max(1.0, region.content))


def _targets(
    encoder: Encoder, problem: Problem, regions: list[PaintedRegion], plan: Plan
) -> dict[str, tuple[Tensor, Tensor]]:
    strokes = plan.levels[-1].strokes_for
    found = []
    for region in regions:
        side = stroke_side(strokes, region.scale)
        of = partial(problem.moments, tile=STYLE_TILE) if side > LARGE else problem.moments
        found.append(
            style_moments(encoder, region.styles, LAYERS, longest=side, pooling=plan.pooling, of=of)
        )
    return {
        layer: (
            torch.stack([moments[layer].mean for moments in found]),
            torch.stack([moments[layer].second for moments in found]),
        )
        for layer in LAYERS
    }
