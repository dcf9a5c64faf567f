"""The objective of a picture that is free in places: what lies elsewhere is seen once.

All that losses want to know of features are sums over positions (``losses.loss``). Where a frame of
a clip shows what the one before did, its pixels stay, and so do the sums of all positions that see
no others. So the whole is seen once, without a gradient, and each step sees windows around what is
free: the rest of the sums stands.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from layered_nst.networks.encoders import Encoder
from layered_nst.networks.encoders.tiles import Sums, Tile, Window, added, grid, halo
from layered_nst.painting.objective import Makes, Objective, Reader, with_pixels
from layered_nst.painting.plan import Plan
from layered_nst.painting.problem import Problem, area

WORTH_IT = 0.6
"""Share of the pixels that windows read, from which on the whole is seen as quickly."""
NEAR = 0.5
"""Share of how far a position sees that windows reach beyond what is free, and are read beyond
that: at their rims units see next to nothing. Half of it turns gradients by less than a hundredth,
and is a third of the pixels around something small; a quarter turns them by a tenth."""


class PartialObjective(Objective):
    """An ``Objective`` that sees the whole picture once, and from then on what may change of it.

    What is frozen in the problem must be as it was in the first picture that it is asked about.

    Attributes:
        windows: what steps see of the picture; none where it is seen as a whole.
        kept: share of the picture that steps do not see, 0 to 1.
    """

    def __init__(
        self,
        encoder: Encoder,
        problem: Problem,
        plan: Plan,
        size: tuple[int, int],
        *,
        losses: Makes | None = None,
    ) -> None:
        super().__init__(encoder, problem, plan, size, losses=losses)
        self.windows = self._worth_it(area(problem.frozen[None], size)[0] < 1)
        self.kept = 1 - sum(w.pixels for w in self.windows) / (size[0] * size[1])
        if not self.windows:
            self.kept = 0.0
        self.parts: list[list[Reader]] = [self._on(window) for window in self.windows]
        self.rest: list[dict[str, Sums]] | None = None

    def _worth_it(self, free: Tensor) -> tuple[Tile, ...]:
        found = windows_of(free, self.encoder, sorted(self.layers)) if self.layers else ()
        read = sum(window.pixels for window in found)
        return found if read < WORTH_IT * free.numel() else ()

    def __call__(self, picture: Tensor) -> dict[str, Tensor]:
        """See ``Objective``."""
        if not self.windows:
            return super().__call__(picture)
        seen = self._windows_see(picture)
        if self.rest is None:
            self.rest = self._beside(picture, seen)
        whole = [added(part, rest) for part, rest in zip(seen, self.rest, strict=True)]
        return with_pixels(
            self._feature_terms(whole), [loss.terms(picture) for loss in self.pixels]
        )

    def _windows_see(self, picture: Tensor) -> list[dict[str, Sums]]:
        """What each loss wants to know of the windows, by layer."""
        total: list[dict[str, Sums]] = []
        for window, readers in zip(self.windows, self.parts, strict=True):
            seen = self._see(picture[:, :, *window.read], readers)
            total = [added(*pair) for pair in zip(total, seen, strict=True)] if total else seen
        return total

    @torch.no_grad()
    def _beside(self, picture: Tensor, seen: Sequence[Mapping[str, Sums]]) -> list[dict[str, Sums]]:
        """What each loss wants to know of all but the windows."""
        whole = self._see(picture, self.readers)
        return [
            {
                layer: tuple(a - b for a, b in zip(sums, part[layer], strict=True))
                for layer, sums in every.items()
            }
            for every, part in zip(whole, seen, strict=True)
        ]


def windows_of(free: Tensor, encoder: Encoder, layers: Sequence[str]) -> tuple[Tile, ...]:
    """Windows that own the positions which see much of a free pixel, none twice.

    Args:
        free: which pixels may change, shape (H, W), bool.
        encoder: that reads them.
        layers: that are wanted of it.
    """
    step = grid(encoder, layers)
    border = math.ceil(NEAR * halo(encoder, layers) / step) * step
    cells = F.max_pool2d(free[None].float().cpu(), step, ceil_mode=True)[0] > 0
    found = ndimage.find_objects(ndimage.label(cells.numpy())[0])
    size = (free.shape[0], free.shape[1])
    scaled = [
        _grown(tuple(slice(s.start * step, s.stop * step) for s in w), 0, size) for w in found
    ]
    owned = _apart([_grown(window, border, size) for window in scaled])
    return tuple(Tile(window, _grown(window, border, size)) for window in owned)


def _grown(window: Sequence[slice], by: int, size: tuple[int, int]) -> Window:
    rows, columns = (
        slice(max(0, part.start - by), min(length, part.stop + by))
        for part, length in zip(window, size, strict=True)
    )
    return rows, columns


def _apart(windows: Sequence[Window]) -> list[Window]:
    """Windows of which those that share a pixel have become one."""
    found: list[Window] = []
    for window in windows:
        while (other := next(_sharing(window, found), None)) is not None:
            found.remove(other)
            rows, columns = (
                slice(min(a.start, b.start), max(a.stop, b.stop))
                for a, b in zip(window, other, strict=True)
            )
            window = rows, columns
        found.append(window)
    return found


def _sharing(window: Window, others: Sequence[Window]) -> Iterator[Window]:
    for other in others:
        if all(a.start < b.stop and b.start < a.stop for a, b in zip(window, other, strict=True)):
            yield other
