"""Find faces of any size in a photo of any size, with a network that looks at 128×128 px."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst.networks.catalogue import weights_path
from layered_nst.networks.faces.blazeface import SIDE, BlazeFace, anchors
from layered_nst.networks.own_files import read_bundled

FORMAT = "layered-nst face detector 1"
METHOD = 1
"""Counted up whenever the same weights come to find other faces than those kept."""

LIKELY = 0.5
"""Score from which a place is worth a second look."""
SURE = 0.68
"""Mean score of the second looks from which it is a face."""
LOOKS = (1.7, 2.2, 2.9)
"""Sides of the windows of the second looks, in those of the face. Patches of cloth that pass for a
face in one window do not in others, in which faces all the more do."""
SAME = 0.4
"""Overlap (intersection over union) from which two answers are one face."""
SMALLEST_WINDOW = 64
"""Side in px of the smallest window: in a smaller one a face would have under 10 px."""
LARGEST_SIDE = 1024
"""Longer photos are looked at in this size: faces of under 1 % of it are too small to paint by."""
DEPTH = 4
"""Sizes of windows, each half of the one before, the whole photo first."""
AT_ONCE = 64


@dataclass(frozen=True)
class Face:
    """One face, in fractions of the photo's width and height.

    Attributes:
        score: how surely it is one, 0 to 1.
        box: left, top, right, bottom, from the brow to the chin.
        points: x and y of right eye, left eye, nose, mouth, right ear and left ear, the person's
            own right and left.
    """

    score: float
    box: tuple[float, float, float, float]
    points: tuple[tuple[float, float], ...]


def load_detector(device: torch.device | str = "cpu") -> BlazeFace:
    """The bundled detector.

    Raises:
        ModelError: its file is missing or damaged.
    """
    return _load(weights_path("blazeface"), torch.device(device))


@lru_cache(maxsize=2)
def _load(path: Path, device: torch.device) -> BlazeFace:
    # One for each device: who moved a shared one would take it from under another thread.
    state = read_bundled(path, FORMAT, "is no face detector, or damaged")
    network = BlazeFace()
    network.load_state_dict({name: value.float() for name, value in state.items()})
    return network.to(device).eval().requires_grad_(False)


@torch.no_grad()
def detect_faces(detector: BlazeFace, rgb: Tensor) -> tuple[Face, ...]:
    """Find the faces of a photo, upright or turned by up to about 45 degrees.

    Args:
        detector: from ``load_detector``, on the photo's device.
        rgb: shape (3, H, W), 0 to 1, of any size.

    Returns:
        The largest first.
    """
    height, width = rgb.shape[1:]
    scale = min(1.0, LARGEST_SIDE / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    shown = rgb if scale == 1 else F.interpolate(rgb[None], size, mode="area")[0]
    found = torch.cat([_answers(detector, shown, window) for window in _windows(size)])
    whole = found.new_tensor([size[1], size[0]] * (found.shape[1] // 2))
    again = [_looked_at_again(detector, shown, answer) for answer in _merged(found)]
    sure = torch.stack([row for row in again if float(row[0]) >= SURE] or [found.new_zeros(0)])
    faces = [_face(row, whole) for row in _merged(sure)] if sure.numel() else []
    return tuple(sorted(faces, key=lambda face: -_area(face)))


def _area(face: Face) -> float:
    left, top, right, bottom = face.box
    return (right - left) * (bottom - top)


Window = tuple[int, list[tuple[int, int]]]
"""The side of square windows in px, and left and top of each; they may reach over the border."""


def _windows(size: tuple[int, int]) -> Iterator[Window]:
    """Windows over a picture (height, width): larger than the whole, the whole, and ever smaller
    ones that overlap by half."""
    height, width = size
    longest = max(size)
    for side in (round(1.5 * longest), longest):
        yield side, [((width - side) // 2, (height - side) // 2)]
    for depth in range(1, DEPTH):
        side = longest // 2**depth
        if side < SMALLEST_WINDOW:
            return
        yield side, [(x, y) for y in _starts(height, side) for x in _starts(width, side)]


def _starts(length: int, side: int) -> list[int]:
    """Where windows begin along a side that they cover, overlapping by at least half."""
    if length <= side:
        return [(length - side) // 2]
    count = -(-(length - side) * 2 // side) + 1
    return [round(k * (length - side) / (count - 1)) for k in range(count)]


def _answers(detector: BlazeFace, rgb: Tensor, window: Window) -> Tensor:
    """What is likely a face in windows of one size, shape (N, 17): score, box, points, in px."""
    side, places = window
    scale = SIDE / side
    size = [max(1, round(length * scale)) for length in rgb.shape[1:]]
    sized = F.interpolate(rgb[None], size, mode="bilinear", antialias=True)[0]
    shown = F.pad(sized, (SIDE,) * 4)
    found = []
    for start in range(0, len(places), AT_ONCE):
        part = [(round(x * scale), round(y * scale)) for x, y in places[start : start + AT_ONCE]]
        crops = [shown[:, y + SIDE : y + 2 * SIDE, x + SIDE : x + 2 * SIDE] for x, y in part]
        scores, values = detector(torch.stack(crops) * 2 - 1)
        found.append(_placed(scores.sigmoid(), values, part, scale))
    return torch.cat(found)


def _placed(
    scores: Tensor, values: Tensor, places: Sequence[tuple[int, int]], scale: float
) -> Tensor:
    """Likely answers in px of the picture, as rows of score, box and points."""
    centers = anchors().to(values)
    points = values[:, :, 4:].reshape(*values.shape[:2], -1, 2) + centers[:, None]
    middle, half = values[:, :, :2] + centers, values[:, :, 2:4] / 2
    corners = torch.stack([middle - half, middle + half, *points.unbind(2)], 2)
    offsets = values.new_tensor(places)[:, None, None]
    rows = torch.cat([scores[:, :, None], ((corners + offsets) / scale).flatten(2)], 2)
    kept: Tensor = rows[scores >= LIKELY]
    return kept


def _merged(answers: Tensor) -> list[Tensor]:
    """One row for each face: the mean of the answers that overlap the surest one, by score."""
    rest = answers[answers[:, 0].argsort(descending=True)]
    faces = []
    while len(rest):
        overlap = _overlap(rest[0], rest)
        same = rest[overlap >= SAME]
        weights = same[:, :1] / same[:, 0].sum()
        faces.append(torch.cat([same[0, :1], (same[:, 1:] * weights).sum(0)]))
        # What lies within a face that was found is no other one.
        rest = rest[(overlap < SAME) & ~_within(rest, same[0])]
    return faces


def _looked_at_again(detector: BlazeFace, rgb: Tensor, row: Tensor) -> Tensor:
    """A likely face seen once more, upright and in the middle of several windows.

    Returns:
        Its row with the mean score of these looks, its box and points from the surest.
    """
    for _ in range(2):  # the first time also sets it upright
        looks = [_look(detector, rgb, row, side) for side in LOOKS]
        surest = max(looks, key=lambda look: float(look[0]))
        score = torch.stack([look[:1] for look in looks]).mean(0)
        if float(score) < LIKELY / 2:
            break
        row = torch.cat([score, surest[1:]])
    return torch.cat([score, row[1:]])


def _look(detector: BlazeFace, rgb: Tensor, row: Tensor, factor: float) -> Tensor:
    """The surest answer near the middle of a window that is turned with the eyes of a face."""
    middle, size = (row[1:3] + row[3:5]) / 2, (row[3:5] - row[1:3]).max()
    eyes = row[7:9] - row[5:7]  # from the right one, which is on the left of the picture
    across = eyes / eyes.norm().clamp(min=1e-6) * size * factor / 2
    down = torch.stack([-across[1], across[0]])
    scores, values = detector(_window(rgb, middle, across, down)[None] * 2 - 1)
    places = anchors().to(values)
    central = (places - SIDE / 2).abs().amax(1) <= SIDE / 6
    best = int(torch.where(central, scores[0], -1e9).argmax())
    center, half = values[0, best, :2] + places[best], values[0, best, 2:4].abs().max() / 2
    points = torch.cat([center[None], values[0, best, 4:].reshape(-1, 2) + places[best]])
    units = (points - SIDE / 2) / (SIDE / 2)
    placed = middle + units[:, :1] * across + units[:, 1:] * down
    reach = half * size * factor / SIDE
    box = torch.cat([placed[0] - reach, placed[0] + reach])
    return torch.cat([scores[0, best].sigmoid()[None], box, placed[1:].flatten()])


def _window(rgb: Tensor, middle: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """A turned square of a picture, shape (3, 128, 128); black where there is no picture.

    Args:
        middle: its middle in px.
        across, down: from there to the middles of its right and lower side.
    """
    height, width = rgb.shape[1:]
    # Averaged first where it shrinks, so that nothing aliases.
    shrink = max(1, int(float(across.norm()) * 2 / SIDE))
    small = F.avg_pool2d(rgb[None], shrink, ceil_mode=True, count_include_pad=False)
    size = rgb.new_tensor([width, height])
    matrix = torch.stack([across, down, middle - size / 2], 1) * 2 / size[:, None]
    grid = F.affine_grid(matrix[None], [1, 3, SIDE, SIDE], align_corners=False)
    seen: Tensor = F.grid_sample(small, grid, "bilinear", "zeros", align_corners=False)
    return seen[0]


def _overlap(one: Tensor, many: Tensor) -> Tensor:
    low, high = torch.maximum(one[1:3], many[:, 1:3]), torch.minimum(one[3:5], many[:, 3:5])
    shared = (high - low).clamp(min=0).prod(1)
    areas = (many[:, 3:5] - many[:, 1:3]).prod(1), (one[3:5] - one[1:3]).prod()
    return shared / (areas[0] + areas[1] - shared).clamp(min=1e-6)


def _within(many: Tensor, one: Tensor) -> Tensor:
    middle = (many[:, 1:3] + many[:, 3:5]) / 2
    return ((middle > one[1:3]) & (middle < one[3:5])).all(1)


def _face(row: Tensor, whole: Tensor) -> Face:
    values = (row[1:] / whole).tolist()
    left, top, right, bottom = values[:4]
    points = tuple(zip(values[4::2], values[5::2], strict=True))
    return Face(float(row[0]), (left, top, right, bottom), points)
