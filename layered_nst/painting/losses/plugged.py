"""Losses of plug-ins, held to what the losses of a level promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from layered_nst import plugins
from layered_nst.errors import PluginError
from layered_nst.painting.losses.loss import FeatureLoss, Read, Sums
from layered_nst.painting.losses.pixels import PixelLoss
from layered_nst.plugins import Part

if TYPE_CHECKING:
    from layered_nst.networks.encoders.tiles import Tile
    from layered_nst.painting.sight import Sight


def plugged(name: str, asked: tuple[Any, ...]) -> FeatureLoss | PixelLoss | None:
    """The loss of a plug-in that a plan names, None if it asks nothing of this level.

    Args:
        name: in full.
        asked: encoder, problem, plan, and the level's height and width.

    Raises:
        PluginError: it cannot be imported or made, or does not run on the problem's device.
    """
    part = plugins.part("loss", name)
    plugins.check_device(part, asked[1].photo.device.type)
    with plugins.blamed(part):
        made = plugins.object_of(part)(asked, **asked[2].losses[name])
    if made is None:
        return None
    if isinstance(made, FeatureLoss):
        return PluggedFeatures(part, made)
    if not hasattr(made, "by_channel") or not hasattr(made, "terms"):
        raise PluginError(f"{part}: made a {type(made).__name__}, which is no loss")
    return PluggedPixels(part, made)


class PluggedFeatures:
    """A plug-in's loss of features; see ``FeatureLoss``."""

    def __init__(self, part: Part, inner: FeatureLoss) -> None:
        self.part, self.inner = part, inner
        self.layers, self.linear = inner.layers, inner.linear

    def prepare(self, sight: Sight) -> None:
        """See ``FeatureLoss``."""
        self.inner.prepare(sight)

    def on(self, tile: Tile) -> Read:
        """See ``FeatureLoss``."""
        return self.inner.on(tile)

    def terms(self, sums: Mapping[str, Sums]) -> dict[str, Tensor]:
        """See ``FeatureLoss``; names begin with the part's."""
        return _named(self.part, self.inner.terms(sums))


class PluggedPixels:
    """A plug-in's loss of pixels; see ``PixelLoss``."""

    def __init__(self, part: Part, inner: PixelLoss) -> None:
        self.part, self.inner, self.by_channel = part, inner, inner.by_channel

    def terms(self, picture: Tensor) -> dict[str, Tensor]:
        """See ``PixelLoss``; names begin with the part's."""
        return _named(self.part, self.inner.terms(picture))


def _named(part: Part, terms: Any) -> dict[str, Tensor]:
    """Terms by names that no other loss has."""
    if not isinstance(terms, Mapping):
        raise PluginError(f"{part}: its terms are a {type(terms).__name__}, not a mapping")
    for name, value in terms.items():
        if not isinstance(value, Tensor) or value.dim():
            said = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
            raise PluginError(f"{part}: its term {name} is {said}, not a tensor of one number")
    own = part.name
    return {n if n.split(".")[0] == own else f"{own}.{n}": value for n, value in terms.items()}
