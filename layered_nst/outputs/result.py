"""What a run gives back."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from torch import Tensor

from layered_nst import plugins
from layered_nst.errors import OutputError
from layered_nst.files.targets import check_target
from layered_nst.files.texts import readable
from layered_nst.outputs.manifest import manifest_of, picture_metadata
from layered_nst.painting.plan import Plan
from layered_nst.picture import (
    Kept,
    Picture,
    Proof,
    check_inks,
    check_size,
    fit_within,
    is_ours,
    native_colors,
    picture_format,
    proof,
    read_profile,
    resize_picture,
    to_image,
    write_picture,
)
from layered_nst.recipe import Recipe, named_files
from layered_nst.scene.provenance import Inputs
from layered_nst.scene.scene import Scene
from layered_nst.strategies.checkpoints import discard
from layered_nst.words import duration

if TYPE_CHECKING:
    from layered_nst.outputs.layered.layers import Layer

SHOWN_SIDE = 512
"""Longest side in px of what a notebook shows of a result."""


@dataclass(frozen=True)
class Result:
    """A painted picture and how it came about.

    Attributes:
        rgb: the picture, shape (3, H, W) in [0, 1], on the CPU.
        scene: the recipe on its photo: regions, masks, notes.
        plan: the constants by which it was painted.
        losses: the weighted terms after each step by dotted name, with ``stage``-wise order kept.
        seconds: time the optimization took.
        complete: False for the picture so far of an interrupted run.
        inputs: hashes of what it was made from, taken when it was read; None takes them on saving.
        checkpoint: the file from which the run could end once more, until the picture is saved.
    """

    rgb: Tensor
    scene: Scene
    plan: Plan
    losses: Sequence[Mapping[str, float]]
    seconds: float
    complete: bool = True
    inputs: Inputs | None = None
    checkpoint: Path | None = None

    def __repr__(self) -> str:
        height, width = self.scene.size
        so_far = "" if self.complete else ", so far"
        return (
            f"<Result of {self.recipe.name or 'a recipe'}: {width}×{height} px, "
            f"{len(self.losses)} steps in {duration(self.seconds)}{so_far}>"
        )

    def _repr_png_(self) -> bytes:
        """A small picture, for notebooks."""
        picture = Picture(self.rgb, self.alpha)
        if max(picture.size) > SHOWN_SIDE:
            picture = resize_picture(picture, fit_within(picture.size, SHOWN_SIDE))
        file = io.BytesIO()
        to_image(picture.rgb, picture.alpha).save(file, "PNG")
        return file.getvalue()

    @property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        return self.scene.recipe

    @property
    def alpha(self) -> Tensor | None:
        """The photo's alpha at the result's size, shape (H, W), None if it is opaque."""
        alpha = self.scene.picture.alpha
        return None if alpha is None else alpha.cpu()

    @cached_property
    def image(self) -> Image.Image:
        """The picture as an 8-bit Pillow picture, RGB or RGBA."""
        return to_image(self.rgb, self.alpha)

    @cached_property
    def masks(self) -> dict[str, Image.Image]:
        """The soft mask of each region as an 8-bit grey Pillow picture, bottom to top."""
        return {
            name: to_image(mask.cpu().expand(3, -1, -1)).convert("L")
            for name, mask in zip(self.scene.masks.names, self.scene.masks.masks, strict=True)
        }

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The picture's layers bottom to top: one per region, between the photo and the contour.

        The visible ones, laid over one another, are the picture; photo and contour are hidden.
        """
        from layered_nst.outputs.layered.layers import layers_of

        return layers_of(self.scene, self.rgb, self.alpha)

    @property
    def coverage(self) -> dict[str, float]:
        """Share of the picture that each region has, 0 to 1."""
        return self.scene.masks.coverage

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user: empty, thin or uncovered regions, colors that no press has."""
        return self.scene.notes + (() if self.proof is None else _of_gamut(self))

    @cached_property
    def proof(self) -> Proof | None:
        """The picture as the device of the recipe's ``output.proof`` or ``profile`` shows it."""
        path = proofed_by(self.recipe)
        return None if path is None else proof(self.rgb, read_profile(path)[0])

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """How the picture came about, as data that JSON can hold: the resolved recipe and its
        hash, those of photo, styles, masks and models, versions, losses, coverage, notes."""
        return manifest_of(self)

    def save(self, path: str | Path) -> Path:
        """Write the picture in the format of the suffix, as the recipe's ``output`` says.

        The file is written beside and renamed. The resolved recipe goes into its metadata, and
        the manifest with it, so that ``apply`` can run from the picture again. Then the run's
        checkpoint is removed.

        Raises:
            OutputError: unknown format or another than the recipe's, missing folder, no
                permission, full disk.
        """
        path, output = Path(path), self.recipe.output
        picture = self.scene.picture
        check_format(path, self.recipe)
        press, form = press_of(self.recipe), picture_format(path, output.format)
        own = picture.profile if output.profile == "keep" else None
        write_picture(
            path,
            self.rgb,
            alpha=self.alpha,
            dpi=output.dpi or picture.dpi,
            depth=output.depth or (picture.depth if form.deep else 8),
            profile=press.get("rgb", own),
            inks=press.get("cmyk"),
            quality=output.quality,
            background=output.background,
            metadata=picture_metadata(self),
            kept=self._kept(),
            form=form,
        )
        if self.checkpoint is not None:
            discard(self.checkpoint)
        return path

    def _kept(self) -> Kept | None:
        """The photo's pixels in this picture, if they shall leave in a profile of their own."""
        scene = self.scene
        if self.recipe.output.profile != "keep" or not bool((scene.kept > 0).any()):
            return None
        native = native_colors(scene.photo, scene.size)
        if native is None:
            return None
        # What transparency hides must not come to light again.
        share = scene.kept * (scene.visible > 0)
        return Kept(native, scene.picture.rgb.cpu(), share.cpu())

    def save_proof(self, path: str | Path) -> Path:
        """Write the soft proof, in sRGB.

        Raises:
            ValueError: the recipe names no profile to proof by.
            OutputError: as ``save``.
        """
        if self.proof is None:
            raise ValueError("the recipe has no output.proof")
        write_picture(path, self.proof.rgb, alpha=self.alpha, dpi=self.recipe.output.dpi)
        return Path(path)

    def save_layers(self, path: str | Path) -> Path:
        """Write the layers, in one group named by the recipe, as ``.ora`` or ``.psd``.

        Layers have 8 bits per channel and are sRGB, whatever the recipe's ``output`` says of the
        picture. The file is written beside and renamed.

        Raises:
            OutputError: unknown format, missing folder, no permission, full disk.
        """
        from layered_nst.outputs.layered.layers import LayeredPicture
        from layered_nst.outputs.layered.writing import write_layered

        path = Path(path)
        dpi = self.recipe.output.dpi or self.scene.picture.dpi
        layered = LayeredPicture(
            layers=self.layers,
            rgb=self.rgb,
            alpha=self.alpha,
            name=self.recipe.name or readable(path.stem),
            dpi=(dpi, dpi) if isinstance(dpi, int | float) else dpi,
        )
        write_layered(path, layered)
        return path


def proofed_by(recipe: Recipe) -> Path | None:
    """The ICC file that a recipe's pictures are proofed by."""
    return recipe.output.proof or _profile_file(recipe)


def _profile_file(recipe: Recipe) -> Path | None:
    """The ICC file that a recipe's ``output.profile`` names, if it names one."""
    named = recipe.output.profile
    return None if named in ("sRGB", "keep") else Path(named)


def press_of(recipe: Recipe) -> dict[str, bytes]:
    """The profile that a recipe's ``output.profile`` names as a file, by what it describes."""
    path = _profile_file(recipe)
    if path is None:
        return {}
    profile, space = read_profile(path)
    return {space: profile}


def _of_gamut(result: Result) -> tuple[str, ...]:
    path = proofed_by(result.recipe)
    assert path is not None
    assert result.proof is not None
    lost = f"{result.proof.lost:.1%} of the picture is out of the gamut of {path.name}"
    return (f"{lost}: it takes the nearest colors that there are",) if result.proof.lost else ()


def check_format(path: Path, recipe: Recipe) -> None:
    """Refuse a file name that says another format than the recipe, or none that holds its colors.

    Raises:
        OutputError: they disagree.
        PictureError: a color profile that cannot be used.
    """
    if "cmyk" in press_of(recipe):
        check_inks(path, picture_format(path, recipe.output.format))
    if recipe.output.proof is not None:
        read_profile(recipe.output.proof)
    named = recipe.output.format
    suffixes = () if named is None else plugins.part("output", plugins.name_in(named)).suffixes
    if suffixes and path.suffix.lower() not in suffixes:
        endings = " or ".join(suffixes)
        raise OutputError(
            f"{path}: the recipe says output.format: {named}, so its name must end in {endings}"
        )


def check_writable(
    path: Path,
    *,
    keep: Iterable[Path] = (),
    holds: str = "picture",
    named: bool = True,
) -> None:
    """Refuse a picture that could not or must not be written, before the work and not after it.

    Args:
        path: where it shall go.
        keep: files that must not be replaced, such as those that ``files_of`` a recipe gives.
        holds: what its file shall hold, ``picture`` or ``layers``.
        named: whether the user has named it, and so given away what lies there; else only a
            picture that this program wrote may be replaced.

    Raises:
        OutputError: see ``layered_nst.files.targets.check_target``.
    """
    formats = plugins.suffixes(holds)
    check_target(path, formats=formats, reads=keep, known=None if named else is_ours)


def check_sizes(size: tuple[int, int], path: Path, layers: Path | None = None) -> None:
    """Refuse a size that a format cannot hold, before the first step and not after the last.

    Args:
        size: (height, width) of the result in px.
        path: where the picture goes.
        layers: where its layers go, if they do.

    Raises:
        OutputError: more pixels on a side than a format can hold.
    """
    from layered_nst.outputs.layered.writing import check_layered_size

    check_size(path, size)
    if layers is not None:
        check_layered_size(layers, size)


def files_of(recipe: Recipe) -> list[Path]:
    """The files that a loaded recipe reads: photo, styles, masks and weights."""
    return list(named_files(recipe).values())
