"""A style's texture alone: noise given the moments of more and more layers of the style.

It shows what a style is to the engine: conv1_1 alone is color and grain, each deeper layer adds
larger forms, and what even all of them don't bring back the engine will never paint.

Source: Gatys, Ecker, Bethge 2015, Texture Synthesis Using Convolutional Neural Networks
(arXiv 1505.07376). Departure: the engine's own loss, on centred moments and means, coarse to fine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from layered_nst.errors import RecipeError
from layered_nst.networks.encoders import Encoder
from layered_nst.painting.levels import optimize
from layered_nst.painting.plan import Plan, make_plan
from layered_nst.painting.problem import PaintedRegion, Problem
from layered_nst.painting.progress import OnProgress, Progress
from layered_nst.picture import Picture, bleed_under_alpha, fit_within, resize, size_of, to_image
from layered_nst.picture.layout import INK, Words, grid, tile
from layered_nst.recipe import Optimize
from layered_nst.styles.layers import layers_of
from layered_nst.styles.moments import Moments, compute, update
from layered_nst.styles.reading import check_seen
from layered_nst.styles.style import StylePicture, style_moments

# Enough against the noise between the filters' grid points; more would blur grain that a style has.
SMOOTHNESS = 0.02
NARROWEST = 200
"""A tile is at least so wide, px, or its captions could not be read."""


@dataclass(frozen=True)
class Texture:
    """A texture made from the moments of some layers.

    Attributes:
        layers: shallow to deep.
        rgb: shape (3, H, W) in [0, 1].
        distance: how far its second moments are from the style's, relative, mean over the layers.
    """

    layers: tuple[str, ...]
    rgb: Tensor
    distance: float


def synthesize(
    encoder: Encoder,
    style: Picture,
    *,
    layers: Sequence[str] | None = None,
    size: int = 256,
    options: Optimize | None = None,
    on_progress: OnProgress = lambda _: None,
) -> list[Texture]:
    """Make one texture for the first of the layers, one for the first two, and so on.

    Args:
        encoder: whose moments are matched.
        style: what is transparent takes no part.
        layers: in any order; taken shallow to deep. Those of styles, if not given.
        size: longest side of a texture in px; the style is seen at the same size.
        options: quality, steps, levels, optimizer and seed; weights and start are set here.
        on_progress: called after each step; ``stage`` names the deepest layer, ``done`` counts over
            all textures.

    Raises:
        RecipeError: no layer, or one that the encoder doesn't have.
        PictureError: nothing of the style can be seen.
    """
    ordered = _ordered(encoder, tuple(layers_of(encoder)) if layers is None else layers)
    painted = _style(style, size, next(encoder.buffers()).device)
    textures = []
    for number, deepest in enumerate(ordered, 1):
        chosen = ordered[:number]
        plan = _plan(options or Optimize(), painted, chosen, encoder)
        rgb = optimize(
            encoder,
            _problem(painted),
            plan,
            stage=deepest,
            on_progress=_shared(on_progress, number, len(ordered)),
        )
        textures.append(Texture(chosen, rgb, _distance(encoder, painted, plan, rgb)))
    return textures


def _ordered(encoder: Encoder, layers: Sequence[str]) -> tuple[str, ...]:
    if unknown := [layer for layer in layers if layer not in encoder.layers]:
        known = ", ".join(encoder.layers)
        raise RecipeError(f"layer {unknown[0]}: not in {encoder.name}, which has {known}")
    if not layers:
        raise RecipeError("layers: name at least one, such as conv1_1")
    return tuple(layer for layer in encoder.layers if layer in layers)


def _style(style: Picture, size: int, device: torch.device) -> StylePicture:
    wanted = fit_within(style.size, size)
    alpha = torch.ones(style.size) if style.alpha is None else style.alpha
    check_seen(alpha, style.source)
    rgb = resize(bleed_under_alpha(style.rgb, style.alpha), wanted)
    return StylePicture(rgb.to(device), resize(alpha, wanted).to(device), 1.0, style.source)


def _plan(options: Optimize, style: StylePicture, layers: Sequence[str], encoder: Encoder) -> Plan:
    weights = {layer: layers_of(encoder).get(layer, 1.0) for layer in layers}
    asked = options.model_copy(
        update={
            "layers": weights,
            "start": "noise",
            "content": 0.0,
            "total_variation": SMOOTHNESS,
        }
    )
    # Without content layers the encoder stops at the deepest layer of the texture.
    # One encoder sees at all levels, which are not to be tuned as if there were two.
    plan = make_plan(asked, size_of(style.rgb), encoder.source)
    return replace(plan, content_layers={})


def _problem(style: StylePicture) -> Problem:
    """One region over a canvas of the style's size; the canvas itself is never looked at."""
    canvas = torch.full_like(style.rgb, 0.5)
    return Problem(
        content=canvas,
        photo=canvas,
        start=canvas,
        regions=[PaintedRegion("texture", torch.ones_like(canvas[0]), [style])],
        frozen=torch.zeros_like(canvas[0]),
    )


def _shared(tell: OnProgress, number: int, count: int) -> OnProgress:
    """Count the work over all textures."""

    def told(progress: Progress) -> None:
        done = (number - 1 + progress.done) / count
        # The later textures read more layers, so this is an estimate on the low side.
        left = progress.seconds_left + (count - number) * progress.seconds_left / max(
            1 - progress.done, 1e-3
        )
        tell(replace(progress, done=done, seconds_left=left))

    return told


@torch.no_grad()
def _distance(encoder: Encoder, style: StylePicture, plan: Plan, rgb: Tensor) -> float:
    layers = tuple(plan.layers)
    longest = max(rgb.shape[1:])
    wanted = style_moments(encoder, [style], layers, longest=longest, pooling=plan.pooling)
    found = encoder(rgb[None], layers, pooling=plan.pooling)
    apart = [_relative(_moments(found[layer]), wanted[layer]) for layer in layers]
    return sum(apart) / len(apart)


def _moments(features: Tensor) -> Moments:
    rows = features[0].flatten(1).T
    return compute(update(rows, torch.ones_like(rows[:, 0])))


def _relative(found: Moments, wanted: Moments) -> float:
    return float((found.second - wanted.second).norm() / wanted.second.norm().clamp(min=1e-12))


def texture_sheet(style: Picture, textures: Sequence[Texture], *, columns: int = 3) -> Image.Image:
    """The style and its textures side by side, each with its layers below."""
    size = (textures[0].rgb.shape[1], textures[0].rgb.shape[2])
    original = Picture(resize(bleed_under_alpha(style.rgb, style.alpha), size))
    tiles = [_tile(original.rgb, "the style", "")]
    tiles += [_tile(t.rgb.cpu(), _title(t.layers), _subtitle(t)) for t in textures]
    return grid(tiles, columns=columns)


def _tile(rgb: Tensor, title: str, below: str) -> Image.Image:
    return tile(to_image(rgb), [Words(title, 15, INK), Words(below)], width=NARROWEST)


def _title(layers: Sequence[str]) -> str:
    return layers[0] if len(layers) == 1 else f"{layers[0]} to {layers[-1]}"


def _subtitle(texture: Texture) -> str:
    return f"moments {texture.distance:.1%} from the style's"
