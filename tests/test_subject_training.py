"""The subject's head is taught on: by masks, by a teacher, by drawn scenes."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from layered_nst.errors import ModelError
from layered_nst.networks.segmenters import load_segmenter
from layered_nst.networks.segmenters.network import LITE0_MEAN, LITE0_STD
from layered_nst.networks.segmenters.subject import shared_features
from layered_nst.picture import read_picture
from layered_nst.training.segmenters import served
from layered_nst.training.segmenters.careful import Lesson, subject_loss
from layered_nst.training.segmenters.served import Cutout, drawn, on_white
from layered_nst.training.segmenters.subject import (
    SubjectLessons,
    SubjectPlan,
    closely,
    teach_subject,
)

CAT = Path(__file__).parents[1] / "assets" / "photos" / "cat.jpg"
RED = Cutout(
    np.broadcast_to(np.float32([1, 0, 0]), (40, 60, 3)).copy(), np.ones((40, 60), np.float32)
)
GRAY = np.full((80, 120, 3), 0.5, np.float32)
SMALL = SubjectPlan(steps=3, batch=2, side=64, keep=2)


@pytest.fixture(scope="module")
def segmenter() -> Any:
    return load_segmenter("scenes")


def lessons(plan: SubjectPlan) -> SubjectLessons:
    """The upper half of a cat is the subject, and a teacher who takes the left one for it."""
    height, width = read_picture(CAT).size
    upper = torch.zeros(height, width)
    upper[: height // 2] = 1

    def left(photo: Path) -> Tensor:
        return (torch.arange(40) < 20).float().expand(30, 40)

    return SubjectLessons([Lesson(CAT, lambda: upper)], [CAT], left, [RED], [GRAY], plan)


def test_a_close_view_lies_within_the_subjects_box() -> None:
    truth = torch.zeros(200, 300)
    truth[40:160, 100:280] = 1
    sides = []
    for seed in range(20):
        rows, columns = closely(truth, random.Random(seed))
        assert 40 <= rows.start < rows.stop <= 160
        assert 100 <= columns.start < columns.stop <= 280
        sides.append(rows.stop - rows.start)
    assert min(sides) == 48  # of 36
    assert max(sides) > 90
    rows, columns = closely(torch.eye(30), random.Random(1))  # smaller than is shown at least
    assert (rows, columns) == (slice(0, 30), slice(0, 30))


@pytest.mark.parametrize("seed", range(6))
def test_a_thing_is_the_subject_and_its_shadow_is_not(seed: int) -> None:
    scene, subject = served._alone(
        np.full((120, 90, 3), 0.5, np.float32), [RED], random.Random(seed)
    )
    red = (scene[..., 0] > 0.6) & (scene[..., 1:] < 0.02).all(-1)
    assert (red == (subject > 0.99))[(subject > 0.99) | (subject < 0.01)].all()
    assert 0.02 < red.mean() < 0.9


def test_most_things_throw_a_shadow() -> None:
    shaded = 0
    for seed in range(20):
        ground = np.full((120, 90, 3), 0.5, np.float32)
        scene, subject = served._alone(ground, [RED], random.Random(seed))
        shaded += bool((scene[subject < 0.01] < 0.45).any())
    assert 10 <= shaded < 20


@pytest.mark.parametrize("seed", range(4))
def test_a_plate_belongs_to_what_lies_on_it(seed: int) -> None:
    ground = np.full((120, 120, 3), 0.5, np.float32)
    scene, subject = served._dish(ground, [RED], random.Random(seed))
    red = (scene[..., 0] > 0.6) & (scene[..., 1:] < 0.02).all(-1)
    assert red.any()
    assert (subject[red] > 0.9).all()
    assert ((subject > 0.99) & ~red).mean() > 0.02


def test_of_a_drawn_photo_each_pixel_is_told_of() -> None:
    for seed in range(6):
        rgb, subject = drawn([RED], [GRAY], random.Random(seed))
        assert rgb.shape == (3, *subject.shape)
        assert rgb.dtype == subject.dtype == torch.float32
        assert 0 <= float(rgb.min()) <= float(rgb.max()) <= 1
        assert 0.01 < float(subject.mean()) < 0.95


def test_a_thing_before_white_is_cut_out_and_another_photo_is_not(tmp_path: Path) -> None:
    pixels = np.full((60, 80, 3), 255, np.uint8)
    pixels[20:50, 10:70] = (30, 90, 160)
    Image.fromarray(pixels).save(tmp_path / "thing.png")
    found = on_white(tmp_path / "thing.png")
    assert found is not None
    height, width = found.alpha.shape
    assert (abs(height - 28), abs(width - 58)) <= (1, 1)  # a rim is taken off
    assert float(np.abs(found.rgb[found.alpha > 0.5] * 255 - (30, 90, 160)).max()) < 1
    assert on_white(CAT) is None


def test_a_teacher_has_its_share_of_the_aim_and_all_of_it_without_a_mask() -> None:
    plan = SubjectPlan(side=64, drawn=0, untold=0, teacher=0.25, close=0)
    told = lessons(plan)
    told.vary = lambda photo, mask: (photo, mask)
    _, aim = told._crop()
    height, width = aim.shape
    corners = [aim[y, x] for y in (height // 4, -height // 4) for x in (width // 4, -width // 4)]
    assert [round(float(corner), 2) for corner in corners] == [1, 0.75, 0.25, 0]
    untold = lessons(SubjectPlan(side=64, drawn=0, untold=1))
    untold.vary = told.vary
    _, aim = untold._crop()
    assert float(aim[:, : width // 3].min()) == 1
    assert float(aim[:, -width // 3 :].max()) == 0


def test_the_head_is_taught_what_it_is_asked_in_use(segmenter: Any) -> None:
    photo = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    encoder = segmenter.network.encoder
    with torch.no_grad():
        found = shared_features(encoder, photo)
        wanted = encoder((photo - LITE0_MEAN) / LITE0_STD)[1:4]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_teaching_lowers_the_loss_and_leaves_classes_and_normalizations(segmenter: Any) -> None:
    torch.manual_seed(0)
    told = lessons(SMALL)
    photos, aims = told.batch()
    told.batch = lambda: (photos, aims)  # type: ignore[method-assign]
    classes = {k: v.clone() for k, v in segmenter.network.state_dict().items()}
    head = load_segmenter("scenes").subject
    assert head is not None
    statistics = {k: v.clone() for k, v in head.state_dict().items() if "running" in k}
    encoder = segmenter.network.encoder

    def loss() -> float:
        with torch.no_grad():
            return float(subject_loss(head(shared_features(encoder, photos)), aims))

    before, kept = loss(), []
    teach_subject(
        head, encoder, told, SMALL, keep=lambda _, steps: kept.append(steps), told=lambda _: None
    )
    assert loss() < before
    assert kept == [2, 3]
    assert all(torch.equal(v, segmenter.network.state_dict()[k]) for k, v in classes.items())
    assert all(torch.equal(v, head.state_dict()[k]) for k, v in statistics.items())


def test_a_loss_is_that_of_each_crop_alone() -> None:
    generator = torch.Generator().manual_seed(2)
    logits, aims = torch.randn(2, 1, 8, 8, generator=generator), torch.zeros(2, 16, 16)
    aims[0, 4:12, 2:10] = 1
    wanted = 0.0
    for one, aim in zip(logits, aims, strict=True):
        small = aim.reshape(8, 2, 8, 2).mean((1, 3))
        found = one[0].sigmoid()
        wanted -= float((small * found.log() + (1 - small) * (1 - found).log()).mean())
        if aim.any():
            both = float((found * small).sum())
            wanted += 0.5 * (1 - 2 * both / float(found.sum() + small.sum()))
    assert float(subject_loss(logits, aims)) == pytest.approx(wanted / 2, rel=1e-5)


def test_a_loss_that_is_no_number_ends_the_teaching(segmenter: Any) -> None:
    told = lessons(SMALL)
    photos, aims = told.batch()
    told.batch = lambda: (photos * torch.nan, aims)  # type: ignore[method-assign]
    head = load_segmenter("scenes").subject
    assert head is not None
    with pytest.raises(ModelError, match="try a learning rate below"):
        teach_subject(head, segmenter.network.encoder, told, SMALL, keep=lambda *_: None)


def test_a_teaching_that_was_broken_off_ends_as_an_unbroken_one(
    segmenter: Any, tmp_path: Path
) -> None:
    def taught(checkpoint: Path | None, keep: Callable[..., None] = lambda *_: None) -> Any:
        torch.manual_seed(3)
        head = load_segmenter("scenes").subject
        assert head is not None
        encoder = segmenter.network.encoder
        return teach_subject(
            head, encoder, lessons(SMALL), SMALL, keep=keep, told=said.append, checkpoint=checkpoint
        ).state_dict()

    def breaks(_: Any, steps: int) -> None:
        if steps == 3:
            raise KeyboardInterrupt

    said: list[str] = []
    whole = taught(None)
    checkpoint = tmp_path / "head.safetensors.training"
    with pytest.raises(KeyboardInterrupt):
        taught(checkpoint, breaks)
    again = taught(checkpoint)
    assert said[-1] == "goes on after step 2 of 3"
    assert all(torch.equal(value, again[name]) for name, value in whole.items())
    kept: list[int] = []
    done = taught(checkpoint, lambda _, steps: kept.append(steps))
    assert kept == [3]  # so that a file that was lost is written again
    assert all(torch.equal(value, done[name]) for name, value in whole.items())


def test_a_teaching_does_not_go_on_from_another_one(segmenter: Any, tmp_path: Path) -> None:
    encoder, checkpoint = segmenter.network.encoder, tmp_path / "head.safetensors.training"
    for plan in (SMALL, replace(SMALL, batch=3)):
        head = load_segmenter("scenes").subject
        assert head is not None
        with (
            contextlib.nullcontext()
            if plan is SMALL
            else pytest.raises(ModelError, match="made with batch 2, not 3")
        ):
            teach_subject(
                head, encoder, lessons(plan), plan, keep=lambda *_: None, checkpoint=checkpoint
            )


def test_a_bowl_has_a_side_and_what_is_in_it_does_not_hang_over_it() -> None:
    ground, sides = np.full((120, 120, 3), 0.5, np.float32), 0
    for seed in range(12):
        scene, subject = served._dish(ground, [RED], random.Random(seed))
        red = (scene[..., 0] > 0.6) & (scene[..., 1:] < 0.02).all(-1)
        rows = np.flatnonzero((subject > 0.99).any(1))
        below = rows[-1] - np.flatnonzero(red.any(1))[-1]
        sides += bool(below > 0.15 * (rows[-1] - rows[0]))
        assert (subject[red] > 0.9).all()
    assert 2 <= sides < 12


def test_a_mirror_image_has_the_things_colors_and_is_not_the_subject() -> None:
    ground = np.full((120, 90, 3), 0.5, np.float32)
    where = np.zeros((120, 90), np.float32)
    where[30:70, 20:80] = 1
    below = served._mirrored(ground, RED.rgb, where, (30, 20), random.Random(1))
    assert below is not None
    assert below[75, 50, 0] > 0.5 > 0.45 > below[75, 50, 1]
    assert below[75, 50, 0] - below[75, 50, 1] > below[100, 50, 0] - below[100, 50, 1]  # it fades
    assert np.array_equal(below[:25], ground[:25])
    where[:] = 0
    where[30:118, 20:80] = 1  # no room below
    assert served._mirrored(ground, RED.rgb, where, (30, 20), random.Random(1)) is None


def test_a_hard_shadow_begins_at_the_foot() -> None:
    where, ground = np.zeros((120, 120), np.float32), np.ones((120, 120, 3), np.float32)
    where[30:70, 50:60] = 1
    deepest = []
    for seed in range(60):
        dark = served._shaded(ground, where, random.Random(seed))[..., 0] < 0.7
        free = dark & (where == 0)
        if dark[68:74, 48:62].any() and free.any():
            deepest.append(float(served._shaded(ground, where, random.Random(seed)).min()))
    assert min(deepest) < 0.2


def test_what_is_behind_and_on_the_table_is_not_the_subject() -> None:
    table = np.full((120, 160, 3), 0.5, np.float32)
    changed = [
        (abs(served._set(table, [RED], random.Random(seed)) - table).max(-1) > 0.05).mean()
        for seed in range(12)
    ]
    assert min(changed) == 0
    assert max(changed) > 0.1
    behind = served._crowded(table, [RED], random.Random(2))
    assert (abs(behind - table).max(-1) > 0.05).mean() > 0.02
    for seed in range(12):
        _, subject = drawn([RED], [GRAY], random.Random(seed))
        _, count = ndimage.label((subject > 0.5).numpy())
        assert 1 <= count <= 3, seed
