"""From a scene to the optimization that paints it, and from its canvas to the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from layered_nst.machine.device import in_float64
from layered_nst.painting.losses.drawing import AROUND, drawn, left_to_style, usual
from layered_nst.painting.plan import Plan
from layered_nst.painting.problem import PaintedRegion, Problem, area
from layered_nst.picture import fit_within, guided, resize, size_of
from layered_nst.picture.guided import locally_affine
from layered_nst.picture.lab import restore_chroma
from layered_nst.picture.palette import held_to
from layered_nst.recipe import Recipe, Region
from layered_nst.scene.resolving import FEWEST_PIXELS
from layered_nst.scene.scene import Scene
from layered_nst.styles.colors import color_moments, move_colors, with_light_of
from layered_nst.styles.strokes import Laid, chosen, strokes
from layered_nst.styles.style import (
    style_color,
    weighing,
)

FIRMER, LOOSER, DRAWN = 1.5, 3.0, 2.5
"""Powers of ``content`` above and below 1, and of ``contour`` below 1, in what they weigh, so that
steps look alike: a sixteenth of the weight of contours shows most lines, and twice that of content
can hardly be seen. Past sixteen times that, plain skies have a mesh."""
MOST = 1e3
"""A ``content`` past this weighs no more."""
BESIDE = 0.5
"""How much of the strokes that a picture begins with keeps off its drawing, as a region's contours
of so much do in its moments."""
EVENLY = 1.6
"""Power of a strength below 1 in how much is seen of what is painted, for steps that look alike."""
LEAST_SEEN = 0.2
"""What is seen by less than this share of itself is not told from it: roundings would be."""
TINY = 1e-6
FREE = 1.5
"""How much smaller than the result a picture is at which its composition is held."""

Strokes = Mapping[str, tuple[Laid, Tensor]]
"""By region what strokes are laid where, and how much of the drawing beside them is usual."""


def split(region: PaintedRegion, shares: Tensor, *, area_exponent: float) -> list[PaintedRegion]:
    """The parts that stand for a region whose styles flow into one another.

    Args:
        region: with S styles.
        shares: of the styles, shape (S, H, W), sum 1.
        area_exponent: of the plan; the parts together pull as the region would.

    Returns:
        One for each style that has a share; their masks sum to the region's, and all have its
        name.
    """
    masks = region.mask * shares
    exact = in_float64(masks)
    areas = exact.flatten(1).sum(1)
    seen = torch.einsum("shw,thw->st", exact, in_float64(shares))
    whole = areas.sum()
    return [
        replace(
            region,
            mask=masks[s],
            styles=[
                weighing(style, weight)
                for style, weight in zip(region.styles, seen[s].tolist(), strict=True)
                if weight > 0
            ],
            share=region.share * float(areas[s] / whole) ** (1 - area_exponent),
        )
        for s in range(len(shares))
        if areas[s] > 0
    ]


def problem(scene: Scene, plan: Plan) -> Problem:
    """The optimization that a scene asks for.

    Transparent pixels belong to no region here, so that they enter no statistic.
    """
    small = scene if scene.sketch is None else scene.sketch
    moved = _moved_colors(small)
    laid = _laid(small, moved, plan) if plan.lays_strokes else {}
    found = _problem(small, plan, moved, laid)
    if small is scene:
        return found
    return replace(_problem(scene, plan, _moved_colors(scene), laid), sketch=found)


def _problem(scene: Scene, plan: Plan, moved: Tensor, laid: Strokes) -> Problem:
    """The same without its sketch, of a photo whose colors have been moved and of its strokes."""
    painted = [part for region in scene.painted for part in _painted(region, scene, plan)]
    opaque = scene.picture.alpha is None
    start = scene.picture.rgb if plan.start == "content" else moved
    if laid:
        start = _with_strokes(moved, scene, laid)
    begun = _begun(scene)
    return Problem(
        content=moved,
        photo=scene.picture.rgb,
        # Where nothing is kept, one tensor serves twice.
        start=start.lerp(scene.picture.rgb, scene.kept) if bool(scene.kept.any()) else start,
        regions=painted,
        frozen=scene.kept if opaque else torch.maximum(scene.kept, 1 - scene.visible.ceil()),
        moments=scene.moments,
        composed=None if begun is None else _composed(begun, scene.size),
        laid=bool(laid),
        begun=begun,
    )


def _composed(begun: Tensor, size: tuple[int, int]) -> Tensor:
    """An approved picture as large as it is held: no finer than two thirds of the result."""
    side = min(max(size_of(begun)), max(1, round(max(size) / FREE)))
    return resize(begun, fit_within(size_of(begun), side))


def _begun(scene: Scene) -> Tensor | None:
    """What an approved picture shows of paint, without the photo that shines through it."""
    approved = scene.approved
    if approved is None:
        return None
    through = shining_through(scene)
    if through is None:
        return approved
    size = size_of(approved)
    seen = (1 - area(through[None], size)).clamp(min=LEAST_SEEN)
    photo = resize(scene.picture.rgb, size)
    return ((approved - photo) / seen + photo).clamp(0, 1)


def _painted(region: Region, scene: Scene, plan: Plan) -> Sequence[PaintedRegion]:
    """A region, in parts if its styles flow into one another."""
    whole = PaintedRegion(
        name=region.name,
        mask=_seen_mask(region, scene),
        styles=scene.styles[region.name],
        strength=region.strength,
        scale=region.strokes,
        content=weight_of_content(region.content),
        contour=weight_of_contour(_contour(region, scene.recipe)),
        losses=region.losses,
    )
    shares = scene.flows.get(region.name)
    if shares is None:
        return [whole]
    return split(whole, shares, area_exponent=plan.area_exponent)


def weight_of_content(content: float) -> float:
    """What a region's ``content`` weighs: 0 at 0, 1 at 1."""
    held = min(content, MOST)
    return float(held ** (FIRMER if held > 1 else LOOSER))


def weight_of_contour(contour: float) -> float:
    """What a region's ``contour`` weighs: 0 at 0, and itself from 1 on."""
    return float(contour**DRAWN) if contour < 1 else contour


def _seen_mask(region: Region, scene: Scene) -> Tensor:
    mask = scene.mask(region.name)
    return mask if scene.picture.alpha is None else mask * scene.visible


def _contour(region: Region, recipe: Recipe) -> float:
    """A product that is painted first keeps its drawing unless the recipe says otherwise."""
    if region.contour is not None:
        return region.contour
    return 1.0 if recipe.is_painted_first(region) else 0.0


def _moved_colors(scene: Scene) -> Tensor:
    """The photo with each region's color statistics moved to those of its style."""
    photo = scene.picture.rgb
    total = photo * scene.kept
    for region in scene.painted:  # one at a time: of a print, all together would be the peak
        mask = scene.mask(region.name)
        for channel, moved in zip(total, _moved(region, scene), strict=True):
            channel += moved * mask
    return total.clamp_(0, 1)


def _laid(scene: Scene, moved: Tensor, plan: Plan) -> Strokes:
    """What is laid on the painted regions of a photo whose colors have been moved."""
    drawing, laid = drawn(scene.picture.rgb, scene.size), {}
    for region in scene.painted:
        mask, styles = scene.mask(region.name), scene.styles[region.name]
        where = chosen(moved, mask, styles, scale=region.strokes, seed=plan.seed)
        laid[region.name] = where, usual(drawing, _inside(mask)[None])
    return laid


def _with_strokes(moved: Tensor, scene: Scene, laid: Strokes) -> Tensor:
    """A photo in its regions' colors with their strokes."""
    drawing, total = drawn(scene.picture.rgb, scene.size), moved.clone()
    for region in scene.painted:
        where, common = laid[region.name]
        styles = scene.styles[region.name]
        added = strokes(where, styles, scene.size, scale=region.strokes).to(moved)
        beside = left_to_style(drawing, common, drawing.new_tensor([BESIDE]))
        total += added.mul_(scene.mask(region.name) * beside[0])
    return total.clamp_(0, 1)


def _inside(mask: Tensor) -> Tensor:
    """A mask (h, w) without what lies so near to others that their drawing is seen there; itself
    where nothing else is left."""
    reach = round(max(size_of(mask)) * AROUND / 2) + 2
    inside = mask * (guided.box_mean(mask[None], reach)[0] > 1 - 1e-3)
    return inside if bool(inside.any()) else mask


def _moved(region: Region, scene: Scene) -> Tensor:
    photo, weight = scene.picture.rgb, scene.mask(region.name) * scene.visible
    if float(weight.sum()) < FEWEST_PIXELS:
        return photo
    source = color_moments(photo, weight)
    styles, shares = scene.styles[region.name], scene.flows.get(region.name)
    if shares is None:
        target = with_light_of(style_color(styles), source)
        return move_colors(photo, source, target)
    targets = [with_light_of(style.color(), source) for style in styles]
    moved = [move_colors(photo, source, target) for target in targets]
    return (torch.stack(moved) * shares[:, None]).sum(0)


def finished(canvas: Tensor, scene: Scene) -> Tensor:
    """Bring an optimized canvas to what its regions hold: the photo's light and edges, its chroma,
    a palette, the photo itself.

    A strength below 1 lets the photo shine through. Painted toward moments between the photo's and
    the style's, as they were before, parts of a region came out as photo and others as style.

    Args:
        canvas: shape (3, H, W) at the result's size.

    Returns:
        The picture; where a region is protected, exactly the photo's pixels.
    """
    photo, through = scene.picture.rgb, shining_through(scene)
    for region in scene.painted:
        if region.realism > 0:
            mask = scene.mask(region.name)
            real = locally_affine(photo, canvas, mask * scene.visible)
            canvas = canvas.lerp(real, region.realism * mask)
    if through is not None:
        canvas = canvas.lerp(photo, through)
    recolored = restore_chroma(canvas, photo, scene.kept_chroma)
    for region in scene.painted:
        if region.palette:
            held = held_to(recolored, region.palette)
            recolored = recolored.lerp(held, scene.mask(region.name))
    return recolored.lerp(photo, scene.kept)


def shining_through(scene: Scene) -> Tensor | None:
    """How much of what is painted the photo covers for its regions' strengths, shape (H, W) in
    [0, 1]; None where they are all at 1 and more."""
    weaker = [region for region in scene.painted if region.strength < 1]
    if not weaker:
        return None
    covered = torch.zeros_like(scene.kept)
    for region in weaker:
        covered += scene.mask(region.name) * (1 - opacity(region.strength))
    # What is kept is laid over all in the end, and would cover its feather twice.
    return (covered / (1 - scene.kept).clamp(min=TINY)).clamp(0, 1)


def opacity(strength: float) -> float:
    """How much is seen of what is painted at a strength, 0 to 1."""
    return float(min(1.0, strength) ** EVENLY)
