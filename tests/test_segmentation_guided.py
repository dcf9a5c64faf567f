from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from layered_nst.picture.guided import box_mean, guided_filter, refine


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def slow_guided_filter(
    guide: np.ndarray, signal: np.ndarray, *, radius: int, eps: float
) -> np.ndarray:
    """The definition of He et al. 2013, window by window, in float64."""
    _, height, width = guide.shape
    fits = np.zeros((height, width, 4))
    windows = {}
    for y in range(height):
        for x in range(width):
            rows = slice(max(0, y - radius), y + radius + 1)
            columns = slice(max(0, x - radius), x + radius + 1)
            windows[y, x] = (rows, columns)
            colors = guide[:, rows, columns].reshape(3, -1).T
            values = signal[rows, columns].reshape(-1)
            covariance = np.cov(colors.T, bias=True) + eps * np.eye(3)
            shared = (colors * values[:, None]).mean(0) - colors.mean(0) * values.mean()
            slope = np.linalg.solve(covariance, shared)
            fits[y, x] = [*slope, values.mean() - slope @ colors.mean(0)]
    result = np.zeros((height, width))
    for (y, x), (rows, columns) in windows.items():
        fit = fits[rows, columns].reshape(-1, 4).mean(0)
        result[y, x] = fit[:3] @ guide[:, y, x] + fit[3]
    return result


def test_the_guided_filter_agrees_with_its_definition_window_by_window():
    guide, signal = noise(3, 11, 14).double(), noise(2, 11, 14, seed=1).double()
    fast = guided_filter(guide, signal, radius=2, eps=1e-3)
    for plane, expected in zip(fast, signal, strict=True):
        slow = slow_guided_filter(guide.numpy(), expected.numpy(), radius=2, eps=1e-3)
        np.testing.assert_allclose(plane.numpy(), slow, atol=1e-10)


def test_the_guided_filter_keeps_a_sum_of_one():
    signal = noise(4, 20, 30).softmax(0)
    filtered = guided_filter(noise(3, 20, 30, seed=2), signal, radius=3, eps=1e-4)
    torch.testing.assert_close(filtered.sum(0), torch.ones(20, 30), atol=1e-4, rtol=0)


def test_a_window_mean_is_cut_off_at_the_border_and_may_exceed_the_picture():
    planes = noise(1, 3, 5)
    assert box_mean(planes, 9)[0].sub(planes.mean()).abs().max() < 1e-6
    assert box_mean(planes, 1)[0, 0, 0].item() == pytest.approx(planes[0, :2, :2].mean().item())


def test_refinement_moves_a_blurred_edge_onto_the_edge_of_the_photo():
    rgb = torch.full((3, 64, 96), 0.2)
    rgb[:, :, 50:] = 0.8
    ramp = ((torch.arange(24) - 11) / 6).clamp(-1, 1).mul(0.5).add(0.5).expand(16, 24)
    refined = refine(torch.stack([1 - ramp, ramp]), rgb, radius=0.1)
    winner = refined.argmax(0)
    assert (winner[:, :50] == 0).all()
    assert (winner[:, 50:] == 1).all()
    torch.testing.assert_close(refined.sum(0), torch.ones(64, 96))
    assert refined.min() >= 0


def test_refinement_leaves_masks_of_a_flat_photo_as_they_were():
    probabilities = torch.full((3, 8, 8), 1 / 3)
    refined = refine(probabilities, torch.full((3, 32, 32), 0.5))
    torch.testing.assert_close(refined, torch.full((3, 32, 32), 1 / 3))
