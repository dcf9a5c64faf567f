"""What a photo was taken of: the selector, the head in a segmenter's file, and the product."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from scipy import ndimage
from torch import Tensor
from workbench import lay_out, run

from layered_nst.errors import ModelError, RecipeError, RegionError
from layered_nst.machine.cache import Cache
from layered_nst.networks.catalogue import weights_path
from layered_nst.networks.segmenters import Segmentation, load_segmenter, segment
from layered_nst.networks.segmenters.checkpoints import read_described, save_segmenter
from layered_nst.networks.segmenters.subject import (
    COLOR_SAY,
    COLORS,
    LAB,
    LEAST_SHARE,
    SUREST,
    SubjectHead,
    by_colors,
    outlined,
    subject_head,
)
from layered_nst.picture import Picture, fit_within, read_picture, resize_picture
from layered_nst.picture.lab import rgb_to_lab
from layered_nst.recipe import load_recipe
from layered_nst.recipe.selectors import Selector
from layered_nst.regions import build_masks, select
from layered_nst.regions.cached import remembered_segmentation

SIZE = (60, 80)
Box = tuple[int, int, int, int]
PHOTOS = Path(__file__).parents[1] / "assets" / "photos"


def seen(*boxes: Box, without: Box | None = None, wondered: Box | None = None) -> Any:
    """A segmentation whose subject fills boxes (left, top, right, bottom) but for a hole, and one
    more hardly."""
    subject = torch.full(SIZE, 0.1)
    if wondered is not None:
        subject[wondered[1] : wondered[3], wondered[0] : wondered[2]] = 0.6
    for left, top, right, bottom in boxes:
        subject[top:bottom, left:right] = 0.9
    if without is not None:
        subject[without[1] : without[3], without[0] : without[2]] = 0.1
    even = torch.full((2, *SIZE), 0.5)
    return Segmentation(even, ("object", "sky"), "test", subject=subject)


def chosen(selector: Any, found: Segmentation, size: tuple[int, int] = SIZE) -> Tensor:
    from pydantic import TypeAdapter

    stated: Any = TypeAdapter(Selector).validate_python(selector)
    picture = Picture(torch.rand(3, *size, generator=torch.Generator().manual_seed(0)))
    return select(stated, picture=picture, segment=lambda: found)


BIG, SMALL, CRUMB = (5, 5, 35, 35), (50, 10, 65, 25), (70, 50, 72, 52)


def test_the_subject_is_all_of_it_without_crumbs() -> None:
    mask = chosen({"subject": True}, seen(BIG, SMALL, CRUMB))
    assert (mask >= 0.5).sum() == 30 * 30 + 15 * 15


def test_a_small_piece_belongs_to_it_where_it_is_sure_and_a_large_one_only_then() -> None:
    foot, blot = (40, 40, 46, 45), (45, 8, 70, 30)
    mask = chosen({"subject": True}, seen(BIG, foot, wondered=blot))
    assert (mask >= 0.5).sum() == 30 * 30 + 6 * 5
    # What is unsure all over stays, pieces and all.
    unsure = seen(BIG, SMALL)
    unsure.subject.mul_(0.65)
    assert (chosen({"subject": True}, unsure) >= 0.5).sum() == 30 * 30 + 15 * 15
    # Nothing is left without the largest.
    assert (chosen({"subject": True}, seen(SMALL, wondered=(0, 30, 80, 60))) >= 0.5)[30:].all()


def test_a_neighbor_that_the_frame_cuts_off_is_left_out_unless_it_is_large() -> None:
    neighbor, too_large = (66, 40, 80, 50), (60, 30, 80, 50)
    mask = chosen({"subject": True}, seen(BIG, SMALL, neighbor))
    assert (mask >= 0.5).sum() == 30 * 30 + 15 * 15
    mask = chosen({"subject": True}, seen(BIG, too_large))
    assert (mask >= 0.5).sum() == 30 * 30 + 20 * 20
    # Whatever it fills, the largest piece is the subject.
    assert (chosen({"subject": True}, seen((0, 0, 80, 60))) >= 0.5).all()


def test_a_number_asks_for_the_largest_pieces() -> None:
    found = seen(BIG, SMALL, (45, 40, 68, 55))
    one, two = (chosen({"subject": count}, found) >= 0.5 for count in (1, 2))
    assert one.sum() == 30 * 30
    assert two.sum() == 30 * 30 + 23 * 15


def test_holes_stay_holes() -> None:
    mask = chosen({"subject": True}, seen(BIG, without=(15, 15, 22, 22)))
    assert (mask[16:21, 16:21] == 0).all()


def test_a_subject_of_another_size_is_brought_to_the_pictures() -> None:
    mask = chosen({"subject": True}, seen(BIG), size=(120, 160))
    assert mask.shape == (120, 160)
    assert (mask >= 0.5).float().mean() == pytest.approx(900 / 4800, abs=0.02)


def test_a_photo_without_a_subject_leaves_the_region_empty() -> None:
    from layered_nst.recipe import Region

    regions = [
        Region.model_validate({"name": name, "select": chosen, "style": "style.png"})
        for name, chosen in (("scene", "rest"), ("product", {"subject": True}))
    ]
    picture = Picture(torch.rand(3, *SIZE))
    found = build_masks(regions, picture=picture, segment=seen)
    assert found.coverage["product"] == 0
    assert found.notes == (
        "region 'product' is empty: nothing in the photo stands out as its subject",
    )
    whole = regions[1].model_copy(update={"if_empty": "whole"})
    found = build_masks([regions[0], whole], picture=picture, segment=seen)
    assert found.coverage["product"] == 1
    assert found.notes[0].startswith("region 'product' takes the whole photo: nothing in the photo")


def test_a_segmenter_without_a_head_for_it_says_which_has_one() -> None:
    classes = Segmentation(torch.full((2, *SIZE), 0.5), ("object", "sky"), "mine")
    sentence = r"^subject: mine tells classes apart and finds no subject; scenes and careful do$"
    with pytest.raises(RegionError, match=sentence):
        chosen({"subject": True}, classes)


def test_product_means_the_subject_where_one_is_found() -> None:
    found = seen(BIG, SMALL)
    assert (chosen({"class": "product"}, found) == chosen({"subject": True}, found)).all()
    assert (
        chosen({"class": "products", "largest": 1}, found) == chosen({"subject": 1}, found)
    ).all()
    own = Segmentation(found.probabilities, ("product", "sky"), "mine", subject=found.subject)
    assert (chosen({"class": "product"}, own) == 1).all()


@pytest.mark.parametrize("subject", [0, -1, False, "largest", 1.5, [1]])
def test_other_values_are_refused(subject: Any) -> None:
    region = {"name": "a", "select": {"subject": subject}, "style": "a.png"}
    with pytest.raises(RecipeError, match=r"allowed: true, or a whole number of at least 1"):
        load_recipe({"recipe": 1, "regions": [region]}, check_files=False)


# The product


def neon(**more: Any) -> dict[str, Any]:
    regions = [
        {"name": "scene", "select": "rest", "style": "a.png"},
        {"name": "cup", "select": {"subject": True}, "style": "a.png"},
    ]
    return {"recipe": 1, "strategy": "product-then-style", "regions": regions} | more


def test_a_product_that_is_not_named_is_the_subject() -> None:
    recipe = load_recipe(neon(), check_files=False)
    assert recipe.products == ("cup",)
    assert recipe.is_painted_first(recipe.regions[1])
    assert not recipe.is_painted_first(recipe.regions[0])
    assert load_recipe(neon(product="scene"), check_files=False).products == ("scene",)
    assert load_recipe(neon(strategy="joint"), check_files=False).products == ()


def test_a_recipe_of_a_product_without_one_is_refused() -> None:
    nothing = neon(regions=neon()["regions"][:1])
    with pytest.raises(RecipeError, match=r"needs product: \[region, …\], or a region of the subj"):
        load_recipe(nothing, check_files=False)


def test_editors_know_that_the_subject_is_the_product() -> None:
    from jsonschema import Draft202012Validator

    from layered_nst.recipe import json_schema

    validator = Draft202012Validator(json_schema())
    assert validator.is_valid(neon())
    assert validator.is_valid(neon(regions=neon()["regions"][:1], product="scene"))
    assert not validator.is_valid(neon(regions=neon()["regions"][:1]))


# The head


@pytest.fixture(scope="module")
def with_head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled segmenter with an untrained head for the subject in its file."""
    scenes = load_segmenter("scenes")
    described = read_described(weights_path("scenes"))
    path = tmp_path_factory.mktemp("head") / "both.safetensors"
    torch.manual_seed(0)
    head = subject_head(scenes.network.get_submodule("encoder"))
    save_segmenter(scenes.network, path, described, subject=head)
    return path


def photo() -> Tensor:
    with Image.open(PHOTOS / "coffee.jpg") as opened:
        pixels = np.asarray(opened.convert("RGB").resize((96, 64)))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255


def test_classes_are_the_same_with_and_without_the_head(with_head: Path) -> None:
    import dataclasses

    both = load_segmenter(str(with_head))
    alone = dataclasses.replace(both, subject=None)
    assert isinstance(both.subject, SubjectHead)
    seen_both, seen_alone = segment(both, photo()), segment(alone, photo())
    assert torch.equal(seen_both.probabilities, seen_alone.probabilities)
    assert seen_alone.subject is None
    assert seen_both.subject is not None
    assert seen_both.subject.shape == photo().shape[1:]
    assert 0 <= float(seen_both.subject.min()) <= float(seen_both.subject.max()) <= 1


def test_the_head_sees_what_it_saw_before_it_was_written(with_head: Path) -> None:
    scenes = load_segmenter("scenes")
    torch.manual_seed(0)
    head = subject_head(scenes.network.get_submodule("encoder")).eval()
    again = load_segmenter(str(with_head)).subject
    assert again is not None
    early = [torch.rand(1, channels, 8 * s, 8 * s) for channels, s in ((16, 4), (24, 2), (40, 1))]
    with torch.no_grad():
        expected, found = head(early), again(early)
    assert torch.allclose(found, expected, atol=0.02 * float(expected.abs().max()) + 1e-3)


def test_loading_draws_no_random_numbers(with_head: Path) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    load_segmenter(str(with_head))
    assert torch.equal(before, torch.get_rng_state())


def test_a_head_that_lost_a_part_is_refused(with_head: Path, tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(with_head, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        texts = {k: v for k, v in file.metadata().items() if k not in ("seal", "digest")}
    del tensors["subject.last.weight"]
    save_file(tensors, tmp_path / "broken.safetensors", metadata=texts)
    with pytest.raises(ModelError, match=r"broken\.safetensors"):
        load_segmenter(str(tmp_path / "broken.safetensors"))


def test_the_subject_is_kept_with_the_classes(with_head: Path, tmp_path: Path) -> None:
    cache, calls = Cache(tmp_path), []

    def look() -> Segmentation:
        calls.append(1)
        return segment(load_segmenter(str(with_head)), photo())

    first, second = (
        remembered_segmentation(cache, str(with_head), photo(), look) for _ in range(2)
    )
    assert len(calls) == 1
    assert first.subject is not None
    assert second.subject is not None
    assert torch.equal(first.subject, second.subject)


def test_an_outline_follows_the_edge_of_the_photo() -> None:
    rgb = torch.full((3, 240, 320), 0.2)
    rgb[:, :, 160:] = 0.8
    rough = torch.zeros(60, 80)
    rough[:, 41:] = 1
    drawn = outlined(rough, rgb)
    assert drawn.shape == (240, 320)
    assert ((drawn >= 0.5) == (rgb[0] > 0.5)).float().mean() > 0.99, "4 px of 320 were wrong"


def unsure_legs() -> tuple[Tensor, Tensor, Tensor]:
    """A red thing on a blue wall, logits unsure about wall within it and of it, and what is red."""
    red = torch.zeros(60, 80, dtype=torch.bool)
    red[10:50, 20:60] = True
    red[30:50, 34:46] = False
    rgb = torch.where(red, torch.tensor([0.8, 0.1, 0.1])[:, None, None], 0.2)
    rgb[2] = torch.where(red, 0.1, 0.7)
    logits = torch.full((60, 80), -4.0)
    logits[10:50, 20:60] = 4.0
    logits[30:50, 34:46] = 0.5  # between its legs
    logits[10:20, 20:60] = -0.5  # its back
    return rgb, logits, red


def test_what_is_unsure_goes_by_the_colors_of_the_subject_and_of_the_rest() -> None:
    rgb, logits, red = unsure_legs()
    found = by_colors(logits, rgb)
    assert ((logits > 0) != red).sum() == 20 * 12 + 10 * 40
    assert ((found > 0) == red).all()
    assert (found - logits).abs().max() <= COLOR_SAY * SUREST + 1e-6
    # Of one color there is nothing to tell, whatever the head says, surely or not at all.
    for even in (logits, torch.full((60, 80), 9.0), torch.full((60, 80), -9.0)):
        assert torch.equal(by_colors(even, torch.full((3, 60, 80), 0.4)) > 0, even > 0)


def test_colors_are_counted_as_one_would_by_hand() -> None:
    rgb, logits, _ = unsure_legs()
    rgb = (rgb + 0.3 * torch.rand(rgb.shape, generator=torch.manual_seed(0))).clamp(0, 1)
    lab, weights = rgb_to_lab(rgb).double().numpy(), logits.double().sigmoid().numpy()
    counts = np.zeros((2, *COLORS))
    places = np.zeros((60, 80, 3), dtype=int)
    for row, column in np.ndindex(60, 80):
        place = tuple(
            min(count - 1, max(0, int((value - low) / (high - low) * count)))
            for value, (low, high), count in zip(lab[:, row, column], LAB, COLORS, strict=True)
        )
        places[row, column] = place
        counts[0][place] += weights[row, column]
        counts[1][place] += 1 - weights[row, column]
    smooth = [ndimage.gaussian_filter(count, 1) for count in counts]
    one, other = (count / count.sum() + LEAST_SHARE for count in smooth)
    ratio = np.log(one / other)[tuple(np.moveaxis(places, -1, 0))]
    expected = logits.numpy() + COLOR_SAY * ratio.clip(-SUREST, SUREST)
    np.testing.assert_allclose(by_colors(logits, rgb).numpy(), expected, atol=2e-4)


def test_a_recipe_of_the_subject_runs_from_the_command_line(
    with_head: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    select = "regions.sky.select={subject: true}"
    ran = run("check", "look.yaml", "--set", select, "--set", f"segmentation={with_head}", "--json")
    assert ran.code == 0, ran.err
    assert set(ran.json["coverage"]) == {"ground", "sky"}


@pytest.mark.parametrize(
    ("photo", "within", "without"),
    [
        ("astronaut.jpg", [(0.45, 0.2), (0.4, 0.6)], [(0.85, 0.3), (0.05, 0.1)]),
        ("coffee.jpg", [(0.45, 0.5), (0.3, 0.6)], [(0.05, 0.9), (0.9, 0.2)]),
        ("cat.jpg", [(0.5, 0.5), (0.2, 0.4)], [(0.97, 0.5), (0.95, 0.05)]),
        ("fig.jpg", [(0.5, 0.5), (0.85, 0.6)], [(0.05, 0.5), (0.95, 0.05)]),
    ],
)
def test_the_bundled_segmenter_finds_what_a_photo_was_taken_of(
    photo: str, within: list[tuple[float, float]], without: list[tuple[float, float]]
) -> None:
    """A person, a product, an animal and a dish, none of which training has seen."""
    picture = read_picture(PHOTOS / photo)
    picture = resize_picture(picture, fit_within(picture.size, 512))
    found = segment(load_segmenter("scenes"), picture.rgb)
    assert found.subject is not None
    height, width = picture.size

    def at(x: float, y: float) -> float:
        return float(found.subject[int(y * height), int(x * width)])  # type: ignore[index]

    assert min(at(*place) for place in within) > 0.8
    assert max(at(*place) for place in without) < 0.2


def test_a_landscape_without_a_subject_has_none() -> None:
    picture = read_picture(PHOTOS / "autumn-hills.jpg")
    picture = resize_picture(picture, fit_within(picture.size, 512))
    subject = segment(load_segmenter("scenes"), picture.rgb).subject
    assert subject is not None
    assert float((subject > 0.5).float().mean()) < 0.01


# The bundled head


@pytest.fixture(scope="module")
def scenes() -> Any:
    return load_segmenter("scenes")


def subject_of(scenes: Any, rgb: Tensor) -> Tensor:
    return chosen({"subject": True}, segment(scenes, rgb), size=(rgb.shape[1], rgb.shape[2]))


def bundled(name: str, longest: int = 320) -> Tensor:
    with Image.open(PHOTOS / f"{name}.jpg") as opened:
        opened.thumbnail((longest, longest))
        pixels = np.asarray(opened.convert("RGB"))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255


@pytest.mark.parametrize("change", ["gray", "night", "tiny", "narrow", "plain"])
def test_odd_photos_have_a_subject_or_none_but_no_error(scenes: Any, change: str) -> None:
    rgb = bundled("coffee")
    changed = {
        "gray": rgb.mean(0, keepdim=True).expand(3, -1, -1),
        "night": rgb * 0.15,
        "tiny": rgb[:, ::40, ::40],
        "narrow": rgb[:, 100:103],
        "plain": torch.full((3, 90, 120), 0.6),
    }[change]
    mask = subject_of(scenes, changed.contiguous())
    assert mask.shape == changed.shape[1:]
    assert mask.isfinite().all()
    if change in ("gray", "night"):
        assert mask.mean() == pytest.approx(float(subject_of(scenes, rgb).mean()), abs=0.1)


def three_bowls() -> tuple[Tensor, Tensor]:
    """A cut-out thrice on plain ground, side by side, and where it stands."""
    with Image.open(PHOTOS / "bowl-cutout.png") as opened:
        bowl = opened.convert("RGBA")
    bowl = bowl.crop(bowl.getchannel("A").getbbox())
    ground, where = Image.new("RGB", (480, 320), (150, 165, 150)), Image.new("L", (480, 320))
    for left, top, width in ((20, 60, 150), (190, 150, 120), (340, 70, 120)):
        one = bowl.resize((width, width * bowl.height // bowl.width))
        ground.paste(one, (left, top), one)
        where.paste(255, (left, top), one)
    rgb = torch.from_numpy(np.array(ground)).permute(2, 0, 1) / 255
    return rgb, torch.from_numpy(np.array(where)) > 127


def test_three_subjects_are_found_and_so_are_the_largest_two(scenes: Any) -> None:
    rgb, where = three_bowls()
    found = segment(scenes, rgb)
    three, two = (chosen({"subject": n}, found, size=where.shape) >= 0.5 for n in (True, 2))
    assert (three & where).sum() / (three | where).sum() > 0.9
    assert 0.6 < (two & where).sum() / where.sum() < 0.85


def test_a_subject_that_fills_the_photo_is_all_of_it(scenes: Any) -> None:
    cat = bundled("cat", 480)
    close = cat[:, cat.shape[1] // 3 : -cat.shape[1] // 3, cat.shape[2] // 3 : -cat.shape[2] // 3]
    assert (subject_of(scenes, close.contiguous()) >= 0.5).float().mean() > 0.9


def test_a_drawing_in_lines_has_a_subject_where_it_is_drawn(scenes: Any) -> None:
    drawing = Image.new("L", (400, 300), 255)
    pen = ImageDraw.Draw(drawing)
    pen.ellipse((120, 60, 280, 220), outline=0, width=3)
    pen.arc((160, 140, 240, 195), 20, 160, fill=0, width=2)
    pen.line((200, 220, 200, 290), fill=0, width=3)
    rgb = torch.from_numpy(np.array(drawing.convert("RGB"))).permute(2, 0, 1) / 255
    mask = subject_of(scenes, rgb) >= 0.5
    assert mask[60:220, 120:280].sum() >= 0.9 * mask.sum()


def test_classes_did_not_change_with_the_head(scenes: Any) -> None:
    import dataclasses

    rgb = bundled("temple", 160)
    alone = segment(dataclasses.replace(scenes, subject=None), rgb)
    assert torch.equal(segment(scenes, rgb).probabilities, alone.probabilities)
