"""What searches for a network's form are tried with."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

ASSETS = Path(__file__).parents[1] / "assets"


def small_pictures(kind: str, side: int) -> list[Tensor]:
    """The first three bundled ``photos`` or ``styles``, uint8 (3, H, W), no larger than a side."""
    found = []
    for file in sorted((ASSETS / kind).glob("*.jpg"))[:3]:
        with Image.open(file) as image:
            image.thumbnail((side, side))
            found.append(torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1))
    return [picture.contiguous() for picture in found]


def counted_times(monkeypatch: pytest.MonkeyPatch, latency: ModuleType) -> None:
    """Times that depend on nothing but the order in which they are asked for."""
    count = iter(range(1, 10_000))
    monkeypatch.setattr(latency, "least_seconds", lambda _: next(count) / 1000)
