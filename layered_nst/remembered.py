"""Moments of styles and segmentations of photos that need not be computed twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from layered_nst.cache import Cache
from layered_nst.errors import ModelError
from layered_nst.features import Encoder
from layered_nst.moments import Moments
from layered_nst.recipe import CustomSegmenter
from layered_nst.sealed import digest, pack, unpack
from layered_nst.segmentation import METHOD, Segmentation
from layered_nst.styles import StylePicture, picture_moments
from layered_nst.weights.catalogue import weights_path


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
        """See ``layered_nst.styles.picture_moments``."""
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


def remembered_segmentation(
    cache: Cache | None,
    spec: str | CustomSegmenter,
    view: Tensor,
    look: Callable[[], Segmentation],
    *,
    weights_dir: Path | None = None,
) -> Segmentation:
    """What a segmenter sees in a photo.

    Args:
        spec: the segmenter, as the recipe names it.
        view: what it is shown, shape (3, H, W).
        look: loads the segmenter and shows it; called only if the cache does not know.
        weights_dir: folder with weights that are not bundled.
    """
    if cache is None:
        return look()
    segmenter = _segmenter_key(spec, weights_dir)
    if segmenter is None:
        return look()
    key = {
        "segmenter": segmenter,
        "method": METHOD,
        "view": digest({"rgb": view}),
        "device": view.device.type,
    }
    entry = cache.get("segmentation", key)
    if entry is not None:
        name, classes = json.loads(entry[1])
        return Segmentation(entry[0]["probabilities"].to(view.device), tuple(classes), name)
    seen = look()
    text = json.dumps([seen.segmenter, list(seen.classes)])
    cache.put("segmentation", key, {"probabilities": seen.probabilities}, text)
    return seen


def _segmenter_key(spec: str | CustomSegmenter, weights_dir: Path | None) -> list[Any] | None:
    """What a segmenter's answers depend on; None if its weights cannot be had."""
    stated = spec if isinstance(spec, str) else spec.model_dump(mode="json")
    try:
        with _weights(spec, weights_dir).open("rb") as file:
            return [stated, hashlib.file_digest(file, "sha256").hexdigest()]
    except (OSError, ModelError):
        # Whoever loads them says better what is wrong.
        return None


def _weights(spec: str | CustomSegmenter, weights_dir: Path | None) -> Path:
    if not isinstance(spec, str):
        return spec.weights
    own = spec.endswith(".safetensors")
    return Path(spec) if own else weights_path(spec, weights_dir=weights_dir)
