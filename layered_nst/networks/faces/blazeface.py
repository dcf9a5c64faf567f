"""BlazeFace (Bazarevsky et al. 2019, arXiv 1907.05047), the short-range network of MediaPipe.

It looks at 128×128 px and tells, for each of 896 places (two at every point of a 16×16 grid, six at
every point of an 8×8 one), how surely a face is there, and its box and six points.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 128
"""Side in px of what the network is shown."""

POINTS = ("right eye", "left eye", "nose", "mouth", "right ear", "left ear")
"""What its six points are; right and left are the person's own."""

FINE, COARSE = 16, 8
"""Sides of the grids at which it answers."""

FINE_PLACES, COARSE_PLACES = 2, 6
"""Answers at each point of a grid."""

VALUES = 4 + 2 * len(POINTS)

_STEM = 24
# Output widths of the blocks, and whether they halve the grid.
_FINE: tuple[tuple[int, bool], ...] = (
    *((24, False), (28, False), (32, True), (36, False), (42, False), (48, True)),
    *((56, False), (64, False), (72, False), (80, False), (88, False)),
)
_COARSE = ((96, True), (96, False), (96, False), (96, False), (96, False))


class BlazeBlock(nn.Module):
    """A depthwise and a pointwise convolution beside a shortcut, padded with zeros to its width."""

    def __init__(self, inputs: int, outputs: int, *, halves: bool) -> None:
        super().__init__()
        self.halves, self.more = halves, outputs - inputs
        stride, padding = (2, 0) if halves else (1, 1)
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, padding, groups=inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = F.max_pool2d(x, 2) if self.halves else x
        # TensorFlow's "same" padding of an even side at stride 2 lies to the right and below.
        seen = F.pad(x, (0, 1, 0, 1)) if self.halves else x
        found: Tensor = self.pointwise(self.depthwise(seen))
        return F.relu(found + F.pad(shortcut, (0, 0, 0, 0, 0, self.more)))


class BlazeFace(nn.Module):
    """The network; frozen weights come from ``load_detector``."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, _STEM, 5, 2)
        self.fine = _blocks(_STEM, _FINE)
        self.coarse = _blocks(_FINE[-1][0], _COARSE)
        fine, coarse = _FINE[-1][0], _COARSE[-1][0]
        self.fine_scores = nn.Conv2d(fine, FINE_PLACES, 1)
        self.coarse_scores = nn.Conv2d(coarse, COARSE_PLACES, 1)
        self.fine_values = nn.Conv2d(fine, FINE_PLACES * VALUES, 1)
        self.coarse_values = nn.Conv2d(coarse, COARSE_PLACES * VALUES, 1)

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Look at pictures.

        Args:
            rgb: shape (N, 3, 128, 128), -1 to 1.

        Returns:
            Scores as logits, shape (N, 896), and values (N, 896, 16): center x and y, width,
            height and the points' x and y, in px from the place's ``anchors``.
        """
        x = F.relu(self.stem(F.pad(rgb, (1, 2, 1, 2))))
        fine = self.fine(x)
        coarse = self.coarse(fine)
        scores = _in_a_row(self.fine_scores(fine), 1), _in_a_row(self.coarse_scores(coarse), 1)
        values = (
            _in_a_row(self.fine_values(fine), VALUES),
            _in_a_row(self.coarse_values(coarse), VALUES),
        )
        return torch.cat(scores, 1)[:, :, 0], torch.cat(values, 1)


def _blocks(inputs: int, plan: tuple[tuple[int, bool], ...]) -> nn.Sequential:
    widths = [inputs, *(width for width, _ in plan)]
    parts = zip(widths[:-1], plan, strict=True)
    return nn.Sequential(
        *(BlazeBlock(before, width, halves=halves) for before, (width, halves) in parts)
    )


def _in_a_row(answers: Tensor, count: int) -> Tensor:
    """Answers of a grid (N, P · count, h, w) place by place, shape (N, h · w · P, count)."""
    return answers.permute(0, 2, 3, 1).reshape(len(answers), -1, count)


def anchors() -> Tensor:
    """The centers of the 896 places in px of what the network is shown, shape (896, 2)."""
    grids = []
    for side, places in ((FINE, FINE_PLACES), (COARSE, COARSE_PLACES)):
        along = (torch.arange(side) + 0.5) * SIDE / side
        y, x = torch.meshgrid(along, along, indexing="ij")
        grids.append(torch.stack([x, y], -1).reshape(-1, 2).repeat_interleave(places, 0))
    return torch.cat(grids)
