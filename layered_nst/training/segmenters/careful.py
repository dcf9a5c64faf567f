"""Train the head of ``segmentation: careful`` on what DINOv2 sees.

    python -m layered_nst.training.segmenters.careful SCENES MORE SEEN careful.safetensors

SCENES is a folder as ``layered-nst segmenter train`` takes it. MORE has ``images``, ``labels`` and
``subjects`` (masks, 0 and 255); what a name begins with tells its source. Every tenth of each
source is put aside and never trained on, nor is ``val.txt``. Features are kept in the folder SEEN,
3.4 MB a photo, and found in bfloat16 where they are not there yet, half a second to a second of one
core each. A step takes half a second on one core that multiplies in bfloat16.
A training that was broken off goes on from ``careful.safetensors.training`` when called again.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional as F

from layered_nst.files.atomic import replacing
from layered_nst.files.hashes import digest, text_hash
from layered_nst.files.tensors import write_tensors
from layered_nst.networks.catalogue import CAREFUL, weights_path
from layered_nst.networks.segmenters import load_segmenter, vision
from layered_nst.networks.segmenters.careful import (
    FORMAT,
    CarefulHead,
    seen_by,
    shown_size,
)
from layered_nst.networks.segmenters.labels import SCENES
from layered_nst.networks.segmenters.vision import PATCH
from layered_nst.picture import guided, read_picture, size_of
from layered_nst.training.checkpoints import swept
from layered_nst.training.segmenters.dataset import read_labeled_photos
from layered_nst.training.steps import Checkpoint, taught

ALONE = 0.9
"""Share of its class's pixels that a thing must have to be a photo's subject."""


@dataclass(frozen=True)
class HeadPlan:
    """How a head was trained; stored in its file.

    Attributes:
        steps, batch: updates, and photos in each.
        learning_rate, weight_decay: of AdamW; the rate falls as a half cosine.
        ema: decay of the average of weights that is kept.
        dropout: share of DINOv2's channels that are hidden from a photo.
        crop: share of photos of which a part is shown, and the least share of a side that it has.
        empty: share of the photos without a subject.
        bfloat16: multiply in it, which takes half the time where it is native.
        seed: of everything random.
    """

    steps: int = 4000
    batch: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    ema: float = 0.995
    dropout: float = 0.15
    crop: tuple[float, float] = (0.5, 0.7)
    empty: float = 0.03
    bfloat16: bool = True
    seed: int = 0


@dataclass(frozen=True)
class Lesson:
    """A photo, and what is to be learned from it.

    Attributes:
        photo: its file.
        truth: gives 1 where the subject is and 0 elsewhere, shape (H, W).
        often: how often it is drawn beside others.
    """

    photo: Path
    truth: Callable[[], Tensor]
    often: float = 1.0


class KeptFeatures:
    """What DINOv2 and the bundled encoder see in photos, kept in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._networks: tuple[vision.VisionTransformer, Any] | None = None

    def __call__(self, photo: Path) -> tuple[Tensor, Tensor]:
        """Features at places of 14 px, (1, 1152, h, w), and at 4 px, (1, 24, H, W)."""
        path = self.folder / f"{photo.stem}.npz"
        if not path.exists():
            self._keep(photo, path)
        with np.load(path) as kept:
            places, early = (torch.from_numpy(kept[k]).float()[None] for k in ("places", "early"))
        return places, early

    def _keep(self, photo: Path, path: Path) -> None:
        if self._networks is None:
            encoder: Any = load_segmenter("scenes").network.encoder
            self._networks = vision.read_transformer(weights_path(CAREFUL)), encoder
        transformer, encoder = self._networks
        rgb = read_picture(photo).rgb
        shown = guided.resample(rgb, shown_size(size_of(rgb)))
        with torch.no_grad(), torch.autocast(shown.device.type, torch.bfloat16):
            places, early = seen_by(transformer, encoder, shown)
        with replacing(path) as file:
            np.savez(file, places=places[0].half().numpy(), early=early[0].half().numpy())


def put_aside(names: Sequence[str]) -> set[str]:
    """Every tenth, in the order of names and so of each source; the subject of `scenes` was taught
    without the same masks."""
    return set(sorted(names)[::10])


def aside_of(more: Path) -> set[str]:
    """All photos of MORE that no head is trained on: one in ten of the masks and of the labels."""
    listed = (
        [path.stem for path in (more / part).glob("*.png")] for part in ("subjects", "labels")
    )
    return set().union(*(put_aside(names) for names in listed))


def subject_lessons(scenes: Path, more: Path, plan: HeadPlan) -> list[Lesson]:
    """Masks by hand, cut-outs, cars, and photos of SCENES with one thing or none."""
    aside = aside_of(more)
    lessons = []
    for path in sorted((more / "subjects").glob("*.png")):
        if path.stem not in aside:
            lessons.append(Lesson(_photo(more, path.stem), partial(_mask, path)))
    for path in sorted((more / "labels").glob("carp_*.png")):
        if path.stem not in aside:
            lessons.append(Lesson(_photo(more, path.stem), partial(_things, path, ("vehicle",))))
    data = read_labeled_photos(scenes)
    nothing = []
    for name in data.train:
        path, photo = scenes / "labels" / f"{name}.png", _photo(scenes, name)
        label = data.label(name)
        if name.startswith("obj_"):
            lessons.append(Lesson(photo, partial(_things, path, data.classes[:-1]), 2.0))
            continue
        kind = _only_thing(label)
        if kind:
            lessons.append(Lesson(photo, partial(_things, path, (kind,))))
        elif not any(_share(label, one) > LEAST for one in (*THINGS, "building")):
            nothing.append(Lesson(photo, partial(_things, path, ())))
    often = plan.empty * sum(lesson.often for lesson in lessons) / max(1, len(nothing))
    return [*lessons, *(replace(lesson, often=often) for lesson in nothing)]


THINGS = ("person", "animal", "vehicle", "object")
LEAST = 0.01
"""Share of a photo below which a class is not in it."""


def _photo(folder: Path, name: str) -> Path:
    return folder / "images" / f"{name}.jpg"


def _read(path: Path) -> Tensor:
    return torch.from_numpy(np.asarray(Image.open(path).convert("L")).copy())


def _mask(path: Path) -> Tensor:
    return (_read(path) > 127).float()


def _things(path: Path, classes: Sequence[str]) -> Tensor:
    """All pixels of these classes; what is not labeled is none."""
    wanted = torch.tensor([SCENES.index(name) for name in classes], dtype=torch.uint8)
    return torch.isin(_read(path), wanted).float()


def _share(label: Tensor, name: str) -> float:
    return float((label == SCENES.index(name)).float().mean())


def _only_thing(label: Tensor) -> str | None:
    """The class of a photo's one thing, if it has just one, neither tiny nor all of the photo."""
    there = [name for name in THINGS if _share(label, name) > LEAST]
    if len(there) != 1 or not 0.05 < _share(label, there[0]) < 0.7:
        return None
    pieces, _ = ndimage.label((label == SCENES.index(there[0])).numpy(), np.ones((3, 3)))
    sizes = np.bincount(pieces.ravel())[1:]
    return there[0] if sizes.max() >= ALONE * sizes.sum() else None


def subject_loss(logits: Tensor, aims: Tensor) -> Tensor:
    """Cross-entropy and, where there is a subject, half a Dice loss, in the mean.

    Args:
        logits: shape (B, 1, h, w).
        aims: how far each pixel is of the subject, shape (B, H, W), in [0, 1].
    """
    wanted = F.interpolate(aims[:, None], logits.shape[-2:], mode="area")
    loss = F.binary_cross_entropy_with_logits(logits, wanted)
    found = logits.sigmoid()
    both, either = (x.sum((1, 2, 3)) for x in (found * wanted, found + wanted))
    there = (wanted.sum((1, 2, 3)) >= 1).float()
    return loss + 0.5 * ((1 - 2 * both / either.clamp(min=1e-6)) * there).mean()


def train_head(
    head: CarefulHead,
    lessons: Sequence[Lesson],
    seen: Callable[[Path], tuple[Tensor, Tensor]],
    plan: HeadPlan,
    *,
    told: Callable[[str], None] = print,
    checkpoint: Path | None = None,
) -> nn.Module:
    """Train a head and give it with the average of its weights.

    Args:
        seen: gives the features of a photo, as ``KeptFeatures`` does.
        told: called now and then with a line on how far it is.
        checkpoint: a file to keep how far it is in, and to go on from.

    Raises:
        ModelError: the loss is no number; the checkpoint is broken, or of another training.
        OutputError: the checkpoint cannot be written.
    """
    draw = random.Random(plan.seed)
    often = [lesson.often for lesson in lessons]

    def loss() -> Tensor:
        losses = []
        for lesson in draw.choices(lessons, often, k=plan.batch):
            places, early, truth = _varied(seen(lesson.photo), lesson.truth(), draw, plan)
            with torch.autocast(places.device.type, torch.bfloat16, enabled=plan.bfloat16):
                logits = head(places, early)
            losses.append(subject_loss(logits.float(), truth[None]))
        return torch.stack(losses).mean()

    kept = None
    if checkpoint is not None:
        kept = Checkpoint(checkpoint, belonging(head, plan, [one.photo for one in lessons]), draw)
    return taught(head, loss, plan, least=0.01, told=told, checkpoint=kept)


def belonging(head: nn.Module, plan: Any, photos: Iterable[Path]) -> dict[str, Any]:
    """What the training of a head goes on with and no other: start, plan, names of photos."""
    names = text_hash("\n".join(photo.name for photo in photos))
    return {"start": digest(head.state_dict()), "plan": asdict(plan), "photos": names}


def _varied(
    seen: tuple[Tensor, Tensor], truth: Tensor, draw: random.Random, plan: HeadPlan
) -> tuple[Tensor, Tensor, Tensor]:
    """Features and truth, mirrored and cut now and then, with some channels hidden."""
    places, early = seen
    height, width = places.shape[-2] * PATCH, places.shape[-1] * PATCH
    truth = F.interpolate(truth[None, None], (height, width), mode="nearest")[0, 0]
    planes = [places, early, truth]
    if draw.random() < plan.crop[0]:
        top, tall = _cut(height, draw, plan)
        left, wide = _cut(width, draw, plan)
        planes = [
            plane[..., top // px : (top + tall) // px, left // px : (left + wide) // px]
            for plane, px in zip(planes, (PATCH, 4, 1), strict=True)
        ]
    if draw.random() < 0.5:
        planes = [plane.flip(-1) for plane in planes]
    places, early, truth = planes
    return F.dropout2d(places, plan.dropout), early, truth


def _cut(side: int, draw: random.Random, plan: HeadPlan) -> tuple[int, int]:
    """Where a part of a side begins and how long it is, in px, in steps of two places."""
    step = 2 * PATCH
    count = side // step
    long = draw.randint(max(1, round(plan.crop[1] * count)), count)
    return draw.randint(0, count - long) * step, long * step


def write_head(path: Path, head: nn.Module, plan: HeadPlan) -> None:
    """Write a head in float16, with the plan it was trained by.

    Raises:
        OutputError: missing folder, no permission, full disk.
    """
    tensors = {name: value.half() for name, value in head.state_dict().items()}
    texts = {"format": FORMAT, "plan": json.dumps(asdict(plan)), "digest": digest(tensors)}
    write_tensors(path, tensors, texts)


def main(scenes: Path, more: Path, seen: Path, output: Path) -> None:
    """Train a head and write it; see the module's docstring."""
    plan = HeadPlan()
    torch.manual_seed(plan.seed)
    lessons = subject_lessons(scenes, more, plan)
    head = train_head(CarefulHead(), lessons, KeptFeatures(seen), plan, checkpoint=swept(output))
    write_head(output, head, plan)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
