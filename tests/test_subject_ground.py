"""What a plain ground says of a subject, on photos that are drawn here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from elsewhere import OnlyFloat32, there
from torch import Tensor

from layered_nst.networks.segmenters.ground import by_ground

HEIGHT, WIDTH = 240, 320
Y, X = np.mgrid[0:HEIGHT, 0:WIDTH]
FROM_THE_MIDDLE = np.hypot(Y - 120, X - 160)
RING = (FROM_THE_MIDDLE > 50) & (FROM_THE_MIDDLE < 62)
HOLE = FROM_THE_MIDDLE < 46
STEMS = (X % 24 < 5) & (X > 100) & (X < 220) & (Y > 20) & (Y < 100)
GOLD, GREEN, BEIGE = (0.8, 0.6, 0.1), (0.15, 0.4, 0.1), (0.8, 0.75, 0.7)


def backdrop(color: tuple[float, ...] = BEIGE) -> np.ndarray:
    """A wall whose light falls off toward a corner, with a sensor's noise."""
    light = 1 - 0.3 * ((Y / HEIGHT) ** 2 + (X / WIDTH) ** 2) / 2
    noise = np.random.default_rng(0).normal(0, 0.004, (3, HEIGHT, WIDTH))
    return np.clip(np.array(color)[:, None, None] * light + noise, 0, 1)


def with_ring(photo: np.ndarray) -> np.ndarray:
    return np.where(RING, np.array(GOLD)[:, None, None], photo)


def changed(photo: np.ndarray, logits: np.ndarray) -> np.ndarray:
    said = by_ground(torch.from_numpy(logits).float(), torch.from_numpy(photo).float())
    return said.numpy()


def logits(where: np.ndarray, inside: float, outside: float = -6.0) -> np.ndarray:
    return np.where(where, inside, outside)


def test_the_ground_inside_a_ring_is_not_the_ring() -> None:
    said = changed(with_ring(backdrop()), logits(FROM_THE_MIDDLE < 62, 4.0))
    assert (said[HOLE] < 0).mean() > 0.98
    assert (said[RING] > 0).mean() > 0.98


def test_a_device_without_float64_says_the_same() -> None:
    rgb = torch.from_numpy(with_ring(backdrop())).float()
    thought = torch.from_numpy(logits(FROM_THE_MIDDLE < 62, 4.0)).float()
    wanted = by_ground(thought, rgb)
    assert not torch.equal(wanted, thought)
    with OnlyFloat32():
        found = by_ground(there(thought), there(rgb))
    assert torch.equal(found.cpu(), wanted)


def test_so_is_the_white_inside_a_golden_one_on_white() -> None:
    said = changed(with_ring(np.ones((3, HEIGHT, WIDTH))), logits(FROM_THE_MIDDLE < 62, 4.0))
    assert (said[HOLE] < 0).mean() > 0.98
    assert (said[RING] > 0).mean() > 0.98


@pytest.mark.parametrize(("thought_of_it", "is_hole"), [(0.5, True), (4.0, False)])
def test_the_white_inside_a_pale_one_is_where_the_network_is_unsure(
    thought_of_it: float, is_hole: bool
) -> None:
    pale = np.where(RING, np.array([0.98, 0.86, 0.84])[:, None, None], 1.0)
    said = changed(pale, logits(FROM_THE_MIDDLE < 62, thought_of_it))
    assert ((said[HOLE] < 0).mean() > 0.98) == is_hole
    assert (said[RING] > 0).mean() > 0.98


@pytest.mark.parametrize("paper", [BEIGE, (1.0, 1.0, 1.0)])
def test_a_line_drawing_keeps_what_it_draws_around(paper: tuple[float, ...]) -> None:
    ink = np.where(RING, 0.05, 1.0)
    thought = logits(FROM_THE_MIDDLE < 62, 4.0)
    assert (changed(backdrop(paper) * ink, thought)[HOLE] > 0).all()


def test_what_the_network_is_sure_of_stays() -> None:
    thought = logits(FROM_THE_MIDDLE < 62, 7.0)
    assert np.array_equal(changed(with_ring(backdrop()), thought), thought.astype(np.float32))


def test_thin_things_before_a_plain_ground_belong_to_what_they_touch() -> None:
    photo = np.where(STEMS, np.array(GREEN)[:, None, None], backdrop())
    pot = (X > 95) & (X < 225) & (Y >= 100) & (Y < 160)
    photo = np.where(pot, 0.3, photo)
    thought = np.where(pot, 6.0, np.where(STEMS, -1.5, -6.0))
    said = changed(photo, thought)
    assert (thought[STEMS] < 0).all()
    assert (said[STEMS] > 0).mean() > 0.9
    assert (said[~(STEMS | pot)] < 0).mean() > 0.97


def test_what_the_network_takes_for_ground_for_sure_stays_ground() -> None:
    photo = np.where(STEMS, np.array(GREEN)[:, None, None], with_ring(backdrop()))
    said = changed(photo, logits(RING, 6.0))
    assert (said[STEMS & ~RING] < 0).all()


def test_a_shadow_is_ground() -> None:
    shadow = (np.abs(Y - 200) < 14) & (np.abs(X - 160) < 80)
    photo = np.where(shadow & ~RING, 0.5 * backdrop(), with_ring(backdrop()))
    said = changed(photo, np.where(RING, 6.0, -1.0))
    assert (said[shadow & ~RING] < 0).all()


BANDS = (np.abs(X - 160) < 22) & (FROM_THE_MIDDLE >= 60) & (np.abs(Y - 120) < 118)


def mesh() -> np.ndarray:
    return np.where((X + Y) % 4 < 2, 0.55, 0.8)


@pytest.mark.parametrize("bands", ["mesh", "white"])
@pytest.mark.parametrize("ground", [(1.0, 1.0, 1.0), (0.9, 0.55, 0.5)])
def test_a_band_as_colorless_as_a_shadow_belongs_to_the_watch_that_was_cut_out(
    bands: str, ground: tuple[float, ...]
) -> None:
    even = np.ones((3, HEIGHT, WIDTH)) * np.array(ground)[:, None, None]
    color = even * (mesh() if bands == "mesh" else 0.95)
    photo = np.where(FROM_THE_MIDDLE < 60, np.array(GOLD)[:, None, None], even)
    photo = np.where(BANDS, color, photo)
    said = changed(photo, np.where(FROM_THE_MIDDLE < 60, 6.0, np.where(BANDS, -3.0, -7.0)))
    assert (said[BANDS] > 0).mean() > 0.98
    assert (said[~BANDS & (FROM_THE_MIDDLE > 64)] < 0).mean() > 0.98


@pytest.mark.parametrize("fault", ["shadow", "hard shadow", "noise", "black", "apart", "sure"])
def test_what_fades_or_stands_on_no_even_light_ground_or_apart_is_none_of_it(fault: str) -> None:
    even = np.full((3, HEIGHT, WIDTH), 0.02 if fault == "black" else 1.0)
    photo = np.where(FROM_THE_MIDDLE < 60, np.array(GOLD)[:, None, None], even)
    bands = BANDS & (FROM_THE_MIDDLE > 75) if fault == "apart" else BANDS
    if fault == "shadow":
        photo = photo * (1 - 0.5 * np.exp(-(((Y - 190) / 14) ** 2) - ((X - 160) / 40) ** 2))
    elif fault == "hard shadow":
        photo = np.where(bands, 0.7 * photo, photo)
    else:
        photo = np.where(bands, 0.6 * photo + 0.2 * mesh(), photo)
    if fault == "noise":
        photo = photo - np.random.default_rng(0).uniform(0, 0.05, photo.shape)
    doubted = -6.0 if fault == "sure" else -3.0
    said = changed(photo, np.where(FROM_THE_MIDDLE < 60, 6.0, np.where(BANDS, doubted, -7.0)))
    outside = FROM_THE_MIDDLE > 64
    assert (said[outside] < 0).all()


def test_a_pale_fold_as_light_as_the_ground_is_no_hole() -> None:
    # Toward its middle a pale dress comes to be as light as the wall, without a border anywhere.
    shade = np.clip((FROM_THE_MIDDLE - 20) / 42, 0, 1) * 0.12
    photo = backdrop() * (1 - np.where(FROM_THE_MIDDLE < 62, shade, 0))
    thought = logits(FROM_THE_MIDDLE < 62, 4.5)
    assert (changed(photo, thought)[FROM_THE_MIDDLE < 55] > 0).all()


def test_wool_as_light_as_the_ground_is_no_hole() -> None:
    # Its stitches are of 1 px in a photo twice as large: gone where holes are found.
    photo = with_ring(backdrop()).repeat(2, 1).repeat(2, 2)
    stitches = 1 + 0.05 * (-1.0) ** np.add.outer(np.arange(2 * HEIGHT), np.arange(2 * WIDTH))
    knitted = np.where(HOLE.repeat(2, 0).repeat(2, 1), photo * stitches, photo)
    thought = logits(FROM_THE_MIDDLE < 62, 4.0)
    assert (changed(photo, thought)[HOLE] < 0).mean() > 0.98
    assert (changed(knitted, thought)[HOLE] > 0).all()


@pytest.mark.parametrize("kind", ["land", "texture", "white", "filled"])
def test_photos_without_a_plain_ground_are_left_alone(kind: str) -> None:
    photo, thought = with_ring(backdrop()), logits(FROM_THE_MIDDLE < 62, 4.0)
    if kind == "land":
        photo = np.where(Y > 170, np.array(GREEN)[:, None, None], photo)
    if kind == "texture":
        photo = with_ring(backdrop() * (0.6 + 0.4 * (((X // 6) + (Y // 6)) % 2)))
        photo[0] *= np.where((X // 9) % 2, 0.5, 1)
    if kind == "white":
        photo = np.where(RING, np.array([0.98, 0.86, 0.84])[:, None, None], 1.0)
    if kind == "filled":
        thought = np.full((HEIGHT, WIDTH), 4.0)
    assert np.array_equal(changed(photo, thought), thought.astype(np.float32))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("inside", [-6.0, 6.0])
def test_a_backdrop_with_nothing_before_it_is_left_alone(inside: float) -> None:
    thought = logits(np.abs(X - 160) < 40, inside)
    assert np.array_equal(changed(backdrop(), thought), thought.astype(np.float32))


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (16, 16)])
def test_the_smallest_photos_are_taken(size: tuple[int, int]) -> None:
    thought: Tensor = torch.linspace(-3, 3, size[0] * size[1]).reshape(size)
    assert torch.equal(by_ground(thought, torch.full((3, *size), 0.5)), thought)


def test_logits_of_another_size_than_the_photo_keep_theirs() -> None:
    photo = torch.from_numpy(with_ring(backdrop())).float()
    thought = torch.from_numpy(logits(FROM_THE_MIDDLE < 62, 4.0)).float()[::2, ::2]
    said = by_ground(thought, photo)
    assert said.shape == thought.shape
    assert (said[torch.from_numpy(HOLE[::2, ::2])] < 0).float().mean() > 0.97
