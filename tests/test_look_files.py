"""A look is one file: packed with all it needs, and opened with care."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from workbench import lay_out, photo, run

from layered_nst.recipe.packing import ABOUT, RECIPE

LOOK = """\
recipe: 1
name: Stripes and dots
content: photo.png
regions:
  - {name: ground, select: rest, style: {image: stripes.png, mask: of-style.png}}
  - {name: light, select: {color: white, tolerance: 60}, style: [dots.png, stripes.png]}
  - {name: band, select: {mask: band.png}, fixed: true, style: dots.png}
optimize: {steps: 1}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders; the tests work in ``team``, where a recipe with all its files lies."""
    lay_out(tmp_path / "team")
    lay_out(tmp_path / "elsewhere")
    team = tmp_path / "team"
    (team / "travel.yaml").write_text(LOOK)
    (team / "LICENSE-styles.txt").write_text("CC0 1.0")
    Image.new("L", (40, 40), 255).save(team / "of-style.png")
    Image.fromarray(np.tile(np.uint8([255, 0]).repeat(32), (48, 1))).save(team / "band.png")
    monkeypatch.chdir(team)
    return tmp_path


def packed(*arguments: str) -> Path:
    ran = run("pack", "travel.yaml", *arguments)
    assert ran.code == 0, ran.err
    return Path("travel.lnst")


def entries(look: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(look) as file:
        return {name: file.read(name) for name in file.namelist()}


def pixels(path: str | Path) -> NDArray[Any]:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


def test_a_look_holds_recipe_styles_masks_thumbnail_and_licenses() -> None:
    found = entries(packed())
    assert {*found} == {
        ABOUT,
        RECIPE,
        "thumbnail.jpg",
        "styles/stripes.png",
        "styles/dots.png",
        "masks/of-style.png",
        "masks/band.png",
        "licenses/1-LICENSE-styles.txt",
    }
    assert found["licenses/1-LICENSE-styles.txt"] == b"CC0 1.0"
    assert json.loads(found[ABOUT])["layered-nst look"] == 1
    assert str(Path.cwd()).encode() not in found[RECIPE] + found[ABOUT]
    assert Image.open(io.BytesIO(found["thumbnail.jpg"])).size == (80, 40)


def test_a_look_paints_what_its_recipe_paints_wherever_it_lies(folder: Path) -> None:
    look = packed().rename(folder / "elsewhere" / "gift.lnst")
    assert run("apply", "travel.yaml", "--size", "48", "-o", "here.png").code == 0
    for name in ("stripes.png", "dots.png", "of-style.png", "band.png"):
        Path(name).unlink()
    ran = run("apply", look, "-c", "photo.png", "--size", "48", "-o", "there.png")
    assert ran.code == 0, ran.err
    assert (pixels("here.png") == pixels("there.png")).all()
    again = run("apply", "there.png", "-o", "again.png")
    assert again.code == 0, again.err
    assert (pixels("there.png") == pixels("again.png")).all()


def test_a_gallery_paints_looks_beside_recipes(folder: Path) -> None:
    packed()
    ran = run("gallery", folder / "team", "-c", "photo.png", "--size", "32", "--steps", "1")
    assert ran.code == 0, ran.err
    assert "3 recipes" in ran.err


@pytest.mark.parametrize("command", [["check"], ["masks"], ["apply", "--size", "32"]])
def test_a_look_is_a_recipe_to_every_command(command: list[str]) -> None:
    name, *options = command
    ran = run(name, packed(), "-c", "photo.png", *options)
    assert ran.code == 0, ran.err


def test_the_same_look_is_the_same_bytes() -> None:
    first = packed().read_bytes()
    Path("stripes.png").touch()
    assert packed().read_bytes() == first


def test_what_is_set_is_packed() -> None:
    assert b"strength: 0.5" in entries(packed("--set", "regions.light.strength=0.5"))[RECIPE]


def test_a_picture_may_be_the_thumbnail() -> None:
    Image.fromarray(photo(640, 320)).save("shown.png")
    found = entries(packed("--thumbnail", "shown.png"))
    assert Image.open(io.BytesIO(found["thumbnail.jpg"])).size == (256, 128)


def test_files_of_one_name_are_kept_apart() -> None:
    Path("other").mkdir()
    Path("dots.png").rename("other/stripes.png")
    Path("travel.yaml").write_text(LOOK.replace("dots.png", "other/stripes.png"))
    assert {"styles/stripes.png", "styles/stripes-2.png"} <= {*entries(packed())}


def test_a_library_goes_along_with_its_looks() -> None:
    built = run("styles", "build", "dusk", "dots.png", "--scale", "32", "-o", "team.safetensors")
    assert built.code == 0, built.err
    Path("travel.yaml").write_text(LOOK.replace("style: dots.png", "style: {library: team/dusk}"))
    look = packed()
    assert "styles/team.safetensors" in entries(look)
    Path("team.safetensors").unlink()
    ran = run("check", look, "-c", "photo.png")
    assert ran.code == 0, ran.err


def test_shapes_of_its_photo_are_refused_on_others_as_ever(folder: Path) -> None:
    Path("travel.yaml").write_text(LOOK.replace("fixed: true, ", ""))
    look = packed()
    Image.fromarray(photo()[::-1].copy()).save("other.png")
    ran = run("check", look, "-c", "other.png")
    assert ran.code == 1
    assert "region band is drawn for photo.png, not for other.png" in ran.error
    assert run("check", look, "-c", "photo.png").code == 0


def test_masks_for_several_photos_go_along_by_name() -> None:
    Path("photos").mkdir()
    Image.fromarray(photo()[::-1].copy()).save("photos/other.png")
    stated = "photos: {photos/other.png: {band: {mask: band.png}}}\n"
    Path("travel.yaml").write_text(LOOK.replace("fixed: true, ", "") + stated)
    look = packed()
    assert run("check", look, "-c", "photos/other.png").code == 0


def test_a_look_without_a_photo_says_so() -> None:
    ran = run("apply", packed())
    assert (ran.code, "names no photo" in ran.error) == (1, True)


def test_packing_replaces_nothing_but_looks() -> None:
    Path("travel.lnst").write_text("mine")
    ran = run("pack", "travel.yaml")
    assert ran.code == 3
    assert Path("travel.lnst").read_text() == "mine"
    assert run("pack", "travel.yaml", "-o", "look.zip").error.endswith("use .lnst")
    assert run("pack", "travel.yaml", "-o", "free.lnst").code == 0
    assert run("pack", "travel.yaml", "-o", "free.lnst").code == 0


# Bad looks


def rewritten(change: Callable[[dict[str, bytes]], Any]) -> Path:
    """The look with entries changed."""
    found = entries(packed())
    change(found)
    with zipfile.ZipFile("bad.lnst", "w", zipfile.ZIP_DEFLATED) as look:
        for name, data in found.items():
            look.writestr(name, data)
    return Path("bad.lnst")


def refused(look: Path, cache: Path) -> str:
    ran = run("apply", look, "-c", "photo.png", "--size", "16")
    assert ran.code == 1, ran
    assert ran.error.startswith(str(look)), ran.error
    looks = cache / "looks"
    assert not looks.is_dir() or not [*looks.iterdir()], "nothing is left of it"
    return ran.error


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil.png", "leads out of it"),
        ("styles/../../evil.png", "leads out of it"),
        ("/tmp/evil.png", "absolute path"),
        ("C:/evil.png", "absolute path"),
        ("styles\\..\\evil.png", "absolute path"),
        ("styles/", "link or a folder"),
    ],
)
def test_paths_out_of_a_look_are_refused(name: str, reason: str, cache_folder: Path) -> None:
    look = rewritten(lambda found: found.update({name: b"evil" if name[-1] != "/" else b""}))
    assert reason in refused(look, cache_folder)
    assert not list(Path("..").rglob("evil*"))


def test_a_link_in_a_look_is_refused(cache_folder: Path) -> None:
    look = rewritten(lambda found: None)
    link = zipfile.ZipInfo("styles/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(look, "a") as file:
        file.writestr(link, "/etc/passwd")
    assert "link or a folder" in refused(look, cache_folder)


def test_a_bomb_is_not_opened(cache_folder: Path) -> None:
    look = rewritten(lambda found: found.update({"styles/huge.png": bytes(50_000_000)}))
    assert look.stat().st_size < 200_000
    assert "is no look but a trap: " in refused(look, cache_folder)


def test_a_look_of_too_many_files_is_refused(cache_folder: Path) -> None:
    many = {f"masks/{number}.png": b"" for number in range(1001)}
    assert "files in it, allowed: 1000" in refused(
        rewritten(lambda found: found.update(many)), cache_folder
    )


@pytest.mark.parametrize("gone", ["styles/dots.png", "masks/band.png"])
def test_a_look_that_lacks_a_file_says_which(gone: str, cache_folder: Path) -> None:
    look = rewritten(lambda found: found.pop(gone))
    assert refused(look, cache_folder).endswith(f": lacks {gone}")


@pytest.mark.parametrize("gone", [ABOUT, RECIPE])
def test_a_zip_that_is_no_look_is_refused(gone: str, cache_folder: Path) -> None:
    look = rewritten(lambda found: found.pop(gone))
    assert "is no packed look" in refused(look, cache_folder)


def test_a_look_of_another_version_is_refused(cache_folder: Path) -> None:
    look = rewritten(lambda found: found.update({ABOUT: b'{"layered-nst look": 2}'}))
    assert refused(look, cache_folder) == "bad.lnst: is a look of version 2; this program reads 1"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"styles/dots.png", b"/etc/hostname", "names a file that is not in the look: hostname"),
        (b"styles/dots.png", b"../../evil.png", "names a file that is not in the look: evil.png"),
        (b"recipe: 1", b"recipe: 1\nextends: /etc/passwd", "extends another one"),
        (b"recipe: 1", b"recipe: 7", "bad.lnst: recipe.yaml:1: recipe: found 7, allowed: 1"),
        (b"recipe: 1", b"recipe: [", "bad.lnst: recipe.yaml"),
    ],
)
def test_a_recipe_that_reaches_out_of_its_look_is_refused(
    old: bytes, new: bytes, reason: str, cache_folder: Path
) -> None:
    look = rewritten(lambda found: found.update({RECIPE: found[RECIPE].replace(old, new)}))
    assert reason in refused(look, cache_folder)


@pytest.mark.parametrize("cut", [0, 10, 1000])
def test_a_damaged_look_is_refused(cut: int, cache_folder: Path) -> None:
    look = packed()
    Path("bad.lnst").write_bytes(look.read_bytes()[:cut])
    assert "is no packed look, or is damaged" in refused(Path("bad.lnst"), cache_folder)


def test_flipped_bytes_in_a_look_are_noticed(cache_folder: Path) -> None:
    data = bytearray(packed().read_bytes())
    with zipfile.ZipFile("travel.lnst") as look:
        start = look.getinfo("styles/dots.png").header_offset
    data[start + 80] ^= 255
    Path("bad.lnst").write_bytes(data)
    assert "is no packed look, or is damaged" in refused(Path("bad.lnst"), cache_folder)


def test_a_look_that_is_not_there_is_named() -> None:
    ran = run("apply", "gone.lnst", "-c", "photo.png")
    assert (ran.code, ran.error) == (1, "no such file: gone.lnst")
