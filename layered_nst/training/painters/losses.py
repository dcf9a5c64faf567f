"""What the teaching of a painter lowers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TEMPERATURE = 0.07
CENTERS = 8
"""Points of a picture whose differences to their eight neighbors are compared."""
PROJECTED = 64


class Contrasts(nn.Module):
    """What is learned beside the painter, to compare with, and thrown away.

    Args:
        widths: channels of the layers at which pictures are compared, by layer.
    """

    def __init__(self, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.layers = tuple(widths)
        self.differences = nn.ModuleList(
            nn.Sequential(nn.Linear(width, PROJECTED), nn.ReLU(), nn.Linear(PROJECTED, PROJECTED))
            for width in widths.values()
        )
        self.styles = nn.Sequential(
            nn.Linear(2 * sum(widths.values()), PROJECTED),
            nn.ReLU(),
            nn.Linear(PROJECTED, PROJECTED),
        )

    def coherence(self, seen: Mapping[str, Tensor], photo: Mapping[str, Tensor]) -> Tensor:
        """Contrastive coherence: what lies beside what in the photo does so in the picture.

        Source: Wu et al. 2022, CCPL (arXiv 2207.04808). At each layer the differences of a few
        points to their neighbors, projected, are to be told apart among all of the same picture by
        those of the photo.

        Args:
            seen, photo: features of the picture and of the photo, shape (B, C, h, w) by layer.
        """
        losses = [
            self._coherent(project, seen[layer].float(), photo[layer].float())
            for layer, project in zip(self.layers, self.differences, strict=True)
        ]
        return torch.stack(losses).mean()

    def _coherent(self, project: nn.Module, seen: Tensor, photo: Tensor) -> Tensor:
        height, width = seen.shape[2:]
        rows = 1 + torch.randint(max(1, height - 2), (CENTERS,))
        columns = 1 + torch.randint(max(1, width - 2), (CENTERS,))
        query, key = (
            F.normalize(project(neighbor_differences(part, rows, columns)), dim=2)
            for part in (seen, photo)
        )
        return contrast(query, key.detach())

    def told_apart(self, pictures: Tensor, styles: Tensor) -> Tensor:
        """Whose style a painted region has is to be told among all styles of the batch.

        Source: Zhang et al. 2022, CAST (arXiv 2205.09542), on moments.

        Args:
            pictures: of painted regions, shape (N, D); what ``style_code`` gives.
            styles: of their styles, in the same order.
        """
        query, key = (F.normalize(self.styles(part), dim=1) for part in (pictures, styles))
        return contrast(query[None], key[None])


def contrast(query: Tensor, key: Tensor) -> Tensor:
    """InfoNCE: each query is to be most like its own key.

    Args:
        query, key: of length 1, shape (B, N, D).
    """
    alike = query @ key.mT / TEMPERATURE
    own = torch.arange(alike.shape[1], device=alike.device).expand(len(alike), -1)
    return F.cross_entropy(alike.flatten(0, 1), own.flatten())


def neighbor_differences(features: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Features at points less those of their eight neighbors, (B, 8 · points, C).

    Args:
        features: shape (B, C, h, w).
        rows, columns: of the points, not on the edge where there is an inside.
    """
    height, width = features.shape[2:]
    around = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    rows, columns = rows.clamp(max=height - 1), columns.clamp(max=width - 1)
    here = features[:, :, rows, columns]
    parts = [
        here - features[:, :, (rows + i).clamp(0, height - 1), (columns + j).clamp(0, width - 1)]
        for i, j in around
    ]
    return torch.cat(parts, 2).mT


def style_code(moments: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Means and deviations of all layers as one row, each layer's of length 1.

    Args:
        moments: means (R, C) and raw second moments (R, C, C) by layer.

    Returns:
        Shape (R, 2 · ΣC).
    """
    parts = []
    for mean, second in moments:
        spread = (second.diagonal(dim1=1, dim2=2) - mean.square()).clamp(min=1e-8).sqrt()
        parts += [F.normalize(mean, dim=1), F.normalize(spread, dim=1)]
    return torch.cat(parts, 1)


def relative(seen: Tensor, wanted: Tensor) -> Tensor:
    """``‖F − F*‖² / ‖F*‖²`` of each picture, shape (B,).

    Args:
        seen, wanted: shape (B, C, h, w).
    """
    energy = wanted.float().square().flatten(1).sum(1).clamp(min=1e-6)
    return (seen.float() - wanted.float()).square().flatten(1).sum(1) / energy


def roughness(pictures: Tensor) -> Tensor:
    """Mean squared difference of neighboring pixels of each picture (B, 3, H, W), shape (B,)."""
    return sum(
        (
            (
                pictures.narrow(dim, 1, pictures.shape[dim] - 1)
                - pictures.narrow(dim, 0, pictures.shape[dim] - 1)
            )
            .square()
            .mean((1, 2, 3))
            for dim in (2, 3)
        ),
        pictures.new_zeros(len(pictures)),
    )
