"""The fully connected CRF, against its definition place by place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from torch import Tensor

from layered_nst.networks.segmenters import crf, load_segmenter, segment
from layered_nst.networks.segmenters.crf import dense_crf


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def slow_mean_field(probabilities: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """Krähenbühl and Koltun 2011 with Potts compatibility, place by place, in float64."""
    classes, height, width = probabilities.shape
    lab = rgb2lab(rgb, channel_axis=0)
    places = [(y, x) for y in range(height) for x in range(width)]
    trusted = {place: crf.TRUST * np.log(probabilities[:, *place]) for place in places}
    like = {}
    for y, x in places:
        for v, u in places:
            far = ((y - v) ** 2 + (x - u) ** 2) / (crf.REACH * max(height, width)) ** 2
            light, *chroma = (lab[:, y, x] - lab[:, v, u]) / (crf.LIGHTNESS, *[crf.CHROMA] * 2)
            same = (y, x) == (v, u)
            like[y, x, v, u] = 0 if same else np.exp(-(far + light**2 + np.dot(chroma, chroma)) / 2)

    def decided(logits: dict[tuple[int, int], np.ndarray]) -> dict[tuple[int, int], np.ndarray]:
        return {place: np.exp(value) / np.exp(value).sum() for place, value in logits.items()}

    agreed = decided(trusted)
    for _ in range(crf.ROUNDS):
        heard = {}
        for y, x in places:
            weights = np.array([like[y, x, v, u] for v, u in places])
            others = np.array([agreed[place] for place in places])
            heard[y, x] = trusted[y, x] + crf.PULL * (weights @ others) / weights.sum()
        agreed = decided(heard)
    result = np.zeros((classes, height, width))
    for place in places:
        result[:, *place] = agreed[place]
    return result


def test_the_crf_agrees_with_mean_field_place_by_place() -> None:
    probabilities = (4 * noise(3, 6, 8, seed=1).double()).softmax(0)
    # Two surfaces, each a little uneven.
    rgb = 0.3 + 0.03 * noise(3, 6, 8, seed=2).double()
    rgb[:, :, 5:] += torch.tensor([0.3, 0.1, 0.0])[:, None, None]
    slow = slow_mean_field(probabilities.numpy(), rgb.numpy())
    found = dense_crf(probabilities, rgb).numpy()
    np.testing.assert_allclose(found, slow, atol=2e-4)
    assert np.abs(found - probabilities.numpy()).max() > 0.2


def plain(height: int = 48, width: int = 64) -> tuple[Tensor, Tensor]:
    """A gray photo, all of it of the first of two classes by 0.8."""
    rgb = torch.full((3, height, width), 0.5)
    first = torch.full((height, width), 0.8)
    return rgb, torch.stack([first, 1 - first])


def test_a_doubtful_speck_goes_with_its_surroundings_unless_its_color_is_its_own() -> None:
    rgb, probabilities = plain()
    speck = (slice(20, 24), slice(30, 34))
    probabilities[:, *speck] = torch.tensor([0.35, 0.65])[:, None, None]
    assert dense_crf(probabilities, rgb)[0, *speck].min() > 0.5
    rgb[:, *speck] = torch.tensor([0.7, 0.4, 0.3])[:, None, None]
    assert dense_crf(probabilities, rgb)[1, *speck].min() > 0.5


def test_what_the_network_is_sure_of_stays_though_its_color_is_that_of_the_rest() -> None:
    rgb, probabilities = plain()
    thing = (slice(12, 36), slice(20, 44))
    probabilities[:, *thing] = torch.tensor([0.03, 0.97])[:, None, None]
    assert dense_crf(probabilities, rgb)[1, *thing].min() > 0.5


@pytest.mark.parametrize(
    ("small", "full"), [((1, 1), (1, 1)), ((3, 200), (9, 600)), ((90, 60), (300, 200))]
)
def test_any_shape_comes_back_with_sum_one(small: tuple[int, int], full: tuple[int, int]) -> None:
    probabilities = (3 * noise(4, *small)).softmax(0)
    # All but certain, and nothing at all, are values that a network gives.
    probabilities[:, 0, 0] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    found = dense_crf(probabilities, noise(3, *full, seed=1))
    assert found.shape == probabilities.shape
    assert found.min() >= 0
    torch.testing.assert_close(found.sum(0), torch.ones(small))


def test_the_bundled_segmenter_connects_unless_it_is_told_not_to() -> None:
    segmenter, rgb = load_segmenter("scenes"), noise(3, 40, 60)
    loose = segment(segmenter, rgb, connect=False, refine=False).probabilities
    connected = segment(segmenter, rgb, refine=False).probabilities
    assert segmenter.connect
    assert (loose - connected).abs().max() > 0.01
