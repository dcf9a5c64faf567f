"""Light encoders: chosen, trained, stored, scored, used, and gone on with after a break."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from narrow import narrow_encoder
from PIL import Image
from torch import Tensor
from workbench import lay_out, run

from layered_nst.cli import encoder as encoder_command
from layered_nst.errors import DataError, LayeredNstWarning, ModelError, OutputError, PictureError
from layered_nst.networks.encoders import Encoder, contour_logits, load_encoder
from layered_nst.networks.encoders.contours import contour_layers
from layered_nst.networks.encoders.encoder_files import (
    EncoderFile,
    read_encoder_file,
    write_encoder_file,
)
from layered_nst.training.checkpoints import training_path
from layered_nst.training.encoders.distilling import distill
from layered_nst.training.encoders.matching import DistillPlan, distillation_loss, moment_error
from layered_nst.training.encoders.pictures import (
    find_pictures,
    pictures_digest,
    read_training_pictures,
    split,
    training_crops,
)
from layered_nst.training.encoders.scoring import nearest_basis, score_encoder, student_errors
from layered_nst.training.encoders.students import (
    RIDGE,
    Student,
    linear_map,
    new_student,
    pivots,
    polar,
    save_student,
    student_of,
    student_widths,
)

ASSETS = Path(__file__).parents[1] / "assets"
PLAN = DistillPlan(width=0.5, steps=9, batch=2, crop=32)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def teacher() -> Encoder:
    return load_encoder("hed-vgg16")


@pytest.fixture(scope="module")
def small() -> Encoder:
    """A teacher of a few channels, which a student has half of, with HED's heads."""
    return narrow_encoder(widths=(16, 16, 16, 24, 24), dtype=torch.float32)


@pytest.fixture(scope="module")
def pictures() -> list[Tensor]:
    """Six bundled photos and styles, 72 px on the longer side."""
    files = [*sorted((ASSETS / "photos").glob("*.jpg"))[:3], *sorted(ASSETS.glob("styles/*.jpg"))]
    found = []
    for file in files[:6]:
        with Image.open(file) as image:
            image.thumbnail((72, 72))
            found.append(torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1))
    return [picture.contiguous() for picture in found]


@pytest.fixture(scope="module")
def crops(pictures: list[Tensor]) -> Tensor:
    torch.manual_seed(0)
    return training_crops(pictures, batch=16, side=48)


# Students


def most_telling(rows: np.ndarray, count: int) -> list[int]:
    """Channel by channel the one that least squares tells worst from those chosen before it."""
    chosen: list[int] = []
    for _ in range(count):
        base = rows[:, chosen]
        told = base @ np.linalg.lstsq(base, rows, rcond=None)[0]
        left = ((rows - told) ** 2).sum(0)
        left[chosen] = -1
        chosen.append(int(left.argmax()))
    return chosen


def test_channels_are_chosen_that_least_squares_tells_worst_from_the_others() -> None:
    rows = random(40, 7).double() @ random(7, 7, seed=1).double()
    found = pivots(rows.T @ rows / len(rows), 5)
    assert found.tolist() == most_telling(rows.numpy(), 5)


def test_no_channel_is_chosen_twice_even_when_nothing_is_left_to_tell() -> None:
    rows = random(40, 2) @ random(2, 9, seed=1)
    rows[:, 4] = 0
    found = pivots(rows.T @ rows, 9)
    assert sorted(found.tolist()) == list(range(9))
    assert sorted(pivots(torch.zeros(3, 3), 3).tolist()) == [0, 1, 2]


def test_the_linear_map_is_that_of_least_squares_with_a_ridge() -> None:
    source, target = random(60, 4), random(60, 6, seed=1)
    ridge = RIDGE * float((source**2).sum(0).mean())
    left = np.vstack([source.numpy(), math.sqrt(ridge) * np.eye(4)]).astype(np.float64)
    right = np.vstack([target.numpy(), np.zeros((4, 6))]).astype(np.float64)
    wanted = np.linalg.lstsq(left, right, rcond=None)[0].T
    assert np.allclose(linear_map(source, target).numpy(), wanted, atol=1e-5)


def test_the_polar_form_is_an_isometry_and_a_stretch() -> None:
    matrix = random(9, 4)
    basis, stretch = polar(matrix)
    assert torch.allclose(basis.T @ basis, torch.eye(4), atol=1e-6)
    assert torch.allclose(stretch, stretch.T, atol=1e-6)
    assert torch.linalg.eigvalsh(stretch).min() > 0
    assert torch.allclose(basis @ stretch, matrix, atol=1e-5)


def test_widths_are_multiples_of_eight_and_the_first_layer_is_wider(teacher: Encoder) -> None:
    widths = student_widths(teacher, width=0.25, first=2.0)
    assert [widths[layer] for layer in ("conv1_1", "conv1_2", "conv2_1", "conv5_3")] == [
        *(32, 16, 32, 128)
    ]
    tiny = student_widths(teacher, width=0.001, first=2.0)
    assert set(tiny.values()) == {8}
    whole = student_widths(teacher, width=1.0, first=2.0)
    assert all(whole[layer] == teacher.width(layer) for layer in teacher.layers)


@pytest.mark.slow
def test_a_student_as_wide_as_its_teacher_sees_the_same_from_the_start(
    small: Encoder,
    teacher: Encoder,
    pictures: list[Tensor],
    crops: Tensor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = new_student(teacher, crops, student_widths(teacher, width=1.0, first=1.0))
    errors = student_errors(whole, teacher, [picture[:, :48, :48] for picture in pictures])
    # So few crops have fewer positions of deeper layers than these have channels.
    assert all(errors[layer] < 1e-3 for layer in teacher.layers[:7])
    monkeypatch.setattr("layered_nst.training.encoders.students.RIDGE", 1e-9)
    student = new_student(small, crops, student_widths(small, width=1.0, first=1.0))
    assert max(student_errors(student, small, pictures).values()) < 2e-3


def test_a_narrow_student_of_chosen_channels_sees_more_than_one_of_others(
    teacher: Encoder, pictures: list[Tensor], crops: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = student_errors(
        new_student(teacher, crops, student_widths(teacher, width=0.25, first=2.0)),
        teacher,
        pictures,
    )
    monkeypatch.setattr(
        "layered_nst.training.encoders.students.pivots", lambda second, count: torch.arange(count)
    )
    first = student_errors(
        new_student(teacher, crops, student_widths(teacher, width=0.25, first=2.0)),
        teacher,
        pictures,
    )
    assert all(0 < chosen[layer] < first[layer] for layer in teacher.layers[:10])


# The loss


def test_the_moment_error_is_that_of_explicit_sums() -> None:
    seen, target = random(3, 20, 4).double(), 1 + random(3, 20, 4, seed=1).double()
    total = 0.0
    for ours, theirs in zip(seen.numpy(), target.numpy(), strict=True):
        spread, wanted = (np.cov(rows.T, bias=True) for rows in (ours, theirs))
        total += ((spread - wanted) ** 2).sum() / (wanted**2).sum()
        total += ((ours.mean(0) - theirs.mean(0)) ** 2).sum() / (theirs.mean(0) ** 2).sum()
    assert float(moment_error(seen, target)) == pytest.approx(total / 3, rel=1e-10)


def test_the_loss_is_the_weighted_sum_of_relative_errors(
    small: Encoder, crops: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = new_student(small, crops, student_widths(small, width=0.5, first=2.0))
    plan = DistillPlan(weights={"conv2_1": 3.0}, others=0.5, moments=0.3)
    targets = small(crops[:2], small.layers)
    energy = {layer: 0.1 * number for number, layer in enumerate(small.layers, 1)}
    wanted = 0.0
    for layer, features in student(crops[:2]).items():
        seen = torch.einsum("bchw,kc->bkhw", features, student.maps[layer])
        error = (seen - targets[layer]).square().mean() / energy[layer]
        if layer == "conv2_1":
            rows = (t.flatten(2).transpose(1, 2) for t in (seen, targets[layer]))
            error = error + 0.3 * moment_error(*rows)
        wanted += float((3.0 if layer == "conv2_1" else 0.5) * error.detach())
    monkeypatch.setattr("layered_nst.training.encoders.matching.POSITIONS", 48 * 48)
    found = distillation_loss(student, crops[:2], targets, plan, energy)
    assert float(found.detach()) == pytest.approx(wanted, rel=1e-4)


# Files


@pytest.fixture(scope="module")
def light(
    teacher: Encoder, crops: Tensor, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Student, Path]:
    """An untrained student of hed-vgg16 whose kernels are those of its file, and that file."""
    student = new_student(teacher, crops, student_widths(teacher, width=0.25, first=2.0))
    with torch.no_grad():
        for layer in teacher.layers:
            for kernels in student.kernels(layer):
                kernels.copy_(kernels.half())
    path = tmp_path_factory.mktemp("light") / "ours.safetensors"
    save_student(student, teacher, path, notes={"teacher": "hed-vgg16"})
    return student, path


def rows_of(features: Tensor) -> Tensor:
    return features[0].flatten(1).T.double()


@torch.no_grad()
def test_stored_features_have_the_distances_and_moments_of_the_mapped_ones(
    light: tuple[Student, Path], crops: Tensor
) -> None:
    student, path = light
    encoder, picture = load_encoder(path), crops[:1]
    stored = encoder(picture, encoder.layers)
    for layer, features in student(picture).items():
        ours = rows_of(stored[layer])
        wanted = rows_of(features) @ student.maps[layer].double().T
        assert ours.shape[1] < wanted.shape[1]
        distances = torch.cdist(wanted, wanted)
        assert (torch.cdist(ours, ours) - distances).abs().max() < 2e-3 * distances.max()
        for one, other in ((ours, wanted), (ours - ours.mean(0), wanted - wanted.mean(0))):
            assert float((one.T @ one).norm()) == pytest.approx(
                float((other.T @ other).norm()), rel=2e-3
            )
        assert float(ours.mean(0).norm()) == pytest.approx(float(wanted.mean(0).norm()), rel=2e-3)


@torch.no_grad()
def test_stored_contour_heads_read_what_the_teacher_s_read_of_the_mapped_features(
    teacher: Encoder, light: tuple[Student, Path], crops: Tensor
) -> None:
    student, path = light
    encoder, picture = load_encoder(path), crops[:1]
    assert encoder.has_contours
    layers = contour_layers(encoder)
    logits = contour_logits(encoder, encoder(picture, layers))
    seen = student(picture)
    mapped = {
        layer: torch.einsum("bchw,kc->bkhw", seen[layer], student.maps[layer]) for layer in layers
    }
    for found, wanted in zip(logits, contour_logits(teacher, mapped), strict=True):
        assert (found - wanted).abs().max() < 5e-3 * wanted.abs().max()
    assert torch.equal(encoder.head("fuse")[0], teacher.head("fuse")[0].half().float())


def test_a_stored_encoder_is_the_student_again_but_for_rounding(
    small: Encoder, pictures: list[Tensor], crops: Tensor, tmp_path: Path
) -> None:
    student = new_student(small, crops, student_widths(small, width=0.5, first=2.0))
    save_student(student, small, tmp_path / "a.safetensors", notes={})
    again = student_of(load_encoder(tmp_path / "a.safetensors"), small, crops)
    before, after = (student_errors(one, small, pictures) for one in (student, again))
    for layer, error in before.items():
        assert again.kernels(layer)[0].shape == student.kernels(layer)[0].shape
        assert after[layer] == pytest.approx(error, rel=0.01, abs=1e-5)


def test_a_student_of_a_teacher_without_contours_has_none(crops: Tensor, tmp_path: Path) -> None:
    blind = narrow_encoder(widths=(8, 8, 8, 8, 8), dtype=torch.float32, heads=False)
    save_student(
        new_student(blind, crops, student_widths(blind, width=1.0, first=1.0)),
        blind,
        tmp_path / "a.safetensors",
        notes={},
    )
    assert not load_encoder(tmp_path / "a.safetensors").has_contours


# Training


def test_a_training_lowers_the_error_and_says_so_in_the_file(
    small: Encoder, pictures: list[Tensor], tmp_path: Path
) -> None:
    output, losses = tmp_path / "own.safetensors", list[float]()
    plan = DistillPlan(width=0.5, steps=100, batch=2, crop=32, learning_rate=5e-3)
    at = dict[int, dict[str, float]]()
    found = distill(
        small,
        pictures,
        output,
        plan=plan,
        every=25,
        on_step=lambda step, steps, loss: losses.append(loss),
        on_score=lambda step, scores: at.update({step: dict(scores)}),
    )
    assert list(at) == [25, 50, 75, 100]
    assert found == at[100]
    assert len(losses) == 100
    # What is scored is a slow average of the weights.
    means = [sum(scores.values()) / len(scores) for scores in at.values()]
    assert means == sorted(means, reverse=True)
    assert means[-1] < means[0] - 1e-3
    file = read_encoder_file(output)
    assert file.notes["step"] == 100
    assert file.notes["unexplained"] == {k: round(v, 4) for k, v in found.items()}
    assert file.notes["plan"]["width"] == 0.5


def test_a_training_goes_on_from_an_encoder_as_wide_as_that_is(
    small: Encoder, pictures: list[Tensor], tmp_path: Path
) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    plan = DistillPlan(width=0.75, steps=30, batch=2, crop=32, learning_rate=5e-3)
    before = distill(small, pictures, first, plan=plan)
    start = load_encoder(first)
    # So small a step that what comes out has the kernels that it began with.
    longer = DistillPlan(steps=1, batch=2, crop=32, learning_rate=1e-7)
    after = distill(small, pictures, second, plan=longer, start=start)
    assert after == pytest.approx(before, abs=0.03)
    ended = load_encoder(second)
    for layer in start.layers:
        kernels = ended._tensor(layer, "weight"), start._tensor(layer, "weight")
        assert torch.allclose(*kernels, atol=1e-3), layer
    assert [ended.width(layer) for layer in ended.layers] == [
        start.width(layer) for layer in start.layers
    ]
    notes = read_encoder_file(second).notes
    assert notes["start"] == {"encoder": "first", "fingerprint": start.fingerprint}
    assert "width" not in notes["plan"]
    # From the checkpoint, which says the same of where it began.
    second.unlink()
    assert distill(small, pictures, second, plan=longer, start=start) == after
    with pytest.raises(OutputError, match="would replace a file that is read"):
        distill(small, pictures, second, plan=longer, start=ended)
    elsewhere = load_encoder(shutil.copy(second, tmp_path / "third.safetensors"))
    for other in (None, elsewhere):
        with pytest.raises(ModelError, match="training: made with another start;"):
            distill(small, pictures, second, plan=longer, start=other)


def test_a_start_that_is_not_of_the_teacher_s_kind_is_refused(
    small: Encoder, pictures: list[Tensor], tmp_path: Path
) -> None:
    wider = narrow_encoder(widths=(16, 16, 16, 24, 32), dtype=torch.float32)
    with pytest.raises(ModelError, match="has 32 channels at conv5_1, more than the 24 of its"):
        distill(small, pictures, tmp_path / "a.safetensors", plan=PLAN, start=wider)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_real_teacher_is_learned_from_in_either_precision(
    teacher: Encoder, pictures: list[Tensor], tmp_path: Path
) -> None:
    for bfloat16 in (False, True):
        plan = DistillPlan(steps=2, batch=2, crop=32, bfloat16=bfloat16)
        output = tmp_path / f"{bfloat16}.safetensors"
        scores = distill(teacher, pictures, output, plan=plan)
        assert scores.keys() == set(teacher.layers)
        assert scores["conv1_1"] < 0.05
        assert load_encoder(output).width("conv4_2") == 128


class BrokenOffError(Exception):
    pass


def test_a_training_broken_off_goes_on_to_the_same_file(
    small: Encoder, pictures: list[Tensor], tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    wanted = distill(small, pictures, whole, plan=PLAN, every=2)

    def stop(step: int, steps: int, loss: float) -> None:
        if step == 5:
            raise BrokenOffError

    with pytest.raises(BrokenOffError):
        distill(small, pictures, parts, plan=PLAN, every=2, on_step=stop)
    assert parts.read_bytes() != whole.read_bytes()
    torch.manual_seed(77)
    steps = list[int]()
    found = distill(
        small, pictures, parts, plan=PLAN, every=2, on_step=lambda step, *_: steps.append(step)
    )
    assert steps == [5, 6, 7, 8, 9]
    assert found == wanted
    assert parts.read_bytes() == whole.read_bytes()


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from narrow import narrow_encoder
from layered_nst.training.encoders.distilling import distill
from layered_nst.training.encoders.matching import DistillPlan
small = narrow_encoder(widths=(16, 16, 16, 24, 24), dtype=torch.float32)
pictures = torch.load(sys.argv[1], weights_only=True)
plan = DistillPlan(width=0.5, steps=9, batch=2, crop=32)
def step(step, steps, loss):
    if step == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
distill(small, pictures, Path(sys.argv[2]), plan=plan, every=2, on_step=step)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
def test_kill_9_loses_the_steps_since_the_last_checkpoint_and_nothing_else(
    small: Encoder, pictures: list[Tensor], tmp_path: Path
) -> None:
    torch.save(pictures, tmp_path / "pictures.pt")
    killed, whole = tmp_path / "killed.safetensors", tmp_path / "whole.safetensors"
    words = [sys.executable, "-c", KILLED, str(tmp_path / "pictures.pt"), str(killed)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([*words, "7"], env=environment, check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert read_encoder_file(killed).notes["step"] == 6
    # What a process that is killed while it writes would leave.
    (tmp_path / ".killed.safetensors.training.0123abcd.part").write_bytes(b"half")
    distill(small, pictures, killed, plan=PLAN, every=2)
    distill(small, pictures, whole, plan=PLAN, every=2)
    assert killed.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob(".*.part"))


def test_a_finished_training_writes_its_file_again_without_a_step(
    small: Encoder, pictures: list[Tensor], tmp_path: Path
) -> None:
    output = tmp_path / "own.safetensors"
    first = distill(small, pictures, output, plan=PLAN, every=4)
    stored = output.read_bytes()
    output.unlink()
    again = distill(
        small, pictures, output, plan=PLAN, on_step=lambda *_: pytest.fail("a step was made")
    )
    assert again == first
    assert output.read_bytes() == stored


def test_a_checkpoint_of_other_pictures_teacher_or_plan_is_refused(
    small: Encoder, pictures: list[Tensor], tmp_path: Path
) -> None:
    output = tmp_path / "own.safetensors"
    distill(small, pictures, output, plan=PLAN)
    other = narrow_encoder(widths=(16, 16, 16, 24, 24), dtype=torch.float32, seed=1)
    brighter = [(picture.int() + 1).clamp(max=255).to(torch.uint8) for picture in pictures]
    longer = DistillPlan(width=0.5, steps=12, batch=2, crop=48)
    with pytest.raises(ModelError, match=r"own\.safetensors\.training: made with other pictures;"):
        distill(small, brighter, output, plan=PLAN)
    with pytest.raises(ModelError, match="made with other pictures"):
        distill(small, pictures[::-1], output, plan=PLAN)
    with pytest.raises(ModelError, match="made with another teacher"):
        distill(other, pictures, output, plan=PLAN)
    with pytest.raises(ModelError, match="made with steps 9, not 12 and crop 32, not 48; repeat"):
        distill(small, pictures, output, plan=longer)


def test_a_checkpoint_of_before_it_knew_its_pictures_is_gone_on_from(
    small: Encoder, pictures: list[Tensor], tmp_path: Path
) -> None:
    output = tmp_path / "own.safetensors"
    wanted = distill(small, pictures, output, plan=PLAN)
    checkpoint = training_path(output)
    saved = torch.load(checkpoint, weights_only=True)
    torch.save(
        {k: v for k, v in saved.items() if k not in ("pictures", "teacher", "start")}, checkpoint
    )
    assert distill(small, pictures, output, plan=PLAN) == wanted


@pytest.mark.parametrize("what", ["cut", "text", "a list", "a hole", "another shape"])
def test_a_broken_checkpoint_is_refused_by_name(
    small: Encoder, pictures: list[Tensor], tmp_path: Path, what: str
) -> None:
    output = tmp_path / "own.safetensors"
    distill(small, pictures, output, plan=PLAN)
    checkpoint = training_path(output)
    saved = torch.load(checkpoint, weights_only=True)
    match what:
        case "cut":
            checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
        case "text":
            checkpoint.write_text("steps: 9")
        case "a list":
            torch.save([1], checkpoint)
        case "a hole":
            torch.save({k: v for k, v in saved.items() if k != "average"}, checkpoint)
        case "another shape":
            name = "maps.conv1_1"
            torch.save({**saved, "student": {**saved["student"], name: torch.ones(2)}}, checkpoint)
    with pytest.raises(ModelError, match=r"own\.safetensors\.training: broken; remove it"):
        distill(small, pictures, output, plan=PLAN)


def test_an_output_that_cannot_be_written_is_refused_before_the_training(
    small: Encoder, pictures: list[Tensor], tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(b"mine")
    for path, sentence in (
        (tmp_path / "own.pth", r"weights are written as \.safetensors"),
        (tmp_path / "nowhere" / "own.safetensors", "no such folder"),
        (foreign, "is there and is no encoder that was distilled; name another"),
    ):
        with pytest.raises(OutputError, match=sentence):
            distill(small, pictures, path, on_step=lambda *_: pytest.fail("a step was made"))
    assert foreign.read_bytes() == b"mine"


def test_a_loss_that_is_no_number_stops_the_training_and_keeps_nothing(
    small: Encoder, pictures: list[Tensor], tmp_path: Path
) -> None:
    plan = DistillPlan(width=0.5, steps=9, batch=2, crop=32, learning_rate=1e38)
    with pytest.raises(ModelError, match=r"step \d: the loss is (nan|inf); try a learning rate"):
        distill(small, pictures, tmp_path / "own.safetensors", plan=plan)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"width": 0.0}, "width: found 0, allowed: a number above 0 and at most 1"),
        ({"width": 1.01}, "width: found 1.01, allowed"),
        ({"width": math.nan}, "width: found nan, allowed"),
        ({"crop": 31}, "crop: found 31, allowed: 32 to 1024 px"),
        ({"crop": 2000}, "crop: found 2000, allowed"),
        ({"batch": 0}, "batch: found 0, allowed: a whole number of at least 1"),
        ({"steps": 0}, "steps: found 0, allowed"),
        ({"learning_rate": math.inf}, "learning_rate: found inf, allowed: a number above 0"),
    ],
)
def test_a_plan_with_a_number_out_of_range_is_refused(
    value: dict[str, float], sentence: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        DistillPlan(**value)  # type: ignore[arg-type]


# Pictures


def test_pictures_are_found_in_folders_by_path_and_in_the_order_named(tmp_path: Path) -> None:
    folder = tmp_path / "album"
    for name in ("b.png", "a/z.PNG", ".hidden/c.png", "a/.d.png", "no suffix", "c.txt"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20)).save(path, "PNG")
    (folder / "c.txt").write_text("no picture")
    (folder / "broken.jpg").write_text("a picture by its name")
    names = ["a/z.PNG", "b.png", "broken.jpg", "no suffix"]
    assert find_pictures([folder]) == [folder / name for name in names]
    alone = folder / "b.png"
    assert find_pictures([alone, folder, folder])[:2] == [alone, folder / "a/z.PNG"]
    assert len(find_pictures([alone, folder, folder])) == 9
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no pictures in it"):
        find_pictures([tmp_path / "empty"])
    with pytest.raises(PictureError, match=r"no such picture: .*albun \(did you mean album\?\)"):
        find_pictures([tmp_path / "albun"])


def test_pictures_of_any_kind_are_read_upright_shrunk_and_without_holes(tmp_path: Path) -> None:
    deep = np.full((30, 40, 3), 32896, np.uint16)
    wide = Image.new("RGB", (1800, 400), (10, 200, 30))
    turned = Image.new("RGB", (40, 20), "red")
    turned.save(tmp_path / "turned.jpg", exif=_turned())
    wide.save(tmp_path / "wide.webp")
    hole = np.zeros((20, 20, 4), np.uint8)
    hole[:, :10] = (0, 0, 255, 255)
    Image.fromarray(hole).save(tmp_path / "hole.png")
    Image.new("L", (20, 24), 77).save(tmp_path / "gray.bmp")
    _write_deep(tmp_path / "deep.tiff", deep)
    found = dict(
        zip(
            [path.name for path in find_pictures([tmp_path])],
            read_training_pictures(find_pictures([tmp_path])),
            strict=True,
        )
    )
    assert {name: tuple(picture.shape) for name, picture in found.items()} == {
        "deep.tiff": (3, 30, 40),
        "gray.bmp": (3, 24, 20),
        "hole.png": (3, 20, 20),
        "turned.jpg": (3, 40, 20),
        "wide.webp": (3, 200, 900),
    }
    assert {picture.dtype for picture in found.values()} == {torch.uint8}
    assert found["deep.tiff"].unique().tolist() == [128]
    assert found["gray.bmp"].unique().tolist() == [77]
    assert found["hole.png"][:, 10, 19].tolist() == [0, 0, 255]
    assert (found["wide.webp"].float().mean((1, 2)) - Tensor([10, 200, 30])).abs().max() < 4


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[274] = 6
    return exif


def _write_deep(path: Path, pixels: np.ndarray) -> None:
    tifffile.imwrite(path, pixels, photometric="rgb")


def test_a_picture_named_twice_is_read_once_and_never_trains_and_scores(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(path)
    read = read_training_pictures([*paths, *paths, paths[1]])
    assert [int(picture[0, 0, 0]) for picture in read] == [0, 1, 2, 0, 1, 2, 1]
    assert read[1] is read[4] is read[6]
    trained, held = split(read)
    assert [int(picture[0, 0, 0]) for picture in trained] == [1, 2, 1, 2, 1]
    assert [int(picture[0, 0, 0]) for picture in held] == [0]
    many = [torch.full((3, 16, 16), number, dtype=torch.uint8) for number in range(50)]
    assert [int(picture[0, 0, 0]) for picture in split(many)[1]] == [0, 24, 48]
    assert len(split(many)[0]) == 47
    with pytest.raises(DataError, match="1 picture; one is held out"):
        split(read[:1] * 5)


def test_a_broken_or_tiny_picture_is_left_out_by_name(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40)).save(tmp_path / "good.png")
    Image.new("RGB", (40, 40)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    Image.new("RGB", (400, 15)).save(tmp_path / "thin.png")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", LayeredNstWarning)
        read = read_training_pictures(find_pictures([tmp_path]))
    assert len(read) == 1
    assert [str(warning.message) for warning in seen] == [
        f"left out: {tmp_path / 'cut.png'} is broken or cut short: image file is truncated",
        f"left out: {tmp_path / 'thin.png'}: 400×15 px, less than 16 px on a side",
    ]
    (tmp_path / "good.png").unlink()
    with (
        pytest.warns(LayeredNstWarning, match="left out"),
        pytest.raises(DataError, match=r"none of the 2 pictures can be used; .*cut\.png is the"),
    ):
        read_training_pictures(find_pictures([tmp_path]))


def test_the_digest_knows_pixels_sizes_and_order() -> None:
    one, two = (torch.full((3, 16, 20), value, dtype=torch.uint8) for value in (1, 2))
    same = pictures_digest([one, two])
    assert same == pictures_digest([one.clone(), two.clone()])
    others = [[two, one], [one], [one, two, two], [one, two.view(3, 20, 16)]]
    assert len({same, *map(pictures_digest, others)}) == 5


def test_crops_are_pictures_of_any_scale_and_half_of_them_are_spoiled() -> None:
    plain = [torch.full((3, 40, 90), value, dtype=torch.uint8) for value in (51, 204)]
    torch.manual_seed(0)
    found = training_crops(plain, batch=40, side=32)
    assert found.shape == (40, 3, 32, 32)
    assert found.min() >= 0
    assert found.max() <= 1
    for crop in found[::2]:
        assert crop.std() < 1e-6
        assert min(abs(float(crop.mean()) - value) for value in (0.2, 0.8)) < 1e-6
    spoiled = [bool(crop.std() > 1e-3) or crop.mean() not in (0.2, 0.8) for crop in found[1::2]]
    assert sum(spoiled) > 12
    torch.manual_seed(0)
    assert torch.equal(found, training_crops(plain, batch=40, side=32))


# Scores


def test_the_nearest_basis_undoes_a_rotation_and_is_best_among_many() -> None:
    seen = random(4, 50).double()
    basis = torch.linalg.qr(random(7, 4, seed=1).double())[0]
    assert torch.allclose(nearest_basis(basis @ seen @ seen.T), basis, atol=1e-10)
    target = basis @ seen + 0.5 * random(7, 50, seed=2)
    found = nearest_basis(target @ seen.T)
    assert torch.allclose(found.T @ found, torch.eye(4).double(), atol=1e-10)
    best = float((target - found @ seen).square().sum())
    for number in range(50):
        near = torch.linalg.qr(found + 0.05 * random(7, 4, seed=9 + number))[0]
        near = near * (near * found).sum(0).sign()
        assert float((target - near @ seen).square().sum()) >= best


def test_a_turned_copy_of_the_teacher_leaves_nothing_unexplained(
    small: Encoder, pictures: list[Tensor]
) -> None:
    turn = torch.linalg.qr(random(16, 16))[0]
    tensors = {
        re.sub("_(weight|bias)$", r".\1", name): value for name, value in small.state_dict().items()
    }
    turned = Encoder("turned", tensors | {"conv2_2.map": turn}, (2, 2, 3, 3, 3))
    assert not torch.allclose(
        *(e(torch.ones(1, 3, 9, 9), ["conv2_2"])["conv2_2"] for e in (small, turned))
    )
    # Each picture has its twin among the others, or a channel that it alone excites would be lost.
    scores = score_encoder(turned, small, [*pictures, *pictures])
    assert [score.layer for score in scores] == list(small.layers)
    assert max(abs(score.unexplained) for score in scores) < 1e-6


@torch.no_grad()
def test_each_picture_is_scored_by_the_basis_of_the_others(
    teacher: Encoder, light: tuple[Student, Path], pictures: list[Tensor]
) -> None:
    encoder = load_encoder(light[1])
    done = list[tuple[int, int]]()
    scores = score_encoder(
        encoder, teacher, pictures[:3], on_picture=lambda *counts: done.append(counts)
    )
    assert done == [(1, 3), (2, 3), (3, 3)]
    for score in (scores[0], scores[4]):
        rows = []
        for picture in pictures[:3]:
            side = min(picture.shape[1:])
            top, left = (picture.shape[1] - side) // 2, (picture.shape[2] - side) // 2
            square = picture[None, :, top : top + side, left : left + side] / 255
            rows.append(
                [
                    e(square, [score.layer])[score.layer][0].flatten(1).numpy()
                    for e in (teacher, encoder)
                ]
            )
        error = spread = 0.0
        for number, (target, seen) in enumerate(rows):
            others = [pair for index, pair in enumerate(rows) if index != number]
            cross = sum(t.astype(np.float64) @ s.astype(np.float64).T for t, s in others)
            left_side, _, right = np.linalg.svd(cross, full_matrices=False)
            error += ((target - left_side @ right @ seen) ** 2).sum()
            spread += ((target - target.mean(1, keepdims=True)) ** 2).sum()
        assert score.unexplained == pytest.approx(error / spread, rel=1e-4)
        assert (score.channels, score.wide) == (
            encoder.width(score.layer),
            teacher.width(score.layer),
        )


def test_encoders_that_do_not_correspond_are_not_scored(
    small: Encoder, pictures: list[Tensor]
) -> None:
    deeper = narrow_encoder(blocks=(2, 2, 4, 4, 4), dtype=torch.float32)
    with pytest.raises(ModelError, match="narrow has 16 layers, narrow has 13"):
        score_encoder(deeper, small, pictures)
    thin = narrow_encoder(dtype=torch.float32)
    with pytest.raises(ModelError, match="has 16 channels at conv1_1, more than the 4 of its"):
        score_encoder(small, thin, pictures)
    with pytest.raises(DataError, match="1 picture; each is scored by others"):
        score_encoder(small, small, pictures[:1])


# The command line and recipes


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a photo, two styles and look.yaml in it."""
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


@pytest.fixture
def own(folder: Path, light: tuple[Student, Path]) -> Path:
    """``weights/ours.safetensors`` in the current folder."""
    (folder / "weights").mkdir()
    return Path(shutil.copy(light[1], folder / "weights" / "ours.safetensors"))


TINY = ("--steps", "2", "--every", "1", "--batch", "2", "--crop", "32")


def save_photos(folder: Path, *, side: int) -> None:
    """Three bundled photos: in smaller ones deep layers see little but the edges."""
    folder.mkdir(exist_ok=True)
    for file in sorted((ASSETS / "photos").glob("*.jpg"))[:3]:
        with Image.open(file) as image:
            image.thumbnail((side, side))
            image.convert("RGB").save(folder / f"{file.stem}.png")


def test_distilling_says_how_far_it_is_and_its_file_is_an_encoder(folder: Path) -> None:
    save_photos(folder, side=160)
    ran = run("encoder", "distill", ".", "-o", "light.safetensors", *TINY)
    assert ran.code == 0, ran.err
    lines = ran.err.splitlines()
    assert [line.split()[:2] for line in lines] == [["step", "1/2"], ["step", "2/2"]]
    layers = ["conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv4_2", "conv5_1"]
    errors = re.findall(r"(conv\d_\d) ([\d.]+)%", ran.out)
    assert [name for name, _ in errors] == layers
    assert ran.out.startswith("light.safetensors  unexplained: conv1_1 ")
    assert ran.out.split("unexplained")[1].strip() == lines[1].split("unexplained")[1]
    notes = read_encoder_file(Path("light.safetensors")).notes
    for name, share in errors:
        assert notes["unexplained"][name] == pytest.approx(float(share) / 100, abs=6e-4)
    stored = Path("light.safetensors").read_bytes()
    assert run("encoder", "distill", ".", "-o", "light.safetensors", *TINY).out == ran.out
    assert Path("light.safetensors").read_bytes() == stored
    ran = run("encoder", "distill", ".", "-o", "b.safetensors", *TINY, "--start", "light")
    assert ran.code == 0, ran.err
    # Of deep layers two steps of a fresh student explain less than those of the bundled one.
    deep = dict(re.findall(r"(conv[34]_\d) ([\d.]+)%", ran.out))
    assert deep.keys() == {"conv3_1", "conv4_1", "conv4_2"}
    for layer, share in deep.items():
        assert float(share) < 100 * notes["unexplained"][layer], layer
    shutil.copy("dots.png", "more.png")
    ran = run("encoder", "distill", ".", "-o", "light.safetensors", *TINY)
    assert ran.code == 1
    assert ran.error.startswith("light.safetensors.training: made with other pictures; repeat the")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([".", "--width", "0"], 2, "--width: found 0, allowed: a number above 0 and at most 1"),
        ([".", "--width", "1.5"], 2, "--width: found 1.5, allowed: a number above 0"),
        ([".", "--crop", "16"], 2, "--crop: found 16, allowed: 32 to 1024 px"),
        ([".", "--learning-rate", "0"], 2, "--learning-rate: found 0, allowed: a number above 0"),
        ([".", "--steps", "0"], 2, "Invalid value for '--steps'"),
        ([".", "--teacher", "light"], 2, "Invalid value for '--teacher'"),
        ([".", "--device", "abacus"], 2, "device abacus: no such kind"),
        ([".", "-o", "light.pth"], 3, "light.pth: weights are written as .safetensors"),
        ([".", "-o", "no/light.safetensors"], 3, "no/light.safetensors: no such folder"),
        ([".", "-o", "mine.safetensors"], 3, "mine.safetensors: is there and is no encoder"),
        ([".", "--start", "light", "--width", "0.5"], 2, "--width: the encoder of --start has"),
        ([".", "--start", "dark"], 1, "encoder 'dark': no such encoder"),
        ([".", "--start", "gone.safetensors"], 1, "gone.safetensors: no such file of an encoder"),
        (["nowhere"], 1, "no such picture: nowhere"),
        (["empty"], 1, "empty: no pictures in it"),
        (["broken.png"], 1, "none of the 1 pictures can be used; broken.png is the first"),
        (["photo.png"], 1, "1 picture; one is held out to score by: name at least 2"),
        ([".", "--teacher", "vgg19"], 1, "vgg19: its weights are not on this machine"),
        ([".", "--max-pixels", "9"], 1, "none of the 4 pictures can be used"),
    ],
)
def test_what_cannot_be_distilled_is_one_sentence(
    folder: Path,
    words: list[str],
    code: int,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(folder / "no torch"))
    (folder / "empty").mkdir()
    (folder / "broken.png").write_text("not a picture")
    (folder / "mine.safetensors").write_text("mine")
    ran = run("encoder", "distill", "-o", "light.safetensors", *words)
    assert ran.code == code, ran.err
    assert sentence in ran.err.replace("\n│ ", " ")
    assert "Traceback" not in ran.err
    assert not (folder / "light.safetensors").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
@pytest.mark.parametrize(
    ("stop", "sentence"),
    [
        (1, "interrupted before the first checkpoint, which step 2 writes; nothing is kept"),
        (3, "interrupted; the same command goes on from the last checkpoint, a.safetensors.trai"),
    ],
)
def test_ctrl_c_says_how_to_go_on(
    folder: Path, stop: int, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = encoder_command.Training.step

    def step(self: encoder_command.Training, step: int, steps: int, loss: float) -> None:
        usual(self, step, steps, loss)
        if step == stop:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(encoder_command.Training, "step", step)
    ran = run(
        "encoder", "distill", ".", "-o", "a.safetensors", *TINY, "--every", "2", "--steps", "9"
    )
    assert ran.code == 130, ran.err
    assert ran.error.startswith(sentence)
    assert Path("a.safetensors.training").exists() == (stop == 3)
    assert not list(folder.glob(".*.part"))


def test_the_score_is_a_table_and_the_same_numbers_as_json(folder: Path, own: Path) -> None:
    words = ("encoder", "score", own, "photo.png", "stripes.png", "dots.png")
    ran = run(*words)
    assert ran.code == 0, ran.err
    rows = [line.split() for line in ran.out.splitlines()]
    assert rows[0] == ["layer", "channels", "hed-vgg16", "unexplained"]
    assert rows[1][:3] == ["conv1_1", "32", "64"]
    assert len(rows) == 14
    found = run(*words, "--json").json
    assert found["teacher"] == "hed-vgg16"
    for layer, channels, wide, share in rows[1:]:
        values = found["layers"][layer]
        assert [values["channels"], values["teacher_channels"]] == [int(channels), int(wide)]
        assert f"{values['unexplained']:.1%}" == share


def test_the_bundled_light_encoder_is_scored_by_name(folder: Path) -> None:
    save_photos(folder / "album", side=160)
    found = run("encoder", "score", "light", "album", "--json").json
    assert found["encoder"] == "light"
    assert found["layers"]["conv1_1"]["unexplained"] < 0.1
    assert all(0 < layer["unexplained"] < 0.8 for layer in found["layers"].values())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("ligth", "encoder 'ligth': no such encoder (did you mean light?)"),
        ("hed-vgg16", "hed-vgg16.safetensors: does not say which encoder it was distilled from"),
        ("gone.safetensors", "gone.safetensors: no such file of an encoder's weights"),
        ("photo.png", "encoder 'photo.png': no such encoder"),
    ],
)
def test_what_was_not_distilled_is_not_scored(folder: Path, name: str, sentence: str) -> None:
    ran = run("encoder", "score", name, "photo.png", "stripes.png")
    assert ran.code == 1
    assert sentence in ran.error


def test_a_recipe_names_an_encoder_file_relative_to_itself(own: Path, folder: Path) -> None:
    (folder / "recipes").mkdir()
    recipe = (folder / "look.yaml").read_text().replace(": photo", ": ../photo")
    recipe = re.sub(r"style: (\w+)", r"style: ../\1", recipe)
    recipe = recipe.replace("encoder: light", "encoder: ../weights/ours.safetensors")
    (folder / "recipes" / "look.yaml").write_text(recipe)
    ran = run("apply", "recipes/look.yaml", "-o", "out.png", "--no-preview")
    assert ran.code == 0, ran.err
    manifest = json.loads((folder / "out.json").read_text())
    assert manifest["recipe"]["encoder"] == "weights/ours.safetensors"
    assert manifest["files"]["encoder"]["path"] == "weights/ours.safetensors"
    assert manifest["models"]["encoder"]["name"] == "ours"
    assert manifest["models"]["encoder"]["sha256"] == manifest["files"]["encoder"]["sha256"]
    set_here = ("--set", "encoder=weights/ours.safetensors", "--no-preview")
    assert run("apply", "look.yaml", "-o", "same.png", *set_here).code == 0
    pixels = [np.array(Image.open(name)) for name in ("out.png", "same.png")]
    assert np.array_equal(*pixels)
    run("apply", "look.yaml", "-o", "other.png", "--set", "encoder=hed-vgg16", "--no-preview")
    assert not np.array_equal(pixels[0], np.array(Image.open("other.png")))


def test_a_picture_made_again_tells_of_an_encoder_that_has_changed(own: Path, folder: Path) -> None:
    set_here = ("--set", "encoder=weights/ours.safetensors", "--no-preview")
    assert run("apply", "look.yaml", "-o", "out.png", *set_here).code == 0
    ran = run("apply", "out.png", "-o", "again.png", "--no-preview")
    assert "has changed" not in ran.err
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()
    file = read_encoder_file(own)
    changed = {k: v * 1.01 if k == "conv1_1.weight" else v for k, v in file.tensors.items()}
    write_encoder_file(own, EncoderFile(changed, file.blocks, file.notes))
    ran = run("apply", "out.png", "-o", "again.png", "--no-preview")
    assert f"encoder: {own} has changed since out.png was made" in ran.err
    assert Path("again.png").read_bytes() != Path("out.png").read_bytes()


def test_an_encoder_file_that_is_gone_or_broken_is_one_sentence(own: Path, folder: Path) -> None:
    ran = run("check", "look.yaml", "--set", "encoder=weights/our.safetensors")
    assert (ran.code, ran.error) == (
        1,
        "--set encoder: no such file: weights/our.safetensors (did you mean ours.safetensors?)",
    )
    own.write_bytes(own.read_bytes()[:-9])
    ran = run("check", "look.yaml", "--set", "encoder=weights/ours.safetensors")
    assert ran.code == 1
    assert ran.error.startswith(f"{own}: is broken, cut short, or no safetensors file")


def test_other_commands_take_an_encoder_file_too(own: Path, folder: Path) -> None:
    named = ("--encoder", "weights/ours.safetensors")
    assert run("features", "photo.png", "-o", "maps.png", "--size", "32", *named).code == 0
    ran = run("texture", "dots.png", "-o", "t.png", "--size", "32", "--steps", "1", *named)
    assert ran.code == 0, ran.err
    assert run("contours", "photo.png", "-o", "ours", "--size", "48", *named).code == 0
    assert run("contours", "photo.png", "-o", "heds", "--size", "48").code == 0
    lines = [np.array(Image.open(f"{name}/fused.png")) for name in ("ours", "heds")]
    assert not np.array_equal(*lines)
    build = ("styles", "build", "dusk", "dots.png", "-o", "look.safetensors", "--scale", "48")
    assert run(*build, *named).code == 0
    use = ("--set", "regions.ground.style={library: look/dusk}", "--no-preview", "-o", "o.png")
    ran = run("apply", "look.yaml", *use, "--set", "encoder=weights/ours.safetensors")
    assert ran.code == 0, ran.err
    ran = run("apply", "look.yaml", *use, "--set", "encoder=hed-vgg16")
    assert ran.code == 1
    assert "was built with the encoder ours, this recipe uses hed-vgg16" in ran.error
