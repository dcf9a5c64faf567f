"""How well a segmenter labels: confusion matrix, IoU, pixel accuracy, and how true its outlines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from layered_nst.errors import DataError
from layered_nst.networks.segmenters.segmenter import Segmenter, load_segmenter, segment
from layered_nst.picture.lines import beside_others, dilated, f_score
from layered_nst.training.segmenters.dataset import IGNORED, LabeledPhotos, check_labeled

TOLERANCE = 2
"""Distance in px within which a predicted outline counts as true."""


def confusion(prediction: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Count pixels by true class (row) and predicted class (column), shape (classes, classes).

    Args:
        prediction, truth: class indices of the same shape; 255 in ``truth`` is left out.
    """
    known = truth != IGNORED
    pairs = truth[known].long() * classes + prediction[known].long()
    return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)


def outline_counts(
    prediction: Tensor, truth: Tensor, classes: int, *, tolerance: int = TOLERANCE
) -> Tensor:
    """Count outline pixels of each class: predicted, of these true, existing, of these found.

    An outline pixel of a class lies in it and has a neighbor (4-connected) that does not. It is
    true, or found, if the other label map has an outline pixel of the same class within
    ``tolerance`` px. Outlines near pixels without a label are left out.

    Args:
        prediction, truth: class indices, shape (H, W); 255 in ``truth`` is not labeled.

    Returns:
        Whole numbers of shape (classes, 4).
    """
    unknown = (truth == IGNORED)[None].float()
    trusted = dilated(unknown, tolerance + 1)[0] == 0
    predicted = _outlines(prediction, classes)
    existing = _outlines(truth, classes)
    true = predicted & (dilated(existing.float(), tolerance) > 0)
    found = existing & (dilated(predicted.float(), tolerance) > 0)
    planes = torch.stack([predicted, true, existing, found], 1) & trusted
    return planes.sum((2, 3))


def _outlines(label: Tensor, classes: int) -> Tensor:
    inside = F.one_hot(label.long().clamp(max=classes), classes + 1).permute(2, 0, 1)[:classes] > 0
    return beside_others(inside) & inside


@dataclass(frozen=True)
class SegmentationScore:
    """Summary of counted pixels; classes that never occur count in no mean.

    ``matrix`` comes from ``confusion``, ``outlines`` from ``outline_counts`` (None if not counted);
    both may be summed over photos.
    """

    matrix: Tensor
    outlines: Tensor | None = None

    @property
    def accuracy(self) -> float:
        """Share of labeled pixels whose class is right, in [0, 1]."""
        return float(self.matrix.diagonal().sum() / self.matrix.sum().clamp(min=1))

    @property
    def iou(self) -> Tensor:
        """Intersection over union of each class, NaN where the class never occurs."""
        hit = self.matrix.diagonal().double()
        union = self.matrix.sum(0) + self.matrix.sum(1) - hit
        occurs = self.matrix.sum(1) > 0
        return torch.where(occurs, hit / union.clamp(min=1), torch.nan)

    @property
    def mean_iou(self) -> float:
        """Mean of ``iou`` over the classes that occur."""
        return self.iou.nanmean().item()

    @property
    def outline_f(self) -> float:
        """Boundary F-score in [0, 1] over all classes' outline pixels; NaN if not counted."""
        if self.outlines is None:
            return float("nan")
        return f_score(*self.outlines.sum(0).tolist())

    def summary(self) -> str:
        """Accuracy, mean IoU and outline score in one line."""
        parts = [f"pixel accuracy {self.accuracy:.3f}", f"mean IoU {self.mean_iou:.3f}"]
        if self.outlines is not None:
            parts.append(f"outline F-score ({TOLERANCE} px) {self.outline_f:.3f}")
        return ", ".join(parts)

    def table(self, classes: Sequence[str]) -> str:
        """Confusion matrix in % of each true class (rows), and the IoU, as aligned text."""
        wide = max(6, *map(len, classes))
        shares = 100 * self.matrix / self.matrix.sum(1, keepdim=True).clamp(min=1)
        head = [" " * wide, *(c[:6].rjust(6) for c in classes), "   IoU"]
        lines = [" ".join(head)]
        for name, row, iou, seen in zip(
            classes, shares.tolist(), self.iou.tolist(), self.matrix.sum(1).tolist(), strict=True
        ):
            cells = [f"{share:6.1f}" if seen else "     -" for share in row]
            lines.append(" ".join([name.ljust(wide), *cells, f"{iou:6.3f}" if seen else "     -"]))
        return "\n".join(lines)


def score_segmenter(
    segmenter: Segmenter | Path,
    data: LabeledPhotos,
    *,
    names: Sequence[str] | None = None,
    on_photo: Callable[[int, int], None] = lambda *_: None,
) -> SegmentationScore:
    """Score a segmenter on labeled photos, as carefully as it looks at them.

    Args:
        segmenter: a segmenter, or a ``.safetensors`` file that ``train_segmenter`` wrote.
        data: photos whose classes are the segmenter's.
        names: photos to score; default is ``data.val``.
        on_photo: called with (photos done, photos in all) after each photo.

    Raises:
        DataError: the data has other classes than the segmenter, or nothing of it is labeled.
        ModelError: the weights are missing or broken.
    """
    segmenter = matching_segmenter(segmenter, data)
    names, classes = data.val if names is None else names, len(data.classes)
    check_labeled(data, names)
    matrix = torch.zeros(classes, classes, dtype=torch.long)
    outlines = torch.zeros(classes, 4, dtype=torch.long)
    for number, name in enumerate(names, 1):
        truth = data.label(name)
        winner = segment(segmenter, data.image(name) / 255).winner.cpu()
        matrix += confusion(winner, truth, classes)
        outlines += outline_counts(winner, truth, classes)
        on_photo(number, len(names))
    return SegmentationScore(matrix, outlines)


def matching_segmenter(segmenter: Segmenter | Path, data: LabeledPhotos) -> Segmenter:
    """Load a segmenter if it is a file, and check that it tells the data's classes apart.

    Raises:
        DataError: the data has other classes than the segmenter.
        ModelError: the weights are missing or broken.
    """
    if isinstance(segmenter, Path):
        segmenter = load_segmenter(str(segmenter))
    if tuple(segmenter.classes) != tuple(data.classes):
        raise DataError(
            f"{data.folder / 'classes.txt'}: names {', '.join(data.classes)}, but the segmenter "
            f"{segmenter.name} knows {', '.join(segmenter.classes)}"
        )
    return segmenter
