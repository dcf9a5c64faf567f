from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from PIL import Image
from timm.layers import DropPath

from layered_nst.errors import DataError, ModelError, OutputError
from layered_nst.networks.catalogue import weights_path
from layered_nst.networks.segmenters import load_segmenter
from layered_nst.networks.segmenters.checkpoints import read_description, read_tensors
from layered_nst.networks.segmenters.network import LITE, LITE0, build_network
from layered_nst.training.segmenters.dataset import (
    LabeledPhotos,
    mix_rectangles,
    paste_cutout,
    read_labeled_photos,
    training_batches,
    training_pool,
)
from layered_nst.training.segmenters.scoring import score_segmenter
from layered_nst.training.segmenters.sheet import score_sheet
from layered_nst.training.segmenters.training import Epoch, TrainingPlan, train_segmenter, validate

PLAN = TrainingPlan(phases=((32, 2), (64, 1)), batch=4, learning_rate=3e-3, decoder_channels=16)


def write_photos(folder: Path, *, count: int = 8, side: int = 64) -> LabeledPhotos:
    """Bright stripes on the left of an edge, dark noise on its right; the frame has no label."""
    random = np.random.default_rng(0)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for index in range(count):
        edge = int(random.integers(side // 4, 3 * side // 4))
        photo = random.integers(0, 90, (side, side, 3))
        photo[:, :edge] = 200 + 50 * (np.arange(side) // 4 % 2)[:, None, None]
        label = (np.arange(side) >= edge).astype(np.uint8)[None].repeat(side, 0)
        label[:2] = 255
        Image.fromarray(photo.astype(np.uint8)).save(folder / "images" / f"photo{index}.png")
        Image.fromarray(label).save(folder / "labels" / f"photo{index}.png")
    (folder / "classes.txt").write_text("stripes\nnoise\n")
    names = [f"photo{index}\n" for index in range(count)]
    (folder / "train.txt").write_text("".join(names[:-2]))
    (folder / "val.txt").write_text("".join(names[-2:]))
    return read_labeled_photos(folder)


@pytest.fixture
def data(tmp_path: Path) -> LabeledPhotos:
    return write_photos(tmp_path / "data")


@pytest.mark.slow
def test_a_short_training_learns_to_tell_two_classes_apart(data: LabeledPhotos, tmp_path: Path):
    plan = TrainingPlan(
        phases=((32, 12),), batch=3, learning_rate=5e-3, decoder_channels=16, ema=0.7, seed=1
    )
    epochs: list[Epoch] = []
    output = tmp_path / "own.safetensors"
    score = train_segmenter(data, output, plan=plan, on_epoch=epochs.append)
    assert score.accuracy > 0.85
    assert [e.number for e in epochs] == list(range(1, 13))
    assert score.mean_iou == pytest.approx(max(e.score.mean_iou for e in epochs), abs=0.01)
    described = read_description(output)
    assert described is not None
    assert described.classes == ("stripes", "noise")
    assert described.notes["val_mean_iou"] == pytest.approx(epochs[-1].best, abs=1e-3)
    assert score_segmenter(output, data).accuracy > 0.85
    sheet = score_sheet(output, data)
    assert sheet.width > 3 * 64
    assert sheet.height > 2 * 64


@pytest.mark.slow
def test_a_training_in_bfloat16_with_stochastic_depth_learns_too(
    data: LabeledPhotos, tmp_path: Path
) -> None:
    plan = TrainingPlan(
        phases=((32, 12),),
        batch=3,
        learning_rate=5e-3,
        decoder_channels=16,
        ema=0.7,
        drop_path=0.2,
        precision="bfloat16",
    )
    output = tmp_path / "own.safetensors"
    assert train_segmenter(data, output, plan=plan).accuracy > 0.75
    network = build_network(
        architecture="DeepLabV3Plus", encoder=LITE0, classes=2, drop_path=plan.drop_path
    )
    rates = [m.drop_prob for m in network.modules() if isinstance(m, DropPath)]
    assert rates == sorted(rates)
    assert 0 < rates[0] < rates[-1] < 0.2
    assert all(value.dtype == torch.float16 for value in read_tensors(output).values())


class BrokenOffError(Exception):
    pass


@pytest.mark.slow
def test_a_training_broken_off_goes_on_to_the_same_weights(data: LabeledPhotos, tmp_path: Path):
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    expected = train_segmenter(data, whole, plan=PLAN)

    def stop_in_the_middle(step: int, steps: int, loss: float) -> None:
        if torch.load(checkpoint, weights_only=True)["epoch"] == 1 if checkpoint.exists() else 0:
            raise BrokenOffError

    checkpoint = tmp_path / "parts.safetensors.training"
    with pytest.raises(BrokenOffError):
        train_segmenter(data, parts, plan=PLAN, on_step=stop_in_the_middle)
    epochs: list[Epoch] = []
    score = train_segmenter(data, parts, plan=PLAN, on_epoch=epochs.append)
    assert [e.number for e in epochs] == [2, 3]
    assert torch.equal(score.matrix, expected.matrix)
    ours, theirs = read_tensors(parts), read_tensors(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_finished_training_returns_its_score_again(data: LabeledPhotos, tmp_path: Path):
    output = tmp_path / "own.safetensors"
    first = train_segmenter(data, output, plan=SHORT)
    before = output.read_bytes()
    steps: list[int] = []
    again = train_segmenter(data, output, plan=SHORT, on_step=lambda step, *_: steps.append(step))
    assert torch.equal(again.matrix, first.matrix)
    assert (steps, output.read_bytes()) == ([], before)


LONG = TrainingPlan(phases=((32, 40),), batch=4, decoder_channels=16)
KILLED = f"""
import sys
from pathlib import Path
import torch
from layered_nst.training.segmenters.dataset import read_labeled_photos
from layered_nst.training.segmenters.training import TrainingPlan, train_segmenter
torch.set_num_threads(1)
say = lambda epoch: print(epoch.number, flush=True)
data = read_labeled_photos(Path(sys.argv[1]))
train_segmenter(data, Path(sys.argv[2]), plan={LONG!r}, on_epoch=say)
"""


@pytest.mark.slow
def test_kill_9_loses_at_most_one_epoch(data: LabeledPhotos, tmp_path: Path):
    output = tmp_path / "own.safetensors"
    command = [sys.executable, "-c", KILLED, str(data.folder), str(output)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        seen = [int(process.stdout.readline()) for _ in range(2)]
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        last = [*seen, *(int(line) for line in process.stdout if line.strip())][-1]
    checkpoint = torch.load(tmp_path / "own.safetensors.training", weights_only=True)
    assert checkpoint["epoch"] in (last, last + 1)
    assert load_segmenter(str(output)).classes == ("stripes", "noise")

    def stop(epoch: Epoch) -> None:
        assert epoch.number == checkpoint["epoch"] + 1
        raise BrokenOffError

    with pytest.raises(BrokenOffError):
        train_segmenter(data, output, plan=LONG, on_epoch=stop)


def test_half_a_checkpoint_is_refused_by_name(data: LabeledPhotos, tmp_path: Path):
    output, checkpoint = tmp_path / "own.safetensors", begun(tmp_path)
    with pytest.raises(ModelError, match=r"made with phases .*32, 1.*, not .*; repeat the command"):
        train_segmenter(data, output, plan=PLAN)
    checkpoint.write_bytes(checkpoint.read_bytes()[:10_000])
    with pytest.raises(ModelError, match=r"own\.safetensors\.training: broken; remove it"):
        train_segmenter(data, output, plan=SHORT)


@pytest.mark.parametrize("missing", ["network", "average", "optimizer", "epoch", "generator"])
def test_a_checkpoint_that_lacks_a_part_is_refused_in_a_sentence(
    missing: str, data: LabeledPhotos, tmp_path: Path
) -> None:
    checkpoint = begun(tmp_path)
    saved = torch.load(checkpoint, weights_only=True)
    del saved[missing]
    torch.save(saved, checkpoint)
    with pytest.raises(ModelError, match=r"own\.safetensors\.training: broken; remove it"):
        train_segmenter(data, tmp_path / "own.safetensors", plan=SHORT)


def test_a_checkpoint_goes_on_with_its_own_start_and_photos_alone(
    data: LabeledPhotos, tmp_path: Path
) -> None:
    output = tmp_path / "own.safetensors"
    checkpoint = begun(tmp_path)
    first = tmp_path / "first.safetensors"
    shutil.copy(output, first)
    with pytest.raises(ModelError, match=r"training: made with another start; repeat the command"):
        train_segmenter(data, output, plan=SHORT, start=first)
    with pytest.raises(ModelError, match=r"training: made with another imagenet; repeat"):
        train_segmenter(data, output, plan=SHORT, imagenet=imagenet(tmp_path / "i.pth", LITE0))
    fewer = replace(data, train=data.train[:-1])
    with pytest.raises(ModelError, match=r"training: made with other photos; repeat"):
        train_segmenter(fewer, output, plan=SHORT)
    saved = torch.load(checkpoint, weights_only=True)
    for key in ("start", "imagenet", "photos"):  # as older versions wrote it
        del saved[key]
    torch.save(saved, checkpoint)
    assert train_segmenter(data, output, plan=SHORT).accuracy > 0


SHORT = TrainingPlan(phases=((32, 1),), batch=3, decoder_channels=16)


@cache
def trained() -> Mapping[str, bytes]:
    """What a short training leaves, by name."""
    with TemporaryDirectory() as folder:
        data = write_photos(Path(folder) / "data")
        train_segmenter(data, Path(folder) / "own.safetensors", plan=SHORT)
        return {path.name: path.read_bytes() for path in Path(folder).glob("own.*")}


def begun(folder: Path) -> Path:
    """A short training on such photos, ended; its checkpoint."""
    for name, data in trained().items():
        (folder / name).write_bytes(data)
    return folder / "own.safetensors.training"


def test_what_a_killed_training_left_half_written_is_swept_away(
    data: LabeledPhotos, tmp_path: Path
) -> None:
    left = tmp_path / ".own.safetensors.training.0123abcd.part"
    other = tmp_path / ".own.safetensors.training.of a user.part"
    for path in (left, other):
        path.write_bytes(b"half")
    train_segmenter(data, tmp_path / "own.safetensors", plan=SHORT)
    assert not left.exists()
    assert other.exists()


@pytest.mark.parametrize("which", ["train", "val"])
def test_photos_that_nobody_labeled_are_said_before_the_training(
    which: str, data: LabeledPhotos, tmp_path: Path
) -> None:
    names = getattr(data, which)
    for name in names:
        Image.new("L", (64, 64), 255).save(data.folder / "labels" / f"{name}.png")
    steps: list[int] = []
    why = "learn from" if which == "train" else "score by"
    with pytest.raises(DataError, match=rf"labels: no pixel of the {len(names)} .* to {why} is"):
        train_segmenter(
            data,
            tmp_path / "own.safetensors",
            plan=SHORT,
            on_step=lambda step, *_: steps.append(step),
        )
    assert not steps
    assert not [*tmp_path.glob("own*")]


def test_a_score_without_a_labeled_pixel_is_refused(data: LabeledPhotos, tmp_path: Path) -> None:
    begun(tmp_path)
    for name in data.val:
        Image.new("L", (64, 64), 255).save(data.folder / "labels" / f"{name}.png")
    with pytest.raises(DataError, match="no pixel of the 2 label maps to score by is labeled"):
        score_segmenter(tmp_path / "own.safetensors", data)
    assert score_segmenter(tmp_path / "own.safetensors", data, names=data.train).accuracy > 0


@pytest.mark.slow
def test_an_interrupted_write_leaves_the_last_checkpoint(
    data: LabeledPhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    plan = TrainingPlan(phases=((32, 2),), batch=3, decoder_channels=16)
    output = tmp_path / "own.safetensors"
    put = os.replace

    def put_once(part: Path, target: Path) -> None:
        if target.suffix == ".training" and target.exists():
            raise BrokenOffError
        put(part, target)

    monkeypatch.setattr(os, "replace", put_once)
    with pytest.raises(BrokenOffError):
        train_segmenter(data, output, plan=plan)
    assert not [*tmp_path.glob(".*.part")]
    assert torch.load(tmp_path / "own.safetensors.training", weights_only=True)["epoch"] == 1


def test_an_output_that_cannot_be_written_is_refused_before_training(
    data: LabeledPhotos, tmp_path: Path
):
    with pytest.raises(OutputError, match="no such folder"):
        train_segmenter(data, tmp_path / "nowhere" / "own.safetensors", plan=PLAN)
    with pytest.raises(OutputError, match=r"written as .safetensors"):
        train_segmenter(data, tmp_path / "own.pth", plan=PLAN)


def test_a_loss_that_is_no_number_stops_the_training(data: LabeledPhotos, tmp_path: Path):
    plan = TrainingPlan(phases=((32, 3),), batch=3, decoder_channels=16, learning_rate=float("inf"))
    with pytest.raises(ModelError, match="the loss is nan"):
        train_segmenter(data, tmp_path / "own.safetensors", plan=plan)


def test_validation_agrees_with_asking_the_network_photo_by_photo(
    data: LabeledPhotos, tmp_path: Path
):
    begun(tmp_path)
    loaded = load_segmenter(str(tmp_path / "own.safetensors"))
    right = known = 0
    for name in data.val:
        winner = validate(loaded.network, data, [name]).matrix
        right, known = right + int(winner.diagonal().sum()), known + int(winner.sum())
    assert validate(loaded.network, data, data.val).accuracy == pytest.approx(right / known)
    assert known == 2 * 62 * 64


def test_photos_are_drawn_alike_without_balance(data: LabeledPhotos):
    label = np.full((64, 64), 1, np.uint8)
    for index in range(5):  # stripes are rare: in one photo alone
        Image.fromarray(label).save(data.folder / "labels" / f"photo{index}.png")
    assert training_pool(data).weights.tolist()[5] == pytest.approx(6**0.5)
    assert training_pool(data, balance=False).weights.tolist() == [1.0] * 6


def test_things_that_stand_free_become_donors(tmp_path: Path):
    data = write_photos(tmp_path / "data")
    label = np.full((64, 64), 255, np.uint8)
    label[20:40, 20:40] = 1
    Image.fromarray(label).save(tmp_path / "data" / "labels" / "photo0.png")
    pool = training_pool(data)
    assert pool.donors == ("photo0",)
    assert pool.things.tolist() == [0, 1]
    assert pool.weights.shape == (6,)
    assert pool.weights.min() >= 1


def test_a_cut_out_is_pasted_with_its_labels_and_nothing_else():
    image, label = torch.zeros(3, 40, 50, dtype=torch.uint8), torch.zeros(40, 50, dtype=torch.uint8)
    donor, donor_label = torch.full((3, 30, 30), 255, dtype=torch.uint8), torch.full((30, 30), 255)
    donor_label[5:25, 5:25] = 2
    pasted, labels = paste_cutout(
        image, label, donor, donor_label.to(torch.uint8), kept=torch.tensor([1, 2])
    )
    assert set(labels.unique().tolist()) == {0, 2}
    assert (pasted[0] > 127).eq(labels == 2).all()
    assert image.max() == 0
    assert label.max() == 0


def test_crops_show_as_much_of_a_photo_as_asked_for(data: LabeledPhotos) -> None:
    """Of a whole photo both classes are seen, each with its share, whatever else is drawn."""
    pool = training_pool(data)
    shares = {float((data.label(name) == 0).float().mean()) for name in data.train}

    def worst(share: float) -> float:
        batches = training_batches(
            data, size=64, batch=3, pool=pool, paste=0.0, mix=0.0, least_share=share
        )
        seen = [float((label == 0).float().mean()) for _, labels, _ in batches for label in labels]
        return max(min(abs(share - known) for known in shares) for share in seen)

    torch.manual_seed(0)
    assert worst(1.0) < 1e-6
    assert worst(0.15) > 0.02


def test_crops_overlaid_by_one_another_keep_photo_and_labels_together():
    torch.manual_seed(0)
    rows = torch.arange(40.0).view(40, 1).expand(40, 30)
    crops = torch.stack([torch.stack([torch.full((40, 30), n), rows, rows + n]) for n in range(64)])
    mixed = mix_rectangles(crops, 1.0)
    for index, crop in enumerate(mixed):
        before = (index - 1) % 64
        other = crop[0] == before
        assert (crop[0][~other] == index).all()
        assert torch.equal(crop[1], rows)  # at the same place
        assert torch.equal(crop[2], rows + crop[0])  # all channels at once
        tall, wide = other.any(1).sum(), other.any(0).sum()
        assert other.sum() == tall * wide  # one rectangle
        assert 0.08 <= tall * wide / (40 * 30) <= 0.52
    assert crops[:, 0].eq(torch.arange(64.0).view(64, 1, 1)).all()  # the given ones are untouched


def test_as_many_crops_are_overlaid_as_asked_for():
    torch.manual_seed(0)
    crops = torch.arange(400.0).view(400, 1, 1, 1).expand(400, 1, 8, 8)
    assert torch.equal(mix_rectangles(crops, 0.0), crops)
    touched = (mix_rectangles(crops, 0.3) != crops).flatten(1).any(1).float().mean().item()
    assert touched == pytest.approx(0.3, abs=0.08)


def test_a_training_overlays_crops_of_different_photos(data: LabeledPhotos):
    """Labels of the drawn photos change along a row once, at the edge; a rectangle adds changes."""
    pool = training_pool(data)

    def edges(mix: float) -> int:
        torch.manual_seed(0)
        batches = training_batches(
            data, size=48, batch=3, pool=pool, paste=0.0, mix=mix, least_share=0.15
        )
        row = torch.cat([labels[:, 24] for _, labels, _ in batches])
        return int((row[:, 1:] != row[:, :-1]).sum(1).amax())

    assert edges(0.0) == 1
    assert edges(1.0) > 1


def spoil(data: LabeledPhotos, what: str) -> None:
    folder = data.folder
    match what:
        case "photo missing":
            (folder / "images" / "photo1.png").unlink()
        case "label missing":
            (folder / "labels" / "photo1.png").unlink()
        case "classes missing":
            (folder / "classes.txt").unlink()
        case "no training photos":
            (folder / "train.txt").write_text("\n\n")
        case "in both lists":
            (folder / "val.txt").write_text("photo1\n")
        case "class twice":
            (folder / "classes.txt").write_text("sky\nsky\n")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("photo missing", r"images/photo1\.jpg: no such file, but a list names it"),
        ("label missing", r"labels/photo1\.png: no such file, but a list names it"),
        ("classes missing", r"classes\.txt: no such file"),
        ("no training photos", r"train\.txt: empty"),
        ("in both lists", "photo1 is in train.txt and in val.txt"),
        ("class twice", "sky is listed twice"),
    ],
)
def test_a_folder_with_a_hole_is_refused_by_name(data: LabeledPhotos, what: str, message: str):
    spoil(data, what)
    with pytest.raises(DataError, match=message):
        read_labeled_photos(data.folder)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (Image.fromarray(np.full((64, 64), 2, np.uint8)), "label 2, but classes.txt names only 2"),
        (Image.new("RGB", (64, 64)), "mode RGB; a label map is an 8-bit picture"),
        (Image.new("L", (64, 60)), "64×60 px, but its photo has 64×64 px"),
    ],
)
def test_a_wrong_label_map_is_refused_before_training(
    data: LabeledPhotos, tmp_path: Path, picture: Image.Image, message: str
):
    picture.save(data.folder / "labels" / "photo3.png")
    with pytest.raises(DataError, match=message):
        train_segmenter(data, tmp_path / "own.safetensors", plan=PLAN)


def test_a_broken_picture_is_refused_by_name(data: LabeledPhotos):
    for part in ("labels", "images"):
        path = data.folder / part / "photo2.png"
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(DataError, match=f"{part}/photo2.png: not a picture, or a broken one"):
            training_pool(data)


def test_a_photo_that_is_lost_in_training_is_one_sentence(data: LabeledPhotos):
    pool = training_pool(data)
    for path in (data.folder / "images").iterdir():
        path.write_bytes(b"lost")
    with pytest.raises(DataError, match=r"^[^\n]*photo\d\.png: not a picture, or a broken one$"):
        list(
            training_batches(
                data, size=32, batch=2, pool=pool, paste=0.0, mix=0.0, least_share=0.15
            )
        )


def test_scoring_against_data_of_other_classes_is_refused(data: LabeledPhotos):
    with pytest.raises(DataError, match="names stripes, noise, but the segmenter scenes knows"):
        score_segmenter(load_segmenter("scenes"), data)


# going on


@pytest.mark.slow
def test_a_training_that_learns_nothing_ends_where_it_started(
    data: LabeledPhotos, tmp_path: Path
) -> None:
    begun(tmp_path)
    first, second = tmp_path / "own.safetensors", tmp_path / "second.safetensors"
    still = TrainingPlan(phases=((32, 1),), batch=3, learning_rate=0.0)
    train_segmenter(data, second, plan=still, start=first)
    before, after = read_tensors(first), read_tensors(second)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    described = read_description(second)
    assert described is not None
    assert (described.encoder, described.decoder_channels) == (SHORT.encoder, 16)


@pytest.mark.slow
def test_a_segmenter_goes_on_learning(data: LabeledPhotos, tmp_path: Path) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    plan = TrainingPlan(
        phases=((32, 8),), batch=3, learning_rate=5e-3, decoder_channels=16, ema=0.7, seed=1
    )
    train_segmenter(data, first, plan=plan)
    losses: list[float] = []
    onward = TrainingPlan(phases=((32, 4),), batch=3, learning_rate=1e-3, ema=0.7)
    score = train_segmenter(
        data, second, plan=onward, start=first, on_epoch=lambda epoch: losses.append(epoch.loss)
    )
    assert score.accuracy > 0.85
    assert losses[-1] < losses[0]


def test_what_cannot_be_gone_on_from_is_refused(data: LabeledPhotos, tmp_path: Path) -> None:
    output = tmp_path / "own.safetensors"
    with pytest.raises(ModelError, match=r"person, animal, .* are labeled as stripes, noise"):
        train_segmenter(data, output, plan=PLAN, start=weights_path("scenes"))
    with pytest.raises(ModelError, match=r"nowhere\.safetensors: no such weights file"):
        train_segmenter(data, output, plan=PLAN, start=tmp_path / "nowhere.safetensors")
    with pytest.raises(ModelError, match="not written by `layered-nst segmenter train`"):
        train_segmenter(data, output, plan=PLAN, start=weights_path("hed-vgg16"))
    assert not output.exists()


# encoders


def imagenet(path: Path, encoder: str) -> Path:
    """A file as the package of an encoder brings it: timm's tensors in its order, other names."""
    torch.save({f"theirs{number}": value for number, value in enumerate(drawn(encoder))}, path)
    return path


@cache
def drawn(encoder: str) -> list[torch.Tensor]:
    network = build_network(architecture="DeepLabV3Plus", encoder=encoder, classes=2)
    state = network.get_submodule("encoder").state_dict()
    return [value for name, value in state.items() if "num_batches" not in name]


@pytest.mark.slow
@pytest.mark.parametrize("encoder", LITE[1:3])
def test_larger_encoders_start_from_their_own_weights(
    encoder: str, data: LabeledPhotos, tmp_path: Path
) -> None:
    plan = TrainingPlan(phases=((32, 1),), batch=3, encoder=encoder, decoder_channels=16)
    output = tmp_path / "own.safetensors"
    train_segmenter(data, output, plan=plan, imagenet=imagenet(tmp_path / "lite.pth", encoder))
    described = read_description(output)
    assert described is not None
    assert (described.encoder, described.decoder_channels) == (encoder, 16)
    assert load_segmenter(str(output))(data.image(data.val[0]) / 255).shape == (2, 64, 64)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere.pth", "no such weights file"),
        ("text.pth", "broken, or no checkpoint of torch"),
        ("lite1.pth", r"theirs\d+ does not fit model\."),
        ("short.pth", "holds nothing for"),
    ],
)
def test_weights_that_no_encoder_starts_from_are_refused(
    name: str, sentence: str, data: LabeledPhotos, tmp_path: Path
) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    saved = torch.load(imagenet(tmp_path / "lite0.pth", LITE[0]), weights_only=True)
    torch.save(dict(list(saved.items())[:-1]), tmp_path / "short.pth")
    imagenet(tmp_path / "lite1.pth", LITE[1])
    plan = TrainingPlan(phases=((32, 1),), batch=3, decoder_channels=16)
    with pytest.raises(ModelError, match=f"{name}: {sentence}"):
        train_segmenter(data, tmp_path / "o.safetensors", plan=plan, imagenet=tmp_path / name)
    assert not (tmp_path / "o.safetensors").exists()
