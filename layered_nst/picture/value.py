"""The picture as the rest of the package sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

MAX_PIXELS = 100_000_000


@dataclass(frozen=True)
class Picture:
    """A picture in memory, upright and in sRGB, with what its file said about itself.

    Attributes:
        rgb: (3, H, W) float32 in [0, 1], sRGB-encoded, not multiplied by alpha.
        alpha: (H, W) float32 in [0, 1]; None means opaque everywhere.
        dpi: pixels per inch along x and y, if the file states them.
        profile: the ICC profile found in the file; the pixels are already converted to sRGB.
        depth: bits per channel of the source, 8 or 16.
        source: file name or description, for messages.
        native: (H, W, 3) uint8, uint16 or float32 in [0, 1], upright and in the numbers of
            ``profile`` as the file holds them; None if they are sRGB, or no RGB at all, or the
            picture was resized.
    """

    rgb: Tensor
    alpha: Tensor | None = None
    dpi: tuple[float, float] | None = None
    profile: bytes | None = None
    depth: int = 8
    source: str = "picture"
    native: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        if self.rgb.ndim != 3 or self.rgb.shape[0] != 3:
            raise ValueError(f"rgb must be (3, H, W), not {tuple(self.rgb.shape)}")
        if self.alpha is not None and self.alpha.shape != self.rgb.shape[1:]:
            raise ValueError(
                f"alpha {tuple(self.alpha.shape)} does not fit rgb {tuple(self.rgb.shape)}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.rgb.shape[1]), int(self.rgb.shape[2])
