"""Clicks: one gives one thing, further ones mend it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from layered_nst.errors import RecipeError, RegionError
from layered_nst.networks.segmenters import Segmentation
from layered_nst.picture import read_picture, resize
from layered_nst.picture.walks import walked
from layered_nst.recipe import load_recipe
from layered_nst.regions import points as points_module
from layered_nst.regions.points import Clickable, Clicks
from layered_nst.scene.resolving import resolve

PHOTOS = Path(__file__).parents[1] / "assets" / "photos"


def disks(*, size: tuple[int, int] = (90, 120)) -> tuple[Tensor, Tensor, Tensor]:
    """Two red disks on gray, and the mask of each."""
    y, x = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    left = ((x - 35).square() + (y - 45).square() <= 20**2).float()
    right = ((x - 88).square() + (y - 45).square() <= 20**2).float()
    either = (left + right)[None]
    red, gray = torch.tensor([0.8, 0.15, 0.1]), torch.tensor([0.5, 0.52, 0.55])
    noise = 0.02 * torch.randn(3, *size, generator=torch.Generator().manual_seed(0))
    rgb = red[:, None, None] * either + gray[:, None, None] * (1 - either) + noise
    return rgb.clamp(0, 1), left, right


def seen(*planes: Tensor, subject: Tensor | None = None) -> Segmentation:
    shares = torch.stack(planes)
    names = tuple(f"class {k}" for k in range(len(shares)))
    return Segmentation(shares / shares.sum(0), names, "told", subject)


def blind(rgb: Tensor) -> Segmentation:
    """A segmentation that tells nothing apart."""
    return seen(torch.ones(rgb.shape[1:]))


def overlap(mask: Tensor, truth: Tensor) -> float:
    one, other = mask >= 0.5, truth >= 0.5
    return float((one & other).sum() / (one | other).sum())


def test_one_click_gives_one_thing_though_another_has_its_color_and_class() -> None:
    rgb, left, right = disks()
    classes = seen(left + right + 0.05, 1.05 - left - right)
    mask = Clickable(rgb, classes).mask(Clicks([(35 / 120, 0.5)]))
    assert overlap(mask, left) > 0.95
    assert float((mask * right).max()) == 0


def test_the_outline_follows_the_photo_where_classes_are_coarse() -> None:
    rgb, left, right = disks()
    coarse = resize(resize((left + right)[None], (9, 12)), (90, 120))[0]
    mask = Clickable(rgb, seen(coarse + 0.05, 1.05 - coarse)).mask(Clicks([(35 / 120, 0.5)]))
    assert overlap(coarse * (left.cumsum(1) > 0), left) < 0.93
    assert overlap(mask, left) > 0.95


def test_a_large_photos_outline_runs_along_its_edge_to_the_pixel() -> None:
    y, x = torch.meshgrid(torch.arange(720) + 0.5, torch.arange(960) + 0.5, indexing="ij")
    disk = ((x - 400).square() + (y - 330).square() <= 180**2).float()
    red, gray = (torch.tensor(c)[:, None, None] for c in ([0.8, 0.15, 0.1], [0.5, 0.52, 0.55]))
    rgb = red * disk + gray * (1 - disk)
    mask = Clickable(rgb, seen(disk + 0.05, 1.05 - disk)).mask(Clicks([(400 / 960, 330 / 720)]))
    away = torch.hypot(x - 400, y - 330) - 180
    assert float(mask[away < -2].min()) > 0.99
    assert float(mask[away > 2].max()) < 0.01


def test_a_second_click_adds_what_it_lies_on() -> None:
    rgb, left, right = disks()
    photo = Clickable(rgb, seen(left + 0.05, 1.05 - left))
    first, second = (35 / 120, 0.5), (88 / 120, 0.5)
    assert overlap(photo.mask(Clicks([first])), left) > 0.95
    assert overlap(photo.mask(Clicks([first, second])), left + right) > 0.93


def test_a_click_outside_takes_its_neighborhood_out_and_nothing_else() -> None:
    rgb, left, right = disks()
    bridge = torch.zeros_like(left)
    bridge[40:50, 50:75] = 1
    whole = (left + right + bridge).clamp(max=1)
    red = torch.tensor([0.8, 0.15, 0.1])[:, None, None]
    photo = Clickable(rgb * (1 - bridge) + red * bridge, seen(whole + 0.05, 1.05 - whole))
    clicked = [(35 / 120, 0.5)]
    before = photo.mask(Clicks(clicked))
    after = photo.mask(Clicks(clicked, [(88 / 120, 0.5)]))
    assert overlap(before, whole) > 0.93
    assert float(after[35:55, 80:96].max()) < 0.5
    assert overlap(after * left, left) > 0.9


def test_the_subject_is_taken_where_classes_do_not_know_it() -> None:
    rgb, left, _ = disks()
    nothing = blind(rgb)
    with_subject = seen(torch.ones(90, 120), subject=left * 0.9 + 0.05)
    click = Clicks([(35 / 120, 0.5)])
    gray = rgb.mean(0).expand(3, -1, -1)
    assert overlap(Clickable(gray, with_subject).mask(click), left) > 0.9
    assert overlap(Clickable(gray, nothing).mask(click), left) < 0.9


def test_a_box_gives_the_thing_within_it() -> None:
    rgb, left, right = disks()
    box = 10 / 120, 20 / 90, 62 / 120, 70 / 90
    mask = Clickable(rgb, seen(left + right + 0.05, 1.05 - left - right)).mask(Clicks(box=box))
    assert overlap(mask, left) > 0.93
    assert float((mask * right).max()) == 0


def test_the_walk_ends_where_a_dense_solver_says() -> None:
    """The same equations written out as one matrix and solved by elimination."""
    draw = np.random.default_rng(1)
    lab, classes = draw.normal(0, 20, (3, 7, 9)), draw.dirichlet([1, 1], (7, 9)).transpose(2, 0, 1)
    prior, fixed = draw.uniform(0.05, 0.95, (7, 9)), np.full((7, 9), -1.0)
    fixed[2, 3], fixed[5, 7] = 1, 0
    color, pairs = {}, [(0, 1), (1, 0), (1, 1), (1, -1)]
    for y in range(7):
        for x in range(9):
            for dy, dx in pairs:
                if 0 <= y + dy < 7 and 0 <= x + dx < 9:
                    here, there = (y, x), (y + dy, x + dx)
                    apart = lab[:, y, x] - lab[:, y + dy, x + dx]
                    color[here, there] = float(apart @ apart)
    usual = np.mean(list(color.values())) + 1e-6
    matrix, right = np.zeros((63, 63)), np.zeros(63)
    for (here, there), squared in color.items():
        kind = np.abs(classes[:, *here] - classes[:, *there]).sum() / 2
        length = np.hypot(there[0] - here[0], there[1] - here[1])
        ease = (np.exp(-squared / usual - points_module.CLASS_EDGE * kind) + 1e-4) / length
        i, j = here[0] * 9 + here[1], there[0] * 9 + there[1]
        matrix[[i, j], [i, j]] += ease
        matrix[[i, j], [j, i]] -= ease
    for i in range(63):
        click = 1e9 if fixed.ravel()[i] >= 0 else 0  # so firmly that nothing else counts
        matrix[i, i] += points_module.PULL + click
        right[i] = points_module.PULL * prior.ravel()[i] + click * max(fixed.ravel()[i], 0)
    wanted = np.linalg.solve(matrix, right).reshape(7, 9)
    steps = points_module._steps(lab, classes)
    found = walked(steps, prior, points_module.PULL, fixed=fixed)
    assert np.abs(found - wanted).max() < 1e-3


def test_a_thousand_points_a_flat_photo_and_a_tiny_one_are_borne() -> None:
    rgb, left, right = disks()
    places = (torch.rand(1000, 2, generator=torch.Generator().manual_seed(2)) * 0.99).tolist()
    on_left = [bool(left[int(y * 90), int(x * 120)]) for x, y in places]
    inside = [(x, y) for (x, y), is_in in zip(places, on_left, strict=True) if is_in]
    outside = [(x, y) for (x, y), is_in in zip(places, on_left, strict=True) if not is_in]
    photo = Clickable(rgb, seen(left + right + 0.05, 1.05 - left - right))
    assert overlap(photo.mask(Clicks(inside, outside)), left) > 0.9
    flat = torch.full((3, 40, 50), 0.5)
    mask = Clickable(flat, blind(flat)).mask(Clicks([(0.5, 0.5)], [(0.1, 0.1)]))
    assert bool(torch.isfinite(mask).all())
    assert float(mask[20, 25]) == 1
    assert float(mask[4, 5]) == 0
    pixel = torch.rand(3, 1, 1)
    assert Clickable(pixel, blind(pixel)).mask(Clicks([(0.5, 0.5)])).tolist() == [[1.0]]


def scene_of(select: dict[str, object]) -> Tensor:
    """The mask of a selector on the bundled photo of a bowl with a fig."""
    regions = [
        {"name": "rest", "select": "rest", "style": str(PHOTOS / "cat.jpg")},
        {"name": "thing", "select": select, "protect": True},
    ]
    recipe = load_recipe(
        {"recipe": 1, "size": 320, "content": str(PHOTOS / "fig.jpg"), "regions": regions}
    )
    return resolve(recipe).mask("thing")


def test_a_click_on_a_photo_takes_the_bowl_and_not_the_table() -> None:
    mask = scene_of({"points": {"in": [[0.45, 0.5]]}})
    height, width = mask.shape
    bowl, table = ((0.45, 0.5), (0.85, 0.5), (0.6, 0.85)), ((0.05, 0.5), (0.3, 0.95), (0.05, 0.05))
    assert all(float(mask[int(y * height), int(x * width)]) == 1 for x, y in bowl)
    assert all(float(mask[int(y * height), int(x * width)]) == 0 for x, y in table)


def test_points_may_be_px_of_the_photo() -> None:
    height, width = read_picture(PHOTOS / "fig.jpg").size
    by_px = scene_of({"points": {"in": [[0.45 * width, 0.5 * height]]}})
    assert torch.equal(by_px, scene_of({"points": {"in": [[0.45, 0.5]]}}))


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ({"points": {"in": [[0.5, -0.1]]}}, r"points: \[0.5, -0.1\] lies outside the photo"),
        ({"points": {"in": [[9000, 10]]}}, r"points: \[9000, 10\] lies outside the photo"),
        (
            {"points": {"in": [[0.5, 0.5]], "out": [[0.5, 0.5]]}},
            r"points: \[0.5, 0.5\] is both in and out",
        ),
        (
            {"object_in": [1.5, 0.2, 1.9, 0.4], "unit": "fraction"},
            r"object_in: the box \[1.5, 0.2, 1.9, 0.4\] lies outside",
        ),
    ],
)
def test_places_that_make_no_sense_are_refused(select: dict[str, object], said: str) -> None:
    with pytest.raises(RegionError, match=f"region 'thing': {said}"):
        scene_of(select)


@pytest.mark.parametrize(
    "select", [{"points": {"in": []}}, {"points": {"out": [[0, 0]]}}, {"points": [[0.5, 0.5]]}]
)
def test_points_without_one_inside_are_refused(select: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match=r"regions\.thing\.select\.points"):
        scene_of(select)


def test_a_click_takes_a_moment_after_the_first() -> None:
    """300 ms on an idle machine; the bound leaves room for a busy one."""
    rgb = resize(read_picture(PHOTOS / "coffee.jpg").rgb, (384, 512))
    photo = Clickable(rgb, blind(rgb))
    inside, taken = [(0.45, 0.5)], []
    for x in (0.4, 0.42, 0.5):
        inside.append((x, 0.55))
        started = time.process_time()
        photo.mask(Clicks(inside))
        taken.append(time.process_time() - started)
    assert sorted(taken)[1] < 1.5
