"""Regions that are held to a palette, and regions that stay photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from narrow import narrow_encoder
from PIL import Image
from scipy import ndimage
from scipy.optimize import nnls
from torch import Tensor
from workbench import lay_out

from layered_nst.errors import RecipeError
from layered_nst.painting.plan import make_plan
from layered_nst.picture.guided import locally_affine
from layered_nst.picture.lab import rgb_to_lab
from layered_nst.picture.palette import held_to
from layered_nst.recipe import load_recipe
from layered_nst.scene.resolving import resolve
from layered_nst.strategies.problems import finished
from layered_nst.strategies.run import paint

RED, BLUE, CREAM, INK = (228, 0, 43), (0, 60, 150), (250, 240, 220), (20, 20, 30)
EVERYWHERE = torch.ones(60, 80)


def random(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(3, *size, generator=torch.Generator().manual_seed(seed))


def lab(colors: object) -> np.ndarray:
    """Rows of RGB in [0, 1] as rows of Lab."""
    rows = torch.as_tensor(np.asarray(colors), dtype=torch.float64)
    return rgb_to_lab(rows.T[:, None])[:, 0].T.numpy()


def distance_to_mixtures(color: np.ndarray, corners: np.ndarray) -> float:
    """By non-negative least squares, with shares that sum to 1 by a heavy row."""
    heavy = 1e4
    system = np.vstack([corners.T, np.full(len(corners), heavy)])
    shares, _ = nnls(system, np.append(color, heavy))
    return float(np.linalg.norm(shares @ corners - color))


@pytest.mark.parametrize("palette", [[RED, CREAM], [RED, BLUE, CREAM], [RED, BLUE, CREAM, INK]])
def test_every_color_is_a_mixture_of_the_palette_and_the_nearest_one(
    palette: list[tuple[int, int, int]],
) -> None:
    picture = random(9, 10)
    found = lab(held_to(picture, palette).flatten(1).T)
    wanted, corners = lab(picture.flatten(1).T), lab(np.array(palette) / 255)
    for here, there in zip(found, wanted, strict=True):
        assert distance_to_mixtures(here, corners) < 1.0
        nearest = distance_to_mixtures(there, corners)
        assert np.linalg.norm(here - there) < nearest + 1.5


def test_a_color_of_the_palette_stays() -> None:
    palette = [RED, BLUE, CREAM, INK]
    picture = torch.tensor(palette).T[:, None] / 255
    apart = lab(held_to(picture, palette)[:, 0].T) - lab(np.array(palette) / 255)
    assert np.linalg.norm(apart, axis=1).max() < 2.5


def test_a_single_color_has_its_tints_and_shades() -> None:
    gray = torch.linspace(0, 1, 20).expand(3, 1, 20)
    light = lab(held_to(gray, [RED])[:, 0].T)[:, 0]
    assert light[0] < 2
    assert light[-1] > 98
    assert (np.diff(light) > 0).all()


def local_fit(photo: Tensor, picture: Tensor, at: tuple[int, int], reach: int = 2) -> float:
    """Root mean square of what no affine function of the photo's colors explains in a window."""
    rows, columns = (slice(max(0, p - reach), p + reach + 1) for p in at)
    colors = photo[:, rows, columns].flatten(1).T.numpy()
    known = np.hstack([colors, np.ones((len(colors), 1))])
    wanted = picture[:, rows, columns].flatten(1).T.numpy()
    fit, *_ = np.linalg.lstsq(known, wanted, rcond=None)
    return float(np.sqrt(((known @ fit - wanted) ** 2).mean()))


def photograph() -> Tensor:
    """Dark things before a bright sky, softly lit."""
    y, x = np.mgrid[:60, :80]
    things = ndimage.gaussian_filter(((x // 16 + y // 30) % 2).astype(float), 0.7)
    planes = [0.2 + 0.6 * things + 0.05 * np.sin(x / 17), 0.25 + 0.5 * things, 0.3 + 0.4 * things]
    return torch.tensor(np.stack(planes), dtype=torch.float32)


def test_colors_that_moved_alike_all_around_stay_as_they_are() -> None:
    photo = photograph()
    moved = torch.tensor([[0.7, 0.1, 0.0], [0.1, 0.6, 0.1], [0.2, 0.0, 0.5]])
    picture = torch.einsum("ij,jhw->ihw", moved, photo) + 0.1
    assert (locally_affine(photo, picture, EVERYWHERE) - picture).abs().max() < 0.02


def test_texture_that_the_photo_does_not_have_is_gone_and_edges_are_the_photo_s() -> None:
    photo, grain = photograph(), 0.3 * (random(60, 80, seed=3) - 0.5)
    painted = (1.1 * photo.flip(0) + grain).clamp(0, 1)
    found = locally_affine(photo, painted, EVERYWHERE)
    places = [(10, 12), (30, 40), (45, 60), (20, 64)]
    for at in places:
        assert local_fit(photo, found, at) < 0.15 * local_fit(photo, painted, at)
    plain = locally_affine(photo, (1.1 * photo.flip(0)).clamp(0, 1), EVERYWHERE)
    assert (found - plain).abs().mean() < 0.03


def test_no_halo_is_left_around_dark_things_before_a_bright_sky() -> None:
    """Beside the edge the sky is nearly as bright as far from it."""
    photo = torch.full((3, 180, 240), 0.85)
    photo[:, 60:, 90:150] = 0.1
    tint = torch.tensor([0.9, 0.8, 1.0])[:, None, None]
    painted = torch.nn.functional.avg_pool2d(
        (photo * tint)[None], 5, 1, 2, count_include_pad=False
    )[0]
    found = locally_affine(photo, painted, torch.ones(180, 240))
    halo, left = (
        (p[:, 120, [86, 88, 89, 150, 151, 153]] - p[:, 120, 9:10]).abs().max()
        for p in (painted, found)
    )
    assert halo > 0.2
    assert left < 0.4 * halo


def test_a_region_is_fitted_by_itself() -> None:
    photo, left = random(60, 80), torch.zeros(60, 80)
    left[:, :40] = 1
    picture, other = 0.5 * photo + 0.2, random(60, 80, seed=5)
    mixed = torch.where(left > 0, picture, other)
    found = locally_affine(photo, mixed, left)
    assert (found - picture)[:, :, :40].abs().max() < 0.02


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


def painted_with(**keys: Any) -> tuple[Tensor, Any]:
    regions = [
        {"name": "sky", "select": {"box": [0, 0, 1, 0.5]}, "style": "dots.png", "feather": 0},
        {"name": "ground", "select": "rest", "style": "stripes.png", "feather": 0},
    ]
    regions[0] |= keys
    recipe = load_recipe({"recipe": 1, "content": "photo.png", "size": 64, "regions": regions})
    scene = resolve(recipe)
    plan = make_plan(recipe.optimize.model_copy(update={"steps": 4}), scene.size)
    return paint(
        scene, narrow_encoder(dtype=torch.float32), plan, on_progress=lambda _: None
    ), scene


def test_a_region_of_a_recipe_is_held_to_its_palette(look: Path) -> None:
    found, scene = painted_with(palette=["#E4002B", "white", "black"])
    corners = lab(np.array([RED, (255, 255, 255), (0, 0, 0)]) / 255)
    sky, ground = found[:, 5:20, 5:60], found[:, 30:45, 5:60]
    assert max(distance_to_mixtures(c, corners) for c in lab(sky.flatten(1).T)) < 1.5
    assert max(distance_to_mixtures(c, corners) for c in lab(ground.flatten(1).T)) > 5
    (style,) = scene.styles["sky"]
    assert max(distance_to_mixtures(c, corners) for c in lab(style.rgb.flatten(1).T)) < 1.5


@pytest.mark.parametrize("realism", [0.5, 1.0])
def test_a_region_of_a_recipe_stays_a_photograph_as_far_as_it_says(
    look: Path, realism: float
) -> None:
    _, scene = painted_with(realism=realism)
    canvas = (scene.picture.rgb + 0.2 * (random(48, 64, seed=1) - 0.5)).clamp(0, 1)
    found = finished(canvas, scene)
    assert torch.equal(found[:, 24:], canvas[:, 24:])
    left, added = ((rgb - scene.picture.rgb)[:, 2:22].std() for rgb in (found, canvas))
    assert left / added == pytest.approx(1 - realism, abs=0.3)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"palette": []}, "palette: "),
        ({"palette": ["#E4002"]}, "palette\\[0\\]: found '#E4002', allowed: a color"),
        ({"palette": ["red"], "color": "luminance"}, "has both palette and color: luminance"),
        ({"realism": 1.5}, "realism: found 1.5, allowed: a number from 0 to 1"),
    ],
)
def test_what_cannot_be_held_is_refused(look: Path, keys: dict[str, Any], expected: str) -> None:
    with pytest.raises(RecipeError, match=expected):
        painted_with(**keys)


def test_palette_and_realism_are_written_as_they_are_read(look: Path) -> None:
    Image.new("RGB", (4, 4)).save("a.png")
    region = {"name": "a", "select": "rest", "style": "a.png", "palette": ["#E4002B", "white"]}
    recipe = load_recipe(
        {"recipe": 1, "content": "a.png", "regions": [{**region, "realism": "60%"}]}
    )
    assert recipe.regions[0].palette == (RED, (255, 255, 255))
    assert recipe.regions[0].realism == 0.6
    dumped = recipe.model_dump(mode="json")["regions"][0]
    assert dumped["palette"] == ["#e4002b", "#ffffff"]
