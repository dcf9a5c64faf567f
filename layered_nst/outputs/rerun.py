"""A picture that was made before, as the recipe of the next: ``apply OUT.png``."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from layered_nst import plugins
from layered_nst.errors import LayeredNstWarning, RecipeError
from layered_nst.files.hashes import file_hash
from layered_nst.files.targets import free_name
from layered_nst.machine.plugin_code import identities
from layered_nst.outputs.manifest import (
    MANIFEST_KEY,
    RECIPE_KEY,
    is_manifest,
    manifest_in,
    manifest_path,
    mapping_in,
)
from layered_nst.outputs.relative import FOLDER, with_absolute_paths, with_relative_paths
from layered_nst.picture import FORMATS, is_ours, read_metadata
from layered_nst.recipe import Recipe, is_stream, named_files
from layered_nst.recipe.unpacking import is_look
from layered_nst.recipe.yaml_positions import parse_yaml
from layered_nst.scene.provenance import versions


@dataclass(frozen=True)
class Record:
    """What a picture says about how it was made.

    Attributes:
        source: the file that says it.
        recipe: the resolved recipe as plain data, its paths absolute.
        hashes: SHA-256 of photo, styles, masks and weights by path.
        versions: of the programs that made it.
        plugins: version and SHA-256 of the code of the plug-ins that took part.
        picture: name of the picture.
        threads: that painted it; 0 if it does not say.
    """

    source: Path
    recipe: Mapping[str, Any]
    hashes: Mapping[Path, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    picture: str = ""
    plugins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    threads: int = 0

    def recipe_for_other_photo(self) -> dict[str, Any]:
        """The recipe without what was approved: a picture of the photo that another replaces."""
        return {key: value for key, value in self.recipe.items() if key != "approved"}

    def changes(self, recipe: Recipe) -> list[str]:
        """What is no longer as it was when the picture was made, in sentences.

        Args:
            recipe: the record's, perhaps with another photo or other values.
        """
        now = versions()
        others = [
            f"{name} {self.versions[name]} (now {now[name]})"
            for name in ("layered-nst", "torch")
            if self.versions.get(name, now[name]) != now[name]
        ]
        made = f"{self.source} was made with {' and '.join(others)}, so pixels may differ"
        return [*self._other_files(recipe), *([made] if others else []), *self._other_code(recipe)]

    def _other_code(self, recipe: Recipe) -> Iterator[str]:
        for name, found in identities(recipe.plugin_parts()).items():
            was = self.plugins.get(name)
            if was is None or was == found:
                continue
            what = f"version {was.get('version')}, now {found['version']}"
            if was.get("version") == found["version"]:
                what = f"other code of the same version {found['version']}"
            yield f"{self.source} was made with the plug-in {name}, {what}, so pixels may differ"

    def _other_files(self, recipe: Recipe) -> Iterator[str]:
        for key, path in named_files(recipe).items():
            was = self.hashes.get(path)
            if was is not None and file_hash(path) != was:
                yield f"{key}: {path} has changed since {self.source} was made"


def read_record(path: Path) -> Record | None:
    """Read how a picture was made, from its metadata or from ``OUT.json``.

    Args:
        path: anything that ``apply`` may be given.

    Returns:
        None if the file, by its name and form, is no picture and no manifest but a recipe.

    Raises:
        RecipeError: a picture without a recipe in it.
        PictureError: a picture that is missing or broken.
    """
    path = Path(os.path.expanduser(path))
    if path.suffix.lower() in FORMATS:
        return _of_picture(path)
    manifest = manifest_in(path)
    if manifest is None:
        return None
    manifest = with_absolute_paths(manifest, Path(os.path.abspath(path)).parent)
    return _record(path, manifest["recipe"], manifest)


def holds_recipe(path: Path) -> bool:
    """Whether a file is a recipe, a manifest, or a picture that this package made."""
    if path.suffix.lower() in FORMATS:
        return RECIPE_KEY in read_metadata(path)
    if is_look(path) or is_stream(path):
        return True
    return path.suffix.lower() in (".yaml", ".yml") or is_manifest(path)


def _of_picture(path: Path) -> Record:
    texts = read_metadata(path)
    if RECIPE_KEY not in texts:
        raise RecipeError(
            f"{path}: holds no recipe; only pictures that layered-nst wrote do, unless another "
            "program has saved them since"
        )
    node = parse_yaml(texts[RECIPE_KEY], source=str(path), folder=path.parent, numbered=False)
    recipe = None if node is None else node.plain()
    if not isinstance(recipe, dict):
        raise RecipeError(f"{path}: the recipe in it is damaged")
    told = {**(mapping_in(texts.get(MANIFEST_KEY, "{}")) or {}), "recipe": recipe}
    told = _found_again(told, path)
    return _record(path, told["recipe"], told)


def _found_again(told: dict[str, Any], picture: Path) -> dict[str, Any]:
    """What a picture says, which names files by absolute paths, in a folder that was moved.

    The same run gives the same bytes wherever it writes them, so a picture cannot say where it
    was; its OUT.json does.
    """
    here = Path(os.path.abspath(picture)).parent
    beside = manifest_in(manifest_path(picture)) or {}
    was = beside.get(FOLDER)
    if beside.get("output") != picture.name or not isinstance(was, str) or Path(was) == here:
        return told
    return with_absolute_paths(with_relative_paths(told, Path(was)), here)


def _record(path: Path, recipe: Mapping[str, Any], manifest: Mapping[str, Any]) -> Record:
    picture, threads = manifest.get("output"), manifest.get("threads")
    return Record(
        source=path,
        recipe=recipe,
        hashes=dict(_hashes(manifest)),
        versions=_texts(manifest.get("versions")),
        picture=picture if isinstance(picture, str) else path.name,
        plugins={k: _texts(v) for k, v in _mapping(manifest.get("plugins")).items()},
        threads=threads if isinstance(threads, int) else 0,
    )


def _hashes(manifest: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    files = manifest.get("files")
    entries = [manifest.get("photo"), *(files.values() if isinstance(files, dict) else ())]
    for entry in entries:
        known = _texts(entry)
        if "path" in known and "sha256" in known:
            yield Path(known["path"]), known["sha256"]


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _texts(value: Any) -> dict[str, str]:
    """The texts among a mapping's values; what others have written into a file may be anything."""
    pairs = value.items() if isinstance(value, dict) else ()
    return {key: text for key, text in pairs if isinstance(text, str)}


def default_target(source: Path, recipe: Recipe, *, named_photo: bool = False) -> Path:
    """Name the picture that ``apply`` writes into the current folder if nobody names it.

    A recipe's is called after it, ``temple.png``, and after the photo too if that was named
    beside it, ``temple-harbor.png``. What is there of another photo or of somebody else stays, by
    a LayeredNstWarning: ``temple.2.png``, or the next number that is free. So is a picture called
    that is made again.

    Args:
        source: what ``apply`` was given as the recipe.
        recipe: as it was loaded, with the photo that it is for.
        named_photo: whether the photo stands in for the recipe's own.
    """
    record = read_record(source)
    if is_stream(source):
        return _beside(recipe)
    if record is not None:
        return _again(Path(record.picture), recipe)
    photo = f"-{recipe.content.stem}" if named_photo and recipe.content else ""
    wanted = Path(f"{source.stem}{photo}.{_format(recipe) or 'png'}")
    name = free_name(wanted, known=lambda path: _shows(path, recipe))
    if name != wanted:
        _warn(f"{wanted} is kept: it was not painted from this photo; this picture is {name}")
    return name


def _again(made: Path, recipe: Recipe) -> Path:
    named = _format(recipe)
    suffix = f".{named}" if named else made.suffix or ".png"
    return _numbered(re.sub(r"\.\d+$", "", made.stem), suffix)


def _beside(recipe: Recipe) -> Path:
    """A name for the picture of a recipe that has none: after its photo, ``temple.2.png``."""
    stem = "picture" if recipe.content is None else recipe.content.stem
    return _numbered(stem, f".{_format(recipe) or 'png'}")


def _numbered(stem: str, suffix: str) -> Path:
    """The first name that is free: ``temple.2.png``, ``temple.3.png`` and so on."""
    names = (Path(f"{stem}.{number}{suffix}") for number in count(2))
    return next(name for name in names if not os.path.lexists(name))


def _format(recipe: Recipe) -> str | None:
    """How the name of the picture ends, without its dot, if the recipe says it."""
    named = recipe.output.format
    name = "" if named is None else plugins.name_in(named)
    return plugins.part("output", name).suffixes[0][1:] if "/" in name else named


def _shows(path: Path, recipe: Recipe) -> bool:
    """Whether a picture was made here and from the recipe's photo."""
    if recipe.content is None or not is_ours(path):
        return False
    manifest = mapping_in(read_metadata(path).get(MANIFEST_KEY, "{}")) or {}
    return _texts(manifest.get("photo")).get("sha256") == file_hash(recipe.content)


def _warn(sentence: str) -> None:
    warnings.warn(sentence, LayeredNstWarning, stacklevel=3)
