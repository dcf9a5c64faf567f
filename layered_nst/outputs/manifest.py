"""How a picture came about: recipe, inputs and models with their hashes, versions, losses.

A manifest is plain data. It goes into the picture's own metadata and, with the recipe and the time
that the run took, into ``OUT.json`` beside it.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layered_nst.errors import PictureError
from layered_nst.features.encoder import encoder_path
from layered_nst.picture import Picture, replacing
from layered_nst.recipe import Recipe, dump_recipe, named_files
from layered_nst.weights.catalogue import weights_path

if TYPE_CHECKING:
    from layered_nst.plan import Plan
    from layered_nst.result import Result
    from layered_nst.scene import Scene

FORMAT = 1
"""Version of the manifest's own form, under the key ``layered-nst``."""

RECIPE_KEY = "layered-nst recipe"
MANIFEST_KEY = "layered-nst manifest"


@dataclass(frozen=True)
class Inputs:
    """What a run is made from.

    Attributes:
        photo: SHA-256 of the photo's file, or of its pixels if it came from no file.
        files: path and SHA-256 of every file that the recipe names, the photo too, by key path.
        models: name and SHA-256 of the weights of ``encoder`` (and of ``encoder of coarse
            levels``, if that is another) and ``segmenter``; None for a
            segmenter that no selector asked.
        device: where it was computed.
        precision: in which the encoder multiplied.
    """

    photo: str
    files: Mapping[str, tuple[Path, str]]
    models: Mapping[str, Mapping[str, str] | None]
    device: str
    precision: str


def read_inputs(scene: Scene, *, weights_dir: Path | None = None) -> Inputs:
    """Hash all that a scene was made from, before it can change.

    Raises:
        PictureError: a file is gone since it was read.
    """
    recipe = scene.recipe
    files = {key: (path, file_hash(path)) for key, path in named_files(recipe).items()}
    photo = files["content"][1] if "content" in files else pixel_hash(scene.photo)
    models = {
        **_encoders(scene, weights_dir),
        "segmenter": _segmenter(scene, weights_dir),
    }
    device, precision = str(scene.picture.rgb.device), _planned(scene).precision
    return Inputs(photo, files, models, device, precision)


def _encoders(scene: Scene, weights_dir: Path | None) -> dict[str, dict[str, str]]:
    """The finest level's encoder, and that of the coarse levels if it is another."""
    *coarse, finest = _planned(scene).encoders
    names = {"encoder": finest}
    if coarse:
        names["encoder of coarse levels"] = coarse[0]
    return {
        part: _model(Path(name).stem, encoder_path(name, weights_dir=weights_dir))
        for part, name in names.items()
    }


def _planned(scene: Scene) -> Plan:
    from layered_nst.scene import planned  # which imports libraries, and they this module

    return planned(scene)


def _segmenter(scene: Scene, weights_dir: Path | None) -> dict[str, str] | None:
    spec = scene.recipe.segmentation
    if scene.segmentation is None:
        return None
    if not isinstance(spec, str):
        return _model(spec.weights.stem, spec.weights)
    own_file = spec.endswith(".safetensors")
    return _model(spec, Path(spec) if own_file else weights_path(spec, weights_dir=weights_dir))


def _model(name: str, path: Path) -> dict[str, str]:
    return {"name": name, "sha256": file_hash(path)}


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex. Raises PictureError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PictureError(f"{path} cannot be read: {(error.strerror or '').lower()}") from error


def pixel_hash(picture: Picture) -> str:
    """SHA-256 of a picture's size and its sRGB and alpha as float32, in hex."""
    digest = hashlib.sha256(repr(picture.size).encode())
    for planes in (picture.rgb, picture.alpha):
        if planes is not None:
            digest.update(planes.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def recipe_hash(recipe: Recipe, hashes: Mapping[Path, str]) -> str:
    """SHA-256 of what a recipe says, wherever its files lie and whatever photo it runs on.

    It is taken of the recipe as JSON with sorted keys, every default written out, without
    ``content``, and with each file's hash in place of its path. So two people who keep the same
    styles in different folders see the same hash, and a style that was redrawn changes it.

    Args:
        hashes: SHA-256 of the files that the recipe names, by path.
    """
    stated = recipe.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"content"})
    canonical = json.dumps(_by_content(stated, hashes), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


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
    packages = {name: _version(name) for name in ("layered-nst", "torch", "torchvision")}
    return {**packages, "python": platform.python_version(), "platform": platform.platform()}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def manifest_of(result: Result) -> dict[str, Any]:
    """Everything about a run but its pixels, as data that JSON can hold."""
    inputs, (height, width) = result.inputs or read_inputs(result.scene), result.scene.size
    photo_height, photo_width = result.scene.photo.size
    content, files = result.recipe.content, dict(inputs.files)
    files.pop("content", None)
    hashes = dict(inputs.files.values())
    return {
        "layered-nst": FORMAT,
        "recipe": result.recipe.model_dump(mode="json", by_alias=True, exclude_none=True),
        "recipe_sha256": recipe_hash(result.recipe, hashes),
        "photo": {
            "path": None if content is None else str(content),
            "sha256": inputs.photo,
            "width": photo_width,
            "height": photo_height,
        },
        "files": {k: {"path": str(path), "sha256": digest} for k, (path, digest) in files.items()},
        "models": dict(inputs.models),
        "seed": result.recipe.optimize.seed,
        "device": inputs.device,
        "precision": inputs.precision,
        "versions": dict(versions()),
        "width": width,
        "height": height,
        "seconds": round(result.seconds, 2),
        "complete": result.complete,
        "losses": _finite(result.losses[-1]) if result.losses else {},
        "coverage": result.coverage,
        "notes": list(result.notes),
    }


def _finite(losses: Mapping[str, float]) -> dict[str, float | None]:
    # JSON has no word for what is infinite or no number.
    return {k: v if abs(v) < float("inf") else None for k, v in losses.items()}


def picture_metadata(result: Result) -> dict[str, str]:
    """What goes into the picture: its recipe in YAML, and the manifest in JSON without it.

    The seconds stay out, so that the same run gives the same bytes.
    """
    left_out = {"recipe", "seconds"}
    rest = {key: value for key, value in result.manifest.items() if key not in left_out}
    return {RECIPE_KEY: dump_recipe(result.recipe), MANIFEST_KEY: json.dumps(rest)}


def manifest_path(picture: Path) -> Path:
    """Where the manifest of a picture goes: ``OUT.json`` beside ``OUT.png``."""
    return picture.with_suffix(".json")


def write_manifest(result: Result, picture: Path, *, notes: Sequence[str] = ()) -> Path:
    """Write ``OUT.json`` beside a picture, whole or not at all, and return its path.

    Args:
        picture: the file that the result was saved as.
        notes: sentences from outside of the result, such as warnings about the photo.

    Raises:
        OutputError: no permission, full disk.
    """
    manifest = result.manifest
    first = {"layered-nst": FORMAT, "output": picture.name}
    sentences = list(dict.fromkeys([*notes, *manifest["notes"]]))
    text = json.dumps({**first, **manifest, "notes": sentences}, indent=2, ensure_ascii=False)
    path = manifest_path(picture)
    with replacing(path) as file:
        file.write(text.encode() + b"\n")
    return path
