"""Style libraries: the same picture without the pictures, and a sentence for all that is wrong."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from elsewhere import OnlyFloat32, there
from narrow import narrow_encoder
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from workbench import lay_out, photo, run

from layered_nst import apply
from layered_nst.errors import LibraryError
from layered_nst.machine import device
from layered_nst.networks.encoders import Encoder, load_encoder
from layered_nst.recipe import load_recipe
from layered_nst.scene.resolving import resolve
from layered_nst.strategies.looks import planned
from layered_nst.styles.layers import STYLE_LAYERS
from layered_nst.styles.library import build_look, read_records, read_style, store_look
from layered_nst.styles.library.look import USUAL_VARIATION, LibraryStyle
from layered_nst.styles.library.records import read_look
from layered_nst.styles.moments import Moments
from layered_nst.styles.reading import read_style_picture
from layered_nst.styles.style import picture_moments, style_moments

LEVELS, SCALES = [24, 34, 48], "24,34,48"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of each test, with a photo, two styles and a mask on them in it."""
    monkeypatch.chdir(lay_out(tmp_path))
    for room in ("libraries", "files"):
        monkeypatch.setattr(f"layered_nst.recipe.{room}.user_libraries", lambda: tmp_path / "own")
    mask = np.zeros((40, 40), np.uint8)
    mask[:, :20] = 255
    Image.fromarray(mask).save("left.png")
    return tmp_path


def recipe(style: Any, **keys: Any) -> dict[str, Any]:
    return {
        "recipe": 1,
        "content": "photo.png",
        "size": 48,
        "regions": [{"name": "all", "select": "rest", "style": style, **keys}],
        "optimize": {"levels": LEVELS, "steps": 3},
    }


def build(
    name: str, *arguments: str, scale: str = SCALES, output: str = "team.safetensors"
) -> None:
    ran = run("styles", "build", name, *arguments, "--scale", scale, "-o", output)
    assert ran.code == 0, ran.err


def gone(*names: str) -> None:
    for name in names:
        Path(name).unlink()


def difference(first: Any, second: Any) -> float:
    """Mean difference of two runs, in steps of 8 bits."""
    pictures = [apply(r, cache=False).rgb for r in (first, second)]
    return float((pictures[0] - pictures[1]).abs().mean() * 255)


# the same picture without the pictures


def test_a_look_gives_the_picture_that_its_pictures_give() -> None:
    pictures = [{"image": "stripes.png", "weight": 3}, {"image": "dots.png", "weight": 1}]
    wanted = apply(recipe(pictures), cache=False).rgb
    build("dusk", "stripes.png", "dots.png", "--weight", "3", "--weight", "1", "--no-pictures")
    gone("stripes.png", "dots.png")
    found = apply(recipe({"library": "team/dusk"}), cache=False).rgb
    assert (found - wanted).abs().mean() <= 1 / 255
    # The moments are stored to the bit, so at sides that are stored it is the very same.
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("color", ["content", "luminance"])
def test_colors_of_the_photo_need_the_pictures_that_the_library_keeps(color: str) -> None:
    wanted = apply(recipe("stripes.png", color=color), cache=False).rgb
    build("dusk", "stripes.png")
    gone("stripes.png")
    found = apply(recipe({"library": "team/dusk"}, color=color), cache=False).rgb
    assert torch.equal(found, wanted)


def test_colors_of_the_photo_without_pictures_are_refused_in_a_sentence() -> None:
    build("dusk", "stripes.png", "--no-pictures")
    with pytest.raises(LibraryError, match=r"team.*/dusk: .* without its pictures.*color: style"):
        apply(recipe({"library": "team/dusk"}, color="content"))


def test_sides_that_are_not_stored_are_seen_in_the_pictures_that_are() -> None:
    wanted = apply(recipe("stripes.png", scale=1.3), cache=False).rgb
    build("dusk", "stripes.png")
    gone("stripes.png")
    found = apply(recipe({"library": "team/dusk"}, scale=1.3), cache=False)
    assert torch.equal(found.rgb, wanted)
    assert not any("interpolated" in note for note in found.notes)


def test_without_pictures_sides_between_the_stored_ones_are_interpolated_and_noted() -> None:
    build("dusk", "stripes.png", "--no-pictures", scale="20,48,60")
    found = apply(recipe({"library": "team/dusk"}))
    assert any("24,34 px are interpolated" in note for note in found.notes)


def test_interpolated_moments_lie_between_their_neighbors_and_near_the_true_ones() -> None:
    encoder, picture = (
        load_encoder("hed-vgg16"),
        Path(__file__).parents[1] / "assets/styles/swirl.jpg",
    )
    look = build_look(encoder, [picture], sides=(64, 91), keep_pictures=False)
    store_look(Path("team.safetensors"), "swirl", look)
    options: dict[str, Any] = {"longest": 76, "pooling": "max"}
    found = read_style(Path("team.safetensors")).moments(
        encoder, STYLE_LAYERS, **options, of=picture_moments
    )
    style = read_style_picture(picture)
    wanted = picture_moments(encoder, style, STYLE_LAYERS, **options)
    other = picture_moments(encoder, style, STYLE_LAYERS, longest=64, pooling="max")
    for layer in ("conv2_1", "conv3_1", "conv4_1"):
        assert apart(found[layer], wanted[layer]) < 0.85 * apart(other[layer], wanted[layer])


def test_the_variation_of_a_look_is_that_of_its_pictures_or_interpolated() -> None:
    picture = Path(__file__).parents[1] / "assets/styles/swirl.jpg"
    look = build_look(load_encoder("hed-vgg16"), [picture], sides=(64, 91), keep_pictures=False)
    store_look(Path("team.safetensors"), "swirl", look)
    found, style = read_style(Path("team.safetensors")), read_style_picture(picture)
    assert found.variation(64) == style.variation(64)
    low, high = sorted(style.variation(side) for side in (64, 91))
    assert low < found.variation(76) < high
    assert found.variation(95) == style.variation(91)


def test_libraries_from_before_variations_were_stored_still_serve() -> None:
    look = build_look(
        load_encoder("hed-vgg16"), [Path("stripes.png")], sides=(24, 34, 48), keep_pictures=False
    )
    old = replace(look, record=look.record.model_copy(update={"variation": ()}))
    store_look(Path("team.safetensors"), "dusk", old)
    assert read_style(Path("team.safetensors")).variation(34) == USUAL_VARIATION
    assert apply(recipe({"library": "team/dusk"})).rgb.isfinite().all()


def apart(one: Moments, other: Moments) -> float:
    gap = (one.covariance - other.covariance).norm()
    return float(gap / other.covariance.norm())


def test_sides_beyond_the_stored_ones_are_refused_with_both_numbers() -> None:
    build("dusk", "stripes.png", "--no-pictures", scale="24,34")
    with pytest.raises(LibraryError, match=r"24 to 34 px, and 48 px are asked for.*`sides`"):
        apply(recipe({"library": "team/dusk"}))


def test_masks_and_transparency_of_pictures_are_kept() -> None:
    Image.fromarray(np.dstack([photo(), np.tile(np.uint8([255, 0]), (48, 32))])).save("cut.png")
    masked = {"image": "stripes.png", "mask": "left.png"}
    wanted = [recipe([masked, "cut.png"], **k) for k in ({}, {"scale": 1.3})]
    one = {"optimize.steps": 1}  # any more make a last digit grow
    pictures = [apply(r, overrides=one, cache=False).rgb for r in wanted]
    masks = ("--mask", "left.png", "--mask", "-")
    build("dusk", "stripes.png", "cut.png", *masks, scale=f"{SCALES},64")
    gone("stripes.png", "cut.png", "left.png")
    for picture, keys in zip(pictures, ({}, {"scale": 1.3}), strict=True):
        look = recipe({"library": "team/dusk"}, **keys)
        found = apply(look, overrides=one, cache=False).rgb
        assert (found - picture).abs().mean() <= 1 / 255


def test_looks_blend_with_pictures_by_weight() -> None:
    build("dusk", "stripes.png", "dots.png", "--no-pictures")
    encoder = load_encoder("hed-vgg16")
    look, stripes, dots = (
        read_style(Path("team.safetensors"), "dusk"),
        *(read_style_picture(Path(name)) for name in ("stripes.png", "dots.png")),
    )
    options: dict[str, Any] = {"longest": 24, "pooling": "max"}
    found = style_moments(encoder, [look, dots], STYLE_LAYERS, **options)
    pictures = [stripes, dots, dots, dots]
    wanted = style_moments(encoder, pictures, STYLE_LAYERS, **options)
    for layer in STYLE_LAYERS:
        assert apart(found[layer], wanted[layer]) < 1e-5
        assert torch.allclose(found[layer].mean, wanted[layer].mean, rtol=1e-5)


def test_a_product_asks_a_look_for_no_other_sides_than_the_whole_picture(folder: Path) -> None:
    """What ``check`` has accepted is not refused, or interpolated, once the product is cut out."""
    build("dusk", "stripes.png", "--no-pictures", scale="24,34,160")
    product = {"name": "cup", "select": {"box": [0.3, 0.3, 0.4375, 0.45]}}
    table = {"name": "table", "select": "rest", "style": "dots.png"}
    asked = {**recipe("dots.png"), "strategy": "product-then-style", "product": ["cup"]}
    asked["regions"] = [table, {**product, "style": {"library": "team/dusk"}}]
    asked["optimize"]["steps"], seen = 1, []
    usual = LibraryStyle._around
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LibraryStyle, "_around", lambda *a: seen.append(found := usual(*a)) or found)
        result = apply(asked, size=160, overrides={"optimize.levels": [24, 34, 160]})
    assert not any("interpolated" in note for note in result.notes)
    assert seen
    assert all(len(parts) == 1 for parts in seen), seen


def test_a_look_may_flow_into_a_picture() -> None:
    build("dusk", "stripes.png", "--no-pictures")
    styles = [{"library": "team/dusk"}, "dots.png"]
    look = recipe(styles, flow={"from": "left", "to": "right"})
    plain = recipe(["stripes.png", "dots.png"], flow={"from": "left", "to": "right"})
    assert difference(look, plain) <= 1


# where libraries are found


def test_libraries_are_found_beside_the_recipe_and_then_among_the_users_own(folder: Path) -> None:
    build("dusk", "stripes.png")
    other = folder / "elsewhere"
    other.mkdir()
    body = "recipe: 1\ncontent: ../photo.png\nsize: 48\noptimize: {steps: 0, levels: [24, 48]}\n"
    region = "regions: [{name: all, select: rest, style: {library: %s}}]\n"
    (other / "r.yaml").write_text(body + region % "team/dusk")
    ran = run("check", other / "r.yaml")
    assert ran.code == 1
    assert "elsewhere/r.yaml:5: regions.all.style[0].library: no such style library" in ran.err
    assert f"nor in {folder / 'own'}" in ran.err
    shutil.copy("team.safetensors", other / "tame.safetensors")
    assert "(did you mean tame?)" in run("check", other / "r.yaml").err
    (folder / "own").mkdir()
    shutil.copy("team.safetensors", folder / "own" / "team.safetensors")
    assert run("check", other / "r.yaml").code == 0
    shutil.move("team.safetensors", other / "mine.safetensors")
    for name in ("mine/dusk", "mine.safetensors/dusk", "mine", str(other / "mine/dusk")):
        (other / "r.yaml").write_text(body + region % name)
        ran = run("check", other / "r.yaml")
        assert ran.code == 0, ran.err


def test_the_resolved_recipe_names_the_library_by_its_path(folder: Path) -> None:
    build("dusk", "stripes.png")
    result = apply(recipe({"library": "team/dusk"}), overrides={"optimize.steps": 0})
    (source,) = result.recipe.regions[0].style
    assert source.library == f"{folder}/team.safetensors/dusk"
    assert result.inputs.files["regions.all.style[0].library"][0] == folder / "team.safetensors"


# building, listing, merging


def test_a_library_tells_what_its_looks_were_made_from() -> None:
    build("dusk", "stripes.png", "dots.png", "--weight", "3", "--weight", "1", "--license", "CC0")
    record = read_records(Path("team.safetensors"))["dusk"]
    assert record.license == "CC0"
    assert record.encoder == "hed-vgg16"
    assert record.weights == load_encoder("hed-vgg16").fingerprint
    assert (record.sides, record.layers) == ((24, 34, 48), tuple(STYLE_LAYERS))
    assert [(s.name, s.weight, s.width) for s in record.sources] == [
        ("stripes.png", 3, 40),
        ("dots.png", 1, 40),
    ]
    assert all(len(source.sha256) == 64 for source in record.sources)
    ran = run("styles", "list", "team")
    assert "dusk" in ran.out
    assert "stripes.png, dots.png" in ran.out
    assert run("styles", "list", "team", "--json").json["dusk"]["license"] == "CC0"


def test_building_adds_a_look_or_replaces_the_one_of_its_name() -> None:
    build("dusk", "stripes.png")
    build("dawn", "dots.png")
    before = read_records(Path("team.safetensors"))
    build("dusk", "dots.png")
    after = read_records(Path("team.safetensors"))
    assert list(before) == list(after) == ["dusk", "dawn"]
    assert before["dusk"].digest != after["dusk"].digest == after["dawn"].digest


def test_merging_keeps_all_looks_and_refuses_two_of_one_name() -> None:
    build("dusk", "stripes.png", output="a.safetensors")
    build("dawn", "dots.png", output="b.safetensors")
    assert run("styles", "merge", "a", "b", "-o", "both.safetensors").code == 0
    assert list(read_records(Path("both.safetensors"))) == ["dusk", "dawn"]
    assert run("styles", "merge", "both", "a", "-o", "both.safetensors").code == 0
    build("dusk", "dots.png", output="b.safetensors")
    ran = run("styles", "merge", "a", "b", "-o", "both.safetensors")
    assert ran.code == 1
    assert "b.safetensors: look 'dusk' is in another of these libraries" in ran.error


def test_merging_loses_no_look_of_the_library_that_it_replaces() -> None:
    build("dusk", "stripes.png", output="a.safetensors")
    build("dawn", "dots.png", output="b.safetensors")
    build("dusk", "dots.png", output="c.safetensors")
    before = Path("b.safetensors").read_bytes()
    ran = run("styles", "merge", "a", "-o", "b.safetensors")
    assert (ran.code, ran.error) == (
        1,
        "b.safetensors: is there, and its look 'dawn' would be lost; name another file, or this "
        "library among those to merge",
    )
    assert "its look 'dusk' would be lost" in run("styles", "merge", "a", "-o", "c.safetensors").err
    assert Path("b.safetensors").read_bytes() == before
    assert run("styles", "merge", "a", "b", "-o", "b.safetensors").code == 0


def test_looks_that_processes_store_at_once_are_all_kept() -> None:
    build("dusk", "stripes.png")
    look = read_look(Path("team.safetensors"), "dusk")
    names = [f"look {number}" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: store_look(Path("team.safetensors"), name, look), names))
    assert set(read_records(Path("team.safetensors"))) == {"dusk", *names}
    assert not list(Path().glob(".*"))


def test_no_flipped_byte_of_what_a_library_says_is_believed() -> None:
    build("dusk", "stripes.png")
    path, said = Path("team.safetensors"), read_records(Path("team.safetensors"))
    whole = path.read_bytes()
    start = whole.index(b'"looks"')
    for place in range(start, start + 1200, 7):
        spoiled = bytearray(whole)
        spoiled[place] ^= 1
        path.write_bytes(spoiled)
        with suppress(LibraryError):
            assert read_records(path) == said


def test_a_sheet_shows_every_look() -> None:
    build("dusk", "stripes.png", "--mask", "left.png")
    one = sheet()
    build("dawn", *["dots.png"] * 6, "--no-pictures")
    two = sheet()
    assert two.width == one.width
    assert two.height > one.height + 2 * 120
    # The thumbnail of the masked picture is pale where its mask hides it.
    left, right = (np.asarray(one)[60:200, x : x + 60].std() for x in (20, 100))
    assert left > 2 * right


def sheet() -> Image.Image:
    assert run("styles", "show", "team", "-o", "sheet.png").code == 0
    return Image.open("sheet.png").convert("RGB")


def test_other_layers_and_pooling_can_be_stored() -> None:
    build("dusk", "stripes.png", "--layer", "conv1_2", "--layer", "conv3_2", "--pooling", "average")
    asked = recipe({"library": "team/dusk"})
    asked["optimize"] |= {"layers": {"conv1_2": 1, "conv3_2": 2}, "pooling": "average"}
    plain = recipe("stripes.png")
    plain["optimize"] = asked["optimize"]
    assert difference(asked, plain) == 0


# what is wrong


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--weight", "1", "--weight", "-2"], "weight -2: allowed: a number of at least 0"),
        (["--weight", "0", "--weight", "0"], "the weights are all 0, at least one must be above 0"),
        (["--weight", "1"], "1 weights for 2 pictures: give one for each, or none"),
        (["--mask", "left.png"], "1 masks for 2 pictures: give one for each, or none"),
        (["--scale", "0,64"], "sides [0, 64]: allowed: whole numbers of at least 1 px"),
        (["--encoder", "vgg20"], "no such encoder"),
    ],
)
def test_a_look_that_cannot_be_built_is_refused_in_a_sentence(
    arguments: list[str], sentence: str
) -> None:
    given = ["styles", "build", "dusk", "stripes.png", "dots.png", "-o", "team.safetensors"]
    ran = run(*given, *arguments)
    assert ran.code == 1
    assert sentence in ran.err
    assert not Path("team.safetensors").exists()


@pytest.mark.parametrize(
    ("name", "output", "code", "sentence"),
    [
        ("a/b", "team.safetensors", 1, "look 'a/b': allowed: a name of letters"),
        ("dusk", "team.zip", 3, "ends in .safetensors"),
        ("dusk", "nowhere/team.safetensors", 3, "no such folder"),
        ("dusk", "broken.safetensors", 1, "broken.safetensors: is broken"),
    ],
)
def test_a_library_that_cannot_be_written_is_refused_before_the_work(
    name: str, output: str, code: int, sentence: str
) -> None:
    Path("broken.safetensors").write_text("no library")
    ran = run("styles", "build", name, "missing.png", "-o", output)
    assert ran.code == code
    assert sentence in ran.error
    assert Path("broken.safetensors").read_text() == "no library"


def refusal(style: Any = None, **optimize: Any) -> str:
    asked = recipe(style or {"library": "team/dusk"})
    asked["optimize"] |= optimize
    with pytest.raises(LibraryError) as caught:
        apply(asked)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kept", [0, 5, 300, -1, -1000])
def test_a_library_cut_short_is_refused(kept: int) -> None:
    build("dusk", "stripes.png")
    data = Path("team.safetensors").read_bytes()
    Path("team.safetensors").write_bytes(data[:kept])
    assert "team.safetensors: is broken, cut short, or no style library" in refusal()


def test_a_library_with_a_flipped_bit_is_refused() -> None:
    build("dusk", "stripes.png")
    data = bytearray(Path("team.safetensors").read_bytes())
    data[-len(data) // 3] ^= 1
    Path("team.safetensors").write_bytes(data)
    assert "look 'dusk' is damaged" in refusal()


def with_metadata(**texts: str) -> None:
    """Write the library again with other metadata."""
    with safe_open("team.safetensors", framework="pt") as file:
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata() | texts
    del metadata["seal"]
    save_file(tensors, "team.safetensors", metadata=metadata)


def test_a_library_of_another_version_is_refused() -> None:
    build("dusk", "stripes.png")
    with_metadata(format="layered-nst styles 2")
    assert "is a library of version 'layered-nst styles 2'; this one reads" in refusal()


def test_a_safetensors_file_that_is_no_library_is_refused() -> None:
    save_file({"a": torch.zeros(2)}, "team.safetensors")
    assert "is no style library" in refusal()


@pytest.mark.parametrize("looks", ["no json", "[]", '{"dusk": {}}', '{"dusk": 3}'])
def test_a_library_with_a_damaged_description_is_refused(looks: str) -> None:
    build("dusk", "stripes.png")
    with_metadata(looks=looks)
    assert "its description of the looks is damaged" in refusal()


def test_a_look_that_lacks_what_it_describes_is_refused() -> None:
    build("dusk", "stripes.png")
    with safe_open("team.safetensors", framework="pt") as file:
        looks = json.loads(file.metadata()["looks"])
    looks["dusk"]["sides"] = [24, 34, 48, 99]
    with_metadata(looks=json.dumps(looks))
    assert "look 'dusk' is damaged; moments are missing" in refusal()


def test_a_look_that_is_not_there_is_refused_with_the_nearest_name() -> None:
    build("dusk", "stripes.png")
    build("dawn", "dots.png")
    sentence = refusal({"library": "team/dusl"})
    assert "no look 'dusl' (did you mean dusk?); it has dusk, dawn" in sentence
    assert "which look? it has dusk, dawn; write team/LOOK" in refusal({"library": "team"})


def test_a_look_of_another_encoder_pooling_or_layer_is_refused() -> None:
    build("dusk", "stripes.png")
    assert "was built with max pooling, this recipe uses average" in refusal(pooling="average")
    assert "has no moments of conv1_2, only of conv1_1" in refusal(layers={"conv1_2": 1})


def narrow_library(encoder: Encoder) -> None:
    look = build_look(encoder, [Path("stripes.png")], sides=LEVELS, layers=("conv1_1",))
    store_look(Path("team.safetensors"), "dusk", look)


def test_a_look_of_another_encoder_or_other_weights_is_refused() -> None:
    narrow_library(narrow_encoder(dtype=torch.float32))
    assert "was built with the encoder narrow, this recipe uses hed-vgg16" in refusal()
    other = narrow_encoder(dtype=torch.float32, seed=1)
    with pytest.raises(LibraryError, match="other weights of the encoder narrow"):
        read_style(Path("team.safetensors")).check(other, ["conv1_1"], longest=24, pooling="max")


def test_a_look_that_one_encoder_has_seen_is_painted_with_that_one() -> None:
    build("both", "stripes.png")
    for encoder in ("hed-vgg16", "light"):
        build(encoder, "stripes.png", "--encoder", encoder)

    def encoders(*looks: str) -> tuple[str, ...]:
        style = [{"library": f"team/{look}"} for look in looks]
        return planned(resolve(load_recipe(recipe(style)))).encoders

    assert encoders("both") == encoders("both", "both") == ("light", "hed-vgg16")
    assert encoders("hed-vgg16") == encoders("both", "hed-vgg16") == ("hed-vgg16",)
    assert encoders("light") == encoders("light", "both") == ("light",)
    with pytest.raises(LibraryError, match="was built with the encoder light, this recipe uses"):
        apply(recipe([{"library": "team/hed-vgg16"}, {"library": "team/light"}]))


def test_the_looks_of_two_encoders_are_those_of_the_pictures() -> None:
    build("dusk", "stripes.png", "dots.png", "--no-pictures")
    look = read_style(Path("team.safetensors"))
    assert look.record.encoders.keys() == {"hed-vgg16", "light"}
    pictures = [read_style_picture(Path(name)) for name in ("stripes.png", "dots.png")]
    for name, fingerprint in look.record.encoders.items():
        encoder = load_encoder(name)
        assert encoder.fingerprint == fingerprint
        options = {"longest": 34, "pooling": "max"}
        found = style_moments(encoder, [look], STYLE_LAYERS, **options)
        wanted = style_moments(encoder, pictures, STYLE_LAYERS, **options)
        for layer in STYLE_LAYERS:
            assert torch.equal(found[layer].mean, wanted[layer].mean)
            assert torch.equal(found[layer].second, wanted[layer].second)


def test_a_mask_beside_a_library_is_refused() -> None:
    build("dusk", "stripes.png")
    Path("r.yaml").write_text(
        "recipe: 1\ncontent: photo.png\nregions:\n"
        "  - {name: all, select: rest, style: {library: team/dusk, mask: left.png}}\n"
    )
    ran = run("check", "r.yaml")
    assert ran.code == 1
    assert "regions.all.style[0]: has both library and mask" in ran.err


def test_a_look_is_built_on_the_encoders_device_and_stored_from_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device, "WITHOUT_FLOAT64", ("meta",))
    options = {"sides": (24, 34), "layers": ("conv1_1", "conv3_1"), "keep_pictures": False}
    wanted = build_look(narrow_encoder(dtype=torch.float32), [Path("stripes.png")], **options)
    away = narrow_encoder(dtype=torch.float32)
    fingerprint = away.fingerprint
    for name, weights in list(away.named_buffers()):
        setattr(away, name, there(weights))
    away.fingerprint = fingerprint
    with OnlyFloat32():
        found = build_look(away, [Path("stripes.png")], **options)
    assert {tensor.device.type for tensor in found.tensors.values()} == {"cpu"}
    assert all(torch.equal(found.tensors[key], wanted.tensors[key]) for key in wanted.tensors)
