"""Convolutions and poolings that keep less: autograd's values and gradients, and what they keep."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional

from layered_nst.networks.encoders import rectified
from layered_nst.networks.encoders.rectified import (
    FEW,
    at_once,
    convolve,
    convolve_and_pool,
    convolve_twice_and_pool,
    max_pool,
)

SIZES = [(8, 12), (7, 12), (8, 5), (1, 1), (9, 2), (1, 6)]


def given(
    *shape: int, seed: int = 0, dtype: torch.dtype = torch.float32, order: bool = True
) -> Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    return values.contiguous(memory_format=torch.channels_last) if order else values


def kernel(out: int, wide: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    weight = given(out, wide, 3, 3, seed=1, dtype=dtype) / (9 * wide) ** 0.5
    return weight, given(out, seed=2, dtype=dtype, order=False) / 4


def pulled(result: Tensor, of: Tensor) -> tuple[Tensor, Tensor]:
    """A result and what a gradient on it comes to at its source."""
    pull = given(*result.shape, seed=3, dtype=result.dtype)
    (gradient,) = torch.autograd.grad(result, of, pull)
    return result.detach(), gradient


def convolved(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """As autograd has it: the edge repeated, convolved, rectified."""
    return functional.conv2d(functional.pad(hidden, 4 * (1,), "replicate"), weight, bias).relu()


def same(found: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> bool:
    """The same values bit by bit; gradients as near as one more rounding lets them be."""
    near = {torch.float32: 1e-5, torch.bfloat16: 0.03}[wanted[1].dtype]
    apart = (found[1].float() - wanted[1].float()).abs().max() / wanted[1].float().abs().max()
    return torch.equal(found[0], wanted[0]) and float(apart) < near


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_convolution_gives_what_autograd_gives(size: tuple[int, int], dtype: torch.dtype) -> None:
    weight, bias = kernel(6, 4, dtype)
    hidden = given(2, 4, *size, dtype=dtype).requires_grad_()
    found = pulled(convolve(hidden, weight, bias, dtype=dtype), hidden)
    wanted = pulled(convolved(hidden, weight, bias), hidden)
    assert same(found, wanted)
    assert 0 < (found[0] == 0).float().mean() < 1


@pytest.mark.parametrize(("wide", "size"), [(5, (1, 9)), (5, (3, 7)), (8, (9, 7)), (8, (9, 6))])
def test_a_frame_costs_strips_or_a_larger_plane_and_pulls_the_same(
    wide: int, size: tuple[int, int]
) -> None:
    weight, bias = kernel(6, wide, torch.float32)
    assert wide > FEW
    hidden = given(2, wide, *size).requires_grad_()
    found = pulled(convolve(hidden, weight, bias, dtype=torch.float32), hidden)
    assert same(found, pulled(convolved(hidden, weight, bias), hidden))


@pytest.mark.parametrize("bands", [1, 3, 100])
def test_a_picture_is_pulled_the_same_in_bands_of_rows(
    bands: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = given(2, 3, 10, 7).requires_grad_()
    weight, bias = kernel(6, 3, torch.float32)
    wanted = pulled(convolved(picture, weight, bias), picture)
    monkeypatch.setattr(rectified, "at_once", lambda device: 2 * 2 * 7 * -(-10 // bands))
    assert same(pulled(convolve(picture, weight, bias, dtype=torch.float32), picture), wanted)


def test_a_convolution_in_float32_may_leave_in_bfloat16() -> None:
    weight, bias = kernel(6, 3, torch.float32)
    picture = given(1, 3, 8, 9).requires_grad_()
    out = convolve(picture, weight, bias, dtype=torch.bfloat16)
    assert out.dtype == torch.bfloat16
    found = pulled(out, picture)
    rounded = convolved(picture, weight, bias).to(torch.bfloat16)
    assert same(found, pulled(rounded, picture))
    assert found[1].dtype == torch.float32


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_pooled_at_once_is_what_autograd_pools(
    size: tuple[int, int], dtype: torch.dtype
) -> None:
    weight, bias = kernel(6, 4, dtype)
    hidden = given(2, 4, *size, dtype=dtype).requires_grad_()
    found = pulled(convolve_and_pool(hidden, weight, bias), hidden)
    open_ = convolved(hidden, weight, bias)
    assert same(found, pulled(functional.max_pool2d(open_, 2, 2, ceil_mode=True), hidden))
    assert same(found, pulled(max_pool(convolve(hidden, weight, bias, dtype=dtype)), hidden))


@pytest.mark.parametrize("size", [*SIZES, (301, 400)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_two_convolutions_in_bands_are_the_same_two_one_after_the_other(
    size: tuple[int, int], dtype: torch.dtype
) -> None:
    picture, first = given(2, 3, *size), kernel(6, 3, torch.float32)
    second = kernel(5, 6, dtype)
    assert 2 * at_once(picture.device) < 2 * 301 * 400, "the largest is cut into bands"
    hidden = convolved(picture, *first).to(dtype)
    expected = functional.max_pool2d(convolved(hidden, *second), 2, ceil_mode=True)
    found = convolve_twice_and_pool(picture, first, second)
    assert found.shape == expected.shape
    tolerance = 1e-5 if dtype == torch.float32 else 3e-2
    assert torch.allclose(found.float(), expected.float(), atol=tolerance)


def test_of_equal_ones_the_first_gets_the_gradient() -> None:
    flat = torch.ones(1, 2, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    pooled = max_pool(flat)
    (gradient,) = torch.autograd.grad(pooled.sum(), flat)
    wanted = torch.zeros(4, 4)
    wanted[::2, ::2] = 1
    assert torch.equal(gradient, wanted.expand(1, 2, 4, 4))


def test_planes_wider_than_sixteen_bits_are_pooled_as_well() -> None:
    wide = given(1, 1, 2, 2**15 + 6).requires_grad_()
    found = pulled(max_pool(wide), wide)
    assert same(found, pulled(functional.max_pool2d(wide, 2, 2, ceil_mode=True), wide))


def kept(function: Callable[[Tensor], Tensor], hidden: Tensor) -> tuple[Tensor, dict[int, int]]:
    """What a function gives, and the place and bytes of each storage kept for its way back."""
    found: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        found[place(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        out = function(hidden)
    assert out.requires_grad
    return out, found


def place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def bytes_kept(function: Callable[[Tensor], Tensor], hidden: Tensor) -> int:
    """All but those of ``hidden``."""
    _, found = kept(function, hidden)
    return sum(size for at, size in found.items() if at != place(hidden))


def test_of_what_is_pooled_a_quarter_is_kept_with_its_places() -> None:
    weight, bias = kernel(16, 4, torch.float32)
    weights = weight.nbytes
    hidden = given(1, 4, 16, 16).requires_grad_()
    features = 16 * 16 * 16 * 4

    def usual(hidden: Tensor) -> Tensor:
        open_ = convolved(hidden, weight, bias)
        return functional.max_pool2d(open_, 2, 2)

    places = features // 8
    assert bytes_kept(lambda h: convolve_and_pool(h, weight, bias), hidden) == (
        weights + features // 4 + places
    )
    framed = 4 * 18 * 18 * 4
    assert bytes_kept(usual, hidden) == weights + framed + features + 4 * places


def test_no_input_of_a_convolution_is_kept() -> None:
    weight, bias = kernel(16, 4, torch.float32)
    hidden = given(1, 4, 16, 16).requires_grad_()
    inner = 2 * hidden
    out, found = kept(lambda h: convolve(h, weight, bias, dtype=torch.float32), inner)
    assert found.keys() == {place(weight), place(out)}
