"""What a run over a clip gives back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from layered_nst.outputs.manifest import manifest_of, write_manifest
from layered_nst.outputs.result import Result
from layered_nst.painting.plan import Plan
from layered_nst.recipe import Recipe
from layered_nst.scene.provenance import Inputs
from layered_nst.scene.scene import Scene
from layered_nst.video.clips import Clip, Excerpt
from layered_nst.video.keeping import FrameStore
from layered_nst.video.writing import FilmFrame, eight_bits, write_clip
from layered_nst.words import duration, pixels


@dataclass(frozen=True)
class VideoResult:
    """A painted clip and how it came about.

    Attributes:
        store: its frames, as files.
        clip: what it was painted from.
        excerpt: which frames of it.
        scene: the recipe on its first frame: regions, masks, notes.
        plan: the constants by which the first frame of each shot was painted.
        inputs: hashes of what it was made from.
        size: height and width in px.
        notes: sentences for the user.
        complete: False for the frames so far of an interrupted run.
        temporary: what holds the folder of the frames where no output was named; it goes with this.
    """

    store: FrameStore
    clip: Clip
    excerpt: Excerpt
    scene: Scene
    plan: Plan
    inputs: Inputs
    size: tuple[int, int]
    notes: tuple[str, ...]
    complete: bool = True
    temporary: Any = field(default=None, repr=False)

    def __len__(self) -> int:
        """How many frames it has."""
        return len(self.store.lines)

    def __iter__(self) -> Iterator[Image.Image]:
        """Its frames as Pillow pictures, one after the other."""
        return (Image.fromarray(eight_bits(frame.pixels)) for frame in self.frames())

    def __repr__(self) -> str:
        so_far = "" if self.complete else ", so far"
        return (
            f"<VideoResult of {self.recipe.name or 'a recipe'}: {len(self)} frames of "
            f"{pixels(self.size)} in {self.shots} shots, {duration(self.seconds)}{so_far}>"
        )

    @property
    def recipe(self) -> Recipe:
        """As it was resolved."""
        return self.scene.recipe

    @property
    def shots(self) -> int:
        """How many shots were found."""
        return int(self.store.lines[-1]["shot"]) if len(self) else 0

    @property
    def times(self) -> list[Fraction]:
        """When each frame is first seen, seconds on the clip's own clock."""
        return [Fraction(line["time"]) for line in self.store.lines]

    @property
    def seconds(self) -> float:
        """That the painting has taken."""
        return float(sum(line["seconds"] for line in self.store.lines))

    def frames(self) -> Iterator[FilmFrame]:
        """The frames with their times and pixels."""
        lines = self.store.lines
        times = self.times
        for number, line in enumerate(lines):
            length = Fraction(line["length"])
            if number + 1 < len(lines):
                length = times[number + 1] - times[number]
            yield FilmFrame(
                self.store.pixels(number), times[number], length, self.store.file(number)
            )

    def poster(self) -> Result:
        """Its first frame that shows a picture as a whole as the result of a photo."""
        shown = [line["shown"] for line in self.store.lines]
        return Result(
            rgb=planes_of(self.store.pixels(shown.index(max(shown))))[:3],
            scene=self.scene,
            plan=self.plan,
            losses=(),
            seconds=self.seconds,
            complete=self.complete,
            inputs=self.inputs,
        )

    @property
    def manifest(self) -> dict[str, Any]:
        """Everything about the run but its pixels, as data that JSON can hold."""
        lines = self.store.lines
        measured = [line for line in lines if "error" in line]
        first = [number for number, line in enumerate(lines) if line["key"] == number]
        later = [line for n, line in enumerate(lines) if line["key"] != n and is_painted(line)]
        clip = {
            "frames": len(lines),
            "shots": first,
            "seconds": round(float(self._length()), 3),
            "start": self.excerpt.start,
            "end": self.excerpt.end,
            "every": self.excerpt.every,
            "warping_error": _mean(line["error"] for line in measured),
            "warping_error_of_the_clip": _mean(line["own"] for line in measured),
            "kept_from_the_frame_before": _mean(line["still"] for line in lines[1:]),
            "features_kept": _mean(line["kept"] for line in later),
            "seconds_a_frame": _seconds([lines[number] for number in first], later),
            "blank": [n for n, line in enumerate(lines) if not line["shown"]],
            "mixed": [n for n, line in enumerate(lines) if line.get("mixed")],
            "damaged": [n for n, line in enumerate(lines) if line.get("damaged")],
        }
        told = manifest_of(self.poster())
        return {**told, "seconds": round(self.seconds, 2), "notes": list(self.notes), "clip": clip}

    def _length(self) -> Fraction:
        times = self.times
        return times[-1] - times[0] + Fraction(self.store.lines[-1]["length"])

    def save(self, path: str | Path) -> Path:
        """Write the clip, whole or not at all; its ending names its format.

        Raises:
            OutputError: it cannot be written.
        """
        path = Path(path)
        write_clip(path, self.frames(), self.clip, output=self.recipe.output, excerpt=self.excerpt)
        return path

    def save_manifest(self, output: Path, *, notes: Sequence[str] = ()) -> Path:
        """Write ``OUT.json`` beside a clip, whole or not at all, and return its path.

        Raises:
            OutputError: no permission, full disk, a file of another kind in its place.
        """
        return write_manifest(self, output, notes=notes)

    def discard(self) -> None:
        """Remove the files that hold the frames, once the clip has been saved."""
        self.store.discard()


def is_painted(line: Mapping[str, Any]) -> bool:
    """Whether a frame was painted, and is not mixed of others or of black."""
    return bool(line["shown"]) and not line.get("mixed")


def _seconds(
    first: Sequence[Mapping[str, Any]], later: Sequence[Mapping[str, Any]]
) -> dict[str, float | None]:
    """What a frame has taken in the mean: the first of a shot, and those behind it."""
    return {
        "first": _mean(line["seconds"] for line in first),
        "later": _mean(line["seconds"] for line in later),
        "of_that_flow_and_regions": _mean(line["finding_seconds"] for line in later),
        "of_that_painting": _mean(line["painting_seconds"] for line in later),
    }


def _mean(values: Iterator[float]) -> float | None:
    found = [*values]
    return float(f"{sum(found) / len(found):.4g}") if found else None


def planes_of(pixels_: NDArray[Any]) -> Tensor:
    """Pixels (H, W, C), uint8 or uint16, as planes (C, H, W) in [0, 1]."""
    most = 65535 if pixels_.dtype == np.uint16 else 255
    planes = torch.from_numpy(pixels_.astype(np.float32) / most)
    return planes.movedim(-1, 0).contiguous()
