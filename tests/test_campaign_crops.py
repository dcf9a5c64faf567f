"""Crops of one form for all photos: as large as can be, the product whole; and what changes."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from workbench import lay_out, photo

from layered_nst.campaign import Campaign
from layered_nst.campaign.campaign import is_same
from layered_nst.campaign.cropping import cropped, extent, window
from layered_nst.campaign.jobs import JobState
from layered_nst.campaign.ledger import Standing
from layered_nst.campaign.work import paint
from layered_nst.errors import CampaignError, PictureError
from layered_nst.files.hashes import file_hash
from layered_nst.recipe import load_recipe


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    return Path()


def largest(size: tuple[int, int], ratio: float) -> tuple[int, int]:
    """Width and height of the largest part of a form, found by trying all widths."""
    height, width = size
    fitting = [w for w in range(1, width + 1) if round(w / ratio) <= height]
    best = max(fitting)
    return best, min(height, max(1, round(best / ratio)))


@pytest.mark.parametrize(
    ("size", "ratio"), [*itertools.product([(300, 400), (400, 300), (101, 97)], [0.8, 1.0, 16 / 9])]
)
def test_a_crop_is_as_large_as_its_form_can_be(size: tuple[int, int], ratio: float) -> None:
    left, top, right, bottom = window(size, ratio, None, called="x")
    wide, high = largest(size, ratio)
    assert abs(right - left - wide) <= 1
    assert abs(bottom - top - high) <= 1
    assert abs((left + right) - size[1]) <= 1, "in the middle"
    assert abs((top + bottom) - size[0]) <= 1


def test_a_product_stays_whole_wherever_it_is() -> None:
    luck = np.random.default_rng(1)
    for _ in range(300):
        height, width = (int(n) for n in luck.integers(60, 400, 2))
        ratio = float(luck.uniform(0.5, 2))
        x, y = np.sort(luck.uniform(0, 1, 2)), np.sort(luck.uniform(0, 1, 2))
        product = (float(x[0]), float(y[0]), float(x[1]), float(y[1]))
        wide, high = largest((height, width), ratio)
        fits = (x[1] - x[0]) * width <= wide - 1 and (y[1] - y[0]) * height <= high - 1
        if not fits:
            continue
        left, top, right, bottom = window((height, width), ratio, product, called="x")
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert left <= x[0] * width + 1
        assert right >= x[1] * width - 1
        assert top <= y[0] * height + 1
        assert bottom >= y[1] * height - 1


def test_a_product_that_would_be_cut_is_told() -> None:
    with pytest.raises(PictureError) as caught:
        window((300, 400), 0.75, (0.1, 0.2, 0.9, 0.8), called="cup.jpg")
    assert str(caught.value) == (
        "cup.jpg: the product takes 80.0% of its width and the crop 56.2%; say keep: most or keep: "
        "center where it may be cut"
    )
    box = window((300, 400), 0.75, (0.2, 0.2, 1.0, 0.8), called="cup.jpg", most=True)
    assert box == (128, 0, 353, 300), "its middle, at 240 px, is that of the crop"


def test_the_extent_of_a_mask_is_that_of_its_pixels() -> None:
    mask = torch.zeros(40, 50)
    assert extent(mask) is None
    mask[10:20, 5:30] = 1
    assert extent(mask) == (0.1, 0.25, 0.6, 0.5)


def test_a_crop_around_a_product_of_the_recipe_holds_its_pixels() -> None:
    pixels = photo(96, 48)
    Image.fromarray(pixels).save("wide.png")
    Path("product.yaml").write_text(
        Path("look.yaml").read_text().replace("[0, 0, 1, 0.5]", "[0.75, 0.2, 0.95, 0.8]")
        + "strategy: product-then-style\nproduct: sky\n"
    )
    more = {"formats": {"square": {"crop": "1:1"}}}
    (job,) = Campaign.of("product.yaml", ["wide.png"], "out", more=more).jobs().jobs
    recipe = load_recipe("product.yaml", content="wide.png", overrides=job.overrides)
    path = cropped(job, recipe, file_hash(Path("wide.png")))
    found = np.asarray(Image.open(path))
    assert found.shape == (48, 48, 3)
    starts = [s for s in range(49) if (pixels[:, s : s + 48] == found).all()]
    assert starts
    assert starts[0] <= 72
    assert starts[-1] + 48 >= 91, "the product, from 72 to 91 px, is in it"
    assert cropped(job, recipe, file_hash(Path("wide.png"))) == path


def test_where_no_product_is_named_the_subject_of_the_photo_is_kept() -> None:
    coffee = Path(__file__).parents[1] / "assets" / "photos" / "coffee.jpg"
    more = {"formats": {"story": {"crop": "9:16", "keep": "most"}}}
    (job,) = Campaign.of("look.yaml", [coffee], "out", more=more).jobs().jobs
    recipe = load_recipe("look.yaml", content=coffee, overrides=job.overrides)
    crop = Image.open(cropped(job, recipe, file_hash(coffee)))
    whole = Image.open(coffee)
    assert crop.height == whole.height
    assert abs(crop.width - whole.height * 9 / 16) <= 1


def test_a_photo_that_is_drawn_on_is_not_cropped() -> None:
    text = Path("look.yaml").read_text().replace("    fixed: true\n", "")
    Path("drawn.yaml").write_text(text)
    more = {"formats": {"square": {"crop": "1:1"}}}
    (job,) = Campaign.of("drawn.yaml", ["photo.png"], "out", more=more).jobs().jobs
    with pytest.raises(PictureError, match="regions are drawn on it, which a crop to 1:1 would"):
        cropped(job, load_recipe("drawn.yaml", content="photo.png"), "hash")


# what changes while it is painted


def quick(name: str = "look.yaml") -> Campaign:
    more = {"quality": "draft", "set": {"optimize.steps": 2, "size": 32}}
    return Campaign.of(name, ["photo.png"], "out", more=more)


def test_of_a_photo_that_changes_while_it_is_painted_the_one_that_was_read_counts() -> None:
    (job,) = quick().jobs().jobs
    before = file_hash(Path("photo.png"))

    def replaced(told: object) -> None:
        Image.fromarray(255 - photo()).save("photo.png")

    outcome = paint(job, replaced, threading.Event())
    assert outcome.photo_key == before
    (now,) = quick().jobs().jobs
    known = Standing(JobState.DONE, job.spec, outcome.photo_key, job.photo_state)
    assert not is_same(now, known), "the next run paints the new one"


def test_a_style_that_changes_while_a_campaign_runs_is_told_and_not_mixed_in() -> None:
    (job,) = quick().jobs().jobs
    Image.open("dots.png").rotate(90).save("stripes.png")
    with pytest.raises(CampaignError, match="has changed since the campaign was begun"):
        paint(job, lambda _: None, threading.Event())
    assert not Path(job.output).exists()
