"""Depthwise convolutions with a faster way back on CPUs, for training in bfloat16.

oneDNN computes bfloat16 gradients of large or dilated depthwise kernels many times slower than it
convolves; they were most of a training step. Nothing is approximated here: the input's gradient is
the convolution of the output's with the kernel turned by 180 degrees, and with a stride, or for a
large kernel's own gradient, float32 is faster.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Pair = tuple[int, int]


class FasterDepthwise(TorchFunctionMode):
    """Within it, depthwise ``conv2d`` under CPU autocast go the faster way back; no other does."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Stand in for one function of torch."""
        kwargs = kwargs or {}
        if func is torch.conv2d and not kwargs and torch.is_autocast_enabled("cpu"):
            faster = _faster(*args)
            if faster is not None:
                return faster
        return func(*args, **kwargs)


def _faster(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: str | int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor | None:
    """The convolution, if it is one that gains: depthwise, on a CPU, padded by numbers."""
    depthwise = groups == x.shape[1] == weight.shape[0] and groups > 1
    if not depthwise or x.device.type != "cpu" or isinstance(padding, str):
        return None
    by_weight = _Depthwise.apply(x, weight, _pair(stride), _pair(padding), _pair(dilation))
    result: Tensor = by_weight
    return result if bias is None else result + bias.to(result)[:, None, None]


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


class _Depthwise(torch.autograd.Function):
    """x (B, C, H, W) with a kernel (C, 1, h, w) for each channel."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)  # type: ignore[untyped-decorator]
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, stride: Pair, padding: Pair, dilation: Pair
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding, dilation
        return nn.functional.conv2d(x, weight, None, stride, padding, dilation, x.shape[1])

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        dx = _input_gradient(gradient, x, weight, ctx.geometry) if wanted[0] else None
        dw = _weight_gradient(gradient, x, weight, ctx.geometry) if wanted[1] else None
        return dx, dw, None, None, None


def _input_gradient(
    gradient: Tensor, x: Tensor, weight: Tensor, geometry: tuple[Pair, Pair, Pair]
) -> Tensor:
    stride, padding, dilation = geometry
    reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    inward = [r - p for r, p in zip(reach, padding, strict=True)]
    if stride == (1, 1) and min(inward) >= 0:
        turned = weight.flip(2, 3)
        return nn.functional.conv2d(gradient, turned, None, 1, inward, dilation, x.shape[1])
    return _of_torch(gradient.float(), x.float(), weight.float(), geometry, of_weight=False).to(x)


def _weight_gradient(
    gradient: Tensor, x: Tensor, weight: Tensor, geometry: tuple[Pair, Pair, Pair]
) -> Tensor:
    if weight.shape[2] * weight.shape[3] > 9:
        gradient, x, weight = gradient.float(), x.float(), weight.float()
    return _of_torch(gradient, x, weight, geometry, of_weight=True)


def _of_torch(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    geometry: tuple[Pair, Pair, Pair],
    *,
    of_weight: bool,
) -> Tensor:
    mask = [not of_weight, of_weight, False]
    nowhere = [False, [0, 0], x.shape[1]]  # not transposed, no output padding, groups
    results = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, *geometry, *nowhere, mask
    )
    result: Tensor = results[1 if of_weight else 0]
    return result
