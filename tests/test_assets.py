"""The bundled photos and style pictures: licensed, readable, big enough, and reproducible."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

ASSETS = Path(__file__).parents[1] / "assets"
PHOTOS = sorted(path for path in (ASSETS / "photos").iterdir() if path.is_file())
STYLES = sorted(path for path in (ASSETS / "styles").iterdir() if path.is_file())
LICENCE = re.compile(r"public domain|CC0 1\.0|CC BY [24]\.0|MIT")


def _row(path: Path) -> list[str]:
    """The cells of the table row in assets/README.md that lists `path`."""
    listed = f"`{path.relative_to(ASSETS).as_posix()}`"
    rows = (ASSETS / "README.md").read_text(encoding="utf-8").splitlines()
    found = [row for row in rows if row.startswith(f"| {listed} |")]
    assert len(found) == 1, f"{listed} has {len(found)} rows in assets/README.md"
    return [cell.strip() for cell in found[0].strip("|").split("|")]


def _pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB"), np.float32) / 255


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    """The script that draws the styles, imported from its file."""
    spec = importlib.util.spec_from_file_location("draw_styles", ASSETS / "draw_styles.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", PHOTOS + STYLES, ids=lambda path: path.name)
def test_every_picture_is_listed_with_a_free_licence(path: Path) -> None:
    assert any(LICENCE.search(cell) for cell in _row(path)[2:])


def test_every_listed_picture_is_there() -> None:
    text = (ASSETS / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `((?:photos|styles)/[^`]+)`", text, re.MULTILINE))
    assert listed == {path.relative_to(ASSETS).as_posix() for path in PHOTOS + STYLES}


@pytest.mark.parametrize("path", PHOTOS, ids=lambda path: path.name)
def test_a_photo_opens_and_has_the_size_it_is_listed_with(path: Path) -> None:
    with Image.open(path) as picture:
        picture.load()
        width, height = picture.size
    assert f"{width} \N{MULTIPLICATION SIGN} {height}" in _row(path)
    assert 450 <= max(width, height) <= 1280


def test_the_cut_out_is_transparent_around_an_opaque_product() -> None:
    with Image.open(ASSETS / "photos" / "bowl-cutout.png") as picture:
        alpha = np.asarray(picture.getchannel("A"))
    assert not alpha[0].any()
    assert not alpha[:, 0].any()
    assert (alpha == 255).mean() > 0.4


@pytest.mark.parametrize("path", STYLES, ids=lambda path: path.name)
def test_a_style_is_large_light_and_textured_all_over(path: Path) -> None:
    with Image.open(path) as picture:
        pixels = _pixels(picture)
    assert pixels.shape == (768, 1024, 3)
    assert path.stat().st_size <= 700_000
    tiles = pixels.reshape(4, 192, 4, 256, 3).std(axis=(1, 3)).mean(-1)
    assert tiles.min() > 0.02, "a flat part would transfer as nothing"


def test_there_are_enough_photos_and_styles_for_the_gallery(drawing: ModuleType) -> None:
    assert len(PHOTOS) >= 6
    assert {path.stem for path in STYLES} == set(drawing.STYLES)
    assert sum(path.stat().st_size for path in PHOTOS) < 4_500_000


def test_a_style_is_drawn_the_same_every_time(drawing: ModuleType) -> None:
    first, second = (drawing.draw("woodcut", size=(192, 144)) for _ in range(2))
    assert first.size == (192, 144)
    assert first.tobytes() == second.tobytes()


def test_the_script_draws_the_picture_that_is_bundled(drawing: ModuleType) -> None:
    drawn = _pixels(drawing.draw("woodcut"))
    with Image.open(ASSETS / "styles" / "woodcut.jpg") as picture:
        bundled = _pixels(picture)
    # JPEG and the rounding of another machine move single pixels, not the picture.
    assert np.abs(drawn - bundled).mean() < 0.02
