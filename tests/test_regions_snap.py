"""Roughly drawn borders move onto the photo's edges, and nothing else does."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor

from layered_nst.picture import Picture
from layered_nst.recipe import Recipe
from layered_nst.recipe.selectors import Selector
from layered_nst.regions import build_masks, is_drawn, snap

# The room's function has the name of its module.
snapping = import_module("layered_nst.regions.snap")


def disk(size: int, radius: float, *, center: tuple[float, float] | None = None) -> Tensor:
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    cy, cx = center or (size / 2, size / 2)
    return (((y - cy) ** 2 + (x - cx) ** 2).sqrt() < radius).float()


def photo_of(mask: Tensor, *, noise: float = 0.02) -> Tensor:
    """A red thing on gray."""
    inside = torch.tensor([0.8, 0.2, 0.15])[:, None, None]
    generator = torch.Generator().manual_seed(0)
    speckle = noise * torch.randn(3, *mask.shape, generator=generator)
    return (inside * mask + 0.6 * (1 - mask) + speckle).clamp(0, 1)


def overlap(one: Tensor, other: Tensor) -> float:
    one, other = one > 0.5, other > 0.5
    return float((one & other).sum() / (one | other).sum())


def test_a_border_drawn_four_pixels_off_finds_the_edge() -> None:
    true = disk(200, 60)
    drawn = disk(200, 60, center=(102.8, 102.8))
    snapped = snap(drawn, photo_of(true), reach=0.02)
    assert overlap(drawn, true) < 0.93
    assert overlap(snapped, true) > 0.985


def test_without_an_edge_the_border_stays() -> None:
    drawn = disk(120, 40)
    snapped = snap(drawn, torch.full((3, 120, 120), 0.5))
    assert overlap(snapped, drawn) > 0.97


def test_farther_than_its_reach_nothing_moves() -> None:
    drawn = disk(200, 50)
    snapped = snap(drawn, photo_of(disk(200, 80)), reach=0.03)
    far = (disk(200, 50 + 13) == 0) | (disk(200, 50 - 13) == 1)
    assert torch.equal(snapped[far], drawn[far])


def test_the_new_border_is_a_pixel_wide() -> None:
    snapped = snap(disk(200, 62), photo_of(disk(200, 60)), reach=0.03)
    soft = (snapped > 0.02) & (snapped < 0.98)
    assert float(soft.sum()) < 3 * 2 * 3.15 * 60


def test_a_painted_gradient_is_left_alone() -> None:
    ramp = torch.linspace(0, 1, 80).expand(60, 80).contiguous()
    assert torch.equal(snap(ramp, torch.rand(3, 60, 80)), ramp)


def selector(value: object) -> Selector:
    regions = [{"name": "it", "select": value, "protect": True}]
    return Recipe.model_validate({"recipe": 1, "regions": regions}).regions[0].select


@pytest.mark.parametrize(
    ("value", "drawn"),
    [
        ({"box": [0, 0, 1, 0.5]}, True),
        ({"class": "object"}, True),
        ({"mask": "it.png"}, False),
        ({"alpha": True}, False),
        ({"any": [{"ellipse": [0, 0, 1, 1]}, {"mask": "it.png"}]}, False),
        ({"not": {"box": [0, 0, 1, 0.5]}}, True),
    ],
)
def test_masks_and_alpha_are_taken_at_their_word(value: object, drawn: bool) -> None:
    assert is_drawn(selector(value)) is drawn


def test_only_the_regions_named_are_refined() -> None:
    true = disk(120, 36)
    picture = Picture(photo_of(true))
    shape = {"ellipse": [0.18, 0.18, 0.78, 0.78]}
    recipe = Recipe.model_validate(
        {
            "recipe": 1,
            "regions": [
                {"name": "rest", "select": "rest", "protect": True},
                {"name": "cup", "select": shape, "protect": True, "feather": 0},
            ],
        }
    )

    def cup(*refined: str) -> Tensor:
        found = build_masks(recipe.regions, picture=picture, segment=never, refined=refined)
        return found.masks[1]

    assert overlap(cup("cup"), true) > overlap(cup(), true)
    assert torch.equal(cup("rest"), cup())


def never() -> None:
    raise AssertionError("no class was asked for")


def test_a_large_photo_is_fitted_tile_by_tile_to_the_same_border(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    y, x = torch.meshgrid(torch.arange(150.0), torch.arange(190.0), indexing="ij")
    disk = ((y - 70) ** 2 + (x - 100) ** 2 < 45**2).float()
    rgb = (0.2 + 0.6 * disk + 0.05 * torch.sin(x / 7)).expand(3, -1, -1)
    drawn = ((y - 73) ** 2 + (x - 97) ** 2 < 47**2).float()
    whole = snap(drawn, rgb, reach=0.03)
    seen: list[tuple[int, ...]] = []
    usual = snapping.guided_filter

    def remember(guide: Tensor, *arguments: Any, **keys: Any) -> Tensor:
        seen.append(tuple(guide.shape[1:]))
        return usual(guide, *arguments, **keys)

    monkeypatch.setattr(snapping, "guided_filter", remember)
    monkeypatch.setattr(snapping, "MOST_AT_ONCE", 0)
    monkeypatch.setattr(snapping, "TILE", 32)
    tiled = snap(drawn, rgb, reach=0.03)
    assert (whole - drawn).abs().max() > 0.9
    assert torch.allclose(tiled, whole, atol=1e-5)
    # No tile is larger than what its windows see, and none is read that has nothing of the border.
    assert max(max(size) for size in seen) <= 32 + 4 * round(2 * 0.03 * 190)
    assert len(seen) < 30
