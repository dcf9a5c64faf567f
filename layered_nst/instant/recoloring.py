"""What has been drawn, in the colors of its styles.

The network draws in colors that were right before it drew: what it adds makes them paler or duller
by some, each style otherwise. So the moments of what came are taken to those that were asked for,
region by region, by one affine map each, mixed by the masks like everything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from layered_nst.instant.transport import carriers
from layered_nst.styles.colors import ONE_COLOR
from layered_nst.styles.moments import covariance

LARGEST_GAIN = 2.2
"""The photo's colors have been drawn out already, and what was drawn is to stay what it is. The
nearer a style, the more of this limit is felt: its own contrast is taken to 0.91 of it, which the
judge finds nearer to styles than all of it, and what moves is steadier so."""
PART = 2**16
"""Pixels that are counted or moved at a time: they stay in a processor's caches."""


def color_sums(picture: Tensor, masks: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Colors of regions, all in one pass over the picture.

    Args:
        picture: shape (3, H, W).
        masks: of R regions, shape (H, W).

    Returns:
        How many pixels each region has (R,), their mean (R, 3) and raw second moment (R, 3, 3).
    """
    total = picture.new_zeros(len(masks), 10)
    for part, weights in _parts(picture, masks):
        red, green, blue = colors = part.flatten(1).unbind()
        pairs = (red * red, red * green, red * blue, green * green, green * blue, blue * blue)
        total += weights @ torch.stack([torch.ones_like(red), *colors, *pairs]).T
    count = total[:, 0]
    known = count.clamp(min=torch.finfo(total.dtype).tiny)[:, None]
    products = (total[:, 4:] / known).unbind(1)
    second = torch.stack([products[n] for n in (0, 1, 2, 1, 3, 4, 2, 4, 5)], 1)
    return count, total[:, 1:4] / known, second.view(-1, 3, 3)


def recolored(picture: Tensor, masks: Sequence[Tensor], mean: Tensor, second: Tensor) -> Tensor:
    """A picture with the colors of each region taken to other moments, in place.

    A style of one color gives its mean alone, and no color is drawn out more than ``LARGEST_GAIN``
    times. What belongs to no region stays.

    Args:
        picture: shape (3, H, W) in [0, 1].
        masks: of R regions, shape (H, W), sum 1 at most.
        mean, second: of what is wanted, raw, shapes (R, 3) and (R, 3, 3).
    """
    count, own_mean, own_second = color_sums(picture, masks)
    own, wanted = covariance(own_mean, own_second), covariance(mean, second)
    # One color says nothing of light and dark, and would erase what was drawn.
    told = (wanted.diagonal(dim1=1, dim2=2).sum(1) / ONE_COLOR).clamp(max=1)
    wanted = torch.lerp(own, wanted, told[:, None, None])
    zero, all_the_way = torch.zeros_like(mean), torch.ones_like(count)
    moved = carriers(zero, own, zero, wanted, count=count, amount=all_the_way, largest=LARGEST_GAIN)
    offset = mean - (moved.matrix @ own_mean[:, :, None])[:, :, 0]
    still = torch.eye(3, dtype=picture.dtype, device=picture.device)
    changes = torch.cat([(moved.matrix - still).flatten(1), offset], 1).T  # (12, R)
    for part, weights in _parts(picture, masks):
        mixed = changes @ weights
        change = (mixed[:9].view(3, 3, -1) * part.flatten(1)).sum(1).add_(mixed[9:])
        part.add_(change.view_as(part)).clamp_(0, 1)
    return picture


def _parts(picture: Tensor, masks: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of a picture, (3, n, W), and what of their pixels is each region's, (R, n · W)."""
    rows = max(1, PART // picture.shape[2])
    for start in range(0, picture.shape[1], rows):
        seen = slice(start, start + rows)
        yield picture[:, seen], torch.stack([mask[seen].flatten() for mask in masks])
