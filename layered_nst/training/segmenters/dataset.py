"""Labeled photos on disk: ``images/``, ``labels/`` and lists of classes and photos."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from layered_nst.errors import DataError
from layered_nst.training.segmenters.teaching import read_soft_label, soft_path
from layered_nst.words import pixels

IGNORED = 255
"""Label of pixels that count in no loss and no score."""

BACKDROP = "backdrop"
"""Class of plain surroundings; what stands on it can be cut out and pasted elsewhere."""

SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class LabeledPhotos:
    """A folder of photos with one label map each.

    Label maps are 8-bit pictures of class indices into ``classes``; 255 is not labeled and counts
    in no loss and no score. Beside it, or in its place, a training photo may have a soft label,
    the probabilities that teachers give each class (``teaching``).
    """

    folder: Path
    classes: tuple[str, ...]
    train: tuple[str, ...]
    val: tuple[str, ...]

    def files(self) -> Iterator[Path]:
        """Photos and label maps, whatever lists they are on."""
        for place in ("images", "labels"):
            yield from (self.folder / place).glob("*")

    def image(self, name: str) -> Tensor:
        """The photo as uint8 RGB, shape (3, H, W).

        Raises:
            DataError: missing or broken file.
        """
        pixels = _pixels(_only(self.folder / "images", name, SUFFIXES), modes=None)
        return pixels.permute(2, 0, 1)

    def label(self, name: str) -> Tensor:
        """The label map as uint8 indices, shape (H, W).

        Raises:
            DataError: missing or broken file, a colored picture, or a label without a class.
        """
        path = self._label_path(name)
        label = _pixels(path, modes=("L", "P"))
        # Counting takes a tenth of the time of masking out what is not labeled.
        unnamed = np.bincount(label.numpy().ravel(), minlength=256)[len(self.classes) : IGNORED]
        if unnamed.any():
            raise DataError(
                f"{path}: label {len(self.classes) + int(unnamed.nonzero()[0][0])}, "
                f"but classes.txt names only {len(self.classes)} classes"
            )
        return label

    def soft_label(self, name: str, size: tuple[int, int]) -> Tensor | None:
        """What teachers think of the photo, uint8 (K, height, width); None if none was asked.

        Raises:
            DataError: broken file, or one of other classes.
        """
        path = soft_path(self.folder, name)
        return read_soft_label(path, self.classes, size) if path.exists() else None

    def pair(self, name: str) -> tuple[Tensor, Tensor]:
        """Photo and label map; one with a soft label alone is nowhere labeled.

        Raises:
            DataError: as ``image`` and ``label``, or their sizes differ.
        """
        image = self.image(name)
        if soft_path(self.folder, name).exists() and not self._label_path(name).exists():
            return image, torch.full(image.shape[1:], IGNORED, dtype=torch.uint8)
        label = self.label(name)
        if image.shape[1:] != label.shape:
            raise DataError(
                f"{self.folder / 'labels' / name}.png: {pixels(label.shape)}, "
                f"but its photo has {pixels(image.shape[1:])}"
            )
        return image, label

    def _label_path(self, name: str) -> Path:
        return self.folder / "labels" / f"{name}.png"


def read_labeled_photos(folder: Path) -> LabeledPhotos:
    """Read the lists of a labeled folder and check that every photo and label map is there.

    A training photo may have a soft label in place of a label map.

    Raises:
        DataError: a list or a file is missing or empty, a name is in both lists or twice in one,
            naming the file.
    """
    data = read_photos_to_teach(folder)
    untaught = [name for name in data.train if not soft_path(data.folder, name).exists()]
    for name in (*untaught, *data.val):
        _only(data.folder / "labels", name, (".png",))
    return data


def read_photos_to_teach(folder: Path) -> LabeledPhotos:
    """Read the lists of a folder whose training photos need no label maps yet.

    Raises:
        DataError: as ``read_labeled_photos``, but for the label maps.
    """
    folder = Path(folder)
    classes = _lines(folder / "classes.txt")
    if len(classes) > IGNORED:
        raise DataError(f"{folder / 'classes.txt'}: {len(classes)} classes; at most {IGNORED}")
    data = LabeledPhotos(folder, classes, _lines(folder / "train.txt"), _lines(folder / "val.txt"))
    for name in data.train + data.val:
        _only(folder / "images", name, SUFFIXES)
    both = sorted(set(data.train) & set(data.val))
    if both:
        raise DataError(f"{folder}: {both[0]} is in train.txt and in val.txt")
    return data


def _pixels(path: Path, *, modes: tuple[str, ...] | None) -> Tensor:
    """Pixels of a picture of these modes, or of any as RGB."""
    try:
        with Image.open(path) as picture:
            if modes and picture.mode not in modes:
                raise DataError(
                    f"{path}: mode {picture.mode}; a label map is an 8-bit picture of class indices"
                )
            pixels = np.array(picture if modes else picture.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, FileNotFoundError):
            raise DataError(f"{path}: no such file, but a list names it") from error
        raise DataError(f"{path}: not a picture, or a broken one") from error
    return torch.from_numpy(pixels)


def _lines(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file") from error
    lines = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not lines:
        raise DataError(f"{path}: empty")
    twice = next((line for i, line in enumerate(lines) if line in lines[:i]), None)
    if twice:
        raise DataError(f"{path}: {twice} is listed twice")
    return lines


def _only(folder: Path, name: str, suffixes: tuple[str, ...]) -> Path:
    for suffix in suffixes:
        path = folder / f"{name}{suffix}"
        if path.is_file():
            return path
    raise DataError(f"{folder / name}{suffixes[0]}: no such file, but a list names it")


def augmentation(size: int, *, least_share: float) -> v2.Transform:
    """Random crop, scale, mirror and colours; works on photo and label map together.

    Args:
        size: side of a crop in px.
        least_share: smallest share of a photo that a crop shows, in [0, 1].
    """
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(least_share, 1.0), ratio=(0.6, 1.6), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.06)], p=0.8),
            v2.RandomGrayscale(0.05),
            v2.RandomApply([v2.GaussianBlur(5, (0.3, 1.8))], p=0.15),
        ]
    )


def paste_cutout(
    image: Tensor, label: Tensor, donor: Tensor, donor_label: Tensor, *, kept: Tensor
) -> tuple[Tensor, Tensor]:
    """Paste the labeled things of one photo onto another at a random size and place.

    Args:
        image, donor: uint8 photos, (3, H, W) and (3, h, w).
        label, donor_label: their label maps.
        kept: class indices that count as things; the rest of the donor stays out.
    """
    thing = torch.isin(donor_label, kept)
    if thing.float().mean() < 0.01:  # specks make no cut-out worth seeing
        return image, label
    rows, columns = thing.any(1).nonzero(), thing.any(0).nonzero()
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    cut = torch.cat([donor[:, *box].float(), thing[box][None] * 255.0])
    height, width = label.shape
    share = 0.3 + 0.6 * torch.rand(()).item()
    scale = share * min(height / cut.shape[1], width / cut.shape[2])
    to = [max(4, round(cut.shape[1] * scale)), max(4, round(cut.shape[2] * scale))]
    cut = v2.functional.resize(cut, to, antialias=True)
    classes = v2.functional.resize(
        donor_label[box][None], to, interpolation=v2.InterpolationMode.NEAREST
    )[0]
    top = int(torch.randint(height - to[0] + 1, ()))
    left = int(torch.randint(width - to[1] + 1, ()))
    alpha, place = cut[3] / 255, (slice(top, top + to[0]), slice(left, left + to[1]))
    image, label = image.clone(), label.clone()
    below = image[:, *place].float()
    image[:, *place] = (cut[:3] * alpha + below * (1 - alpha)).round().to(torch.uint8)
    inside = (alpha > 0.5) & torch.isin(classes, kept)
    label[place] = torch.where(inside, classes, label[place])
    return image, label


def mix_rectangles(crops: Tensor, share: float) -> Tensor:
    """Lay a rectangle of one crop over another one, at the same place (CutMix).

    Which crops get one is drawn for each alone; it comes from the crop before it in the batch, and
    covers a tenth to a half of the area. A network that is to tell both sides of the seam apart
    can lean less on what it remembers of the whole photo (French et al. 2020, arXiv 1906.01916,
    after Yun et al. 2019).

    Args:
        crops: (B, C, H, W), photos and labels of every kind as channels of one tensor.
        share: of the crops that get a rectangle, in [0, 1].
    """
    if share == 0:
        return crops  # and draw nothing: plans without it give the crops that they always gave
    height, width = crops.shape[-2:]
    mixed = crops.clone()
    for index in range(len(crops)):
        if torch.rand(()) >= share:
            continue
        area, shape = torch.rand(2).tolist()
        area, shape = 0.1 + 0.4 * area, 2 ** (2 * shape - 1)  # sides of 1:2 to 2:1
        tall = min(height, round(height * math.sqrt(area * shape)))
        wide = min(width, round(width * math.sqrt(area / shape)))
        top = int(torch.randint(height - tall + 1, ()))
        left = int(torch.randint(width - wide + 1, ()))
        place = (..., slice(top, top + tall), slice(left, left + wide))
        mixed[index][place] = crops[index - 1][place]
    return mixed


@dataclass(frozen=True)
class TrainingPool:
    """Which training photos to draw how often, and whose things may be pasted onto others.

    Attributes:
        weights: how often to draw each training photo, so that rare classes are seen more.
        donors: names of photos whose labeled things stand free.
        things: class indices that may be pasted: all but the backdrop.
        taught: whether any training photo has a soft label.
    """

    weights: Tensor
    donors: tuple[str, ...]
    things: Tensor
    taught: bool


def training_pool(data: LabeledPhotos, *, balance: bool = True) -> TrainingPool:
    """Look once at every training label map and soft label.

    Args:
        balance: weigh photos of rare classes more; otherwise all alike.

    Raises:
        DataError: a label map or soft label is broken, or another size than its photo; or no
            pixel of all of them is labeled.
    """
    backdrop = data.classes.index(BACKDROP) if BACKDROP in data.classes else IGNORED
    present, donors, taught, labeled = [], [], False, 0
    for name in data.train:
        label = data.pair(name)[1]
        soft = data.soft_label(name, (label.shape[0], label.shape[1]))
        if _stands_free(label, backdrop):
            donors.append(name)
        if soft is not None:
            taught = True
            label = torch.where(label == IGNORED, soft.argmax(0).to(label), label)
        counts = torch.bincount(label.flatten(), minlength=256)[: len(data.classes)]
        labeled += int(counts.sum())
        present.append(counts > 0.0025 * label.numel())
    if not labeled:
        listed = f"no pixel of the {len(data.train)} photos to learn from is labeled"
        raise DataError(f"{data.folder / 'labels'}: {listed}; label some of them")
    things = torch.tensor([i for i in range(len(data.classes)) if i != backdrop])
    rarity = _rarity(torch.stack(present).double())
    weights = rarity if balance else torch.ones_like(rarity)
    return TrainingPool(weights, tuple(donors), things, taught)


def check_labeled(data: LabeledPhotos, names: Sequence[str]) -> None:
    """Find out before the work whether there is anything to score by.

    Raises:
        DataError: no pixel of all these photos is labeled, or a label map is broken.
    """
    if not any((data.label(name) != IGNORED).any() for name in names):
        listed = f"no pixel of the {len(names)} label maps to score by is labeled"
        raise DataError(f"{data.folder / 'labels'}: {listed}; label some of them")


def _rarity(present: Tensor) -> Tensor:
    """Weight of each photo by its rarest class; ``present`` is (photos, classes) of 0 and 1."""
    rarity = (len(present) / present.sum(0).clamp(min=1)).sqrt()
    return (present * rarity).amax(1).clamp(min=1.0)


def _stands_free(label: Tensor, backdrop: int) -> bool:
    """Whether the labeled things are islands: the frame of the photo is surroundings, nearly all.

    Surroundings are unlabeled or plain backdrop, so what a cut-out loses there is no thing.
    """
    outside = (label == IGNORED) | (label == backdrop)
    frame = torch.cat([outside[0], outside[-1], outside[:, 0], outside[:, -1]]).float()
    return frame.mean().item() >= 0.9 and not outside.all().item()


def training_batches(
    data: LabeledPhotos,
    *,
    size: int,
    batch: int,
    pool: TrainingPool,
    paste: float,
    mix: float,
    least_share: float,
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """One epoch of augmented crops, made by another process while the caller trains.

    Yields uint8 photos (batch, 3, size, size), long labels (batch, size, size) and, if any photo
    has one, soft labels, uint8 (batch, K, size, size), which are nothing but zeros where no teacher
    was asked. Takes one number of torch's global generator, whose state the training checkpoint
    keeps; all else is drawn from it.

    Args:
        paste: share of crops onto which a cut-out of another photo is pasted.
        mix: share of crops with a rectangle of another crop, as ``mix_rectangles``.
        least_share: smallest share of a photo that a crop shows.

    Raises:
        DataError: a file that ``training_pool`` saw whole is gone or broken.
    """
    crops = _Crops(data, size, batch, pool, paste, mix, least_share)
    try:
        yield from DataLoader(crops, batch_size=None, num_workers=1)
    except DataError as error:
        # What the other process raised comes with its traceback before the sentence.
        raise DataError(str(error).rstrip().rsplit("DataError: ", 1)[-1]) from error


@dataclass(frozen=True)
class _Crops(IterableDataset[tuple[Tensor, Tensor, Tensor | None]]):
    """An epoch of ``training_batches``; draws from torch's generator of the process it runs in."""

    data: LabeledPhotos
    size: int
    batch: int
    pool: TrainingPool
    paste: float
    mix: float
    least_share: float

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        transform = augmentation(self.size, least_share=self.least_share)
        names, pool = self.data.train, self.pool
        order = torch.multinomial(pool.weights, len(names), replacement=True).tolist()
        for start in range(0, len(order) - self.batch + 1, self.batch):
            crops = [
                transform(*_pasted(self.data, names[index], pool=pool, paste=self.paste))
                for index in order[start : start + self.batch]
            ]
            images, labels = (torch.stack(part) for part in zip(*crops, strict=True))
            mixed = mix_rectangles(torch.cat([images, labels], dim=1), self.mix)
            images, labels, soft = mixed[:, :3], mixed[:, 3].long(), mixed[:, 4:]
            yield images.contiguous(), labels, soft.contiguous() if pool.taught else None


def _pasted(
    data: LabeledPhotos, name: str, *, pool: TrainingPool, paste: float
) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
    """A training photo, at times with a thing of another one pasted onto it.

    Returns the photo and (1 + K, H, W): its label map and what teachers think of it, if any.
    """
    image, label = data.pair(name)
    soft = _taught(data, name, label) if pool.taught else label.new_zeros(0, *label.shape)
    if pool.donors and name not in pool.donors and torch.rand(()) < paste:
        donor = pool.donors[int(torch.randint(len(pool.donors), ()))]
        before = label
        image, label = paste_cutout(image, label, *data.pair(donor), kept=pool.things)
        soft = _with_certainty(soft, label, where=label != before)
    return tv_tensors.Image(image), tv_tensors.Mask(torch.cat([label[None], soft]))


def _taught(data: LabeledPhotos, name: str, label: Tensor) -> Tensor:
    """The soft label of a photo, uint8 (K, H, W); zeros if it has none."""
    soft = data.soft_label(name, (label.shape[0], label.shape[1]))
    return label.new_zeros(len(data.classes), *label.shape) if soft is None else soft


def _with_certainty(soft: Tensor, label: Tensor, *, where: Tensor) -> Tensor:
    """Soft labels that say there what the label map says; of K or of no classes."""
    sure = label == torch.arange(len(soft)).to(label)[:, None, None]
    return torch.where(where, sure.to(soft) * 255, soft)
