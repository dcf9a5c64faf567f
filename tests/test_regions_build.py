"""From a recipe's regions to masks on a photo: selectors, growth, stacking, notes and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from layered_nst.errors import PictureError, RegionError
from layered_nst.networks.segmenters import Segmentation
from layered_nst.picture import Picture
from layered_nst.picture.lab import rgb_to_lab
from layered_nst.recipe import Region
from layered_nst.regions import PHOTO, RegionMasks, build_masks, select

SIZE = (60, 80)
CLASSES = ("sky", "building", "ground")


def photo(size: tuple[int, int] = SIZE) -> Picture:
    return Picture(torch.rand(3, *size, generator=torch.Generator().manual_seed(0)))


def region(name: str, selector: Any, **options: Any) -> Region:
    options = options if "protect" in options else {"style": "style.png"} | options
    return Region.model_validate({"name": name, "select": selector} | options)


def never() -> Segmentation:
    raise AssertionError("nobody asked for a class")


def scenes() -> Segmentation:
    """Sky above row 20, ground below row 45, a building between, all with haze."""
    rows = torch.arange(SIZE[0])[:, None].expand(SIZE) + 0.5
    lead = torch.stack([20 - rows, -(rows - 32.5).abs() + 12.5, rows - 45])
    return Segmentation((lead / 4).softmax(0), CLASSES, "test")


def build(*regions: Region, **options: Any) -> RegionMasks:
    given: dict[str, Any] = {"picture": photo(), "segment": never} | options
    return build_masks(regions, **given)


def chosen(selector: Any, **options: Any) -> Tensor:
    given: dict[str, Any] = {"picture": photo(), "segment": scenes} | options
    return select(region("it", selector).select, **given)


def test_classes_have_crisp_borders_where_the_lead_changes() -> None:
    rows = chosen({"class": "sky"})[:, 7]
    assert (rows[:19] == 1).all()
    assert (rows[21:] == 0).all()
    assert chosen({"class": "building"})[:, 7].sum() == pytest.approx(25, abs=0.1)


def test_several_classes_are_their_union() -> None:
    both = chosen({"class": ["sky", "building"]})
    assert torch.allclose(both, 1 - chosen({"class": "ground"}), atol=1e-4)


def test_all_classes_together_are_everything() -> None:
    assert (chosen({"class": list(CLASSES)}) == 1).all()


def test_a_threshold_takes_every_pixel_with_that_probability() -> None:
    likely = scenes().probabilities[0] >= 0.2
    assert ((chosen({"class": "sky", "threshold": 0.2}) >= 0.5) == likely).all()


def test_the_largest_component_of_a_class_can_be_asked_for() -> None:
    probabilities = torch.full((2, *SIZE), 0.1)
    probabilities[0, 5:15, 5:15] = probabilities[0, 30:35, 40:44] = 0.9
    probabilities[1] = 1 - probabilities[0]
    found = Segmentation(probabilities, ("object", "sky"), "test")
    largest = chosen({"class": "object", "largest": 1}, segment=lambda: found)
    assert (largest >= 0.5).sum() == 100


def test_a_segmentation_of_another_size_is_brought_to_the_pictures() -> None:
    small = Segmentation(torch.rand(3, 15, 20).softmax(0), CLASSES, "test")
    assert chosen({"class": "sky"}, segment=lambda: small).shape == SIZE


def test_a_class_that_the_segmenter_lacks_is_an_error_that_names_the_region() -> None:
    with pytest.raises(RegionError, match=r"region 'tower': class 'giraffe'.*sky, building"):
        build(region("tower", {"class": "giraffe"}), segment=scenes)


def test_the_photo_is_segmented_once_and_only_for_classes() -> None:
    calls = []

    def counted() -> Segmentation:
        calls.append(1)
        return scenes()

    build(region("a", {"class": "sky"}), region("b", {"class": "ground"}), segment=counted)
    assert len(calls) == 1
    build(region("a", "rest"), segment=counted)
    assert len(calls) == 1


def test_shapes_are_measured_in_fractions_or_in_px_of_the_photo() -> None:
    fractions = chosen({"box": [0.25, 0.5, 0.75, 1]})
    assert fractions.sum() == 40 * 30
    assert (fractions == chosen({"box": [200, 150, 600, 300]}, photo_size=(300, 800))).all()
    assert (fractions == chosen({"box": [20, 30, 60, 60]})).all()
    assert chosen({"box": [0, 0, 1, 1], "unit": "px"}).sum() == 1
    assert (chosen({"box": [0, 0, 1, 1]}) == 1).all()


def test_ellipses_and_polygons_are_anti_aliased() -> None:
    ellipse = chosen({"ellipse": [0.1, 0.1, 0.9, 0.9]})
    assert ellipse.sum() == pytest.approx(np.pi * 32 * 24, rel=1e-3)
    triangle = chosen({"polygon": [[0, 0], [1, 0], [0, 1]]})
    assert triangle.sum() == pytest.approx(60 * 80 / 2, rel=1e-3)
    assert 100 < ((triangle > 0) & (triangle < 1)).sum() < 300


def test_a_color_takes_what_is_within_its_tolerance_in_lab() -> None:
    lab = rgb_to_lab(photo().rgb)
    wanted = rgb_to_lab(torch.tensor([128.0, 96, 64])[:, None, None] / 255)
    expected = ((lab - wanted) ** 2).sum(0).sqrt() <= 30
    found = chosen({"color": "#806040", "tolerance": 30})
    assert ((found >= 0.5) == expected).all()


def test_a_tolerance_of_zero_takes_the_color_itself() -> None:
    rgb = torch.full((3, *SIZE), 1.0)
    rgb[:, 10:20, 10:20] = torch.tensor([12.0, 200, 77])[:, None, None] / 255
    found = chosen({"color": [12, 200, 77], "tolerance": 0}, picture=Picture(rgb))
    assert (found >= 0.5).sum() == 100


def test_a_color_under_transparent_pixels_is_not_seen() -> None:
    alpha = torch.ones(SIZE)
    alpha[:, :40] = 0
    picture = Picture(torch.zeros(3, *SIZE), alpha=alpha)
    assert (chosen({"color": "black"}, picture=picture) == alpha).all()


def clear_but(*shown: tuple[int, int, int, int]) -> Picture:
    """A photo cut out to boxes of rows and columns."""
    alpha = torch.zeros(SIZE)
    for top, bottom, left, right in shown:
        alpha[top:bottom, left:right] = 1
    return Picture(photo().rgb, alpha=alpha)


def a_part() -> Segmentation:
    subject = torch.zeros(SIZE)
    subject[20:30, 30:40] = 1
    return Segmentation(scenes().probabilities, CLASSES, "test", subject=subject)


def test_the_subject_of_a_cut_out_is_all_that_is_left_of_it() -> None:
    picture = clear_but((10, 50, 20, 50), (30, 50, 60, 75))
    found = chosen({"subject": True}, picture=picture, segment=a_part)
    assert torch.equal(found >= 0.5, picture.alpha >= 0.5)
    largest = chosen({"subject": 1}, picture=picture, segment=a_part)
    assert torch.equal(largest >= 0.5, clear_but((10, 50, 20, 50)).alpha >= 0.5)


@pytest.mark.parametrize("frame", ["oval", "round corners", "a lost corner", "nothing seen"])
def test_a_photo_in_a_round_frame_has_its_own_subject(frame: str) -> None:
    rows, columns = torch.meshgrid(torch.arange(60) - 29.5, torch.arange(80) - 39.5, indexing="ij")
    within = {
        "oval": (rows / 30) ** 2 + (columns / 40) ** 2 < 1,
        "round corners": (rows / 30).abs() ** 5 + (columns / 40).abs() ** 5 < 1,
        "a lost corner": (rows > -25) | (columns > -30),
        "nothing seen": rows > 100,
    }[frame]
    picture = Picture(photo().rgb, alpha=within.float())
    found = chosen({"subject": True}, picture=picture, segment=a_part)
    assert torch.equal(found >= 0.5, a_part().subject >= 0.5)


def test_alpha_takes_the_opaque_part_of_a_photo() -> None:
    alpha = torch.linspace(0, 1, SIZE[1]).repeat(SIZE[0], 1)
    assert (chosen({"alpha": True}, picture=Picture(photo().rgb, alpha=alpha)) == alpha).all()
    assert (chosen({"alpha": True}) == 1).all()


def test_selectors_combine_as_any_all_and_not() -> None:
    left, top = {"box": [0, 0, 0.5, 1]}, {"box": [0, 0, 1, 0.5]}
    a, b = chosen(left), chosen(top)
    assert (chosen({"any": [left, top]}) == torch.maximum(a, b)).all()
    assert (chosen({"all": [left, top]}) == torch.minimum(a, b)).all()
    assert (chosen({"not": left}) == 1 - a).all()
    nested = chosen({"all": [{"any": [left, top]}, {"not": {"all": [left, top]}}]})
    assert (nested == (a != b).float()).all()


def draw(mode: str, white: tuple[int, int, int, int], size: tuple[int, int]) -> Image.Image:
    """A mask of some mode that is white in a box (left, top, right, bottom)."""
    gray = Image.new("L", (size[1], size[0]))
    gray.paste(255, white)
    if mode == "I;16":
        return Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    if mode in ("RGBA", "LA"):
        opaque = Image.new(mode.removesuffix("A"), gray.size, "white")
        opaque.putalpha(gray)
        return opaque
    return gray.convert(mode)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "I;16"])
@pytest.mark.parametrize("factor", [1, 3])
def test_masks_of_every_mode_and_size_select_what_is_white(
    mode: str, factor: int, tmp_path: Path
) -> None:
    path = tmp_path / "mask.png"
    white = (20 * factor, 10 * factor, 50 * factor, 40 * factor)
    draw(mode, white, (SIZE[0] * factor, SIZE[1] * factor)).save(path)
    expected = chosen({"box": [20, 10, 50, 40]})
    found = chosen({"mask": str(path)})
    assert ((found >= 0.5) == (expected >= 0.5)).all()
    assert (found - expected).abs().max() < (0.01 if factor == 1 else 0.25)


def test_a_small_mask_is_enlarged_without_overshoot(tmp_path: Path) -> None:
    draw("1", (5, 5, 10, 10), (15, 20)).save(tmp_path / "mask.png")
    found = chosen({"mask": str(tmp_path / "mask.png")})
    assert ((found >= 0.5) == (chosen({"box": [20, 20, 40, 40]}) >= 0.5)).float().mean() > 0.99
    assert not found[:17].any()


@pytest.mark.parametrize("size", [(60, 81), (61, 80), (120, 161), (30, 40), (29, 40)])
def test_a_mask_may_be_a_pixel_off_the_photos_shape(size: tuple[int, int], tmp_path: Path) -> None:
    draw("L", (0, 0, 5, 5), size).save(tmp_path / "mask.png")
    assert chosen({"mask": str(tmp_path / "mask.png")}).shape == SIZE


@pytest.mark.parametrize("size", [(60, 60), (80, 60), (64, 80), (120, 168)])
def test_a_mask_of_another_shape_is_an_error_with_both_sizes(
    size: tuple[int, int], tmp_path: Path
) -> None:
    draw("L", (0, 0, 5, 5), size).save(tmp_path / "gate.png")
    with pytest.raises(RegionError, match=rf"gate\.png.*{size[1]}×{size[0]} px.*80×60 px"):
        chosen({"mask": str(tmp_path / "gate.png")})


def test_a_mask_that_is_no_picture_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_text("white")
    with pytest.raises(PictureError, match=r"mask\.png"):
        build(region("a", {"mask": str(tmp_path / "mask.png")}))


def test_the_soft_edges_of_a_mask_file_are_kept(tmp_path: Path) -> None:
    row = np.linspace(0, 255, SIZE[1]).round().astype(np.uint8)
    Image.fromarray(np.tile(row, (SIZE[0], 1))).save(tmp_path / "soft.png")
    found = build(region("ground", "rest"), region("a", {"mask": str(tmp_path / "soft.png")}))
    expected = torch.linspace(0, 1, SIZE[1])
    assert (found.masks[1] - expected).abs().max() < 0.03
    assert found.names == ("ground", "a")


def test_rest_is_what_the_others_leave_once_they_are_grown() -> None:
    found = build(
        region("ground", "rest"),
        region("box", {"box": [20, 20, 60, 40]}, grow=-5, feather=0),
    )
    assert found.masks[1].sum() == 30 * 10
    assert (found.masks[0] == 1 - found.masks[1]).all()
    assert found.notes == ()


def test_a_rest_of_which_nothing_is_left_is_noted() -> None:
    regions = [region(name, {"class": name}) for name in CLASSES]
    found = build(region("other", "rest"), *regions, segment=scenes)
    assert found.notes == ("region 'other' is empty: the other regions leave nothing of the photo",)


def test_rest_may_be_part_of_a_selector() -> None:
    left_rest = {"all": ["rest", {"box": [0, 0, 0.5, 1]}]}
    found = build(
        region("top", {"box": [0, 0, 1, 0.5]}, feather=0), region("left", left_rest, feather=0)
    )
    assert (found.masks[1] == chosen({"box": [0, 0.5, 0.5, 1]})).all()


def test_what_no_region_takes_keeps_the_photo_and_is_counted() -> None:
    found = build(region("left", {"box": [0, 0, 0.5, 1]}, feather=0))
    assert found.names == ("left", PHOTO)
    assert found.coverage == {"left": 0.5, PHOTO: 0.5}
    (note,) = found.notes
    assert "2400 pixels (50.0%" in note


def test_the_classes_of_a_photo_leave_no_ground_between_them() -> None:
    found = build(
        region("backdrop", {"box": [0, 0, 1, 1]}),
        region("sky", {"class": "sky"}, feather=3),
        region("building", {"class": "building"}, feather=8),
        region("ground", {"class": "ground"}, feather=8),
        segment=scenes,
    )
    assert found.coverage["backdrop"] == 0
    assert found.notes == ("region 'backdrop' is empty: the regions above it cover all of it",)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_mask_of_0_and_1_is_named_by_its_lightest_value(tmp_path: Path, depth: Any) -> None:
    drawn = np.zeros(SIZE, depth)
    drawn[:30] = 1
    Image.fromarray(drawn).save(tmp_path / "m.png")
    top = np.iinfo(depth).max
    mask = {"mask": str(tmp_path / "m.png")}
    for selector in (mask, {"all": ["rest", mask]}, {"any": [mask]}):
        found = build(region("all", "rest"), region("m", selector))
        assert found.notes[0].endswith(f"m.png is 1 of {top}; a mask is what is white, {top}"), (
            found.notes
        )


def test_nothing_is_said_of_clear_pixels_that_no_region_takes() -> None:
    alpha = torch.zeros(SIZE)
    alpha[10:30] = 1
    half = Picture(photo().rgb, alpha)
    assert not build(region("thing", {"alpha": True}), picture=half).notes
    (note,) = build(region("thing", {"box": [0, 0.25, 0.5, 1]}), picture=half).notes
    assert "(20.8% of the picture) are in no region" in note


def test_a_mask_whose_form_is_in_its_alpha_is_named_so(tmp_path: Path) -> None:
    drawn = np.zeros((*SIZE, 4), np.uint8)
    drawn[:30, :, 3] = 255
    Image.fromarray(drawn).save(tmp_path / "m.png")
    found = build(region("all", "rest"), region("m", {"mask": str(tmp_path / "m.png")}))
    assert "has its form in its alpha" in found.notes[0]
    Image.new("L", SIZE[::-1]).save(tmp_path / "m.png")
    found = build(region("all", "rest"), region("m", {"mask": str(tmp_path / "m.png")}))
    assert found.notes[0].endswith("m.png is black all over; a mask is what is white")


def test_an_empty_class_is_noted_with_what_was_found_instead() -> None:
    nothing = Segmentation(torch.eye(3)[1][:, None, None].expand(3, *SIZE), CLASSES, "test")
    found = build(
        region("ground", "rest"), region("sky", {"class": "sky"}), segment=lambda: nothing
    )
    assert found.coverage["sky"] == 0
    assert found.notes == ("region 'sky' is empty: the photo has no sky (found: building 100%)",)


@pytest.mark.parametrize(
    ("selector", "options", "reason"),
    [
        ({"box": [200, 200, 300, 300]}, {}, "takes none of the photo's 80×60 px"),
        ({"box": [10, 10, 14, 14]}, {"grow": -5}, "nothing is left of it after grow: -5 px"),
        ({"box": [10, 10.1, 40, 10.3]}, {}, "thinner than a pixel"),
    ],
)
def test_an_empty_region_is_a_note_or_an_error_if_strict(
    selector: Any, options: dict[str, Any], reason: str
) -> None:
    regions = [region("ground", "rest"), region("logo", selector, **options)]
    found = build_masks(regions, picture=photo(), segment=never)
    assert any("'logo'" in note and reason in note for note in found.notes)
    with pytest.raises(RegionError, match="region 'logo' is empty"):
        build_masks(regions, picture=photo(), segment=never, strict=True)


def test_a_region_that_finds_nothing_may_take_the_whole_photo() -> None:
    nothing = Segmentation(torch.eye(3)[1][:, None, None].expand(3, *SIZE), CLASSES, "test")
    regions = [
        region("ground", "rest"),
        region("sky", {"class": "sky"}, if_empty="whole", grow=-3),
        region("logo", {"box": [0, 0, 0.5, 1]}, protect=True, feather=0),
    ]
    found = build(*regions, segment=lambda: nothing)
    assert found.coverage == {"ground": 0, "sky": 0.5, "logo": 0.5}
    assert found.notes == (
        "region 'sky' takes the whole photo: the photo has no sky (found: building 100%)",
        "region 'ground' is empty: the other regions leave nothing of the photo",
    )


def test_a_region_that_finds_something_takes_no_more_than_that() -> None:
    found = build(
        region("ground", "rest"),
        region("sky", {"class": "sky"}, if_empty="whole"),
        segment=scenes,
    )
    assert found.coverage["sky"] == pytest.approx(20 / 60, abs=0.01)
    assert found.notes == ()


def test_a_region_may_be_needed() -> None:
    nothing = {"box": [200, 200, 300, 300]}
    regions = [
        region("ground", "rest"),
        region("logo", nothing, if_empty="error"),
        region("seal", nothing),
    ]
    with pytest.raises(RegionError, match=r"^region 'logo' is empty: its selector takes none of "):
        build(*regions)
    found = build(regions[0], regions[2])
    assert found.notes == (
        "region 'seal' is empty: its selector takes none of the photo's 80×60 px",
    )


def test_a_needed_region_under_others_is_an_error_too() -> None:
    with pytest.raises(RegionError, match="'logo' is empty: the regions above it cover all of it"):
        build(
            region("logo", {"box": [0, 0, 0.5, 1]}, if_empty="error"),
            region("all", {"box": [0, 0, 1, 1]}),
        )


def test_no_region_with_any_pixel_is_an_error() -> None:
    with pytest.raises(RegionError, match=r"'a' is empty.*'b' is empty"):
        build(region("a", {"box": [200, 200, 300, 300]}), region("b", {"not": {"alpha": True}}))


def test_a_protected_region_without_a_feather_is_exact() -> None:
    found = build(
        region("ground", "rest", feather=20),
        region("logo", {"box": [10, 10, 30, 20]}, protect=True, feather=0),
    )
    assert (found.masks[1] == chosen({"box": [10, 10, 30, 20]})).all()


RANDOM: list[Callable[[np.random.Generator], Any]] = [
    lambda draw: {"class": str(draw.choice(CLASSES))},
    lambda draw: {"class": str(draw.choice(CLASSES)), "threshold": float(draw.uniform())},
    lambda draw: {
        "ellipse": [*draw.uniform(0, 0.5, 2).tolist(), *draw.uniform(0.5, 1, 2).tolist()]
    },
    lambda draw: {"polygon": draw.uniform(0, 1, (5, 2)).tolist()},
    lambda draw: {"color": draw.integers(0, 256, 3).tolist(), "tolerance": 50},
    lambda draw: {"not": RANDOM[draw.integers(5)](draw)},
    lambda draw: {"any": [RANDOM[draw.integers(6)](draw), {"alpha": True}]},
    lambda draw: {"all": [RANDOM[draw.integers(6)](draw), RANDOM[draw.integers(6)](draw)]},
    lambda _: "rest",
    lambda _: {"alpha": True},
]


@pytest.mark.parametrize("seed", range(20))
def test_the_masks_of_random_recipes_sum_to_one(seed: int) -> None:
    draw = np.random.default_rng(seed)
    alpha = torch.linspace(-0.5, 1.5, SIZE[1]).clamp(0, 1).repeat(SIZE[0], 1)
    regions = [
        region(
            f"region {number}",
            RANDOM[draw.integers(len(RANDOM))](draw),
            grow=float(draw.choice([0, 0, 1.5, -2, 6])),
            feather=float(draw.choice([0, 4, 4, 13.3])),
        )
        for number in range(draw.integers(1, 7))
    ]
    regions.append(region("always", {"box": [0.4, 0.4, 0.6, 0.6]}))
    found = build(*regions, picture=Picture(photo().rgb, alpha=alpha), segment=scenes)
    assert found.masks.dtype == torch.float32
    assert found.masks.shape == (len(found.names), *SIZE)
    assert (found.masks.double().sum(0) - 1).abs().max() < 1e-6
    assert found.masks.min() >= 0


def test_swapping_regions_that_do_not_overlap_swaps_their_masks() -> None:
    one = region("one", {"class": "sky"}, feather=6)
    two = region("two", {"class": "building"}, feather=6)
    ground = region("ground", "rest")
    first = build(ground, one, two, segment=scenes)
    second = build(ground, two, one, segment=scenes)
    assert (first.masks - second.masks[[0, 2, 1]]).abs().max() < 1e-5


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2)])
def test_the_smallest_pictures_have_masks(size: tuple[int, int]) -> None:
    found = build(
        region("ground", "rest"),
        region("box", {"box": [0, 0, 0.5, 1]}, grow=1),
        region("color", {"color": "black"}),
        picture=photo(size),
    )
    assert (found.masks.sum(0) == 1).all()
