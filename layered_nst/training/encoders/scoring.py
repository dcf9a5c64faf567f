"""How much of what a wide encoder sees a narrow one sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst.errors import DataError, ModelError
from layered_nst.networks.encoders.encoder import Encoder
from layered_nst.training.encoders.students import Student

SIDE = 256
"""Of each picture the square in its middle is looked at, at most so many px wide."""
FOLDS = 8
"""Parts of the pictures that are scored in turn by what the other parts tell."""


@dataclass(frozen=True)
class LayerScore:
    """What an encoder sees of another one's layer.

    Attributes:
        layer: its name.
        channels: of the encoder.
        wide: channels of the teacher.
        unexplained: share of the teacher's variance, 0 to about 1; 0 is the same.
    """

    layer: str
    channels: int
    wide: int
    unexplained: float


@torch.no_grad()
def student_errors(
    student: Student,
    teacher: Encoder,
    pictures: Sequence[Tensor],
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Unexplained share of the teacher's variance at each layer, over squares of pictures.

    Args:
        student: with the maps that take its features to the teacher's.
        pictures: uint8, shape (3, H, W).
    """
    errors = dict.fromkeys(teacher.layers, 0.0)
    spreads = dict.fromkeys(teacher.layers, 0.0)
    for picture in pictures:
        square = _square(picture).to(device)
        targets = teacher(square, teacher.layers)
        for layer, features in student(square).items():
            seen = F.conv2d(features, student.maps[layer][:, :, None, None])
            errors[layer] += float((seen - targets[layer]).square().sum())
            spreads[layer] += _spread(targets[layer])
    return {layer: errors[layer] / max(spreads[layer], 1e-12) for layer in errors}


def _square(picture: Tensor) -> Tensor:
    """The middle of a uint8 picture (3, H, W) as floats in [0, 1], shape (1, 3, side, side)."""
    side = min(SIDE, *picture.shape[1:])
    top, left = (picture.shape[1] - side) // 2, (picture.shape[2] - side) // 2
    return picture[None, :, top : top + side, left : left + side].float() / 255


def _spread(features: Tensor) -> float:
    """Variance of features (1, C, h, w) over positions, summed over everything."""
    return float((features - features.mean((2, 3), keepdim=True)).square().sum())


@torch.no_grad()
def score_encoder(
    encoder: Encoder,
    teacher: Encoder,
    pictures: Sequence[Tensor],
    *,
    on_picture: Callable[[int, int], None] = lambda *_: None,
) -> list[LayerScore]:
    """Unexplained share of a teacher's variance at each layer, for an encoder as it is stored.

    A stored encoder gives P S, and the U of A = U P, which leads into the teacher's space, is
    gone: nothing that is computed from distances and moments needs it. So the U is taken that
    brings P S nearest to the teacher's T on other pictures: with M = Σ T (P S)ᵀ = W D Vᵀ it is
    W Vᵀ (Schönemann 1966, the orthogonal Procrustes problem). No picture takes part in the U by
    which it is scored, so few pictures make an encoder look worse than it is and never better;
    from some dozens on that is no more to be seen.

    Args:
        pictures: uint8, shape (3, H, W); the square in the middle of each is looked at.
        on_picture: called with (pictures behind, pictures) after each.

    Raises:
        ModelError: the two don't have the same layers, or the teacher is the narrower one.
        DataError: fewer than two pictures.
    """
    check_pair(encoder, teacher)
    if len(pictures) < 2:
        raise DataError(f"{len(pictures)} picture; each is scored by others: name at least 2")
    folds = min(FOLDS, len(pictures))
    sums = {layer: [_Sums() for _ in range(folds)] for layer in teacher.layers}
    device = next(teacher.buffers()).device
    for number, picture in enumerate(pictures):
        square = _square(picture).to(device)
        targets, seen = teacher(square, teacher.layers), encoder(square, encoder.layers)
        for layer, parts in sums.items():
            parts[number % folds].add(seen[layer], targets[layer])
        on_picture(number + 1, len(pictures))
    return [
        LayerScore(layer, encoder.width(layer), teacher.width(layer), _unexplained(parts))
        for layer, parts in sums.items()
    ]


def check_pair(encoder: Encoder, teacher: Encoder) -> None:
    """Find out whether an encoder can have been distilled from a teacher.

    Raises:
        ModelError: the two don't have the same layers, or the teacher is the narrower one.
    """
    if encoder.layers != teacher.layers:
        raise ModelError(
            f"{encoder.name} has {len(encoder.layers)} layers, {teacher.name} has "
            f"{len(teacher.layers)}: they cannot be compared"
        )
    for layer in teacher.layers:
        if encoder.width(layer) > teacher.width(layer):
            raise ModelError(
                f"{encoder.name} has {encoder.width(layer)} channels at {layer}, more than the "
                f"{teacher.width(layer)} of its teacher {teacher.name}"
            )


@dataclass
class _Sums:
    """Over positions: Σ T (P S)ᵀ, ‖T‖² + ‖P S‖², and the variance of T."""

    cross: Tensor | float = 0.0
    energy: float = 0.0
    spread: float = 0.0

    def add(self, seen: Tensor, target: Tensor) -> None:
        """Take in features (1, c, h, w) and (1, C, h, w), in double: errors are differences."""
        # MPS knows no double.
        rows, wanted = (features[0].flatten(1).cpu().double() for features in (seen, target))
        self.cross = self.cross + wanted @ rows.T
        self.energy += float(wanted.square().sum() + rows.square().sum())
        self.spread += _spread(target)


def _unexplained(parts: Sequence[_Sums]) -> float:
    """‖T − U P S‖² over the variance of T, each part with the U of the others."""
    error = 0.0
    for part in parts:
        basis = nearest_basis(torch.as_tensor(sum(p.cross for p in parts if p is not part)))
        error += part.energy - 2 * float((basis * part.cross).sum())
    return error / max(sum(part.spread for part in parts), 1e-12)


def nearest_basis(cross: Tensor) -> Tensor:
    """The U with orthonormal columns for which ``Σ ‖t − U s‖²`` is least.

    Args:
        cross: ``Σ t sᵀ``, shape (C, c) with c ≤ C.

    Returns:
        Shape (C, c).
    """
    left, _, right = torch.linalg.svd(cross, full_matrices=False)
    basis: Tensor = left @ right
    return basis
