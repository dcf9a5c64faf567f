"""Segmentations of photos that need not be computed twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from layered_nst import plugins
from layered_nst.errors import ModelError, PictureError
from layered_nst.files.hashes import digest, file_hash
from layered_nst.machine.cache import Cache
from layered_nst.machine.plugin_code import identities
from layered_nst.networks.catalogue import weights_files
from layered_nst.networks.segmenters import METHOD, Segmentation
from layered_nst.plugins.parameters import paths_in
from layered_nst.recipe import CustomSegmenter
from layered_nst.recipe.parts import PluginSegmenter


def remembered_segmentation(
    cache: Cache | None,
    spec: str | CustomSegmenter | PluginSegmenter,
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
        planes = {plane: value.to(view.device) for plane, value in entry[0].items()}
        return Segmentation(
            planes["probabilities"], tuple(classes), name, subject=planes.get("subject")
        )
    seen = look()
    text = json.dumps([seen.segmenter, list(seen.classes)])
    subject = {} if seen.subject is None else {"subject": seen.subject}
    cache.put("segmentation", key, {"probabilities": seen.probabilities, **subject}, text)
    return seen


def _segmenter_key(
    spec: str | CustomSegmenter | PluginSegmenter, weights_dir: Path | None
) -> list[Any] | None:
    """What a segmenter's answers depend on; None if its weights cannot be had, or if they vary."""
    if isinstance(spec, PluginSegmenter):
        return _plugged_key(spec)
    stated = spec if isinstance(spec, str) else spec.model_dump(mode="json")
    try:
        return [stated, *(file_hash(path) for path in _weights(spec, weights_dir))]
    except (PictureError, ModelError):
        # Whoever loads them says better what is wrong.
        return None


def _plugged_key(spec: PluginSegmenter) -> list[Any] | None:
    part = plugins.part(spec.kind, spec.part)
    if part.determinism != "same-bytes" or [*paths_in(part.parameters, spec.parameters)]:
        return None  # what it reads may have changed
    return [spec.part, spec.parameters, identities([(spec.kind, spec.part)])]


def _weights(spec: str | CustomSegmenter, weights_dir: Path | None) -> tuple[Path, ...]:
    if not isinstance(spec, str):
        return (spec.weights,)
    own = spec.endswith(".safetensors")
    return (Path(spec),) if own else weights_files(spec, weights_dir=weights_dir)
