"""A result as layers: one per region, which flatten to the picture exactly.

Region shares m_r of a pixel sum to 1. Laid over one another, layer k hides what lies below by its
own opacity, so it needs not m_k but what gives m_k once the layers above have covered theirs:
m_k / Σ_{j≤k} m_j. On a photo with alpha a the shares of the flattened pixel are a·m_k, and the
same thought gives the opacity a·m_k / (1 − a + a·Σ_{j≤k} m_j): the soft mask times the photo's
alpha.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from layered_nst.networks.encoders import contour_map, load_encoder
from layered_nst.regions import PHOTO
from layered_nst.scene.scene import Scene

PHOTO_LAYER = "photo"
CONTOUR_LAYER = "contour"


@dataclass(frozen=True)
class Layer:
    """One layer of a picture, of the picture's size, laid normally over those below.

    Attributes:
        name: of the region; ``photo`` and ``contour`` for the hidden layers, ``photo (hidden)``
            beside a region of that name.
        rgb: shape (3, H, W) in [0, 1], sRGB, not multiplied by alpha.
        alpha: how far it hides what lies below, shape (H, W) in [0, 1].
        visible: whether it takes part in the flattened picture.
        mask: for a region, its soft mask, shape (H, W) in [0, 1]: ``alpha`` is this times the
            photo's own alpha. None for a layer without mask.
    """

    name: str
    rgb: Tensor
    alpha: Tensor
    visible: bool = True
    mask: Tensor | None = None


@dataclass(frozen=True)
class LayeredPicture:
    """What a layered file holds.

    Attributes:
        layers: bottom to top, all of one size (H, W).
        rgb: the flattened picture, shape (3, H, W) in [0, 1].
        alpha: its alpha, shape (H, W) in [0, 1], None if it is opaque.
        name: of the one group that holds all layers.
        dpi: pixels per inch along x and y, if known.
    """

    layers: Sequence[Layer]
    rgb: Tensor
    alpha: Tensor | None = None
    name: str = ""
    dpi: tuple[float, float] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self.rgb.shape[1]), int(self.rgb.shape[2])


def layers_of(scene: Scene, rgb: Tensor, alpha: Tensor | None) -> tuple[Layer, ...]:
    """The layers of a painted picture, bottom to top, on the CPU.

    Args:
        scene: that was painted.
        rgb: the picture, shape (3, H, W) in [0, 1].
        alpha: its alpha, shape (H, W) in [0, 1], None if it is opaque.

    Returns:
        The photo, hidden; what is in no region, if anything is; a layer for each region of the
        recipe, an empty one too; the product's contour, hidden.
    """
    found = scene.masks
    # What no region takes comes last among the masks, but it is the ground the regions stand on.
    order = sorted(range(len(found.names)), key=lambda i: found.names[i] != PHOTO)
    names, shares = [found.names[i] for i in order], found.masks.cpu()[order]
    regions = region_layers(names, shares, rgb=rgb, alpha=alpha)
    return (
        replace(_photo_layer(scene), name=_unlike(PHOTO_LAYER, names)),
        *regions,
        replace(_contour_layer(scene), name=_unlike(CONTOUR_LAYER, names)),
    )


def _unlike(name: str, regions: Sequence[str]) -> str:
    """The name of a hidden layer, told from a region that is called so."""
    return f"{name} (hidden)" if name in regions else name


def region_layers(
    names: Sequence[str], shares: Tensor, *, rgb: Tensor, alpha: Tensor | None
) -> list[Layer]:
    """Layers that flatten to a picture.

    Args:
        names: bottom to top.
        shares: of each layer in every pixel, shape (R, H, W) in [0, 1], sum over R 1.
        rgb: the picture, shape (3, H, W) in [0, 1].
        alpha: its alpha, shape (H, W) in [0, 1], None if it is opaque.
    """
    visible = torch.ones_like(rgb[0]) if alpha is None else alpha
    return [
        Layer(name, rgb, mask * visible, mask=mask)
        for name, mask in zip(names, soft_masks(shares, alpha), strict=True)
    ]


def soft_masks(shares: Tensor, alpha: Tensor | None) -> Tensor:
    """Masks of layers that flatten to these shares of every pixel.

    Args:
        shares: bottom to top, shape (R, H, W) in [0, 1], sum over R 1.
        alpha: of the flattened picture, shape (H, W) in [0, 1]; None means opaque.

    Returns:
        Shape (R, H, W) in [0, 1]; times alpha they are the layers' opacities.
    """
    below = shares.cumsum(0)
    room = below if alpha is None else 1 - alpha + alpha * below
    return torch.where(shares > 0, shares / room, 0).clamp(max=1)


def _photo_layer(scene: Scene) -> Layer:
    return Layer(PHOTO_LAYER, scene.picture.rgb.cpu(), scene.visible.cpu(), visible=False)


def _contour_layer(scene: Scene) -> Layer:
    """The product's contour as black lines, as opaque as the network is sure of them."""
    photo = scene.picture.rgb
    # Not the recipe's encoder: only the bundled one has heads for contours.
    lines = contour_map(load_encoder("hed-vgg16", device=photo.device), photo)[0]
    inside = sum((scene.mask(name) for name in _product(scene)), torch.zeros_like(lines))
    alpha = (lines * inside.clamp(max=1) * scene.visible).cpu()
    black = torch.zeros(1, 1, 1).expand(3, *alpha.shape)
    return Layer(CONTOUR_LAYER, black, alpha, visible=False)


def _product(scene: Scene) -> Iterable[str]:
    return scene.recipe.products or [r.name for r in scene.recipe.regions if r.style]
