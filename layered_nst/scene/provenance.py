"""What a run is made from, by its hashes: photo, styles, masks, models, versions."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from layered_nst import plugins
from layered_nst._version import version_of
from layered_nst.files.hashes import bytes_hash, file_hash, text_hash
from layered_nst.machine.plugin_code import identities
from layered_nst.networks.catalogue import weights_files, weights_path
from layered_nst.networks.encoders.encoder import encoder_path, is_plugged
from layered_nst.picture import Picture
from layered_nst.recipe import Recipe, named_files
from layered_nst.recipe.parts import PluginSegmenter
from layered_nst.recipe.selectors import FaceSelector, leaves
from layered_nst.scene.scene import Scene


@dataclass(frozen=True)
class Inputs:
    """What a run is made from.

    Attributes:
        photo: SHA-256 of the photo's file, or of its pixels if it came from no file.
        files: path and SHA-256 of every file that the recipe names, the photo too, by key path.
        models: name and SHA-256 of the weights of ``encoder`` (and of ``encoder of coarse
            levels``, if that is another), ``segmenter``, and ``painter`` if there is one; None for
            a segmenter that no selector asked.
        device: where it was computed.
        precision: in which the encoder multiplied.
        threads: that computed on the CPU; sums of two round otherwise than those of one.
        plugins: version and SHA-256 of the code of every plug-in that took part, by name.
    """

    photo: str
    files: Mapping[str, tuple[Path, str]]
    models: Mapping[str, Mapping[str, str] | None]
    device: str
    precision: str
    plugins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    threads: int = field(default_factory=torch.get_num_threads)


def read_inputs(
    scene: Scene,
    encoders: Sequence[str],
    precision: str,
    *,
    painter: str | None = None,
    weights_dir: Path | None = None,
) -> Inputs:
    """Hash all that a scene was made from, before it can change.

    Args:
        encoders: names of those that see it, coarse to fine.
        precision: in which they multiply.
        painter: what paints at once, if something does.

    Raises:
        PictureError: a file is gone since it was read.
    """
    recipe = scene.recipe
    files = {key: (path, file_hash(path)) for key, path in named_files(recipe).items()}
    photo = files["content"][1] if "content" in files else pixel_hash(scene.photo)
    models = {
        **_encoders(encoders, weights_dir),
        **({} if painter is None else {"painter": _named(painter, weights_dir)}),
        "segmenter": _segmenter(scene, weights_dir),
        **_detector(recipe),
    }
    used = identities(recipe.plugin_parts())
    return Inputs(photo, files, models, str(scene.picture.rgb.device), precision, used)


def _encoders(used: Sequence[str], weights_dir: Path | None) -> dict[str, dict[str, str]]:
    """The finest level's encoder, and that of the coarse levels if it is another."""
    *coarse, finest = used
    names = {"encoder": finest}
    if coarse:
        names["encoder of coarse levels"] = coarse[0]
    return {part: _encoder(name, weights_dir) for part, name in names.items()}


def _encoder(name: str, weights_dir: Path | None) -> dict[str, str]:
    if is_plugged(name):
        return _plugged("encoder", name)
    return _model(Path(name).stem, encoder_path(name, weights_dir=weights_dir))


def _plugged(kind: str, name: str) -> dict[str, str]:
    """A network of a plug-in: its weights are part of what the plug-in is."""
    (found,) = identities([(kind, plugins.name_in(name))]).values()
    return {"name": name, "sha256": found["sha256"]}


def _detector(recipe: Recipe) -> dict[str, dict[str, str]]:
    """The detector of faces, if a selector asks for some."""
    parts = (leaf for region in recipe.regions for leaf in leaves(region.select))
    if not any(isinstance(part, FaceSelector) for part in parts):
        return {}
    return {"face detector": _model("blazeface", weights_path("blazeface"))}


def _segmenter(scene: Scene, weights_dir: Path | None) -> dict[str, str] | None:
    spec = scene.recipe.segmentation
    if scene.segmentation is None:
        return None
    if isinstance(spec, PluginSegmenter):
        return _plugged(spec.kind, spec.part)
    if not isinstance(spec, str):
        return _model(spec.weights.stem, spec.weights)
    return _named(spec, weights_dir)


def _named(name: str, weights_dir: Path | None) -> dict[str, str]:
    """A model that is called by its name or by the path of its file."""
    if name.endswith(".safetensors"):
        return _model(Path(name).stem, Path(name))
    path, *beside = weights_files(name, weights_dir=weights_dir)
    return {**_model(name, path), **{other.name: file_hash(other) for other in beside}}


def _model(name: str, path: Path) -> dict[str, str]:
    return {"name": name, "sha256": file_hash(path)}


def pixel_hash(picture: Picture) -> str:
    """SHA-256 of a picture's size and its sRGB and alpha as float32, in hex."""
    shown = [planes for planes in (picture.rgb, picture.alpha) if planes is not None]
    values = (planes.detach().cpu().float().contiguous().numpy().tobytes() for planes in shown)
    return bytes_hash([repr(picture.size).encode(), *values])


def recipe_hash(recipe: Recipe, hashes: Mapping[Path, str]) -> str:
    """SHA-256 of what a recipe says, wherever its files lie and whatever photo it runs on.

    It is taken of the recipe as JSON with sorted keys, every default written out, without
    ``content``, and with each file's hash in place of its path; what it says under ``photos``
    counts for its own photo. So two people who keep the same styles in different folders see the
    same hash, and a style that was redrawn changes it.

    Args:
        hashes: SHA-256 of the files that the recipe names, by path.
    """
    selected = recipe.model_copy(update={"regions": recipe.regions_on(recipe.content)})
    stated = selected.model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude={"content", "photos"}
    )
    canonical = json.dumps(_by_content(stated, hashes), sort_keys=True, separators=(",", ":"))
    return text_hash(canonical)


def _by_content(value: Any, hashes: Mapping[Path, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _by_content(item, hashes) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_by_content(item, hashes) for item in value]
    if not isinstance(value, str):
        return value
    path = Path(value)
    # A look of a style library is named as if the library were a folder.
    look = f"{hashes[path.parent]}/{path.name}" if path.parent in hashes else value
    return hashes.get(path, look)


@lru_cache(maxsize=1)
def versions() -> Mapping[str, str]:
    """Versions of this package, of what computes for it, and the platform."""
    packages = {name: version_of(name) for name in ("layered-nst", "torch", "torchvision")}
    return {**packages, "python": platform.python_version(), "platform": platform.platform()}
