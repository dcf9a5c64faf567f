"""What segmentation and selectors find in a photo, as pictures to look at."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from layered_nst import api
from layered_nst.errors import LayeredNstWarning
from layered_nst.files.targets import check_folder, check_unread, made_folder, make_folder
from layered_nst.machine.cache import Cache
from layered_nst.machine.device import choose_device
from layered_nst.networks.encoders import contour_map, load_encoder
from layered_nst.networks.segmenters import Segmentation, load_segmenter, segment
from layered_nst.outputs.result import files_of
from layered_nst.picture import (
    MAX_PIXELS,
    Picture,
    bleed_under_alpha,
    fit_within,
    is_ours,
    read_picture,
    resize_picture,
    to_image,
    write_picture,
)
from layered_nst.recipe import Recipe, SubjectSelector
from layered_nst.recipe.beside import (
    OVERLAY,
    SEAL,
    is_as_written,
    mask_stems,
    masks_folder,
    seal_of,
)
from layered_nst.recipe.starter import Seen
from layered_nst.regions import select
from layered_nst.regions.overlay import overlay
from layered_nst.scene.eyes import SEGMENTED_SIDE

# A class that wins fewer pixels than this is a slip of the segmenter, not something to show.
SMALLEST_SHARE = 0.002
CONTOURS = ("fused", *(f"scale-{number}" for number in range(1, 6)))
# Fine enough for any outline; the network was trained on photos of 481 px.
CONTOURS_SIDE = 1024


@dataclass(frozen=True)
class Findings:
    """Named masks over a photo.

    Attributes:
        rgb: the photo, shape (3, H, W).
        names: one for each mask.
        masks: shape (R, H, W) in [0, 1].
        notes: sentences for the user.
        photo: the photo's file, None if it comes from none.
        files: what was read: photo, recipe, styles and masks.
        sure: how sure the segmenter is of each mask, 0 to 1; () where none was asked.
        subject: mask of what the photo was taken of, shape (H, W); None where none was looked for.
        sure_of_subject: how sure the segmenter is of it, 0 to 1.
    """

    rgb: Tensor
    names: tuple[str, ...]
    masks: Tensor
    notes: tuple[str, ...] = ()
    photo: Path | None = None
    files: tuple[Path, ...] = ()
    sure: tuple[float, ...] = ()
    subject: Tensor | None = None
    sure_of_subject: float = 0.0

    def classes_beside_subject(self) -> dict[str, Seen]:
        """The classes found where the subject is not."""
        outside = 1.0 if self.subject is None else 1 - self.subject
        shares = (self.masks * outside).mean((1, 2)).tolist()
        return {n: Seen(*s) for n, *s in zip(self.names, shares, self.sure, strict=True)}

    def subject_seen(self) -> Seen | None:
        """How much of the photo the subject is; None if there is none."""
        share = 0.0 if self.subject is None else float(self.subject.mean())
        return Seen(share, self.sure_of_subject) if share > 0 else None

    @property
    def coverage(self) -> dict[str, float]:
        """Share of the photo of each mask, 0 to 1."""
        return dict(zip(self.names, self.masks.mean((1, 2)).tolist(), strict=True))


def recipe_masks(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    content: Any = None,
    *,
    size: int | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    device: str | torch.device | None = None,
    weights_dir: Path | None = None,
    max_pixels: int = MAX_PIXELS,
    cache: bool | str | Path | Cache = True,
) -> Findings:
    """The regions of a recipe on its photo, or on ``content``.

    Args:
        recipe, content, size, overrides, device, weights_dir, max_pixels, cache: as ``apply``.

    Raises:
        LayeredNstError: as ``apply``.
    """
    loaded = api.load(recipe, content, size=size, overrides=overrides)
    scene, _ = api.prepare(
        loaded,
        content,
        device=device,
        weights_dir=weights_dir,
        max_pixels=max_pixels,
        cache=cache,
    )
    rgb, found = scene.picture.rgb.cpu(), scene.masks
    masks, named = found.masks.cpu(), [Path(recipe)] if isinstance(recipe, str | Path) else []
    files = (*named, *files_of(loaded))
    return Findings(rgb, found.names, masks, scene.notes, photo=loaded.content, files=files)


def photo_masks(
    photo: Any,
    *,
    size: int | None = None,
    segmenter: str = "scenes",
    device: str | torch.device | None = None,
    weights_dir: Path | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Findings:
    """The classes that a segmenter finds in a photo, each pixel in the likeliest one.

    Args:
        photo: a picture; transparent pixels take the colors around them.
        size: longest side in px; the photo's own up to 768 px if not given.
        segmenter: a name, or the path of a ``.safetensors`` file.
        device, weights_dir, max_pixels: as ``apply``.

    Raises:
        PictureError: the photo cannot be read.
        ModelError: the segmenter cannot be had.
    """
    device = choose_device(device)
    picture = _at_size(read_picture(photo, max_pixels=max_pixels), size or SEGMENTED_SIDE)
    rgb = bleed_under_alpha(picture.rgb, picture.alpha).to(device)
    seen = segment(load_segmenter(segmenter, weights_dir=weights_dir, device=device), rgb)
    winner = seen.winner.cpu()
    kept = [i for i, share in enumerate(seen.shares().values()) if share >= SMALLEST_SHARE]
    masks = torch.stack([(winner == i).float() for i in kept])
    names = tuple(seen.classes[i] for i in kept)
    file = Path(photo) if isinstance(photo, str | Path) else None
    files = () if file is None else (file,)
    found = Findings(picture.rgb, names, masks, photo=file, files=files)
    shown = replace(picture, rgb=rgb, alpha=None)
    return replace(found, sure=_sureness(seen, kept), **_subject_of(seen, shown))


def _sureness(seen: Segmentation, kept: Sequence[int]) -> tuple[float, ...]:
    """Mean probability of each class where it wins."""
    return tuple(float(seen.probabilities[i][seen.winner == i].mean()) for i in kept)


def _subject_of(seen: Segmentation, picture: Picture) -> dict[str, Any]:
    if seen.subject is None:
        return {}
    everything = SubjectSelector(subject=True)
    mask = select(everything, picture=picture, segment=lambda: seen).cpu()
    inside = seen.subject.cpu()[mask >= 0.5]
    return {"subject": mask, "sure_of_subject": float(inside.mean()) if len(inside) else 0.0}


def photo_contours(
    photo: Path,
    *,
    size: int | None = None,
    encoder: str = "hed-vgg16",
    device: str | torch.device | None = None,
    weights_dir: Path | None = None,
    max_pixels: int = MAX_PIXELS,
) -> dict[str, Tensor]:
    """The contours that an encoder with the heads of HED sees in a photo.

    Args:
        photo: a picture; transparent pixels take the colors around them.
        size: longest side in px; the photo's own up to 1024 px if not given.
        encoder: a name, or the path of a file, as recipes use it.
        device: ``cpu``, ``cuda``, ``mps``; by default the fastest there is.
        weights_dir: folder with weights that are not bundled.
        max_pixels: largest picture that is read.

    Returns:
        Probabilities of a contour by name, each of shape (H, W): ``fused``, and ``scale-1`` to
        ``scale-5``, fine to coarse.

    Raises:
        ModelError: the encoder cannot be had, or has no such heads.
    """
    device = choose_device(device)
    network = load_encoder(encoder, weights_dir=weights_dir, device=device)
    picture = _at_size(read_picture(photo, max_pixels=max_pixels), size or CONTOURS_SIDE)
    rgb = bleed_under_alpha(picture.rgb, picture.alpha).to(device)
    seen = contour_map(network, rgb).cpu()
    return dict(zip(CONTOURS, seen, strict=True))


def check_contours(folder: Path, *, reads: Iterable[Path] = ()) -> None:
    """Refuse, before the work, what ``write_contours`` would refuse after it."""
    check_folder([folder / f"{name}.png" for name in CONTOURS], known=is_ours, reads=reads)


def write_contours(
    found: Mapping[str, Tensor], folder: Path, *, reads: Iterable[Path] = ()
) -> list[Path]:
    """Write ``NAME.png`` for each map of ``photo_contours``, white where a contour is.

    Args:
        reads: files that must not be replaced, such as the photo.

    Raises:
        OutputError: the folder cannot be made or written to, or a file of one of the names is
            read or was not written by this program.
    """
    paths = made_folder(folder, [f"{name}.png" for name in found], known=is_ours, reads=reads)
    for path, contours in zip(paths, found.values(), strict=True):
        write_picture(path, contours.expand(3, -1, -1))
    return paths


def _at_size(picture: Picture, longest: int) -> Picture:
    if max(picture.size) <= longest:
        return picture
    return resize_picture(picture, fit_within(picture.size, longest))


def write_masks(found: Findings, folder: Path) -> list[Path]:
    """Write ``NAME.png`` for each mask, white where it is, and ``overlay.png``.

    Each carries a seal. A file of that name that has none, or was changed since, belongs to the
    user: it is left as it is, with a LayeredNstWarning.

    Returns:
        The files that were written.

    Raises:
        OutputError: the folder cannot be made or written to, or the masks were made from a file
            in it, other than one that was mended beside its photo.
    """
    files = {folder / f"{stem}.png": i for i, stem in enumerate(mask_stems(found.names))}
    if found.photo is None or not _are_same(folder, masks_folder(found.photo)):
        check_unread(files, reads=found.files)
    make_folder(folder)
    written = [path for path in files if _is_ours(path)]
    for path in written:
        _write_sealed(path, found.masks[files[path]].expand(3, -1, -1))
    picture = folder / f"{OVERLAY}.png"
    return [*written, write_overlay(found, picture)] if _is_ours(picture) else written


def _is_ours(path: Path) -> bool:
    """Whether a mask may be written; what its user has made of it, or put there, stays."""
    if not os.path.lexists(path) or is_as_written(path):
        return True
    sentence = f"{path}: changed or drawn by hand, so it is left as it is"
    warnings.warn(sentence, LayeredNstWarning, stacklevel=4)
    return False


def _write_sealed(path: Path, rgb: Tensor) -> None:
    write_picture(path, rgb, metadata={SEAL: seal_of(to_image(rgb))})


def _are_same(folder: Path, other: Path) -> bool:
    return os.path.realpath(folder) == os.path.realpath(other)


def write_overlay(found: Findings, path: Path) -> Path:
    """Write the photo with its masks colored and named."""
    picture = overlay(found.rgb, found.masks, found.names, shares=True)
    pixels = picture.width * picture.height
    _write_sealed(path, read_picture(picture, max_pixels=pixels).rgb)
    return path
