"""A look of a library as a style: its moments, from the file alone."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import torch

from layered_nst.errors import LibraryError
from layered_nst.networks.encoders import Encoder
from layered_nst.networks.encoders.encoder import METHOD
from layered_nst.styles.library.records import LookRecord, StoredLook, pick_look, read_look
from layered_nst.styles.moments import Moments, blend
from layered_nst.styles.style import PictureMoments, Style, StyleBlend, StylePicture

# Nobody sees strokes that are larger or smaller by this share.
SLACK = 0.05
# The median over the styles of the gallery at 128 to 1024 px; half of them lie within twice that.
USUAL_VARIATION = 0.02


@dataclass(frozen=True)
class LibraryStyle:
    """A look of a library.

    At a side that the library has, moments are the stored ones, which are those of the pictures
    to the bit. At any other, they are computed from the pictures that the library keeps; without
    pictures, they are interpolated between the nearest sides: halfway between two that are √2 apart
    that raised a result's style loss by 5 %, where strokes of the nearer side raised it by 80 %.

    Attributes:
        stored: the look.
        weight, source: of the style.
        device: where its colors and pictures are wanted.
    """

    stored: StoredLook
    weight: float
    source: str
    device: torch.device | str = "cpu"

    @property
    def record(self) -> LookRecord:
        """What the library says of the look."""
        return self.stored.record

    @property
    def pictures(self) -> tuple[StylePicture, ...]:
        """The pictures as the library has them, maybe thumbnails."""
        return self._pictures.pictures

    def moments(
        self,
        encoder: Encoder,
        layers: Collection[str],
        *,
        longest: int,
        pooling: str,
        of: PictureMoments,
    ) -> Mapping[str, Moments]:
        """Moments at one side.

        Raises:
            LibraryError: see ``check``.
        """
        self.check(encoder, layers, longest=longest, pooling=pooling)
        if longest not in self.record.sides and self._shows(longest):
            return self._pictures.moments(encoder, layers, longest=longest, pooling=pooling, of=of)
        like = next(encoder.buffers())
        found = {}
        for layer in layers:
            parts, weights = self._nearest(encoder.name, layer, longest)
            found[layer] = blend(parts, weights).to(like)
        return found

    def check(
        self, encoder: Encoder, layers: Collection[str], *, longest: int, pooling: str
    ) -> None:
        """See whether the look can be had so.

        Raises:
            LibraryError: another encoder, other weights or another pooling, a layer that is not
                stored, or a side that the look does not reach.
        """
        record = self.record
        if record.encoders.get(encoder.name) != encoder.fingerprint:
            other = "other weights of " if encoder.name in record.encoders else ""
            names = " and ".join(record.encoders)
            raise self._refused(
                f"was built with {other}the encoder {names}, this recipe uses "
                f"{encoder.name}; build it again with `encoder={encoder.source}`"
            )
        if record.method != METHOD:
            raise self._refused(
                f"was built by {record.made_with}, where encoders saw a dark frame around every "
                "picture; build it again"
            )
        if record.pooling != pooling:
            raise self._refused(
                f"was built with {record.pooling} pooling, this recipe uses {pooling}; "
                f"build it again with `pooling={pooling}`"
            )
        if missing := [layer for layer in layers if layer not in record.layers]:
            raise self._refused(
                f"has no moments of {missing[0]}, only of {', '.join(record.layers)}; "
                "build it again with `layers`"
            )
        low, high = record.sides[0] / (1 + SLACK), record.sides[-1] * (1 + SLACK)
        if not self._shows(longest) and not low <= longest <= high:
            raise self._refused(
                f"knows strokes for {record.sides[0]} to {record.sides[-1]} px, and {longest} px "
                "are asked for; build it again with `sides`, or change size or scale"
            )

    def notes(self, sides: Iterable[int]) -> tuple[str, ...]:
        """Say at which sides its moments are interpolated, in a sentence if there are any."""
        between = sorted({s for s in sides if s not in self.record.sides and not self._shows(s)})
        if not between:
            return ()
        listed = ",".join(map(str, between))
        return (
            f"{self.source}: strokes for {listed} px are interpolated between the sizes that this "
            f"look was built with; build it again with `sides={listed}` for exact ones",
        )

    def variation(self, longest: int) -> float:
        """That of its pictures, stored or interpolated like its moments."""
        stored = self.record.variation
        if longest not in self.record.sides and self._shows(longest):
            return self._pictures.variation(longest)
        if len(stored) != len(self.record.sides):
            return USUAL_VARIATION
        shares = self._around(longest)
        return sum(share * stored[self.record.sides.index(side)] for side, share in shares)

    def color(self) -> Moments:
        """Moments of the colors of its pictures, on the CPU, as ``color_moments`` has them."""
        return self.stored.color

    def repainted(self, wanted: Moments, kept: slice) -> Style:
        """Its pictures with their colors moved.

        Raises:
            LibraryError: the library keeps no pictures of it.
        """
        if self.record.kept == "thumbnails":
            raise self._refused(
                "was built without its pictures, so it can only be used with color: style; "
                "build it again with its pictures"
            )
        return self._pictures.repainted(wanted, kept)

    def _shows(self, longest: int) -> bool:
        """Whether the pictures that the library keeps are as good as the originals at a side."""
        kept = self.record.kept
        return kept == "whole" or (kept == "reduced" and longest <= self.record.sides[-1])

    def _nearest(
        self, encoder: str, layer: str, longest: int
    ) -> tuple[Sequence[Moments], Sequence[float]]:
        """The stored moments around a side and how much each counts."""
        around = self._around(longest)
        return (
            [self._at(encoder, side, layer) for side, _ in around],
            [share for _, share in around],
        )

    def _around(self, longest: int) -> list[tuple[int, float]]:
        """The stored sides around a side and how much each counts."""
        sides = self.record.sides
        longest = min(max(longest, sides[0]), sides[-1])
        if longest in sides:
            return [(longest, 1.0)]
        low, high = next(pair for pair in pairwise(sides) if pair[0] < longest < pair[1])
        share = math.log(longest / low) / math.log(high / low)
        return [(low, 1 - share), (high, share)]

    def _at(self, encoder: str, side: int, layer: str) -> Moments:
        return self.stored.moments[encoder][f"{side}/{layer}"]

    @cached_property
    def _pictures(self) -> StyleBlend:
        styles = [
            StylePicture(
                rgb.to(self.device),
                mask.to(self.device),
                source.weight,
                f"{self.source}/{source.name}",
            )
            for (rgb, mask), source in zip(self.stored.pictures, self.record.sources, strict=True)
        ]
        return StyleBlend(styles, self.weight, self.source)

    def _refused(self, sentence: str) -> LibraryError:
        return LibraryError(f"{self.source}: this look {sentence}")


def read_style(
    path: Path, look: str | None = None, *, device: torch.device | str = "cpu"
) -> LibraryStyle:
    """A look of a library as a style of weight 1.

    Args:
        look: its name; None for the only one.

    Raises:
        LibraryError: the library is missing, damaged or of another version, or has no such look.
    """
    name = pick_look(path, look)
    style = LibraryStyle(read_look(path, name), 1.0, f"{path}/{name}", device)
    try:
        complete = {f"{s}/{k}" for s in style.record.sides for k in style.record.layers}
        seen = style.stored.moments.values()
        if all(complete <= part.keys() for part in seen) and style.color().mean.shape == (3,):
            return style
    except (KeyError, ValueError):
        pass
    raise LibraryError(f"{path}: look {name!r} is damaged; moments are missing or misshapen")


def check_styles(
    styles: Iterable[Style],
    encoder: Encoder,
    layers: Collection[str],
    *,
    sides: Iterable[int],
    pooling: str,
) -> None:
    """See, before the work, whether all looks among styles can be had at all sides.

    Raises:
        LibraryError: as ``LibraryStyle.check``.
    """
    sides = list(sides)
    for style in styles:
        if isinstance(style, LibraryStyle):
            for side in sides:
                style.check(encoder, layers, longest=side, pooling=pooling)
