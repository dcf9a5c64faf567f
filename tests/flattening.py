"""Layered pictures to write, and an OpenRaster reader and compositor of its own to check them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from layered_nst.outputs.layered.layers import Layer, LayeredPicture, region_layers
from layered_nst.picture import to_image

Pixels = NDArray[Any]


def random_shares(count: int, height: int, width: int, *, seed: int = 0) -> Tensor:
    """Soft masks that sum to 1, each with pixels of its own and wide feathers between."""
    generator = torch.Generator().manual_seed(seed)
    fields = torch.randn(1, count, 5, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(fields, (height, width), mode="bicubic")[0]
    sharp = (smooth * 6).softmax(0)
    sharp[sharp < 0.02] = 0
    return sharp / sharp.sum(0)


def ramp_alpha(height: int, width: int) -> Tensor:
    """From transparent at the left over every step to opaque at the right."""
    return torch.linspace(-0.2, 1.2, width).clamp(0, 1).expand(height, -1).clone()


def layered(
    names: Sequence[str] = ("ground", "house", "sky"),
    *,
    alpha: Tensor | None = None,
    size: tuple[int, int] = (40, 64),
    seed: int = 0,
    **options: Any,
) -> LayeredPicture:
    """A picture of noise with soft regions, a hidden photo below and hidden lines above."""
    generator = torch.Generator().manual_seed(seed)
    rgb, photo = torch.rand(2, 3, *size, generator=generator)
    shares = random_shares(len(names), *size, seed=seed)
    full = torch.ones(size) if alpha is None else alpha
    lines = (torch.rand(size, generator=generator) > 0.9) * 0.7
    layers = [
        Layer("photo", photo, full, visible=False),
        *region_layers(names, shares, rgb=rgb, alpha=alpha),
        Layer("contour", torch.zeros(3, *size), lines * full, visible=False),
    ]
    return LayeredPicture(layers, rgb, alpha, **options)


def flat(picture: LayeredPicture) -> Pixels:
    """The flat picture as it is written, (H, W, 4) in whole steps."""
    return np.asarray(to_image(picture.rgb, picture.alpha).convert("RGBA")).astype(int)


def over(below: Pixels, above: Pixels) -> Pixels:
    """Lay (H, W, 4) in [0, 1], colors not multiplied by alpha, over another."""
    alpha = above[..., 3:] + below[..., 3:] * (1 - above[..., 3:])
    color = above[..., :3] * above[..., 3:] + below[..., :3] * below[..., 3:] * (1 - above[..., 3:])
    return np.concatenate([color / np.maximum(alpha, 1e-9), alpha], 2)


def differences(found: Pixels, wanted: Pixels) -> tuple[int, int]:
    """Largest differences of color, where wanted is visible, and of alpha, in steps of 255."""
    apart = np.abs(found.astype(int) - wanted.astype(int))
    seen = wanted[..., 3] > 0
    return int(apart[seen][:, :3].max(initial=0)), int(apart[..., 3].max())


@dataclass(frozen=True)
class OraLayer:
    """A layer of an OpenRaster file on the whole canvas, pixels (H, W, 4) in whole steps."""

    name: str
    visible: bool
    pixels: Pixels
    image: Image.Image


@dataclass(frozen=True)
class OraFile:
    """An OpenRaster file read back: its groups at the root, its layers bottom to top."""

    image: ElementTree.Element
    groups: list[ElementTree.Element]
    layers: list[OraLayer]
    entries: list[zipfile.ZipInfo]
    merged: Image.Image
    thumbnail: Image.Image

    @property
    def canvas(self) -> tuple[int, int]:
        return int(self.image.attrib["h"]), int(self.image.attrib["w"])

    def flattened(self, *, whole_steps: bool = False) -> Pixels:
        """Lay the visible layers over one another; round after each, as some programs do."""
        canvas = np.zeros((*self.canvas, 4))
        for layer in self.layers:
            if layer.visible:
                canvas = over(canvas, layer.pixels / 255)
                canvas = np.rint(canvas * 255) / 255 if whole_steps else canvas
        return np.rint(canvas * 255).astype(int)


def read_ora(path: Path) -> OraFile:
    """Read an OpenRaster file with nothing but a zip reader, an XML parser and Pillow."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        contents = {name: archive.read(name) for name in archive.namelist()}
        entries = archive.infolist()
    image = ElementTree.fromstring(contents["stack.xml"])
    root = image.find("stack")
    assert root is not None
    size = int(image.attrib["h"]), int(image.attrib["w"])
    found = [_ora_layer(element, contents, size) for element in root.iter("layer")]
    return OraFile(
        image,
        list(root),
        found[::-1],
        entries,
        Image.open(io.BytesIO(contents["mergedimage.png"])),
        Image.open(io.BytesIO(contents["Thumbnails/thumbnail.png"])),
    )


def _ora_layer(
    element: ElementTree.Element, contents: dict[str, bytes], size: tuple[int, int]
) -> OraLayer:
    assert element.attrib["opacity"] == "1.0"
    assert element.attrib["composite-op"] == "svg:src-over"
    image = Image.open(io.BytesIO(contents[element.attrib["src"]]))
    x, y = int(element.attrib["x"]), int(element.attrib["y"])
    canvas = np.zeros((*size, 4), int)
    canvas[y : y + image.height, x : x + image.width] = np.asarray(image)
    return OraLayer(
        element.attrib["name"], element.attrib["visibility"] == "visible", canvas, image
    )
