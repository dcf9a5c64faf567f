from __future__ import annotations

import pytest
import torch
from torch import nn

from layered_nst.training.segmenters.depthwise import FasterDepthwise

GEOMETRIES = [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 5, "padding": 2},
    {"kernel_size": 5, "padding": 4, "dilation": 2},
    {"kernel_size": 5, "stride": 2},
    {"kernel_size": (3, 5), "stride": (1, 2), "padding": (2, 0), "bias": False},
    {"kernel_size": 3, "padding": 4},
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_values_and_gradients_are_those_of_float32_up_to_rounding(geometry: dict):
    torch.manual_seed(0)
    layer = nn.Conv2d(6, 6, groups=6, **geometry)
    x = torch.randn(2, 6, 13, 15)
    results = []
    for faster in (False, True):
        given = x.clone().requires_grad_()
        layer.zero_grad()
        if faster:
            with FasterDepthwise(), torch.autocast("cpu", torch.bfloat16):
                y = layer(given)
            assert y.dtype == torch.bfloat16
            assert "_Depthwise" in str(_function_of(y))
        else:
            y = layer(given)
        torch.manual_seed(1)
        y.float().backward(torch.randn(y.shape))
        results.append([y, given.grad, *(p.grad for p in layer.parameters())])
    for exact, ours in zip(*results, strict=True):
        assert (ours.float() - exact).norm() <= 0.01 * exact.norm()


def _function_of(y: torch.Tensor) -> object:
    """The function that computed it, before a bias was added."""
    function = y.grad_fn
    assert function is not None
    return function if "Add" not in str(function) else function.next_functions[0][0]


def test_full_and_grouped_convolutions_are_left_to_torch():
    x = torch.randn(1, 4, 8, 8, requires_grad=True)
    for groups in (1, 2):
        layer = nn.Conv2d(4, 4, 3, groups=groups, bias=False)
        with FasterDepthwise(), torch.autocast("cpu", torch.bfloat16):
            assert "Depthwise" not in str(layer(x).grad_fn)


def test_without_autocast_nothing_is_touched():
    layer = nn.Conv2d(4, 4, 3, groups=4, bias=False)
    x = torch.randn(1, 4, 8, 8)
    with FasterDepthwise():
        y = layer(x)
    assert torch.equal(y, layer(x))
    assert "Depthwise" not in str(y.grad_fn)
