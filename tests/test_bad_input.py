"""Whatever a user gives: it works, or ends in one sentence and the right exit code."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from workbench import RECIPE, Ran, lay_out, photo, run

SKY = "{box: [0, 0, 1, 0.5]}"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of each test, with a photo, two styles and look.yaml in it."""
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


def refused(*arguments: str, code: int = 1) -> str:
    """The sentence that ends a run, which writes nothing but that."""
    before = {path.name for path in Path().iterdir()}
    ran = run(*arguments)
    assert ran.code == code, ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err
    assert {path.name for path in Path().iterdir()} == before
    assert ran.err.startswith("error: ")
    return ran.err.removeprefix("error: ").rstrip("\n")


def refused_recipe(text: str) -> str:
    Path("r.yaml").write_text(text, "utf-8")
    return refused("apply", "r.yaml")


def worked(*arguments: str) -> Ran:
    ran = run("apply", "look.yaml", "--json", *arguments)
    assert ran.code == 0, ran.err
    return ran


# pictures that cannot be read


def test_a_missing_photo_is_named_and_a_near_name_suggested() -> None:
    assert refused("apply", "look.yaml", "-c", "foto.png") == (
        "content: no such file: foto.png (did you mean photo.png?)"
    )
    assert refused("segment", "foto.png") == ("no such picture: foto.png (did you mean photo.png?)")


def test_a_recipe_whose_photo_is_missing_says_where() -> None:
    Path("photo.png").unlink()
    assert refused("apply", "look.yaml").startswith("look.yaml:2: content: no such file: photo.png")


def test_a_recipe_without_a_photo_asks_for_one() -> None:
    assert refused_recipe(RECIPE.replace("content: photo.png\n", "")) == (
        "content: the recipe names no photo; add content: or give --content"
    )


def test_a_text_that_is_called_png_is_no_picture() -> None:
    Path("text.png").write_text("Dear Sir or Madam, [this] is no picture.")
    said = refused("apply", "look.yaml", "-c", "text.png")
    assert said.startswith("text.png is not a picture in a format that can be read (PNG, JPEG")


def test_an_empty_file_is_no_picture() -> None:
    Path("empty.jpg").touch()
    assert refused("apply", "look.yaml", "-c", "empty.jpg") == "empty.jpg is empty"


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_a_photo_that_is_cut_short_is_broken(suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    Image.fromarray(noise).save(f"whole.{suffix}")
    data = Path(f"whole.{suffix}").read_bytes()
    Path(f"cut.{suffix}").write_bytes(data[: len(data) // 2])
    said = refused("apply", "look.yaml", "-c", f"cut.{suffix}")
    assert said.startswith(f"cut.{suffix} is broken or cut short: ")


def test_a_folder_is_no_photo() -> None:
    Path("album").mkdir()
    assert refused("apply", "look.yaml", "-c", "album") == (
        "content: is a folder, not a file: album"
    )


def test_a_style_that_is_broken_is_named() -> None:
    Path("dots.png").write_bytes(Path("dots.png").read_bytes()[:60])
    assert refused("apply", "look.yaml").startswith(f"{Path.cwd() / 'dots.png'} is broken")


# pictures that are unusual but fine


def _cmyk() -> None:
    Image.fromarray(photo()).convert("CMYK").save("odd.jpg", quality=95)


def _grey() -> None:
    Image.fromarray(photo()).convert("L").save("odd.png")


def _palette() -> None:
    Image.fromarray(photo()).quantize(16).save("odd.png")


def _transparent_palette() -> None:
    Image.fromarray(photo()).quantize(16).save("odd.png", transparency=3)


def _deep_grey() -> None:
    grey = photo()[..., 0].astype(np.uint16) * 257
    Image.fromarray(grey).save("odd.png")


def _deep_png() -> None:
    Path("odd.png").write_bytes(imagecodecs.png_encode(photo().astype(np.uint16) * 257))


def _deep_tiff() -> None:
    Path("odd.tif").write_bytes(imagecodecs.tiff_encode(photo().astype(np.uint16) * 257))


def _one_bit() -> None:
    Image.fromarray(photo()).convert("1").save("odd.png")


def _long_and_thin() -> None:
    Image.fromarray(photo(400, 3)).save("odd.png")


@pytest.mark.parametrize(
    "write",
    [
        _cmyk,
        _grey,
        _palette,
        _transparent_palette,
        _deep_grey,
        _deep_png,
        _deep_tiff,
        _one_bit,
        _long_and_thin,
    ],
    ids=lambda write: write.__name__.strip("_"),
)
def test_a_photo_of_any_kind_is_painted(write: Callable[[], None]) -> None:
    write()
    path = next(Path().glob("odd.*"))
    ran = worked("-c", str(path))
    size = (48, 1) if write is _long_and_thin else (48, 36)
    assert (ran.json["width"], ran.json["height"]) == size
    painted = np.asarray(Image.open("look-odd.png").convert("RGB"), dtype=float)
    assert painted.shape[:2] == size[::-1]
    # A column of single pixels holds hardly more than its photo's own light and dark.
    assert painted.std() > (5 if write is _long_and_thin else 10)


@pytest.mark.parametrize("options", [[], ["--size", "1"]])
def test_a_photo_of_one_pixel_is_painted(options: list[str]) -> None:
    Image.new("RGB", (1, 1), (200, 40, 90)).save("one.png")
    ran = worked("-c", "one.png", *options)
    assert ran.json["losses"]["total"] > 0
    side = 1 if options else 48
    assert Image.open("look-one.png").size == (side, side)


def test_an_animation_is_painted_by_its_first_picture_with_a_note() -> None:
    frames = [Image.fromarray(photo()), Image.new("RGB", (64, 48))]
    frames[0].save("moving.gif", save_all=True, append_images=frames[1:])
    ran = run("apply", "look.yaml", "-c", "moving.gif", "-o", "still.png")
    assert ran.code == 0
    notes = [line for line in ran.err.splitlines() if line.startswith("note: moving.gif")]
    assert len(notes) == 1
    assert "first" in notes[0]
    assert any(
        "first" in note for note in worked("-c", "moving.gif", "-o", "still.png").json["notes"]
    )


def test_a_photo_that_lies_on_its_side_is_painted_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    # Stored lying: turned by a quarter clockwise, its light left part becomes the top.
    lying = np.rot90(photo(), 1)
    Image.fromarray(lying).save("lying.jpg", exif=exif, quality=95)
    ran = worked("-c", "lying.jpg", "--steps", "0", "--set", "optimize.start=content")
    assert (ran.json["width"], ran.json["height"]) == (48, 36)
    painted = Image.open("look-lying.png")
    assert painted.getexif().get(0x0112, 1) == 1
    pixels = np.asarray(painted.convert("L"), dtype=float)
    assert pixels[:16].mean() > pixels[20:].mean() + 50


def _claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(b"\0" * 64))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("command", [["apply", "look.yaml", "-c"], ["segment"], ["new"]])
def test_a_photo_of_200_megapixels_is_refused_by_its_header(command: list[str]) -> None:
    Path("huge.png").write_bytes(_claiming(20_000, 10_000))
    assert refused(*command, "huge.png") == (
        "huge.png has 200 megapixels (20000 x 10000), more than the limit of 100 "
        "(raise it with --max-pixels)"
    )


def test_the_limit_can_be_raised_and_lowered() -> None:
    Path("huge.png").write_bytes(_claiming(20_000, 10_000))
    said = refused("segment", "huge.png", "--max-pixels", "150000000")
    assert "more than the limit of 150" in said
    said = refused("apply", "look.yaml", "--max-pixels", "3000")
    assert said.startswith(f"{Path.cwd() / 'photo.png'} has 0.003072 megapixels (64 x 48), ")
    assert run("apply", "look.yaml", "--max-pixels", "3072").code == 0


# recipes


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("size: 48", "siez: 48", "r.yaml:3: siez: unknown key (did you mean size?)"),
        (
            "size: 48",
            "size: large",
            "r.yaml:3: size: found 'large', allowed: a whole number from 1 to 32768",
        ),
        (
            "name: sky",
            "name: ground",
            "r.yaml:8: regions.ground: a region named ground is there already",
        ),
        (
            "style: dots.png",
            "style: dot.png",
            "r.yaml:10: regions.sky.style[0].image: no such file: dot.png (did you mean dots.png?)",
        ),
        ("recipe: 1", "recipe: 2", "r.yaml:1: recipe: found 2, allowed: 1"),
        ("    style: dots.png\n", "", "r.yaml:8: regions.sky: needs a style, or protect: true"),
        ("regions:", "regions: [}", "r.yaml:4:11: not valid YAML"),
    ],
)
def test_a_faulty_recipe_is_refused_with_file_line_and_key(
    old: str, new: str, sentence: str
) -> None:
    assert old in RECIPE
    assert refused_recipe(RECIPE.replace(old, new)).splitlines()[0].startswith(sentence)


def test_a_recipe_without_regions_is_refused() -> None:
    head = RECIPE.split("regions:")[0]
    assert refused_recipe(head) == "r.yaml: regions: is missing"
    assert refused_recipe(head + "regions: []\n") == (
        "r.yaml:4: regions: found [], allowed: at least 1"
    )


def test_several_faults_are_told_at_once() -> None:
    text = RECIPE.replace("size: 48", "size: -3").replace("dots.png", "dot.png")
    assert len(refused_recipe(text).splitlines()) == 2


def test_a_missing_recipe_suggests_one() -> None:
    assert refused("apply", "lok.yaml") == "no such file: lok.yaml (did you mean look.yaml?)"


def test_a_photo_in_place_of_a_recipe_is_refused() -> None:
    assert refused("apply", "photo.png").startswith("photo.png: holds no recipe; only pictures")


def test_a_class_that_the_segmenter_does_not_have_is_refused_with_those_it_has() -> None:
    said = refused_recipe(RECIPE.replace(SKY, "{class: skye}"))
    assert said.startswith("region 'sky': ")
    assert "did you mean sky?" in said
    assert "building" in said


def test_a_segmenter_that_is_not_there_is_refused() -> None:
    text = RECIPE.replace(SKY, "{class: sky}").replace("regions:", "segmentation: scene\nregions:")
    assert refused_recipe(text).startswith("no segmenter is called 'scene' (did you mean scenes?)")


def test_a_mask_of_another_shape_is_refused_with_both_sizes() -> None:
    Image.new("L", (50, 50), 255).save("mask.png")
    said = refused_recipe(RECIPE.replace(SKY, "{mask: mask.png}"))
    assert said.startswith("region 'sky': ")
    assert "50" in said
    assert "64" in said


def test_a_yaml_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert refused_recipe("\n".join(lines)) == (
        "r.yaml:1:10: the recipe has more than 50000 values, aliases written out"
    )


# regions that find nothing


NOTHING = RECIPE.replace(SKY, '{color: "#00ff00"}')
EMPTY = "region 'sky' is empty: its selector takes none of the photo's 48×36 px"


def test_an_empty_region_is_a_note() -> None:
    Path("look.yaml").write_text(NOTHING)
    ran = run("apply", "look.yaml")
    assert ran.code == 0
    assert f"note: {EMPTY}" in ran.err.splitlines()
    checked = run("check", "look.yaml", "--json")
    assert checked.json["coverage"] == {"ground": 1.0, "sky": 0.0}
    assert EMPTY in checked.json["notes"]


@pytest.mark.parametrize("command", ["apply", "check"])
def test_an_empty_region_is_an_error_if_strictness_is_asked_for(command: str) -> None:
    Path("look.yaml").write_text(NOTHING)
    assert refused(command, "look.yaml", "--strict") == EMPTY


def test_a_photo_in_which_no_region_finds_anything_is_refused() -> None:
    text = NOTHING.replace("select: rest", 'select: {color: "#ff00ff"}')
    said = refused_recipe(text)
    assert said.startswith("region 'ground' is empty: ")
    assert "region 'sky' is empty: " in said


def test_a_recipe_that_leaves_nothing_to_paint_is_refused() -> None:
    protected = RECIPE.replace("style: stripes.png", "protect: true")
    said = refused_recipe(protected.replace("style: dots.png", "protect: true"))
    assert said == "no region with a style covers anything of this photo: nothing to paint"
    # The only region with a style finds nothing.
    said = refused_recipe(protected.replace(SKY, '{color: "#00ff00"}'))
    assert said == "no region with a style covers anything of this photo: nothing to paint"


def test_pixels_in_no_region_keep_the_photo_and_are_noted() -> None:
    text = RECIPE.replace("select: rest", "select: {box: [0, 0.75, 1, 1]}")
    Path("look.yaml").write_text(text)
    ran = worked()
    assert any("are in no region and keep the photo" in note for note in ran.json["notes"])
    assert ran.json["coverage"]["(photo)"] == pytest.approx(0.25, abs=0.05)


# outputs


def test_an_output_that_cannot_be_written_ends_with_3() -> None:
    said = refused("apply", "look.yaml", "-o", "nowhere/out.png", code=3)
    assert said == f"nowhere/out.png: no such folder {Path.cwd() / 'nowhere'}"
