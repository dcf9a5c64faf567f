"""Painters are taught: what a step lowers, what a break costs, what is scored and said."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from workbench import lay_out, run

from layered_nst.errors import DataError, ModelError, OutputError
from layered_nst.instant.network import Form, Painter
from layered_nst.instant.painter_files import load_painter, read_painter_file
from layered_nst.networks.encoders import Encoder, load_encoder
from layered_nst.styles.colors import color_moments
from layered_nst.styles.moments import blend
from layered_nst.training.checkpoints import training_path
from layered_nst.training.painters.losses import (
    CENTERS,
    TEMPERATURE,
    Contrasts,
    contrast,
    neighbor_differences,
    relative,
    roughness,
    style_code,
)
from layered_nst.training.painters.samples import (
    Sample,
    beside,
    crop,
    draw_samples,
    moved,
    random_regions,
    turned,
    varied,
)
from layered_nst.training.painters.scoring import score_painter
from layered_nst.training.painters.steadiness import CELL, NOISE, Moved, further_along
from layered_nst.training.painters.teaching import (
    DRAFTED,
    SEEN,
    TeachingPlan,
    losses,
    new_state,
    teach,
    update,
)

ASSETS = Path(__file__).parents[1] / "assets"
PLAN = TeachingPlan(form=Form((8, 8, 8, 4), (1, 0, 0, 0)), steps=5, batch=2, crop=64)


@pytest.fixture(scope="module")
def light() -> Encoder:
    return load_encoder("light")


def _small(files: list[Path]) -> list[Tensor]:
    found = []
    for file in files:
        with Image.open(file) as image:
            image.thumbnail((96, 96))
            found.append(torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1))
    return [picture.contiguous() for picture in found]


@pytest.fixture(scope="module")
def photos() -> list[Tensor]:
    return _small(sorted((ASSETS / "photos").glob("*.jpg"))[:3])


@pytest.fixture(scope="module")
def styles() -> list[Tensor]:
    return _small(sorted((ASSETS / "styles").glob("*.jpg"))[:4])


# Losses


def test_contrast_is_what_a_loop_over_queries_gives() -> None:
    torch.manual_seed(0)
    query, key = (torch.nn.functional.normalize(torch.randn(2, 5, 3), dim=2) for _ in range(2))
    total = 0.0
    for b in range(2):
        for i in range(5):
            alike = [float(query[b, i] @ key[b, j]) / TEMPERATURE for j in range(5)]
            total -= np.log(np.exp(alike[i]) / np.exp(alike).sum())
    assert float(contrast(query, key)) == pytest.approx(total / 10, rel=1e-4)


def test_differences_to_neighbors_are_those_of_a_loop() -> None:
    features = torch.randn(1, 2, 5, 6)
    rows, columns = torch.tensor([1, 3]), torch.tensor([2, 4])
    found = neighbor_differences(features, rows, columns)
    assert found.shape == (1, 16, 2)
    expected = [
        features[0, :, r, c] - features[0, :, r + i, c + j]
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
        if (i, j) != (0, 0)
        for r, c in zip((1, 3), (2, 4), strict=True)
    ]
    assert torch.allclose(found[0], torch.stack(expected))


def test_coherence_is_least_where_the_picture_is_the_photo() -> None:
    torch.manual_seed(0)
    contrasts = Contrasts({"conv1_1": 6})
    photo = {"conv1_1": torch.randn(2, 6, 12, 12)}
    other = {"conv1_1": torch.randn(2, 6, 12, 12)}
    with torch.no_grad():
        own, far = (float(contrasts.coherence(p, photo)) for p in (photo, other))
    assert own < far
    tiny = {"conv1_1": torch.randn(1, 6, 1, 1)}
    assert float(contrasts.coherence(tiny, tiny).detach()) == pytest.approx(
        np.log(8 * CENTERS), rel=0.05
    )


def test_styles_are_told_apart_by_their_own() -> None:
    torch.manual_seed(0)
    contrasts = Contrasts({"conv1_1": 4})
    codes = torch.randn(6, 8)
    with torch.no_grad():
        own, other = (contrasts.told_apart(codes, codes.roll(n, 0)) for n in (0, 1))
    assert float(own) < float(other)


def test_a_style_is_called_by_its_means_and_deviations() -> None:
    rows = torch.randn(500, 3) * torch.tensor([1.0, 2.0, 3.0]) + 1
    code = style_code([(rows.mean(0)[None], (rows.T @ rows / 500)[None])])[0]
    mean, spread = rows.mean(0).numpy(), rows.numpy().std(0)
    expected = np.concatenate([mean / np.linalg.norm(mean), spread / np.linalg.norm(spread)])
    assert np.allclose(code.numpy(), expected, atol=1e-3)


def test_relative_and_rough_are_what_numpy_says() -> None:
    a, b = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 4)
    for number in range(2):
        x, y = a[number].numpy(), b[number].numpy()
        assert float(relative(a, b)[number]) == pytest.approx(((x - y) ** 2).sum() / (y**2).sum())
        expected = (np.diff(x, axis=1) ** 2).mean() + (np.diff(x, axis=2) ** 2).mean()
        assert float(roughness(a)[number]) == pytest.approx(expected, rel=1e-5)


# Samples


@pytest.mark.parametrize("count", [1, 2, 4])
def test_random_regions_share_every_pixel(count: int) -> None:
    torch.manual_seed(count)
    for _ in range(10):
        masks = random_regions(count, 48)
        assert 1 <= len(masks) <= count
        assert torch.allclose(masks.sum(0), torch.ones(48, 48), atol=1e-5)
        assert bool((masks.flatten(1).sum(1) > 0).all())


def test_half_of_the_photos_have_several_regions(
    photos: list[Tensor], styles: list[Tensor]
) -> None:
    torch.manual_seed(0)
    drawn = [draw_samples(photos, styles, batch=4, side=64)[0] for _ in range(15)]
    several = [len(sample.masks) > 1 for samples in drawn for sample in samples]
    assert 0.3 < sum(several) / len(several) < 0.7
    kept = [float(sample.amount.max()) == 0 for samples in drawn for sample in samples]
    assert 0 < sum(kept) < len(kept) / 3
    for samples in drawn:
        for sample in samples:
            assert len(set(sample.styles)) == len(sample.styles) == len(sample.masks)
            if float(sample.amount.max()) == 0:
                assert torch.allclose(sample.colors, sample.photo, atol=1e-5)


def test_regions_take_the_mean_colors_of_their_styles() -> None:
    generator = torch.Generator().manual_seed(0)
    photo = 0.4 + 0.2 * torch.rand(3, 32, 32, generator=generator)
    styles = torch.stack([
        torch.tensor(c)[:, None, None] + 0.1 * torch.rand(3, 32, 32, generator=generator)
        for c in ([0.7, 0.2, 0.2], [0.2, 0.2, 0.7])
    ])  # fmt: skip
    masks = torch.zeros(2, 32, 32)
    masks[0, :, :16] = masks[1, :, 16:] = 1
    found = moved(photo, masks, styles, torch.ones(2))
    for mask, style in zip(masks, styles, strict=True):
        mean = color_moments(found, mask).mean
        assert torch.allclose(mean, style.double().mean((1, 2)), atol=0.02)


def test_crops_are_squares_of_any_picture(photos: list[Tensor]) -> None:
    torch.manual_seed(0)
    for _ in range(5):
        cut = crop([*photos, torch.zeros(3, 16, 200, dtype=torch.uint8)], 64)
        assert cut.shape == (3, 64, 64)
        assert float(cut.min()) >= 0
        assert float(cut.max()) <= 1


def test_hues_turned_by_a_third_are_channels_passed_on() -> None:
    picture = 0.3 + 0.3 * torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    third = 2 * math.pi / 3
    assert torch.allclose(turned(picture, third), picture.roll(1, 0), atol=1e-6)
    assert torch.allclose(turned(picture, 0), picture, atol=1e-6)
    gray = turned(picture, 1.0, saturation=0)
    assert torch.allclose(gray, picture.mean(0, keepdim=True).expand(3, -1, -1), atol=1e-6)
    assert torch.allclose(turned(picture, 1.0).mean(0), picture.mean(0), atol=1e-6)


def test_two_styles_beside_one_another_have_the_moments_of_a_blend() -> None:
    one, other = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    whole, parts = torch.ones(16, 16), (torch.zeros(16, 16), torch.zeros(16, 16))
    parts[0][:, :4] = parts[1][:, 4:] = 1
    expected = blend(
        [color_moments(p, m) for p, m in zip((one, other), parts, strict=True)], [1, 3]
    )
    found = color_moments(beside(one, other, 0.25), whole)
    assert torch.allclose(found.mean, expected.mean)
    assert torch.allclose(found.second, expected.second)


def test_styles_are_varied_as_often_as_is_asked_and_stay_pictures(styles: list[Tensor]) -> None:
    torch.manual_seed(0)
    one, other = crop(styles[:1], 32), crop(styles[1:2], 32)
    made = [varied(one, other) for _ in range(30)]
    assert all(float(p.min()) >= 0 and float(p.max()) <= 1 for p in made)
    assert len({round(float(p.mean()), 5) for p in made}) > 20
    torch.manual_seed(0)
    plain = draw_samples(styles, styles, batch=8, side=32)[1]
    for share, apart in ((0.0, 0), (1.0, 8)):
        torch.manual_seed(0)
        shown = draw_samples(styles, styles, batch=8, side=32, variety=share)[1]
        assert sum(not torch.equal(a, b) for a, b in zip(plain, shown, strict=True)) == apart


# Steadiness


def some_samples(side: int = 32) -> list[Sample]:
    """Photos of noise, the second half and half, with a region in its first column alone."""
    generator = torch.Generator().manual_seed(0)
    photos = torch.rand(2, 3, side, side, generator=generator)
    halves = torch.zeros(3, side, side)
    halves[0, :, 0], halves[1, :, 1:16], halves[2, :, 16:] = 1, 1, 1
    ones = torch.ones(1, side, side)
    return [
        Sample(photos[0], photos[0] / 2, ones, (1,), torch.ones(1)),
        Sample(photos[1], photos[1] / 2, halves, (1, 0, 2), torch.tensor([1.0, 0.5, 0.0])),
    ]


def test_what_is_seen_from_further_along_is_the_same_with_noise() -> None:
    samples, corners = some_samples(), set()
    given = torch.stack([sample.colors for sample in samples])
    torch.manual_seed(0)
    for _ in range(40):
        moved = further_along(samples, given)
        row, column = moved.corner
        corners.add(moved.corner)
        for before, after, seen in zip(samples, moved.samples, moved.given, strict=True):
            window = (slice(None), slice(row, row + 24), slice(column, column + 24))
            assert torch.equal(after.photo, before.photo[window])
            assert torch.equal(seen, after.colors)
            noise = (after.colors - before.colors[window])[before.colors[window] > 6 * NOISE]
            assert float(noise.abs().max()) < 6 * NOISE
            assert float(after.masks.sum(0).min()) == float(after.masks.sum(0).max()) == 1
        # A region that is not to be seen from there is nowhere.
        there = [True, True, True] if column == 0 else [False, True, True]
        kept = [s for s, t in zip((1, 0, 2), there, strict=True) if t]
        assert moved.samples[1].styles == tuple(kept)
        assert moved.samples[1].amount.tolist() == [{1: 1.0, 0: 0.5, 2: 0.0}[s] for s in kept]
    assert all(len({corner[side] for corner in corners}) == CELL for side in (0, 1))


def test_the_change_is_that_of_the_same_places() -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(2, 3, 32, 32, generator=generator)
    moved = Moved([], torch.empty(0), (5, 2))
    again = pictures[:, :, 5:29, 2:26].clone()
    again[:, :, 0] = 9  # an edge that has moved
    assert float(moved.change(pictures, again)) == 0
    again[1, 2, 10, 11] += 0.25
    assert float(moved.change(pictures, again)) == pytest.approx(0.25 / (2 * 3 * 8 * 8), rel=1e-5)


def descend(loss: Tensor, weights: list[torch.nn.Parameter], length: float) -> None:
    """A step of this length straight down a loss, which may not hang on all weights."""
    gradients = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
    whole = torch.stack([part.norm() for part in gradients]).norm()
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            weight -= length * gradient / whole


def test_a_painter_becomes_steadier_by_it(
    light: Encoder, photos: list[Tensor], styles: list[Tensor]
) -> None:
    torch.manual_seed(0)
    state = new_state(light, TeachingPlan(), "cpu", load_painter("instant", light))
    samples, shown = draw_samples(photos, styles, batch=2, side=64)
    weights, change = list(state.painter.parameters()), []
    for _ in range(4):
        torch.manual_seed(1)  # the same grain, place and noise
        loss = losses(state, light, samples, shown, PLAN)["steadiness"]
        descend(loss, weights, 2e-4)
        change.append(float(loss.detach()))
    assert all(after < before for before, after in pairwise(change))
    still = losses(state, light, samples, shown, replace(PLAN, steadiness=0))
    assert "steadiness" not in still


# Teaching


def test_steps_lower_the_distance_from_the_styles(
    light: Encoder, photos: list[Tensor], styles: list[Tensor]
) -> None:
    torch.manual_seed(0)
    state = new_state(light, TeachingPlan(), "cpu", load_painter("instant", light))
    samples, shown = draw_samples(photos, styles, batch=2, side=64)
    weights, style = list(state.painter.parameters()), []
    for _ in range(6):
        torch.manual_seed(1)  # the same grain
        loss = losses(state, light, samples, shown, PLAN)["style"]
        descend(loss, weights, 5e-4)
        style.append(float(loss.detach()))
    assert all(after < before for before, after in pairwise(style))


def test_an_update_moves_the_painter_its_average_and_the_contrasts(
    light: Encoder, photos: list[Tensor], styles: list[Tensor]
) -> None:
    torch.manual_seed(0)
    state = new_state(light, PLAN, "cpu")
    parts = (state.painter, state.average, state.contrasts)
    before = [[p.detach().clone() for p in part.parameters()] for part in parts]
    for _ in range(2):
        update(state, light, photos, styles, PLAN, "cpu")
    assert state.step == 2
    for part, old in zip(parts, before, strict=True):
        moved = [not torch.equal(p, q) for p, q in zip(part.parameters(), old, strict=True)]
        assert any(moved)


def test_every_so_many_th_step_is_one_towards_a_draft(
    light: Encoder, photos: list[Tensor], styles: list[Tensor]
) -> None:
    torch.manual_seed(0)
    state = new_state(light, PLAN, "cpu")
    samples, shown = draw_samples(photos, styles, batch=2, side=64)
    assert "draft" not in losses(state, light, samples, shown, PLAN)
    state.step = DRAFTED - 1
    assert float(losses(state, light, samples, shown, PLAN)["draft"].detach()) > 0


def test_gradients_reach_every_weight_of_the_painter(
    light: Encoder, photos: list[Tensor], styles: list[Tensor]
) -> None:
    torch.manual_seed(1)
    state = new_state(light, PLAN, "cpu")
    for parameter in state.painter.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    samples, shown = draw_samples(photos, styles, batch=2, side=64)
    torch.stack(list(losses(state, light, samples, shown, PLAN).values())).sum().backward()
    for name, parameter in state.painter.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0, name


KILLED = """
import os, signal, sys, torch
from pathlib import Path
from layered_nst.instant.network import Form
from layered_nst.networks.encoders import load_encoder
from layered_nst.training.painters.teaching import TeachingPlan, teach
torch.set_num_threads(1)
photos, styles = torch.load(sys.argv[1])
plan = TeachingPlan(form=Form((8, 8, 8, 4), (1, 0, 0, 0)), steps=5, batch=2, crop=64)
def step(number, steps, terms):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
teach(load_encoder("light"), photos, styles, Path(sys.argv[2]), plan=plan, every=2, on_step=step)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
def test_kill_9_loses_the_steps_since_the_last_checkpoint_and_nothing_else(
    light: Encoder, photos: list[Tensor], styles: list[Tensor], tmp_path: Path
) -> None:
    torch.save((photos, styles), tmp_path / "pictures.pt")
    killed, whole = tmp_path / "killed.safetensors", tmp_path / "whole.safetensors"
    words = [sys.executable, "-c", KILLED, str(tmp_path / "pictures.pt"), str(killed)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(words, env=environment, check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert read_painter_file(killed).notes["step"] == 2
    (tmp_path / ".killed.safetensors.training.0123abcd.part").write_bytes(b"half")
    told: list[int] = []
    teach(light, photos, styles, killed, plan=PLAN, every=2, on_step=lambda n, *_: told.append(n))
    assert told == [3, 4, 5]
    teach(light, photos, styles, whole, plan=PLAN, every=2)
    assert killed.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob(".*.part"))
    assert Image.open(tmp_path / "whole.safetensors.png").width > 400
    # A finished one writes its file again without a step.
    whole.unlink()
    teach(light, photos, styles, whole, plan=PLAN, on_step=lambda *_: pytest.fail("a step"))
    assert killed.read_bytes() == whole.read_bytes()


def test_a_checkpoint_of_another_training_is_refused(
    light: Encoder, photos: list[Tensor], styles: list[Tensor], tmp_path: Path
) -> None:
    output = tmp_path / "own.safetensors"
    plan = TeachingPlan(form=PLAN.form, steps=1, batch=1, crop=64)
    teach(light, photos, styles, output, plan=plan)
    longer = TeachingPlan(form=PLAN.form, steps=2, batch=1, crop=64)
    with pytest.raises(ModelError, match=r"made with steps 1, not 2; repeat the command"):
        teach(light, photos, styles, output, plan=longer)
    with pytest.raises(ModelError, match="made with other styles"):
        teach(light, photos, styles[::-1], output, plan=plan)
    start = load_painter(output, light)
    with pytest.raises(ModelError, match="made with another start"):
        teach(light, photos, styles, output, plan=plan, start=start)
    training_path(output).write_bytes(b"broken")
    with pytest.raises(ModelError, match="broken; remove it to start afresh"):
        teach(light, photos, styles, output, plan=plan)


def test_a_training_goes_on_from_a_painter(
    light: Encoder, photos: list[Tensor], styles: list[Tensor], tmp_path: Path
) -> None:
    plan = TeachingPlan(steps=1, batch=1, crop=64, learning_rate=1e-9)
    torch.manual_seed(5)
    start = Painter(PLAN.form, [128, 64, 32])
    teach(light, photos, styles, tmp_path / "own.safetensors", plan=plan, start=start)
    found = load_painter(tmp_path / "own.safetensors", light)
    assert found.form == PLAN.form
    for name, value in start.state_dict().items():
        assert torch.allclose(found.state_dict()[name], value, atol=1e-3), name


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("crop", 63),
        ("crop", 4000),
        ("steps", 0),
        ("batch", 0),
        ("learning_rate", -1.0),
        ("steadiness", -1.0),
    ],
)
def test_numbers_out_of_their_range_are_refused(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{key}: found {value:g}, allowed: "):
        TeachingPlan(**{key: value})  # type: ignore[arg-type]


def test_a_loss_that_is_no_number_ends_the_training(
    light: Encoder, photos: list[Tensor], styles: list[Tensor], tmp_path: Path
) -> None:
    plan = TeachingPlan(form=PLAN.form, steps=9, batch=1, crop=64, learning_rate=1e30)
    with pytest.raises(
        ModelError, match=r"the loss is (nan|inf); try a learning rate below 1e\+30"
    ):
        teach(light, photos, styles, tmp_path / "own.safetensors", plan=plan)


def test_one_picture_is_too_few(light: Encoder, photos: list[Tensor], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="name at least 2"):
        teach(light, photos[:1], photos, tmp_path / "own.safetensors", plan=PLAN)
    with pytest.raises(OutputError, match=r"weights are written as \.safetensors"):
        teach(light, photos, photos, tmp_path / "own.pt", plan=PLAN)


@pytest.mark.slow
def test_a_painter_that_draws_nothing_keeps_no_photo_and_has_the_gain_of_its_colors(
    light: Encoder, photos: list[Tensor], styles: list[Tensor]
) -> None:
    torch.manual_seed(0)
    photos, styles = photos[:1], styles[:2]
    scores = score_painter(Painter(PLAN.form, [128, 64, 32]), light, photos, styles)
    assert scores.keys() == {"gain", "content", "identity"}
    assert scores["identity"] > 0.01
    assert scores["gain"] < 0.9
    bundled = score_painter(load_painter("instant", light), light, photos, styles)
    assert bundled["gain"] > scores["gain"]
    assert bundled["identity"] < scores["identity"]


# The command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    for kind in ("photos", "styles"):
        Path(kind).mkdir()
        for number, picture in enumerate(_small(sorted((ASSETS / kind).glob("*.jpg"))[:2])):
            rgb = picture.permute(1, 2, 0).numpy()
            Image.fromarray(rgb).save(f"{kind}/{number}.png")
    return Path()


SMALL = ("--steps", "1", "--batch", "1", "--crop", "64")


def test_a_painter_is_taught_scored_and_named_in_a_recipe(folder: Path) -> None:
    taught = run("painter", "train", "photos", "styles", "-o", "ours.safetensors", *SMALL, "--json")
    assert taught.code == 0, taught.err
    assert taught.json["painter"] == "ours.safetensors"
    scored = run("painter", "score", "ours.safetensors", "photos", "styles", "--json")
    assert scored.code == 0, scored.err
    assert scored.json["scores"].keys() == {"gain", "content", "identity"}
    words = ("--quality", "instant", "--set", "painter=ours.safetensors", "-o", "out.png")
    assert run("apply", "look.yaml", *words).code == 0
    assert Path("ours.safetensors.png").is_file()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("photos", "styles", "--crop", "20"), 2, "found 20, allowed: 64 to 1024 px"),
        (("nowhere", "styles"), 1, "nowhere"),
        (("photos", "look.yaml"), 1, "look.yaml"),
        (("photos", "styles", "--encoder", "lihgt"), 1, "did you mean light"),
        (("photos", "styles", "--start", "photo.png"), 1, "photo.png"),
        (("photos", "styles", "--start", "none.safetensors"), 1, "no such file of a painter's"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    folder: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    ran = run("painter", "train", *words, "-o", "ours.safetensors", *SMALL[:4])
    assert ran.code == code, ran.err
    assert said in " ".join(ran.err.split())
    assert not Path("ours.safetensors").exists()


def test_layers_that_losses_see_are_those_that_light_has(light: Encoder) -> None:
    assert {*SEEN} <= {*light.layers}
