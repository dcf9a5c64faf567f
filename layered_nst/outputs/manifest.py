"""How a picture came about: recipe, inputs and models with their hashes, versions, losses.

A manifest is plain data. It goes into the picture's own metadata and, with the recipe and the time
that the run took, into ``OUT.json`` beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from layered_nst.files.atomic import replacing
from layered_nst.files.targets import beside, check_target
from layered_nst.files.texts import json_text
from layered_nst.outputs.relative import with_relative_paths
from layered_nst.painting.progress import finite
from layered_nst.recipe import dump_recipe
from layered_nst.scene.provenance import read_inputs, recipe_hash, versions

if TYPE_CHECKING:
    from layered_nst.outputs.result import Result

FORMAT = 1
"""Version of the manifest's own form, under the key ``layered-nst``."""

RECIPE_KEY = "layered-nst recipe"
MANIFEST_KEY = "layered-nst manifest"
MAX_BYTES = 10_000_000
"""Size limit of a manifest file: ten times that of a recipe."""
FOREIGN = "is there and is no manifest of a picture; name another picture, or do without a manifest"


def manifest_of(result: Result) -> dict[str, Any]:
    """Everything about a run but its pixels, as data that JSON can hold."""
    plan, (height, width) = result.plan, result.scene.size
    inputs = result.inputs or read_inputs(
        result.scene, plan.encoders, plan.precision, painter=plan.painter
    )
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
        "plugins": {name: dict(found) for name, found in inputs.plugins.items()},
        "seed": result.recipe.optimize.seed,
        "device": inputs.device,
        "precision": inputs.precision,
        "threads": inputs.threads,
        "versions": dict(versions()),
        "width": width,
        "height": height,
        "seconds": round(result.seconds, 2),
        "complete": result.complete,
        "losses": finite(result.losses[-1]) if result.losses else {},
        "coverage": result.coverage,
        "notes": list(result.notes),
    }


def picture_metadata(result: Result) -> dict[str, str]:
    """What goes into the picture: its recipe in YAML, and the manifest in JSON without it.

    The seconds stay out, so that the same run gives the same bytes.
    """
    left_out = {"recipe", "seconds"}
    rest = {key: value for key, value in result.manifest.items() if key not in left_out}
    return {RECIPE_KEY: dump_recipe(result.recipe), MANIFEST_KEY: json.dumps(rest)}


def manifest_path(picture: Path) -> Path:
    """Where the manifest of a picture goes: ``OUT.json`` beside ``OUT.png``.

    Where that is the manifest of another picture, ``OUT.jpg``, it is ``OUT.png.json``.
    """
    return beside(picture, ".json", owner=_picture_of)


def _picture_of(path: Path) -> str | None:
    """Name of the picture that a manifest is of; "" if it says none, None if it is no such."""
    manifest = manifest_in(path)
    if manifest is None:
        return None
    output = manifest.get("output")
    return output if isinstance(output, str) else ""


def check_manifest_path(path: Path) -> None:
    """Refuse to replace a file that is no manifest, before the work and not after it.

    Raises:
        OutputError: some other file has the manifest's name, or it cannot be written.
    """
    check_target(path, known=is_manifest, otherwise=FOREIGN)


def is_manifest(path: Path) -> bool:
    """Whether a file is an ``OUT.json`` of this package."""
    return manifest_in(path) is not None


def manifest_in(path: Path) -> dict[str, Any] | None:
    """What a manifest says; None if a file, by its name and form, is none."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            found = mapping_in(file.read(MAX_BYTES))
    except OSError:
        return None
    # A recipe may be written as JSON too; its recipe: is a number.
    if found is None or "layered-nst" not in found or not isinstance(found.get("recipe"), dict):
        return None
    return found


def mapping_in(text: str | bytes) -> dict[str, Any] | None:
    """The mapping that a text in JSON is; None if it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


class HasManifest(Protocol):
    """The result of a photo, or of a clip."""

    @property
    def manifest(self) -> dict[str, Any]:
        """How it came about."""


def write_manifest(result: HasManifest, picture: Path, *, notes: Sequence[str] = ()) -> Path:
    """Write ``OUT.json`` beside a picture or a clip, whole or not at all, and return its path.

    Files are named from its own folder, see ``outputs.relative``.

    Args:
        picture: the file, or the folder of frames, that the result was saved as.
        notes: sentences from outside of the result, such as warnings about the photo.

    Raises:
        OutputError: no permission, full disk, a file of another kind in its place.
    """
    manifest = result.manifest
    first = {"layered-nst": FORMAT, "output": picture.name}
    sentences = list(dict.fromkeys([*notes, *manifest["notes"]]))
    path = manifest_path(picture)
    whole = {**first, **manifest, "notes": sentences}
    text = json_text(with_relative_paths(whole, path.parent), indent=2)
    check_manifest_path(path)
    with replacing(path) as file:
        file.write(text.encode() + b"\n")
    return path
