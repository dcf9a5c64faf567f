"""The script of the gallery that makes posters: paints, and finds room for the text."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, ImageDraw

SCRIPT = Path(__file__).parent.parent / "recipes" / "poster" / "posters.py"


@pytest.fixture(scope="module")
def posters() -> ModuleType:
    spec = importlib.util.spec_from_file_location("posters", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["posters"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_script_makes_a_poster_of_every_product_in_every_look(
    posters: ModuleType, tmp_path: Path
) -> None:
    posters.main([str(tmp_path / "out"), "--size", "96", "--steps", "1"])
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == sorted(
        f"{p.name}-{look}.png" for p in posters.PRODUCTS for look in posters.LOOKS
    )
    for path in (tmp_path / "out").iterdir():
        with Image.open(path) as poster:
            assert poster.size == (96, 64)
            assert min(high - low for low, high in poster.getextrema()) > 60


def test_text_goes_where_the_product_is_not(posters: ModuleType) -> None:
    product = Image.new("L", (300, 200))
    ImageDraw.Draw(product).rectangle((0, 0, 160, 199), 255)
    box = posters.calmest(Image.new("RGB", (300, 200), "gray"), product)
    assert box[0] > 160
    assert box[2] - box[0] == round(300 * posters.BLOCK[0])


def test_where_there_is_little_room_the_text_shrinks(posters: ModuleType) -> None:
    product = Image.new("L", (300, 200), 255)
    ImageDraw.Draw(product).rectangle((200, 0, 299, 60), 0)
    box = posters.calmest(Image.new("RGB", (300, 200), "gray"), product)
    assert box[0] >= 200
    assert box[3] <= 60
    assert 300 * posters.BLOCK[0] / 2 <= box[2] - box[0] < 300 * posters.BLOCK[0]


def test_of_the_free_places_the_calmest_is_taken(posters: ModuleType) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (200, 300, 3), dtype=np.uint8)
    pixels[110:, :150] = 90
    box = posters.calmest(Image.fromarray(pixels), Image.new("L", (300, 200)))
    assert box[0] < 40
    assert box[1] >= 105


def test_text_can_be_read_on_any_ground(posters: ModuleType) -> None:
    rng = np.random.default_rng(0)
    for low, high in ((0, 60), (0, 255), (120, 136), (200, 255)):
        picture = Image.fromarray(rng.integers(low, high, (200, 300, 3), dtype=np.uint8))
        box = (30, 30, 150, 78)
        ink, ground = posters.inks(picture.crop(box))
        under = posters.shaded(picture, box, ink, ground)
        contrast = posters.contrast(np.asarray(under.crop(box)).reshape(-1, 3), ink)
        assert np.quantile(contrast, 0.1) >= 4.5


def test_contrast_is_that_of_the_web_guidelines(posters: ModuleType) -> None:
    assert posters.contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert posters.contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)


def test_a_cutout_is_laid_on_paper_and_a_photo_cropped_to_the_page(posters: ModuleType) -> None:
    for product in posters.PRODUCTS:
        page = posters.page(posters.PHOTOS / product.photo)
        assert page.mode == "RGB"
        assert page.width / page.height == pytest.approx(3 / 2, abs=0.01)
