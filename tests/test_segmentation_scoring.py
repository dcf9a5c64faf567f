from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from layered_nst.training.segmenters.scoring import SegmentationScore, confusion, outline_counts


def random_labels(*, seed: int, classes: int = 4, holes: bool = False) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, classes, (5, 6))
    label = np.kron(coarse, np.ones((6, 5), int)).astype(np.uint8)
    if holes:
        label[generator.random(label.shape) < 0.01] = 255
    return torch.from_numpy(label)


def test_confusion_iou_and_accuracy_agree_with_counting_pixel_by_pixel():
    truth, prediction = random_labels(seed=1, holes=True), random_labels(seed=2)
    counted = np.zeros((5, 5), int)
    for true, predicted in zip(
        truth.flatten().tolist(), prediction.flatten().tolist(), strict=True
    ):
        if true != 255:
            counted[true, predicted] += 1
    score = SegmentationScore(confusion(prediction, truth, 5))
    np.testing.assert_array_equal(score.matrix.numpy(), counted)
    assert score.accuracy == pytest.approx(np.trace(counted) / counted.sum())
    for index in range(4):
        union = counted[index].sum() + counted[:, index].sum() - counted[index, index]
        assert score.iou[index].item() == pytest.approx(counted[index, index] / union)
    assert math.isnan(score.iou[4].item())
    assert score.mean_iou == pytest.approx(score.iou[:4].mean().item())


def slow_outlines(label: np.ndarray, index: int) -> list[tuple[int, int]]:
    height, width = label.shape
    found = []
    for y in range(height):
        for x in range(width):
            beside = [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
            inside = [(r, c) for r, c in beside if 0 <= r < height and 0 <= c < width]
            if label[y, x] == index and any(label[r, c] != index for r, c in inside):
                found.append((y, x))
    return found


def near(point: tuple[int, int], points: list[tuple[int, int]], distance: float) -> bool:
    return any(math.dist(point, other) <= distance for other in points)


def test_outlines_are_counted_as_by_measuring_every_distance():
    truth, prediction = random_labels(seed=3, holes=True), random_labels(seed=4)
    prediction = torch.where(torch.rand(truth.shape) < 0.7, truth, prediction).clamp(max=3)
    counts = outline_counts(prediction, truth, 4)
    holes = [tuple(p) for p in (truth == 255).nonzero().tolist()]
    for index in range(4):
        ours = slow_outlines(prediction.numpy(), index)
        theirs = slow_outlines(truth.numpy(), index)
        trusted = [[p for p in points if not near(p, holes, 3)] for points in (ours, theirs)]
        expected = [
            len(trusted[0]),
            sum(near(p, theirs, 2) for p in trusted[0]),
            len(trusted[1]),
            sum(near(p, ours, 2) for p in trusted[1]),
        ]
        assert counts[index].tolist() == expected


def test_an_outline_two_pixels_off_is_true_and_three_pixels_off_is_not():
    truth = torch.zeros(20, 20, dtype=torch.uint8)
    truth[:, 10:] = 1
    for shift, expected in ((0, 1.0), (2, 1.0), (3, 0.0)):
        counts = outline_counts(truth.roll(shift, 1)[:, 4:], truth[:, 4:], 2)
        assert SegmentationScore(torch.eye(2), counts).outline_f == pytest.approx(expected)


def test_the_confusion_matrix_prints_as_an_aligned_table():
    table = SegmentationScore(torch.tensor([[30, 10, 0], [5, 45, 0], [0, 0, 0]])).table(
        ("sky", "water", "x")
    )
    lines = table.splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].split() == ["sky", "75.0", "25.0", "0.0", "0.667"]
    assert lines[3].split() == ["x", "-", "-", "-", "-"]


def test_the_summary_names_outlines_only_when_they_were_counted():
    matrix = torch.tensor([[3, 1], [0, 4]])
    assert "outline" not in SegmentationScore(matrix).summary()
    counts = torch.tensor([[10, 5, 10, 5], [0, 0, 0, 0]])
    assert "outline F-score (2 px) 0.500" in SegmentationScore(matrix, counts).summary()
