"""What was drawn on one photo holds for that photo: shapes, masks, and what stands in for them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from workbench import lay_out, photo, run

from layered_nst import api
from layered_nst.errors import RecipeError
from layered_nst.recipe import MaskSelector, Recipe, load_recipe, named_files
from layered_nst.scene.provenance import recipe_hash

SHAPES = [
    {"box": [0, 0, 1, 0.5]},
    {"ellipse": [0, 0, 1, 0.5]},
    {"polygon": [[0, 0], [1, 0], [1, 1]]},
    {"mask": "mask.png"},
    {"all": [{"class": "sky"}, {"not": {"box": [0, 0, 1, 0.5]}}]},
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bench with a second photo, other.png, and a mask."""
    lay_out(tmp_path)
    Image.fromarray(photo()[::-1].copy()).save(tmp_path / "other.png")
    Image.new("L", (64, 48), 255).save(tmp_path / "mask.png")
    look = tmp_path / "look.yaml"
    look.write_text(look.read_text().replace("    fixed: true\n", ""))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe(select: Any = None, **more: Any) -> dict[str, Any]:
    regions = [
        {"name": "ground", "select": "rest", "style": "stripes.png"},
        {"name": "cup", "select": select or {"box": [0, 0, 1, 0.5]}, "style": "dots.png"},
    ]
    return {"recipe": 1, "content": "photo.png", "size": 48, "regions": regions} | more


def of_cup(region: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The same recipe with more keys in the region of the cup."""
    ground, cup = region["regions"]
    return {**region, "regions": [ground, {**cup, **more}]}


def refusal(source: Any, **options: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(source, **options)
    return str(caught.value)


def selected(loaded: Recipe, name: str = "cup") -> Any:
    return next(r for r in loaded.regions_on(loaded.content) if r.name == name).select


@pytest.mark.parametrize("select", SHAPES, ids=lambda select: next(iter(select)))
def test_what_was_drawn_on_another_photo_is_refused(select: Any) -> None:
    assert load_recipe(recipe(select)).content == Path("photo.png").absolute()
    assert refusal(recipe(select), content="other.png") == (
        "region cup is drawn for photo.png, not for other.png: give other.png its own under "
        "photos:, put a mask beside it (other.masks/cup.png), or say fixed: true where a shape "
        "holds for every photo"
    )


def test_one_sentence_names_all_regions_at_fault() -> None:
    two = recipe()
    two["regions"].append({**two["regions"][1], "name": "logo"})
    two["regions"].append({**two["regions"][1], "name": "frame", "fixed": True})
    sentence = refusal(two, content="other.png")
    assert sentence.startswith("regions cup and logo are drawn for photo.png, not for other.png: ")
    assert "\n" not in sentence


@pytest.mark.parametrize("select", ["rest", {"class": "sky"}, {"color": "red"}, {"alpha": True}])
def test_what_is_found_anew_on_every_photo_is_not_refused(select: Any) -> None:
    assert load_recipe(recipe(select), content="other.png").content == Path("other.png").absolute()


def test_a_fixed_region_holds_for_every_photo() -> None:
    fixed = of_cup(recipe({"mask": "mask.png"}), fixed=True)
    assert load_recipe(fixed, content="other.png").regions[1].fixed


def test_a_mask_of_weights_belongs_to_its_photo_too() -> None:
    style = [{"image": "dots.png", "weight_mask": "mask.png"}, "stripes.png"]
    drawn = of_cup(recipe({"class": "sky"}), style=style)
    assert refusal(drawn, content="other.png").startswith("region cup is drawn for photo.png")
    assert load_recipe(of_cup(drawn, fixed=True), content="other.png")


def test_a_mask_of_a_style_belongs_to_the_style() -> None:
    Image.new("L", (40, 40), 255).save("of-style.png")
    style = {"image": "dots.png", "mask": "of-style.png"}
    assert load_recipe(of_cup(recipe({"class": "sky"}), style=style), content="other.png")


def test_a_copy_of_the_photo_is_the_photo() -> None:
    shutil.copy("photo.png", "copy.png")
    assert load_recipe(recipe(), content="copy.png")
    assert load_recipe(recipe(), content="./photo.png")


def test_shapes_given_beside_the_photo_belong_to_it() -> None:
    box = {"regions.cup.select": {"box": [0, 0, 0.5, 1]}}
    assert load_recipe(recipe(), content="other.png", overrides=box)
    assert load_recipe(recipe(), overrides={**box, "content": "other.png"})
    assert "region cup is drawn" in refusal(recipe(), overrides={"content": "other.png"})


def test_shapes_of_a_recipe_without_a_photo_hold_for_the_one_it_is_given() -> None:
    nobodys = {key: value for key, value in recipe().items() if key != "content"}
    assert load_recipe(nobodys, content="other.png")
    assert load_recipe(nobodys)


def test_shapes_of_a_base_belong_to_the_photo_of_the_base() -> None:
    Path("base.yaml").write_text(str(recipe()).replace("'", '"'))
    same = {"extends": "base.yaml"}
    assert load_recipe(same).content == Path("photo.png").absolute()
    other = {"extends": "base.yaml", "content": "other.png"}
    assert refusal(other).startswith("base.yaml:1: region cup is drawn for photo.png, not for oth")
    anew = {**other, "regions": [{"name": "cup", "select": {"box": [0, 0, 1, 1]}}]}
    assert load_recipe(anew).content == Path("other.png").absolute()


def test_a_photo_in_memory_is_compared_by_its_pixels() -> None:
    drawn = recipe()
    assert api.load(drawn, Image.open("photo.png")).content is None
    assert api.load(drawn, photo()).content is None
    with pytest.raises(RecipeError, match=r"^region cup is drawn for photo\.png, not for the phot"):
        api.load(drawn, photo()[::-1].copy())


def test_the_file_and_the_line_are_named(folder: Path) -> None:
    ran = run("check", "look.yaml", "-c", "other.png")
    assert ran.code == 1
    assert ran.error.startswith("look.yaml:9: region sky is drawn for photo.png, not for other.png")


@pytest.mark.parametrize("command", ["apply", "check", "masks"])
def test_every_command_refuses_before_it_works(command: str, no_painting: None) -> None:
    ran = run(command, "look.yaml", "-c", "other.png")
    assert (ran.code, "region sky is drawn for" in ran.error) == (1, True)


# photos:


def test_a_photo_may_have_selectors_of_its_own() -> None:
    photos = {
        "other.png": {"cup": {"ellipse": [0, 0, 1, 1]}},
        "third.png": {"cup": {"mask": "not-there.png"}},
    }
    both = recipe(photos=photos)
    assert selected(load_recipe(both)).box == (0, 0, 1, 0.5)
    assert selected(load_recipe(both, content="other.png")).ellipse == (0, 0, 1, 1)


def test_a_path_means_one_photo_and_a_name_all_of_that_name() -> None:
    Path("sub").mkdir()
    shutil.copy("other.png", "sub/photo.png")
    Image.fromarray(photo(32, 24)).save("photo.png")
    by_name = {"photo.png": {"cup": {"box": [0, 0, 1, 1]}}}
    by_path = {"sub/photo.png": {"cup": {"ellipse": [0, 0, 1, 1]}}}
    both = recipe(photos=by_path | by_name)
    assert selected(load_recipe(both)).box == (0, 0, 1, 1)
    assert selected(load_recipe(both, content="sub/photo.png")).ellipse == (0, 0, 1, 1)


def test_photos_of_an_extending_recipe_are_added() -> None:
    base = recipe(photos={"other.png": {"cup": {"ellipse": [0, 0, 1, 1]}}})
    Path("base.yaml").write_text(str(base).replace("'", '"'))
    over = {"extends": "base.yaml", "photos": {"other.png": {"cup": {"class": "sky"}}}}
    assert selected(load_recipe(over, content="other.png")).class_ == ("sky",)


@pytest.mark.parametrize(
    ("photos", "sentence"),
    [
        (
            {"other.png": {"cop": "rest"}},
            "photos.other.png.cop: no region named 'cop' (did you mean cup?)",
        ),
        ({"photo.png": {"cup": {"mask": "no.png"}}}, "photos.photo.png.cup.mask: no such file: no"),
        ({"other.png": {"cup": {"elipse": [0]}}}, "photos.other.png.cup: found elipse, allowed: "),
        ({"other.png": "cup"}, "photos.other.png: found 'cup', allowed: a mapping"),
        (["other.png"], "photos: found ['other.png'], allowed: a mapping"),
        (
            {"other.png": {"cup": {"box": [0, 0, 1, 1], "unt": "px"}}},
            "photos.other.png.cup.unt: unknown key (did you mean unit?)",
        ),
    ],
)
def test_what_is_wrong_under_photos_is_said(photos: Any, sentence: str) -> None:
    assert refusal(recipe(photos=photos)).startswith(sentence)


def test_only_the_files_of_its_own_photo_are_read() -> None:
    photos = {"other.png": {"cup": {"mask": "mask.png"}}, "photo.png": {"cup": "rest"}}
    drawn = recipe({"mask": "gone.png"}, photos=photos)
    here, there = load_recipe(drawn), load_recipe(drawn, content="other.png")
    assert not any("mask" in key for key in named_files(here))
    assert [key for key in named_files(there) if "mask" in key] == ["photos.other.png.cup.mask"]


def test_the_hash_of_a_recipe_is_of_what_it_says_on_its_photo() -> None:
    def hashed(**more: Any) -> str:
        return recipe_hash(load_recipe(recipe(**more)), {})

    plain = hashed()
    assert hashed(photos={"other.png": {"cup": "rest"}}) == plain
    assert hashed(photos={"photo.png": {"cup": {"box": [0, 0, 1, 0.5]}}}) == plain
    assert hashed(photos={"photo.png": {"cup": {"box": [0, 0, 1, 1]}}}) != plain


# PHOTO.masks/REGION.png


def mend(path: str = "photo.masks/cup.png") -> None:
    """Take away the left half, as an editor would that keeps what texts a file carries."""
    with Image.open(path) as opened:
        texts, mask = opened.info, opened.convert("L")
    values = np.asarray(mask).copy()
    values[:, : values.shape[1] // 2] = 0
    from PIL.PngImagePlugin import PngInfo

    kept = PngInfo()
    for key, text in texts.items():
        if isinstance(text, str):
            kept.add_itxt(key, text)
    Image.fromarray(values).save(path, pnginfo=kept)


@pytest.fixture
def masked(folder: Path) -> Path:
    """The recipe of the cup as a file, and its masks beside the photo."""
    Path("cup.yaml").write_text(str(recipe()).replace("'", '"'))
    assert run("masks", "cup.yaml").code == 0
    return folder / "photo.masks"


def test_masks_are_written_beside_the_photo(masked: Path) -> None:
    assert {path.name for path in masked.iterdir()} == {"ground.png", "cup.png", "overlay.png"}


def test_masks_that_nobody_mended_change_nothing(masked: Path) -> None:
    assert load_recipe("cup.yaml").photos == {}


def test_a_mended_mask_is_used_and_that_is_said(masked: Path) -> None:
    before = run("check", "cup.yaml", "--json").json
    mend()
    ran = run("check", "cup.yaml", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["coverage"]["cup"] == pytest.approx(before["coverage"]["cup"] / 2, abs=0.02)
    note = "region 'cup' is the mask beside the photo, photo.masks/cup.png"
    assert note in ran.json["notes"]
    assert note not in before["notes"]


def test_a_mended_mask_is_neither_grown_nor_refined(masked: Path) -> None:
    mend()
    Path("cup.yaml").write_text(str(of_cup(recipe(), grow=9)).replace("'", '"'))
    share = run("check", "cup.yaml", "--json", "--set", "regions.cup.refine=true").json["coverage"]
    assert share["cup"] == pytest.approx(0.25, abs=0.02)


def test_a_mended_mask_stays_when_masks_are_written_again(masked: Path) -> None:
    mend()
    mended = (masked / "cup.png").read_bytes()
    ran = run("masks", "cup.yaml")
    assert ran.code == 0
    assert ran.out.split() == ["photo.masks/ground.png", "photo.masks/overlay.png"]
    assert (masked / "cup.png").read_bytes() == mended
    assert "photo.masks/cup.png: changed or drawn by hand, so it is left as it is" in ran.err
    ground = np.asarray(Image.open(masked / "ground.png").convert("L"))
    assert ground[:14, :20].min() == 255, "the rest has what the mended mask no longer takes"


def test_a_mask_that_somebody_drew_is_used_and_never_replaced(masked: Path) -> None:
    shutil.rmtree(masked)
    masked.mkdir()
    Image.new("L", (64, 48), 255).save(masked / "cup.png")
    Image.new("L", (64, 48), 255).save(masked / "overlay.png")
    before = {path.name: path.read_bytes() for path in masked.iterdir()}
    assert run("check", "cup.yaml", "--json").json["coverage"]["cup"] == 1
    run("masks", "cup.yaml")
    assert {name: (masked / name).read_bytes() for name in before} == before


def test_a_mask_beside_another_photo_stands_in_for_its_shapes(masked: Path) -> None:
    Path("other.masks").mkdir()
    Image.new("L", (64, 48), 255).save("other.masks/cup.png")
    loaded = load_recipe("cup.yaml", content="other.png")
    assert isinstance(selected(loaded), MaskSelector)
    assert run("check", "cup.yaml", "-c", "other.png", "--json").json["coverage"]["cup"] == 1


def test_a_mask_beside_the_photo_of_another_shape_is_refused(masked: Path) -> None:
    Image.new("L", (48, 48), 255).save(masked / "cup.png")
    ran = run("check", "cup.yaml")
    assert ran.code == 1
    assert ran.error.startswith("region 'cup': ")
    assert ran.error.endswith(
        "photo.masks/cup.png: the mask is 48×48 px and the photo 64×48 px, "
        "their shapes differ by more than a pixel"
    )


def test_a_mask_beside_the_photo_that_is_no_picture_is_refused(masked: Path) -> None:
    (masked / "cup.png").write_text("white")
    ran = run("check", "cup.yaml")
    assert (ran.code, "photo.masks/cup.png" in ran.error) == (1, True)


def test_photos_that_differ_in_their_suffix_keep_their_masks_apart(masked: Path) -> None:
    shutil.rmtree(masked)
    Image.fromarray(photo()).save("photo.jpg")
    run("masks", "cup.yaml")
    assert Path("photo.png.masks/cup.png").is_file()
    mend("photo.png.masks/cup.png")
    assert run("check", "cup.yaml", "--json").json["coverage"]["cup"] < 0.3


def test_pictures_whose_names_only_begin_alike_share_no_masks(masked: Path) -> None:
    shutil.rmtree("photo.masks")
    shutil.copy("photo.png", "photo.segments.png")
    assert run("masks", "look.yaml").code == 0
    assert Path("photo.masks/sky.png").is_file()


def test_a_picture_made_with_a_mended_mask_is_made_again_with_it(masked: Path) -> None:
    mend()
    assert run("apply", "cup.yaml", "-o", "out.png", "--steps", "1").code == 0
    again = run("apply", "out.png", "-o", "again.png")
    assert again.code == 0, again.err
    assert (np.asarray(Image.open("out.png")) == np.asarray(Image.open("again.png"))).all()
    Image.new("L", (64, 48), 255).save(masked / "cup.png")
    changed = run("apply", "out.png", "-o", "again.png")
    assert "cup.png has changed since out.png was made" in changed.err
    (masked / "cup.png").unlink()
    assert "no such file: photo.masks/cup.png" in run("apply", "out.png").error


def test_masks_of_classes_are_written_beside_a_photo_too() -> None:
    ran = run("masks", "photo.png")
    assert ran.code == 0
    assert "photo.masks/overlay.png" in ran.out.split()
    assert Path("photo.masks/overlay.png").is_file()
