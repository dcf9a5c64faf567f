"""A recipe on a photo: what enters the optimization, what never does, and what comes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from narrow import narrow_encoder
from PIL import Image
from torch import Tensor

from layered_nst.errors import PictureError, RecipeError, RegionError
from layered_nst.networks.encoders import Encoder
from layered_nst.painting.plan import Level, Plan, make_plan
from layered_nst.picture.lab import rgb_to_lab
from layered_nst.recipe import load_recipe
from layered_nst.scene import eyes
from layered_nst.scene.resolving import resolve
from layered_nst.scene.scene import Scene
from layered_nst.strategies.looks import thin_notes
from layered_nst.strategies.problems import finished, opacity, problem
from layered_nst.strategies.run import paint
from layered_nst.styles.colors import color_moments

LEFT, RIGHT = {"box": [0.0, 0.0, 0.5, 1.0]}, {"box": [0.5, 0.0, 1.0, 1.0]}


def noise(height: int, width: int, channels: int = 3, *, seed: int = 0) -> np.ndarray:
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return narrow_encoder(dtype=torch.float32)


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A style picture of muted reds."""
    path = tmp_path_factory.mktemp("styles") / "look.png"
    reds = noise(24, 30, seed=4) // 4 + np.array([150, 60, 40], dtype=np.uint8)
    Image.fromarray(reds).save(path)
    return path


def scene_of(
    photo: np.ndarray, *regions: dict[str, Any], optimize: dict[str, Any] | None = None, **options
) -> Scene:
    named = [{"name": f"r{k}", "feather": 0, **region} for k, region in enumerate(regions)]
    recipe = {"recipe": 1, "size": 32, "regions": named, "optimize": optimize or {}}
    return resolve(load_recipe(recipe), photo, **options)


def plan_of(scene: Scene, steps: int = 4) -> Plan:
    plan = make_plan(scene.recipe.optimize, scene.size)
    longest = max(scene.size)
    return replace(plan, levels=(Level(-(-longest // 2), steps), Level(longest, steps)))


def painted(scene: Scene, encoder: Encoder, steps: int = 4) -> Tensor:
    return paint(scene, encoder, plan_of(scene, steps), on_progress=lambda _: None)


def cutout(hidden: int) -> np.ndarray:
    """A photo whose left third is transparent over a hidden color and whose next one is half so."""
    photo = noise(24, 32, 4, seed=1)
    photo[..., 3] = 255
    photo[:, 8:16, 3] = 128
    photo[:, :8, 3] = 0
    photo[:, :8, :3] = noise(24, 8, seed=hidden)
    return photo


@pytest.mark.parametrize("size", [32, 20])
def test_colors_hidden_by_transparency_change_no_byte_of_the_result(
    encoder: Encoder, look: Path, size: int
) -> None:
    regions = (
        {"select": "rest", "style": str(look), "color": "content"},
        {"select": RIGHT, "style": str(look), "contour": 1},
    )
    results = []
    for hidden in (5, 6):
        recipe = load_recipe(
            {
                "recipe": 1,
                "size": size,
                "regions": [dict(r, name=str(k)) for k, r in enumerate(regions)],
            }
        )
        results.append(painted(resolve(recipe, cutout(hidden)), encoder))
    assert torch.equal(*results)


def test_transparent_pixels_are_in_no_mask_of_the_problem(look: Path) -> None:
    scene = scene_of(cutout(5), {"select": "rest", "style": str(look)})
    asked = problem(scene, plan_of(scene))
    (region,) = asked.regions
    assert not region.mask[:, :8].any()
    assert torch.allclose(region.mask[:, 8:16], torch.tensor(128 / 255))
    assert (region.mask[:, 16:] == 1).all()
    assert (asked.frozen[:, :8] == 1).all()
    assert not asked.frozen[:, 8:].any()


def test_hidden_colors_of_a_style_change_nothing(encoder: Encoder, tmp_path: Path) -> None:
    results = []
    for hidden in (5, 6):
        Image.fromarray(cutout(hidden)).save(tmp_path / "look.png")
        region = {"select": "rest", "style": str(tmp_path / "look.png")}
        results.append(painted(scene_of(noise(24, 32), region), encoder))
    assert torch.equal(*results)


def test_a_photo_that_is_transparent_all_over_has_nothing_to_paint(look: Path) -> None:
    with pytest.raises(RegionError, match="nothing to paint"):
        scene_of(np.zeros((24, 32, 4), np.uint8), {"select": "rest", "style": str(look)})


def test_a_recipe_whose_styled_regions_are_empty_has_nothing_to_paint(look: Path) -> None:
    with pytest.raises(RegionError, match="nothing to paint"):
        scene_of(
            noise(24, 32),
            {"select": "rest", "style": str(look)},
            {"select": {"box": [0.0, 0.0, 1.0, 1.0]}, "protect": True},
        )


@pytest.mark.parametrize("color", ["style", "content", "luminance"])
@pytest.mark.parametrize("start", ["color", "content", "noise"])
def test_protected_pixels_are_exactly_the_photos(
    encoder: Encoder, look: Path, color: str, start: str
) -> None:
    photo = noise(24, 32)
    scene = scene_of(
        photo,
        {"select": "rest", "style": str(look), "color": color},
        {"select": RIGHT, "protect": True, "feather": 4},
        optimize={"start": start},
    )
    found = painted(scene, encoder)
    inside = scene.mask("r1") == 1
    assert inside.float().mean() > 0.4
    wanted = torch.from_numpy(photo).permute(2, 0, 1)
    assert torch.equal((found * 255).round().byte()[:, inside], wanted[:, inside])
    assert torch.equal(found[:, inside], scene.picture.rgb[:, inside])
    assert not torch.equal(found[:, ~inside], scene.picture.rgb[:, ~inside])


def test_pixels_in_no_region_keep_the_photo(encoder: Encoder, look: Path) -> None:
    scene = scene_of(noise(24, 32), {"select": LEFT, "style": str(look)})
    assert scene.masks.names == ("r0", "(photo)")
    found = painted(scene, encoder)
    assert torch.equal(found[:, :, 16:], scene.picture.rgb[:, :, 16:])
    assert any("in no region" in note for note in scene.notes)


@pytest.mark.parametrize("color", ["content", "luminance"])
def test_the_chroma_of_the_photo_is_kept(encoder: Encoder, look: Path, color: str) -> None:
    # Little chroma and middle tones, so that no lightness of the result leaves the gamut.
    photo = (110 + noise(24, 32) // 16).astype(np.uint8)
    scene = scene_of(photo, {"select": "rest", "style": str(look), "color": color})
    found = painted(scene, encoder, steps=12)
    lab, wanted = rgb_to_lab(found), rgb_to_lab(scene.picture.rgb)
    free = (found > 0.02).all(0) & (found < 0.98).all(0)
    assert free.float().mean() > 0.95
    assert (lab[1:] - wanted[1:])[:, free].abs().max() < 5e-3
    assert (lab[0] - wanted[0]).abs().max() > 0.5


@pytest.mark.parametrize(("color", "kept"), [("content", 3), ("luminance", 3), ("style", 0)])
def test_color_repaints_the_style_in_the_palette_of_its_region(
    look: Path, color: str, kept: int
) -> None:
    photo = noise(24, 32) // 4 + np.array([40, 60, 160], dtype=np.uint8)
    scene = scene_of(photo, {"select": "rest", "style": str(look), "color": color})
    (style,) = scene.styles["r0"]
    chroma = rgb_to_lab(style.rgb).mean((1, 2))[1:]
    own = rgb_to_lab(scene.picture.rgb).mean((1, 2))[1:]
    # A blue photo and a red style: either palette is far from the other.
    assert ((chroma - own).abs().max() < 3) == bool(kept)


def test_luminance_keeps_the_lightness_of_the_style_and_content_that_of_the_photo(
    look: Path,
) -> None:
    photo = (200 + noise(24, 32) // 16).astype(np.uint8)
    lightness = {}
    for color in ("style", "luminance", "content"):
        scene = scene_of(photo, {"select": "rest", "style": str(look), "color": color})
        lightness[color] = rgb_to_lab(scene.styles["r0"][0].rgb)[0].mean().item()
    own = rgb_to_lab(scene.picture.rgb)[0].mean().item()
    assert lightness["luminance"] == pytest.approx(lightness["style"], abs=1)
    assert lightness["content"] == pytest.approx(own, abs=1)


def test_the_start_has_the_color_statistics_of_each_style(look: Path) -> None:
    scene = scene_of(
        64 + noise(24, 32) // 2,
        {"select": LEFT, "style": str(look)},
        {"select": RIGHT, "protect": True},
    )
    asked = problem(scene, plan_of(scene))
    wanted = scene.styles["r0"][0].rgb.mean((1, 2))
    assert torch.allclose(asked.start[:, :, :16].mean((1, 2)), wanted, atol=0.02)
    assert torch.equal(asked.start[:, :, 16:], scene.picture.rgb[:, :, 16:])


def test_strength_zero_keeps_the_colors_of_the_photo_at_the_start(look: Path) -> None:
    scene = scene_of(noise(24, 32), {"select": "rest", "style": str(look), "strength": 0})
    asked = problem(scene, plan_of(scene))
    assert (asked.start - scene.picture.rgb).abs().max() < 1e-6
    assert (asked.content - scene.picture.rgb).abs().max() < 1e-6


def test_what_is_painted_at_a_strength_below_one_is_what_is_painted_at_one(look: Path) -> None:
    starts = {}
    for strength in (0.01, 0.5, 1, 3):
        scene = scene_of(
            noise(24, 32), {"select": "rest", "style": str(look), "strength": strength}
        )
        starts[strength] = problem(scene, plan_of(scene)).start
    assert all(torch.equal(start, starts[1]) for start in starts.values())


def test_of_what_is_painted_a_strength_shows_its_share_in_every_region(look: Path) -> None:
    """Through feathers too: the photo for the rest, and for all that is kept."""
    scene = scene_of(
        noise(24, 32),
        {"select": LEFT, "style": str(look), "strength": 0.25, "feather": 4},
        {"select": RIGHT, "protect": True, "feather": 4},
        {"select": "rest", "style": str(look), "strength": 2},
    )
    canvas, photo = torch.from_numpy(noise(24, 32)).movedim(2, 0) / 255, scene.picture.rgb
    seen = 0.25**1.6 * scene.mask("r0") + scene.mask("r2")
    assert bool(((scene.mask("r0") > 0) & (scene.mask("r1") > 0)).any())
    wanted = photo + seen * (canvas.flip(2) - photo)
    assert torch.allclose(finished(canvas.flip(2), scene), wanted, atol=1e-5)


def test_an_approved_picture_is_gone_on_with_without_the_photo_that_shines_through(
    look: Path,
) -> None:
    keys = {"select": "rest", "style": str(look), "strength": 0.5}
    scene = scene_of(noise(24, 32), keys)
    canvas = torch.from_numpy(noise(24, 32)).movedim(2, 0).flip(2) / 255
    approved = replace(scene, approved=(finished(canvas, scene) * 255).round() / 255)
    begun = problem(approved, plan_of(approved)).begun
    assert begun is not None
    assert (begun - canvas).abs().max() < 0.51 / 255 / opacity(0.5) + 1e-4


def test_a_region_at_strength_zero_is_the_photo_to_the_pixel(look: Path, encoder: Encoder) -> None:
    """Alone, and beside one that is painted."""
    grain = noise(24, 32)
    for selectors in ([LEFT, RIGHT], [LEFT]):
        regions = [{"select": part, "style": str(look)} for part in selectors]
        scene = scene_of(grain, {**regions[0], "strength": 0}, *regions[1:])
        found, rgb = painted(scene, encoder), scene.picture.rgb
        assert torch.equal(found[:, :, :15], rgb[:, :, :15])
        assert torch.equal(found, rgb) == (len(regions) == 1)


def test_start_content_begins_at_the_photo_itself(look: Path) -> None:
    scene = scene_of(
        noise(24, 32), {"select": "rest", "style": str(look)}, optimize={"start": "content"}
    )
    assert torch.equal(problem(scene, plan_of(scene)).start, scene.picture.rgb)


def test_what_is_alike_everywhere_takes_no_plane_of_memory(look: Path) -> None:
    scene = scene_of(noise(24, 32), {"select": "rest", "style": str(look)})
    frozen = problem(scene, plan_of(scene)).frozen
    for plane, value in ((scene.visible, 1), (scene.kept, 0), (frozen, 0)):
        assert plane.shape == scene.size
        assert bool((plane == value).all())
        assert plane.untyped_storage().nbytes() == 4


def is_a_painting(found: Tensor, start: Tensor) -> bool:
    """Numbers of a picture everywhere, and others than it began with."""
    far = 1.0  # a step may lead out of the gamut, but not far
    inside = bool(((found > -far) & (found < 1 + far)).all())
    return inside and not torch.allclose(found, start.to(found), atol=1e-4)


def test_a_region_of_a_few_pixels_is_painted_without_its_own_color_statistics(
    encoder: Encoder, look: Path
) -> None:
    scene = scene_of(
        noise(24, 32),
        {"select": "rest", "style": str(look)},
        {"select": {"box": [3, 3, 5, 5], "unit": "px"}, "style": str(look), "color": "content"},
    )
    assert scene.mask("r1").sum() == 4
    asked = problem(scene, plan_of(scene))
    assert torch.equal(asked.start[:, 3:5, 3:5], scene.picture.rgb[:, 3:5, 3:5])
    assert is_a_painting(painted(scene, encoder), asked.start)


def test_the_keys_of_a_region_arrive_in_the_problem(look: Path) -> None:
    keys = {"strength": 0.6, "scale": 0.5, "content": 0.3, "contour": 0.7}
    scene = scene_of(noise(24, 32), {"select": "rest", "style": str(look), **keys})
    (region,) = problem(scene, plan_of(scene)).regions
    weighed = {**keys, "content": pytest.approx(0.3**3), "contour": pytest.approx(0.7**2.5)}
    assert {key: getattr(region, key) for key in keys} == weighed
    assert region.name == "r0"


@pytest.mark.parametrize(
    ("strength", "scale", "strokes"), [(0.5, 1, 1), (1, 2, 2), (2, 1.5, 1.5 * 2**0.5), (100, 1, 2)]
)
def test_strokes_grow_with_a_strength_past_one(
    look: Path, strength: float, scale: float, strokes: float
) -> None:
    region = {"select": "rest", "style": str(look), "strength": strength, "scale": scale}
    scene = scene_of(noise(24, 32), region)
    (found,) = problem(scene, plan_of(scene)).regions
    assert found.scale == pytest.approx(strokes)


def halves(path: Path) -> tuple[Path, Path]:
    """A style, red on the left and blue on the right, and a mask that is white on the left."""
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[:, :15], picture[:, 15:] = (200, 30, 30), (30, 30, 200)
    mask = np.zeros((40, 60), np.uint8)
    mask[:, :30] = 255
    Image.fromarray(picture).save(path / "halves.png")
    Image.fromarray(mask).save(path / "mask.png")
    return path / "halves.png", path / "mask.png"


def test_a_style_mask_says_which_part_of_a_style_is_used(tmp_path: Path) -> None:
    picture, mask = halves(tmp_path)
    source = {"image": str(picture), "mask": str(mask)}
    scene = scene_of(noise(24, 32), {"select": "rest", "style": source})
    (style,) = scene.styles["r0"]
    assert style.mask.shape == (20, 30)
    assert style.mask[:, :14].min() > 0.99
    assert style.mask[:, 16:].max() < 0.01
    found = color_moments(style.rgb, style.mask).mean
    assert torch.allclose(found, torch.tensor([200, 30, 30]).double() / 255, atol=0.02)


def test_a_style_mask_of_another_shape_is_refused_with_both_sizes(tmp_path: Path) -> None:
    picture, _ = halves(tmp_path)
    Image.new("L", (40, 40), 255).save(tmp_path / "square.png")
    source = {"image": str(picture), "mask": str(tmp_path / "square.png")}
    with pytest.raises(PictureError, match=r"square\.png: 40×40 px .* 30×20 px"):
        scene_of(noise(24, 32), {"select": "rest", "style": source})


def test_a_style_mask_may_be_off_by_a_pixel(tmp_path: Path) -> None:
    picture, _ = halves(tmp_path)
    for number, size in enumerate([(60, 41), (61, 40), (30, 19), (15, 10)]):
        Image.new("L", size, 255).save(tmp_path / f"{number}.png")
        source = {"image": str(picture), "mask": str(tmp_path / f"{number}.png")}
        scene = scene_of(noise(24, 32), {"select": "rest", "style": source})
        assert scene.styles["r0"][0].mask.min() > 0.9999


def test_a_style_that_its_mask_hides_altogether_is_refused(tmp_path: Path) -> None:
    picture, _ = halves(tmp_path)
    Image.new("L", (30, 20), 0).save(tmp_path / "black.png")
    source = {"image": str(picture), "mask": str(tmp_path / "black.png")}
    with pytest.raises(PictureError, match=r"halves\.png: its mask or alpha leaves nothing"):
        scene_of(noise(24, 32), {"select": "rest", "style": source})


def test_styles_of_no_weight_are_not_read(look: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("no picture")
    styles = [{"image": str(look), "weight": 2}, {"image": str(broken), "weight": 0}]
    scene = scene_of(noise(24, 32), {"select": "rest", "style": styles})
    assert [style.weight for style in scene.styles["r0"]] == [2]


@pytest.mark.parametrize("place", ["mask", "weight_mask", "style's mask"])
def test_the_limit_of_pixels_holds_for_every_picture_that_is_read(
    look: Path, tmp_path: Path, place: str
) -> None:
    large = tmp_path / "large.png"
    Image.fromarray(np.full((240, 320), 255, np.uint8)).save(large)
    style = {"image": str(look), "weight_mask": str(large)}
    region = {
        "mask": {"select": {"any": [{"mask": str(large)}]}, "style": str(look)},
        "weight_mask": {"select": "rest", "style": [style, str(look)]},
        "style's mask": {"select": "rest", "style": {"image": str(look), "mask": str(large)}},
    }[place]
    with pytest.raises(PictureError, match=r"large\.png has 0\.0768 megapixels"):
        scene_of(noise(24, 32), region, max_pixels=10_000)


def test_a_recipe_without_a_photo_says_how_to_give_one(look: Path) -> None:
    recipe = load_recipe(
        {"recipe": 1, "regions": [{"name": "all", "select": "rest", "style": str(look)}]}
    )
    with pytest.raises(RecipeError, match="give `content`"):
        resolve(recipe)


def test_the_photo_is_segmented_only_if_a_selector_asks(
    look: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("nobody asked for classes")

    monkeypatch.setattr(eyes, "load_segmenter", refuse)
    assert scene_of(noise(24, 32), {"select": "rest", "style": str(look)}).segmentation is None


def test_an_empty_region_is_a_note_and_with_strict_an_error(encoder: Encoder, look: Path) -> None:
    regions = (
        {"select": "rest", "style": str(look)},
        {"select": {"color": "#00ff00", "tolerance": 0}, "style": str(look), "color": "content"},
    )
    photo = np.full((24, 32, 3), 90, np.uint8)
    scene = scene_of(photo, *regions)
    assert any("'r1' is empty" in note for note in scene.notes)
    assert is_a_painting(painted(scene, encoder), problem(scene, plan_of(scene)).start)
    with pytest.raises(RegionError, match="'r1' is empty"):
        scene_of(photo, *regions, strict=True)


def test_thin_regions_are_named_with_the_layers_that_look_past_them(
    encoder: Encoder, look: Path
) -> None:
    photo = noise(16, 200)
    recipe = {
        "recipe": 1,
        "size": 200,
        "regions": [
            {"name": "wide", "select": "rest", "style": str(look), "feather": 0},
            {"name": "band", "select": {"box": [0, 0, 9, 16], "unit": "px"}, "style": str(look),
             "feather": 0},
            {"name": "logo", "select": {"box": [60, 0, 62, 16], "unit": "px"}, "protect": True},
        ],
    }  # fmt: skip
    scene = resolve(load_recipe(recipe), photo)
    plan = make_plan(scene.recipe.optimize, scene.size)
    (note,) = thin_notes(scene, {"hed-vgg16": encoder}, plan)
    assert "'band'" in note
    assert "conv5_1" in note
    assert "conv1_1" not in note


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 1)])
def test_a_photo_may_have_any_shape(encoder: Encoder, look: Path, size: tuple[int, int]) -> None:
    scene = scene_of(noise(*size), {"select": "rest", "style": str(look), "color": "luminance"})
    found = painted(scene, encoder, steps=1)
    assert found.shape == (3, *scene.size)
    assert is_a_painting(found, problem(scene, plan_of(scene)).start)


def test_the_same_scene_gives_the_same_bytes(encoder: Encoder, look: Path) -> None:
    regions = (
        {"select": "rest", "style": str(look), "feather": 6},
        {"select": RIGHT, "style": str(look), "color": "luminance", "feather": 6, "contour": 1},
    )
    first, second = (painted(scene_of(noise(24, 32), *regions), encoder) for _ in range(2))
    assert torch.equal(first, second)


def test_a_small_result_finds_the_regions_of_a_large_one() -> None:
    photos = Path(__file__).parents[1] / "assets" / "photos"
    styles = photos.parent / "styles"
    recipe = load_recipe(
        {
            "recipe": 1,
            "content": str(photos / "mountain.jpg"),
            "regions": [
                {"name": "rocks", "select": "rest", "style": str(styles / "ink.jpg")},
                {"name": "sky", "select": {"class": "sky"}, "style": str(styles / "swirl.jpg")},
                {"name": "grass", "select": {"class": "grass"}, "style": str(styles / "ink.jpg")},
            ],
        }
    )
    small, large = (
        resolve(recipe.model_copy(update={"size": size})).masks.coverage for size in (96, 640)
    )
    assert small == pytest.approx(large, abs=0.015)
