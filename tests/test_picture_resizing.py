"""Sizes, and colors under transparency."""

import numpy as np
import pytest
import torch

from layered_nst.picture import (
    Picture,
    average,
    bleed_under_alpha,
    fit_within,
    resize,
    resize_picture,
    resizing,
)


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [
        ((100, 200), 100, (50, 100)),
        ((200, 100), 400, (400, 200)),
        ((1, 1), 512, (512, 512)),
        ((1, 5000), 100, (1, 100)),
        ((3, 4), 2, (2, 2)),
    ],
)
def test_fit_within_keeps_the_shape_and_at_least_one_pixel(size, longest, expected):
    assert fit_within(size, longest) == expected


def test_fit_within_refuses_an_empty_size():
    with pytest.raises(ValueError, match="at least 1 px"):
        fit_within((0, 10), 5)


@pytest.mark.parametrize("size", [(7, 5), (64, 48), (1, 1), (40, 3)])
def test_a_constant_picture_stays_constant_at_any_size(size):
    resized = resize(torch.full((3, 20, 30), 0.3), size)
    assert resized.shape == (3, *size)
    assert torch.allclose(resized, torch.tensor(0.3), atol=1e-6)


def test_a_mask_without_channels_is_resized_too():
    assert resize(torch.rand(9, 8), (3, 4)).shape == (3, 4)


def test_resizing_clamps_and_never_returns_the_input_itself():
    picture = torch.tensor([[[0.0, 2.0], [-1.0, 1.0]]])
    same = resize(picture, (2, 2))
    assert same.min() == 0
    assert same.max() == 1
    assert same.data_ptr() != picture.data_ptr()


def test_shrinking_does_not_alias():
    stripes = (torch.arange(256) % 2).float().expand(1, 16, 256)
    assert (resize(stripes, (16, 100)) - 0.5).abs()[..., 5:-5].max() < 0.05


def _hidden_red(edge: int = 16) -> Picture:
    rgb = torch.zeros(3, 32, 32)
    rgb[1] = 1.0
    alpha = torch.ones(32, 32)
    rgb[:, :, edge:] = torch.tensor([1.0, 0.0, 0.0])[:, None, None]
    alpha[:, edge:] = 0.0
    return Picture(rgb=rgb, alpha=alpha)


@pytest.mark.parametrize("size", [(13, 13), (9, 40), (71, 71), (1, 1)])
def test_hidden_colors_do_not_bleed_when_a_picture_is_resized(size):
    resized = resize_picture(_hidden_red(), size)
    assert resized.size == size
    assert resized.rgb[0].max() < 1e-4
    assert resized.rgb[1].min() > 1 - 1e-4


def test_a_picture_of_the_right_size_is_left_alone():
    picture = _hidden_red()
    assert resize_picture(picture, (32, 32)) is picture


def test_bleeding_keeps_visible_pixels_exactly_and_fills_the_rest_from_them():
    generator = torch.Generator().manual_seed(0)
    rgb = torch.rand(3, 37, 53, generator=generator)
    alpha = (torch.rand(37, 53, generator=generator) > 0.7).float() * 0.5
    rgb[:, alpha > 0] *= 0.25
    filled = bleed_under_alpha(rgb, alpha)
    assert torch.equal(filled[:, alpha > 0], rgb[:, alpha > 0])
    assert filled.max() <= 0.25


def test_bleeding_prefers_the_nearer_color():
    rgb = torch.zeros(3, 8, 64)
    rgb[0, :, 0], rgb[2, :, -1] = 1.0, 1.0
    alpha = torch.zeros(8, 64)
    alpha[:, 0], alpha[:, -1] = 1.0, 1.0
    filled = bleed_under_alpha(rgb, alpha)
    assert (filled[0, :, 5] > 0.9).all()
    assert (filled[2, :, -6] > 0.9).all()
    assert torch.all(torch.diff(filled[0, 4]) <= 1e-6)


def test_what_hides_under_alpha_changes_nothing_after_bleeding():
    alpha = torch.zeros(20, 20)
    alpha[4:9, 3:12] = 1.0
    one, other = torch.rand(3, 20, 20), torch.rand(3, 20, 20)
    other[:, alpha > 0] = one[:, alpha > 0]
    assert torch.equal(bleed_under_alpha(one, alpha), bleed_under_alpha(other, alpha))


def test_a_wholly_transparent_picture_becomes_grey():
    assert torch.equal(
        bleed_under_alpha(torch.rand(3, 4, 5), torch.zeros(4, 5)), torch.full((3, 4, 5), 0.5)
    )


def test_without_alpha_bleeding_returns_the_picture():
    rgb = torch.rand(3, 4, 5)
    assert bleed_under_alpha(rgb, None) is rgb
    assert bleed_under_alpha(rgb, torch.ones(4, 5)) is rgb


def test_resizing_agrees_with_pillow():
    image_module = pytest.importorskip("PIL.Image")
    plane = np.random.default_rng(0).random((40, 50), dtype=np.float32) * 0.6 + 0.2
    ours = resize(torch.from_numpy(plane), (17, 80))
    theirs = image_module.fromarray(plane).resize((80, 17), image_module.Resampling.BICUBIC)
    assert np.abs(ours.numpy() - np.asarray(theirs).clip(0, 1)).max() < 1e-4


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 11), (6, 22), (10, 13), (9, 4)])
def test_cells_are_averaged_alike_on_every_device(size):
    """What stands in where torch cannot does what torch does elsewhere, bits aside."""
    planes = torch.rand(3, 7, 11, generator=torch.Generator().manual_seed(0)).double()
    planes = planes / planes.sum(0)
    expected = average(planes, size)
    found = resizing._average_by_matrices(planes, size)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(expected.sum(0), torch.ones(size).double())
    for row in range(size[0]):
        for column in range(size[1]):
            tall = slice(row * 7 // size[0], -(-(row + 1) * 7 // size[0]))
            wide = slice(column * 11 // size[1], -(-(column + 1) * 11 // size[1]))
            cell = planes[:, tall, wide].mean((1, 2))
            torch.testing.assert_close(expected[:, row, column], cell)
