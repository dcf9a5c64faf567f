"""Teach the subject head of ``scenes`` on, by masks, by DINOv2 and by drawn scenes.

    python -m layered_nst.training.segmenters.subject SCENES MORE SEEN WHITE OUT.safetensors [START]

SCENES, MORE and SEEN are those of ``careful``, whose bundled head is the teacher: what it thinks of
a photo is a share of the aim, and all of it where nobody drew a mask. WHITE is a folder of photos
of things before white. Classes and what they share with the head stay as they are. The file is
written anew every so many steps, so that a long training can be ended when it is good enough, and
one that was broken off goes on from ``OUT.safetensors.training`` when it is called again. START is
a segmenter to go on from in place of the bundled one.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

from layered_nst.networks.catalogue import BUNDLE, CAREFUL_HEAD, weights_path
from layered_nst.networks.segmenters import load_segmenter
from layered_nst.networks.segmenters.careful import load_careful_head
from layered_nst.networks.segmenters.checkpoints import read_described, save_segmenter
from layered_nst.networks.segmenters.subject import SubjectHead, shared_features
from layered_nst.picture import read_picture
from layered_nst.training.checkpoints import swept
from layered_nst.training.segmenters.careful import (
    HeadPlan,
    KeptFeatures,
    Lesson,
    aside_of,
    belonging,
    subject_lessons,
    subject_loss,
)
from layered_nst.training.segmenters.depthwise import FasterDepthwise
from layered_nst.training.segmenters.served import Cutout, Plane, cut_out, drawn, on_white
from layered_nst.training.steps import Checkpoint, taught


@dataclass(frozen=True)
class SubjectPlan:
    """How a subject head was taught on; stored in its file.

    Attributes:
        steps, batch: updates, and crops in each.
        side: of a crop, px.
        least_share: smallest share of a photo that a crop shows.
        learning_rate, weight_decay: of AdamW; the rate falls as a half cosine.
        ema: decay of the average of weights that is kept.
        teacher: share of the aim that the teacher has where there is a mask.
        untold: share of crops of photos without one, of which it has all.
        drawn: share of crops that are drawn scenes.
        close: share of crops of photos with a mask that show hardly more than a part of it.
        keep: steps after which the file is written anew.
        seed: of everything random.
    """

    steps: int = 2200
    batch: int = 8
    side: int = 320
    least_share: float = 0.4
    learning_rate: float = 4e-4
    weight_decay: float = 0.02
    ema: float = 0.995
    teacher: float = 0.25
    untold: float = 0.12
    drawn: float = 0.35
    close: float = 0.22
    keep: int = 200
    seed: int = 0


REST = 8
"""Of the photos with masks of persons, animals and cars each so manyth gives a cut-out."""


class CarefulTeacher:
    """What the bundled head of ``careful`` thinks of photos, shape (h, w) in [0, 1]."""

    def __init__(self, seen: KeptFeatures) -> None:
        self.seen = seen
        self.head = load_careful_head(BUNDLE / CAREFUL_HEAD)
        self.said: dict[Path, Tensor] = {}

    def __call__(self, photo: Path) -> Tensor:
        if photo not in self.said:
            logits = self.head(*self.seen(photo))[0, 0]
            self.said[photo] = (logits.sigmoid() * 255).round().to(torch.uint8)
        return self.said[photo].float() / 255


class SubjectLessons:
    """Draws photos and what is to be learned from them.

    Args:
        told: photos with masks.
        untold: photos without.
    """

    def __init__(
        self,
        told: Sequence[Lesson],
        untold: Sequence[Path],
        teacher: Callable[[Path], Tensor],
        things: Sequence[Cutout],
        grounds: Sequence[Plane],
        plan: SubjectPlan,
    ) -> None:
        self.told, self.untold, self.teacher = told, untold, teacher
        self.things, self.grounds, self.plan = things, grounds, plan
        self.often = [lesson.often for lesson in told]
        self.draw = random.Random(plan.seed)
        self.vary = varied(plan.side, plan.least_share)

    def photos(self) -> list[Path]:
        """All that is learned from."""
        return [*(lesson.photo for lesson in self.told), *self.untold]

    def batch(self) -> tuple[Tensor, Tensor]:
        """Crops (B, 3, S, S) in [0, 1], and the subject (B, S, S) in [0, 1]."""
        crops = [self._crop() for _ in range(self.plan.batch)]
        photos, aims = zip(*crops, strict=True)
        return torch.stack(photos), torch.stack(aims)

    def _crop(self) -> tuple[Tensor, Tensor]:
        rgb, aim = self._whole()
        shown = tv_tensors.Image((rgb.clamp(0, 1) * 255).round().to(torch.uint8))
        # As a picture of its own, since masks are not smoothed when they are resized.
        cut, said = self.vary(shown, tv_tensors.Mask((aim * 255).round().to(torch.uint8)[None]))
        return cut.float() / 255, said[0].float() / 255

    def _whole(self) -> tuple[Tensor, Tensor]:
        chance = self.draw.random()
        if chance < self.plan.drawn:
            return drawn(self.things, self.grounds, self.draw)
        if chance < self.plan.drawn + self.plan.untold:
            photo = self.draw.choice(self.untold)
            rgb = read_picture(photo).rgb
            return rgb, self._thought(photo, rgb)
        lesson = self.draw.choices(self.told, self.often)[0]
        rgb = read_picture(lesson.photo).rgb
        truth = lesson.truth()
        aim = truth.lerp(self._thought(lesson.photo, rgb), self.plan.teacher)
        if self.draw.random() < self.plan.close and bool(truth.any()):
            part = closely(truth, self.draw)
            return rgb[:, *part], truth[part]  # a teacher who has seen all of it knows no better
        return rgb, aim

    def _thought(self, photo: Path, rgb: Tensor) -> Tensor:
        said = self.teacher(photo)[None, None]
        found = F.interpolate(said, rgb.shape[-2:], mode="bilinear", align_corners=False)
        return found[0, 0]


CLOSE = (0.3, 0.9)
"""Sides of a close view, as shares of those of the subject's box."""
FEWEST = 48
"""Px of a side that are shown at least."""


def closely(truth: Tensor, draw: random.Random) -> tuple[slice, slice]:
    """A part of a photo within the box of its subject, rows and columns.

    Args:
        truth: 1 where the subject is, shape (H, W).
    """
    part = []
    for axis, side in zip((1, 0), truth.shape, strict=True):
        there = truth.amax(axis).nonzero()
        first, last = int(there[0]), int(there[-1]) + 1
        long = min(side, max(FEWEST, round(draw.uniform(*CLOSE) * (last - first))))
        start = min(max(0, round(draw.uniform(first, max(first, last - long)))), side - long)
        part.append(slice(start, start + long))
    return part[0], part[1]


def varied(side: int, least_share: float) -> v2.Transform:
    """Crops of photos as they come from phones and shops: colors, blur, noise of a JPEG."""
    return v2.Compose(
        [
            v2.RandomResizedCrop(side, scale=(least_share, 1.0), ratio=(0.7, 1.45), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.35, 0.35, 0.4, 0.05)], p=0.7),
            v2.RandomGrayscale(0.05),
            v2.RandomApply([v2.GaussianBlur(5, (0.3, 1.5))], p=0.15),
            v2.RandomApply([v2.JPEG((30, 90))], p=0.3),
        ]
    )


def teach_subject(
    head: SubjectHead,
    encoder: Any,
    lessons: SubjectLessons,
    plan: SubjectPlan,
    *,
    keep: Callable[[nn.Module, int], None],
    told: Callable[[str], None] = print,
    checkpoint: Path | None = None,
) -> nn.Module:
    """Teach a head on and give it with the average of its weights.

    Args:
        encoder: of the class network; is left as it is.
        keep: is given the average and the number of steps now and then.
        checkpoint: a file to keep how far it is in, and to go on from.

    Raises:
        ModelError: the loss is no number; the checkpoint is broken, or of another training.
        OutputError: the checkpoint cannot be written.
    """
    # Normalizations stay as they are: their statistics are in their weights.
    head.eval().requires_grad_(True)

    def loss() -> Tensor:
        photos, aims = lessons.batch()
        with ExitStack() as stack:
            stack.enter_context(FasterDepthwise())
            stack.enter_context(torch.autocast(photos.device.type, torch.bfloat16))
            with torch.no_grad():
                shown = photos.contiguous(memory_format=torch.channels_last)
                early = shared_features(encoder, shown)
            logits = head(early).float()
        return subject_loss(logits, aims)

    def kept(average: nn.Module, steps: int) -> None:
        if steps % plan.keep == 0 or steps == plan.steps:
            keep(average, steps)

    standing = None
    if checkpoint is not None:
        belongs = belonging(head, plan, lessons.photos())
        standing = Checkpoint(checkpoint, belongs, lessons.draw, every=plan.keep)
    return taught(head, loss, plan, least=0.02, told=told, keep=kept, checkpoint=standing)


def main(
    scenes: Path, more: Path, seen: Path, white: Path, output: Path, start: Path | None = None
) -> None:
    """Teach a head on and write it; see the module's docstring."""
    plan = SubjectPlan()
    torch.manual_seed(plan.seed)
    start = weights_path("scenes") if start is None else start
    segmenter = load_segmenter(str(start))
    network: Any = segmenter.network
    assert segmenter.subject is not None
    told = subject_lessons(scenes, more, HeadPlan())
    known = {lesson.photo for lesson in told}
    aside = aside_of(more)
    val = {*(scenes / "val.txt").read_text("utf-8").split()}
    untold = [
        photo
        for folder in (scenes, more)
        for photo in sorted((folder / "images").glob("*.jpg"))
        if photo not in known and photo.stem not in aside | val
    ]
    things = [found for path in sorted(white.rglob("*.jp*g")) if (found := on_white(path))]
    things += _things(told)
    grounds = [_pixels(lesson.photo) for lesson in told if not lesson.truth().any()]
    print(f"{len(told)} told, {len(untold)} untold, {len(things)} things, {len(grounds)} grounds")
    lessons = SubjectLessons(
        told, untold, CarefulTeacher(KeptFeatures(seen)), things, grounds, plan
    )
    described = read_described(start)

    def keep(head: nn.Module, steps: int) -> None:
        notes = {**described.notes, "subject": {**asdict(plan), "taken_after": steps}}
        save_segmenter(network, output, replace(described, notes=notes), subject=head)

    teach_subject(
        segmenter.subject, network.encoder, lessons, plan, keep=keep, checkpoint=swept(output)
    )


def _things(told: Sequence[Lesson]) -> list[Cutout]:
    """Cut-outs by masks: of many kinds those of things, which are rough, and some of the rest."""
    found = []
    for number, lesson in enumerate(told):
        if lesson.photo.stem.startswith("obj_") or number % REST == 0:
            truth = lesson.truth()
            if 0.02 < float(truth.mean()) < 0.7:
                found.append(cut_out(_pixels(lesson.photo), truth.numpy()))
    return found


def _pixels(photo: Path) -> Plane:
    pixels: Plane = read_picture(photo).rgb.movedim(0, -1).numpy()
    return pixels


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
