from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_segmentation_training import write_photos
from torch import Tensor
from torch.nn import functional as F

from layered_nst.errors import DataError, ModelError
from layered_nst.training.segmenters.dataset import (
    IGNORED,
    LabeledPhotos,
    read_labeled_photos,
    read_photos_to_teach,
    training_batches,
    training_pool,
)
from layered_nst.training.segmenters.teaching import (
    read_soft_label,
    soft_path,
    teach,
    write_soft_label,
)
from layered_nst.training.segmenters.training import TrainingPlan, aims, train_segmenter

PLAN = TrainingPlan(
    phases=((32, 12),), batch=3, learning_rate=5e-3, decoder_channels=16, ema=0.7, seed=1
)


@pytest.fixture
def data(tmp_path: Path) -> LabeledPhotos:
    return write_photos(tmp_path / "data")


@dataclass(frozen=True)
class Brightness:
    """Knows what ``write_photos`` draws: a row's bright side is stripes, its dark side noise."""

    certainty: float = 0.9
    classes: tuple[str, ...] = ("stripes", "noise")
    name: str = "brightness"

    def __call__(self, rgb: Tensor) -> Tensor:
        stripes = torch.where(rgb.mean(0) > 0.5, self.certainty, 1 - self.certainty)
        both = {"stripes": stripes, "noise": 1 - stripes}
        return torch.stack([both[c] for c in self.classes])


def ask(data: LabeledPhotos, *teachers: Brightness) -> None:
    teach(teachers, data.folder, data.train, classes=data.classes, photo=data.image)


def without_labels(data: LabeledPhotos, names: tuple[str, ...]) -> LabeledPhotos:
    for name in names:
        (data.folder / "labels" / f"{name}.png").unlink()
    return read_labeled_photos(data.folder)


# soft labels on disk


def test_a_soft_label_comes_back_at_the_size_of_its_photo(tmp_path: Path) -> None:
    probabilities = torch.rand(3, 10, 14).softmax(0)
    path = soft_path(tmp_path, "photo")
    write_soft_label(path, probabilities, "abc")
    same = read_soft_label(path, "abc", (10, 14))
    assert same.dtype == torch.uint8
    assert (same / 255 - probabilities).abs().max() <= 0.5 / 255 + 1e-6
    larger = read_soft_label(path, "abc", (20, 28)) / 255
    assert larger.shape == (3, 20, 28)
    assert F.avg_pool2d(larger, 2)[:, 1:-1, 1:-1].allclose((same / 255)[:, 1:-1, 1:-1], atol=0.2)


def test_teachers_vote_and_their_classes_are_put_in_order(data: LabeledPhotos) -> None:
    ask(data, Brightness(0.9), Brightness(0.7, classes=("noise", "stripes")))
    for name in data.train:
        soft = data.soft_label(name, (64, 64))
        assert soft is not None
        label, known = data.label(name), data.label(name) != IGNORED
        mine = (soft / 255).gather(0, label.where(known, 0).long()[None])[0][known]
        assert (mine - 0.8).abs().max() < 0.003
    assert not soft_path(data.folder, data.val[0]).exists()


def test_soft_labels_that_are_there_are_kept(data: LabeledPhotos) -> None:
    ask(data, Brightness(0.9))
    path = soft_path(data.folder, data.train[0])
    soft_path(data.folder, data.train[1]).unlink()
    before = path.read_bytes()
    ask(data, Brightness(0.6))
    assert path.read_bytes() == before
    renewed = data.soft_label(data.train[1], (64, 64))
    assert renewed is not None
    assert renewed.max() == round(0.6 * 255)


def test_a_teacher_of_other_classes_is_refused(data: LabeledPhotos) -> None:
    with pytest.raises(ModelError, match=r"brightness: tells apart sky, sea; .* stripes, noise"):
        ask(data, Brightness(classes=("sky", "sea")))
    assert not (data.folder / "soft").exists()


def test_a_broken_or_foreign_soft_label_is_refused_by_name(data: LabeledPhotos) -> None:
    path = soft_path(data.folder, data.train[2])
    write_soft_label(path, torch.full((2, 8, 8), 0.5), ("sky", "sea"))
    with pytest.raises(DataError, match=r"photo2\.safetensors: .* sky, sea; .* stripes, noise"):
        training_pool(data)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"photo2\.safetensors: not a soft label, or a broken one"):
        training_pool(data)


def test_a_photo_to_train_on_needs_a_label_map_or_a_soft_one(data: LabeledPhotos) -> None:
    (data.folder / "labels" / "photo1.png").unlink()
    with pytest.raises(DataError, match=r"labels/photo1\.png: no such file"):
        read_labeled_photos(data.folder)
    ask(read_photos_to_teach(data.folder), Brightness())
    assert read_labeled_photos(data.folder).pair("photo1")[1].eq(IGNORED).all()
    (data.folder / "labels" / f"{data.val[0]}.png").unlink()
    write_soft_label(soft_path(data.folder, data.val[0]), torch.ones(2, 1, 1) / 2, data.classes)
    with pytest.raises(DataError, match=rf"labels/{data.val[0]}\.png: no such file"):
        read_labeled_photos(data.folder)


# learning from them


def test_aims_are_labels_teachers_or_their_mean() -> None:
    plan = TrainingPlan(teacher_share=0.25, label_smoothing=0.1)
    labels = torch.tensor([[[2, 2, IGNORED, IGNORED]]])
    soft = torch.tensor([[51, 51, 153], [0, 0, 0], [102, 51, 102], [0, 0, 0]], dtype=torch.uint8)
    aim, counts = aims(labels, soft.T[None, :, None], plan)
    smooth = torch.tensor([0.1 / 3, 0.1 / 3, 0.9 + 0.1 / 3])
    assert counts.tolist() == [[[True, True, True, False]]]
    assert aim[0, :, 0, 0].allclose(0.75 * smooth + 0.25 * torch.tensor([0.2, 0.2, 0.6]))
    assert aim[0, :, 0, 1].allclose(smooth)
    assert aim[0, :, 0, 2].allclose(torch.tensor([0.4, 0.2, 0.4]))


def test_without_a_teacher_the_aims_give_torchs_cross_entropy() -> None:
    plan = TrainingPlan(label_smoothing=0.05)
    labels = torch.randint(0, 4, (2, 9, 9))
    labels[torch.rand(2, 9, 9) < 0.3] = IGNORED
    logits = torch.randn(2, 4, 9, 9)
    aim, counts = aims(labels, torch.zeros(2, 4, 9, 9, dtype=torch.uint8), plan)
    ours = F.cross_entropy(logits, aim, reduction="none")[counts].mean()
    theirs = F.cross_entropy(logits, labels, ignore_index=IGNORED, label_smoothing=0.05)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


def test_crops_of_photo_label_and_soft_label_show_the_same_place(data: LabeledPhotos) -> None:
    ask(data, Brightness(1.0))
    torch.manual_seed(0)
    seen = 0
    batches = training_batches(
        data, size=48, batch=3, pool=training_pool(data), paste=0.0, mix=0.0, least_share=0.15
    )
    for _, labels, soft in batches:
        assert soft is not None
        assert soft.shape == (3, 2, 48, 48)
        known = labels != IGNORED
        assert soft.argmax(1)[known].eq(labels[known]).all()
        seen += int(known.sum())
    assert seen > 0


def test_what_is_pasted_is_certain(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data")
    label = np.full((64, 64), 255, np.uint8)
    label[20:40, 20:40] = 1
    Image.fromarray(label).save(data.folder / "labels" / "photo0.png")
    ask(data, Brightness(0.6))
    pool = dataclasses.replace(training_pool(data), weights=torch.tensor([0, 1, 1, 1, 1, 1.0]))
    torch.manual_seed(0)
    certain = 0
    for _, labels, soft in training_batches(
        data, size=64, batch=3, pool=pool, paste=1.0, mix=0.0, least_share=0.15
    ):
        assert soft is not None
        sure = soft.amax(1) == 255
        certain += int(sure.sum())
        assert labels[sure].eq(1).all()
        assert soft.amax(1)[~sure].max() <= round(0.6 * 255)
    assert certain > 100


@pytest.mark.slow
def test_a_student_learns_from_a_teacher_alone(data: LabeledPhotos, tmp_path: Path) -> None:
    ask(data, Brightness(0.95))
    score = train_segmenter(
        without_labels(data, data.train), tmp_path / "student.safetensors", plan=PLAN
    )
    assert score.accuracy > 0.85


@pytest.mark.slow
def test_a_student_learns_from_labels_and_from_photos_without(
    data: LabeledPhotos, tmp_path: Path
) -> None:
    ask(data, Brightness(0.95))
    for name in data.train[:2]:
        soft_path(data.folder, name).unlink()
    half = without_labels(data, data.train[3:])
    score = train_segmenter(half, tmp_path / "student.safetensors", plan=PLAN)
    assert score.accuracy > 0.85
