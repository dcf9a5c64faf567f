"""A frozen convolution with its ReLU, and the pooling after it, holding no more than they need.

Autograd keeps the input of every convolution for a gradient of weights that nobody asks for, and
the place of every maximum of a pooling in 64 bits. Here a convolution keeps what comes out of it,
which is where its ReLU is open and which the moments hold anyway; a pooling keeps the maxima's
places in 16 bits; and a convolution whose pooled features alone are wanted keeps those and the
places, a quarter of what it computed. Every layer's own edge is repeated around it, and the frame
is laid and taken off in place, where autograd's padding copies twice. Values are autograd's bit by
bit, gradients but for the order in which they are added.

Zeros around a layer are a frame that nobody has painted: it stands in every statistic, those of a
plain style have nothing else, and the descent draws lines along the edges to make up for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def convolve(hidden: Tensor, weight: Tensor, bias: Tensor, *, dtype: torch.dtype) -> Tensor:
    """ReLU of a convolution whose weights are frozen, of features with their edge repeated.

    Args:
        hidden: shape (B, in, H, W), channels-last.
        weight, bias: shapes (out, in, 3, 3) and (out,), of the precision to multiply in.
        dtype: of the result.

    Returns:
        Shape (B, out, H, W).
    """
    result: Tensor = _Convolve.apply(hidden, weight, bias, dtype)
    return result


def convolve_and_pool(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``max_pool`` of ``convolve``, in the weights' precision."""
    result: Tensor = _ConvolveAndPool.apply(hidden, weight, bias)
    return result


def max_pool(features: Tensor) -> Tensor:
    """The largest of each square of 2 × 2, also of those that stick out of the picture.

    Args:
        features: not negative, shape (B, C, H, W).

    Returns:
        Shape (B, C, ⌈H/2⌉, ⌈W/2⌉).
    """
    result: Tensor = _MaxPool.apply(features)
    return result


def convolve_twice_and_pool(
    picture: Tensor, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]
) -> Tensor:
    """What two convolutions and a pooling make of a picture, without gradients.

    The first two layers are the largest of all. In bands of rows they stay in a processor's caches,
    and are never held whole. Values are those of ``convolve`` and ``convolve_and_pool``.

    Args:
        picture: shape (B, in, H, W).
        first, second: weight and bias of each, with ReLUs; the second's precision is the result's.

    Returns:
        Shape (B, out, ⌈H/2⌉, ⌈W/2⌉).
    """
    batch, _, height, width = picture.shape
    around = F.pad(picture, (2, 2, 2, 2), "replicate")
    around = around.contiguous(memory_format=torch.channels_last)
    dtype, channels = second[0].dtype, len(second[0])
    pooled = untouched((batch, channels, -(-height // 2), -(-width // 2)), picture, dtype)
    each = max(2, at_once(picture.device) // (batch * width) // 2 * 2)
    for start in range(0, height, each):
        end = min(start + each, height)
        hidden = F.relu_(F.conv2d(around[:, :, start : end + 4], *first)).to(dtype)
        # What lies around the picture is no picture's to convolve: its edge is repeated instead.
        for beyond, edge in _EDGES:
            if (start == 0) if beyond == 0 else (end == height):
                hidden[:, :, beyond] = hidden[:, :, edge]
            hidden[..., beyond] = hidden[..., edge]
        out = F.relu_(F.conv2d(hidden, *second))
        pooled[:, :, start // 2 : -(-end // 2)] = F.max_pool2d(out, 2, 2, ceil_mode=True)
    return pooled


def at_once(device: torch.device) -> int:
    """Positions of a band, about: other devices have no such caches, and pay for every call."""
    return 2**15 if device.type == "cpu" else 2**22


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype
    ) -> Tensor:
        out = F.relu_(F.conv2d(framed(hidden, weight.dtype), weight, bias)).to(dtype)
        ctx.save_for_backward(weight, out)
        ctx.size, ctx.dtype = hidden.shape, hidden.dtype
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        weight, out = ctx.saved_tensors
        gradient = torch.ops.aten.threshold_backward(gradient, out, 0).to(weight.dtype)
        return _way_back(gradient, weight, ctx.size).to(ctx.dtype), *3 * (None,)


class _ConvolveAndPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        out = F.relu_(F.conv2d(framed(hidden, weight.dtype), weight, bias))
        if not ctx.needs_input_grad[0]:
            return F.max_pool2d(out, 2, 2, ceil_mode=True)
        pooled, within = _largest(out)
        ctx.save_for_backward(weight, pooled, within)
        ctx.size, ctx.dtype = hidden.shape, hidden.dtype
        return pooled

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        weight, pooled, within = ctx.saved_tensors
        # Where the largest is zero the ReLU lets nothing through.
        gradient = torch.ops.aten.threshold_backward(gradient, pooled, 0)
        spread = _spread(gradient, within, ctx.size[2:])
        return _way_back(spread, weight, ctx.size).to(ctx.dtype), None, None


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        if not ctx.needs_input_grad[0]:
            return F.max_pool2d(features, 2, 2, ceil_mode=True)
        pooled, within = _largest(features)
        ctx.save_for_backward(within)
        ctx.size = features.shape[2:]
        return pooled

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (within,) = ctx.saved_tensors
        spread: Tensor = _spread(gradient, within, ctx.size)
        return spread


def framed(hidden: Tensor, dtype: torch.dtype) -> Tensor:
    """Features (B, C, H, W) with their edge repeated once, (B, C, H + 2, W + 2)."""
    batch, channels, height, width = hidden.shape
    whole = untouched((batch, channels, height + 2, width + 2), hidden, dtype)
    whole[:, :, 1:-1, 1:-1] = hidden
    return with_frame(whole)


def with_frame(whole: Tensor) -> Tensor:
    """Repeat, in place, the edge of what lies inside a frame of one position."""
    for beyond, edge in _EDGES:
        whole[:, :, beyond] = whole[:, :, edge]
    for beyond, edge in _EDGES:
        whole[..., beyond] = whole[..., edge]
    return whole


_EDGES = ((0, 1), (-1, -2))
"""Where the frame is and where the edge that it repeats."""


def _way_back(gradient: Tensor, weight: Tensor, size: torch.Size) -> Tensor:
    """The gradient of the features of this size that were framed and convolved, (B, in, H, W)."""
    channels, height, width = size[1:]
    if channels <= FEW and gradient.device.type == "cpu":
        return _folded(_way_back_to_few(gradient, weight, size))
    if STRIPS * channels <= height + width:
        return _way_back_in_strips(gradient, weight, size)
    whole = untouched((size[0], channels, height + 2, width + 2), gradient, gradient.dtype)
    return _folded(_back(gradient, weight, whole, padding=0))


FEW = 4
"""Channels, as of a picture, below which oneDNN's kernels compute mostly nothing."""
STRIPS = 2
"""Positions of an edge for each channel, above which a frame costs more than its strips."""


def _folded(framed: Tensor) -> Tensor:
    """What a frame gets goes to the edge that it repeats, in place; then it is cut off."""
    for beyond, edge in _EDGES:
        framed[..., edge] += framed[..., beyond]
    for beyond, edge in _EDGES:
        framed[:, :, edge] += framed[:, :, beyond]
    return framed[:, :, 1:-1, 1:-1]


def _way_back_to_few(gradient: Tensor, weight: Tensor, size: torch.Size) -> Tensor:
    """With the frame: a product gives what each place of the kernel gets, and planes add it up."""
    batch, channels, height, width = size
    framed = gradient.new_zeros(batch, channels, height + 2, width + 2)
    places = weight.permute(1, 2, 3, 0).reshape(9 * channels, -1)
    each = max(1, at_once(gradient.device) // (2 * batch * width))
    for start in range(0, height, each):
        end = min(start + each, height)
        shares = places @ gradient[:, :, start:end].flatten(2)
        framed[:, :, start : end + 2] += F.fold(shares, (end - start + 2, width + 2), 3)
    return framed


def _way_back_in_strips(gradient: Tensor, weight: Tensor, size: torch.Size) -> Tensor:
    """What the features get, and what their frame gets one edge at a time.

    A plane with its frame took up to a tenth longer to multiply than one without.
    """
    batch, channels, height, width = size
    back = _back(gradient, weight, untouched(size, gradient, gradient.dtype), padding=1)
    above = untouched((batch, channels, 1, width + 2), gradient, gradient.dtype)
    aside = untouched((batch, channels, height + 2, 1), gradient, gradient.dtype)
    for at, edge in ((0, 0), (2, -1)):
        row = _back(gradient[:, :, edge, None], weight[:, :, at, None], above, padding=0)[:, :, 0]
        for beyond, end in _EDGES:
            row[..., end] += row[..., beyond]
        back[:, :, edge] += row[..., 1:-1]
        column = _back(gradient[..., edge, None], weight[..., at, None], aside, padding=0)[..., 0]
        back[..., edge] += column[:, :, 1:-1]
    return back


def _back(gradient: Tensor, weight: Tensor, like: Tensor, *, padding: int) -> Tensor:
    """The gradient of what was convolved, of which only size and order are looked at."""
    result: Tensor = torch.ops.aten.convolution_backward(
        gradient, like, weight, None, (1, 1), (padding, padding), (1, 1), False, (0, 0), 1,
        (True, False, False),
    )[0]  # fmt: skip
    return result


def untouched(size: Sequence[int], like: Tensor, dtype: torch.dtype) -> Tensor:
    """Memory of this size on the device of ``like``, channels-last, with anything in it."""
    return torch.empty(size, dtype=dtype, device=like.device, memory_format=torch.channels_last)


def _largest(features: Tensor) -> tuple[Tensor, Tensor]:
    """The largest of each square and its place from the square's corner, both (B, C, h, w)."""
    pooled, places = F.max_pool2d(features, 2, 2, ceil_mode=True, return_indices=True)
    width = features.shape[3]
    small = torch.int16 if width < torch.iinfo(torch.int16).max else torch.int32
    return pooled, places.sub_(_corners(features.shape[2:], pooled)).to(small)


def _spread(gradient: Tensor, within: Tensor, size: Sequence[int]) -> Tensor:
    """The gradient of what was pooled, shape (B, C, *size), channels-last."""
    places = within.to(torch.int64).add_(_corners(size, within))
    features = untouched((*gradient.shape[:2], *size), gradient, gradient.dtype)
    result: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
        gradient, features, (2, 2), (2, 2), (0, 0), (1, 1), True, places
    )
    return result


def _corners(size: Sequence[int], pooled: Tensor) -> Tensor:
    """Where each square starts in a plane of this size, counted row by row, shape (h, w)."""
    rows, columns = (2 * torch.arange(n, device=pooled.device) for n in pooled.shape[2:])
    return rows[:, None] * size[1] + columns
