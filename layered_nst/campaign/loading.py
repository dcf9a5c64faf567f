"""From a campaign file, or from a recipe and photos, to a checked campaign with its places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from layered_nst.campaign.schema import SECTIONS, CampaignFile
from layered_nst.errors import CampaignError, RecipeError
from layered_nst.recipe.files import absolute, shown, why_unusable
from layered_nst.recipe.loading import load_recipe, read_text
from layered_nst.recipe.merging import merge
from layered_nst.recipe.nodes import Node, Place, from_plain
from layered_nst.recipe.problems import Vocabulary, as_error, problems_of, show
from layered_nst.recipe.yaml_positions import parse_yaml

KEY = "campaign"
"""The key by which a campaign file is told from a recipe."""
OF_CAMPAIGNS = Vocabulary(CampaignFile, SECTIONS, {**SECTIONS, "the campaign": CampaignFile})


@dataclass(frozen=True)
class Stated:
    """What a campaign file says, and where.

    Attributes:
        asked: the campaign, checked.
        root: the same with the places of its values, for messages and relative paths.
        file: absolute path of the file; None where there is none.
        output: absolute path of the folder that everything goes to.
        over: what was laid on the file, such as options of the command that began it.
    """

    asked: CampaignFile
    root: Node
    file: Path | None
    output: Path
    over: Node | None = None

    @property
    def title(self) -> str:
        """Name of the campaign, for people."""
        return self.asked.title or (self.file.stem if self.file else self.output.name)

    @property
    def folder(self) -> Path:
        """Where relative paths start."""
        return self.root.place.folder

    def node(self, *steps: str | int) -> Node:
        """The value at a key path, with its place."""
        node = self.root
        for step in steps:
            node = node.child(step) or Node(None, self.root.place_of(steps))
        return node

    def as_data(self) -> dict[str, Any]:
        """The campaign as plain data, from which ``of_mapping`` makes the same again."""
        return {
            "stated": self.root.plain(),
            "folder": str(self.folder),
            "file": None if self.file is None else str(self.file),
            "output": str(self.output),
            "over": None if self.over is None else self.over.plain(),
            "over_from": None if self.over is None else str(self.over.place.folder),
        }


def load_campaign(
    path: Path,
    *,
    output: Path | None = None,
    more: Mapping[str, Any] | None = None,
    beside: Path | None = None,
) -> Stated:
    """Load a campaign file and check all that it says.

    Args:
        path: the file.
        output: a folder in place of the file's.
        more: keys that are laid on those of the file, such as ``quality``; mappings are merged.
        beside: where their relative paths start; the current folder if not given.

    Raises:
        CampaignError: every problem found, one per line, each with file, line and key.
    """
    path = absolute(str(path), Path.cwd())
    reason = why_unusable(path)
    if reason:
        raise CampaignError(reason)
    try:
        root = parse_yaml(read_text(path), source=shown(path), folder=path.parent)
    except RecipeError as error:
        raise CampaignError(str(error)) from error
    if root is None or not isinstance(root.value, dict):
        plain = None if root is None else root.plain()
        found = "a list" if isinstance(plain, list) else show(plain)
        sentence = f"found {found}, allowed: a mapping that starts with campaign: 1"
        raise CampaignError(f"{shown(path)}: {sentence}")
    if KEY not in root.value and "recipe" in root.value:
        raise CampaignError(
            f"{shown(path)}: is a recipe and no campaign; name photos and `output` beside it"
        )
    over = from_plain(more or {}, Place("", None, beside or Path.cwd()))
    laid = Node(merge(root, over).value, root.place)
    return replace(checked(laid, file=path, output=output), over=over if more else None)


def of_mapping(
    stated: Mapping[str, Any],
    *,
    folder: Path | None = None,
    file: Path | None = None,
    output: Path | None = None,
    called: str = "",
) -> Stated:
    """Check a campaign that comes from no file.

    Args:
        stated: as a file states it.
        folder: where relative paths start; the current one if not given.
        file: that it was once read from.
        called: what messages call it.

    Raises:
        CampaignError: as ``load_campaign``.
    """
    root = from_plain(stated, Place(called, None, folder or Path.cwd()))
    return checked(root, file=file, output=output)


def checked(root: Node, *, file: Path | None, output: Path | None) -> Stated:
    """Check a campaign's nodes.

    Raises:
        CampaignError: see ``load_campaign``.
    """
    try:
        asked = CampaignFile.model_validate(root.plain())
    except ValidationError as error:
        problems = problems_of(error, root, words=OF_CAMPAIGNS)
        raise CampaignError(str(as_error(problems))) from None
    if output is None and asked.output is not None:
        output = absolute(str(asked.output), root.place_of(("output",)).folder)
    if output is None and file is not None:
        output = file.with_suffix("")
    if output is None:
        raise CampaignError("output: is missing: where shall the pictures go?")
    if output.is_file():
        raise CampaignError(f"{output}: is a file; a campaign needs a folder as its output")
    return Stated(asked, root, file, output.absolute())


def is_campaign(path: Path) -> bool:
    """Whether a file says that it is a campaign, not a recipe."""
    if path.suffix.lower() not in (".yaml", ".yml", ".json") or not path.is_file():
        return False
    try:
        root = parse_yaml(read_text(path), source=str(path), folder=path.parent)
    except RecipeError:
        # Whoever loads it says what is wrong; a word in it tells which of both it is to be.
        return any(line.startswith(f"{KEY}:") for line in _lines(path))
    return root is not None and root.child(KEY) is not None


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8", errors="replace").splitlines()


def readable_recipe(source: Path) -> Any:
    """What ``load_recipe`` takes for a recipe, a packed look, or a picture that carries one, on
    whatever photo the campaign names: the same that ``api.load`` loads beside a photo."""
    if source.suffix.lower() in (".yaml", ".yml"):
        return source
    from layered_nst.machine.cache import own_cache
    from layered_nst.outputs.rerun import read_record
    from layered_nst.recipe.unpacking import is_look, unpack_look

    if is_look(source):
        return unpack_look(source, own_cache().looks)
    record = read_record(source)
    return source if record is None else record.recipe_for_other_photo()


def simple(
    recipe: Path, photos: Sequence[Path], *, output: Path, more: Mapping[str, Any]
) -> Stated:
    """The campaign of a recipe on some photos, without a file.

    Args:
        photos: files, folders or CSV files; none for the recipe's own.
        output: folder.
        more: further keys of a campaign file, such as ``quality``.

    Raises:
        CampaignError: see ``load_campaign``.
    """
    named = [str(path.absolute()) for path in photos]
    if not named:
        content = load_recipe(readable_recipe(recipe)).content
        if content is None:
            raise CampaignError(f"{recipe}: names no photo; name some, or a folder of them")
        named = [str(content)]
    return of_mapping({KEY: 1, "photos": named, "recipes": [str(recipe)], **more}, output=output)
