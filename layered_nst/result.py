"""What a run gives back."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from layered_nst.errors import OutputError
from layered_nst.picture import FORMATS, to_image, write_picture
from layered_nst.recipe import Recipe, dump_recipe
from layered_nst.scene import Scene


@dataclass(frozen=True)
class Result:
    """A painted picture and how it came about.

    Attributes:
        rgb: the picture, shape (3, H, W) in [0, 1], on the CPU.
        scene: the recipe on its photo: regions, masks, notes.
        losses: the weighted terms after each step by dotted name, with ``stage``-wise order kept.
        seconds: time the optimization took.
        complete: False for the picture so far of an interrupted run.
    """

    rgb: Tensor
    scene: Scene
    losses: Sequence[Mapping[str, float]]
    seconds: float
    complete: bool = True

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

    @property
    def coverage(self) -> dict[str, float]:
        """Share of the picture that each region has, 0 to 1."""
        return self.scene.masks.coverage

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user: empty, thin or uncovered regions."""
        return self.scene.notes

    def save(self, path: str | Path) -> Path:
        """Write the picture in the format of the suffix, as the recipe's ``output`` says.

        The file is written beside and renamed. The resolved recipe goes into its metadata.

        Raises:
            OutputError: unknown format, missing folder, no permission, full disk.
        """
        path, output = Path(path), self.recipe.output
        picture = self.scene.picture
        write_picture(
            path,
            self.rgb,
            alpha=self.alpha,
            dpi=output.dpi or picture.dpi,
            depth=output.depth or 8,
            profile=picture.profile if output.profile == "keep" else None,
            quality=output.quality,
            background=output.background,
            metadata={"layered-nst recipe": dump_recipe(self.recipe)},
        )
        return path


def check_writable(path: Path, *, keep: Iterable[Path] = ()) -> None:
    """Refuse an output that could not be written, before the work and not after it.

    Args:
        path: where a picture shall go.
        keep: files that must not be replaced, such as those that ``files_of`` a recipe gives.

    Raises:
        OutputError: no such folder, a folder in its place, no permission, an unknown suffix, or
            a file to keep.
    """
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"{path}: no known format; use {', '.join(FORMATS)}")
    probe = path.with_name(f".{path.name[:40]}.{os.getpid()}.probe")
    try:
        if path.is_dir():
            raise OutputError(f"{path}: is a folder, not a file")
        if not path.absolute().parent.is_dir():
            raise OutputError(f"{path}: no such folder {path.absolute().parent}")
        probe.touch()
        probe.unlink()
        replaced = path.exists() and any(f.exists() and path.samefile(f) for f in keep)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    if replaced:
        raise OutputError(f"{path}: would replace a picture that is read; name another with -o")


def files_of(recipe: Recipe) -> list[Path]:
    """The files that a loaded recipe reads: photo, styles, masks and weights."""
    return [Path(text) for text in _texts(recipe.model_dump(mode="json")) if os.path.isabs(text)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)
