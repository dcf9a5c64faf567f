"""Judges by name, ours and those of plug-ins, held to what all of them promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from layered_nst import plugins
from layered_nst.errors import PluginError
from layered_nst.machine.plugin_code import identities
from layered_nst.plugins import Part

MODEL = "efficientnet-lite0"
"""The judge that comes with this package."""


@runtime_checkable
class Seer(Protocol):
    """What a judge is: a picture goes in, feature maps come out, in which all measures are taken.

    It takes no part in painting. Its maps lie over the picture, each as an equal division of it;
    what they have in common with a style is how near a region has come to that.
    """

    def __call__(self, rgb: Tensor, /) -> Sequence[Tensor]:
        """Maps (C, h, w) of a picture (3, H, W) in [0, 1], fine to coarse, on any device.

        Of every picture as many maps, with as many channels, none larger than the picture.
        """
        ...


@dataclass(frozen=True)
class NamedJudge:
    """A judge, with its name and what its plug-in is known by.

    Attributes:
        name: with what was said to it.
        part: that it is.
        inner: what was made of it.
        plugins: version and hash of the code of its plug-in, by name; none for ours.
    """

    name: str
    part: Part
    inner: Seer
    plugins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    _first: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @torch.no_grad()
    def __call__(self, rgb: Tensor) -> list[Tensor]:
        """Feature maps of a picture (3, H, W) in [0, 1], each (C, h, w), on the CPU.

        Raises:
            PluginError: the judge fails, or gives what are no maps of the picture.
        """
        with plugins.blamed(self.part):
            maps = [torch.as_tensor(one).cpu().float() for one in self.inner(rgb)]
        self._check(maps, rgb)
        return maps

    def _check(self, maps: Sequence[Tensor], rgb: Tensor) -> None:
        if not maps or any(one.dim() != 3 or not one.numel() for one in maps):
            shapes = ", ".join(str(tuple(one.shape)) for one in maps) or "nothing"
            raise self._wrong(f"gave {shapes}; allowed: maps (channels, height, width)")
        for number, one in enumerate(maps):
            if not bool(one.isfinite().all()):
                raise self._wrong(f"gave what is no number, in map {number}")
            if one.shape[1] > rgb.shape[1] or one.shape[2] > rgb.shape[2]:
                sides = " of ".join(str(tuple(x.shape[1:])) for x in (one, rgb))
                raise self._wrong(f"gave a map {sides} px, larger than the picture")
        widths = tuple(one.shape[0] for one in maps)
        # The first picture says how many channels those of all others have.
        first = self._first.setdefault("widths", widths)
        if widths != first:
            raise self._wrong(f"gave maps of {widths} channels, and of another picture {first}")

    def _wrong(self, sentence: str) -> PluginError:
        return PluginError(f"{self.part}: {sentence}")


def load_judge(
    name: str = MODEL, *, weights_dir: Path | None = None, device: torch.device | str = "cpu"
) -> NamedJudge:
    """Load a judge by its name.

    Args:
        name: that of this package, or a plug-in's, with ``{NAME: {KEY: VALUE}}`` to say something
            to it.
        weights_dir: folder searched before the installed package; for ours.
        device: where the network runs; pictures may be anywhere.

    Raises:
        ModelError: the weights are missing, saying which package brings them, or broken.
        PluginError: no judge is called so, it does not take what is said, or it cannot be made.
    """
    part, said = plugins.meant("judge", name)
    plugins.check_device(part, torch.device(device).type)
    own: dict[str, Any] = {"weights_dir": weights_dir} if part.is_own else {}
    with plugins.blamed(part):
        made = plugins.object_of(part)(device, **said, **own)
    if not callable(made):
        raise PluginError(f"{part}: made a {type(made).__name__}, which sees no pictures")
    known = identities([("judge", part.full_name)])
    return NamedJudge(plugins.spelled(part.full_name, said), part, made, known)
