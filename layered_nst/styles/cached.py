"""Moments of styles that need not be computed twice."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from layered_nst.files.hashes import digest
from layered_nst.machine.cache import Cache
from layered_nst.networks.encoders import Encoder
from layered_nst.networks.encoders.encoder import METHOD
from layered_nst.styles.moments import Moments
from layered_nst.styles.packing import pack, unpack
from layered_nst.styles.style import StylePicture, picture_moments


class RememberedMoments:
    """``picture_moments`` that looks at each picture once: in a run, and with a cache at all.

    What comes out of the cache is what went in, bit for bit.

    Args:
        cache: where moments outlive the run.
    """

    def __init__(self, cache: Cache | None = None) -> None:
        self._cache = cache
        self._known: dict[tuple[Any, ...], Mapping[str, Moments]] = {}
        # Pictures are known by where they lie, so they must not be freed.
        self._digests: dict[tuple[int, int], tuple[str, Tensor, Tensor]] = {}

    def __call__(
        self,
        encoder: Encoder,
        style: StylePicture,
        layers: Collection[str],
        *,
        longest: int,
        pooling: str,
        tile: int | None = None,
    ) -> Mapping[str, Moments]:
        """See ``layered_nst.styles.style.picture_moments``."""
        picture = self._digest(style)
        key = (picture, encoder, tuple(layers), longest, pooling, tile)
        if key not in self._known:
            self._known[key] = self._found(encoder, style, layers, longest, pooling, tile, picture)
        return self._known[key]

    def _found(
        self,
        encoder: Encoder,
        style: StylePicture,
        layers: Collection[str],
        longest: int,
        pooling: str,
        tile: int | None,
        picture: str,
    ) -> Mapping[str, Moments]:
        compute = partial(
            picture_moments, encoder, style, layers, longest=longest, pooling=pooling, tile=tile
        )
        if self._cache is None:
            return compute()
        key = {
            "picture": picture,
            "encoder": encoder.fingerprint,
            "method": METHOD,
            "layers": sorted(layers),
            "longest": longest,
            "pooling": pooling,
            "device": style.rgb.device.type,
            # Sums over tiles are rounded otherwise.
            **({} if tile is None else {"tile": tile}),
        }
        entry = self._cache.get("style", key)
        if entry is not None:
            return {k: m.to(style.rgb.device) for k, m in unpack(entry[0]).items()}
        moments = compute()
        self._cache.put("style", key, pack(moments))
        return moments

    def _digest(self, style: StylePicture) -> str:
        place = (id(style.rgb), id(style.mask))
        if place not in self._digests:
            found = digest({"rgb": style.rgb, "mask": style.mask})
            self._digests[place] = (found, style.rgb, style.mask)
        return self._digests[place][0]
