"""``pack``: a look as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from layered_nst.cli.console import err, print_json, printed_notes
from layered_nst.cli.options import JsonOption, RecipeArgument, SetOption


def pack(
    recipe: RecipeArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Look, ending in .lnst. [RECIPE.lnst]")
    ] = None,
    set_: SetOption = None,
    thumbnail: Annotated[
        Path | None,
        typer.Option("--thumbnail", help="Picture that shows the look. [its styles]"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Put a recipe, its styles and masks and the licenses beside them into one file, a look.

    `layered-nst apply look.lnst -c photo.jpg` paints by it. The photo stays out.
    """
    from layered_nst import api
    from layered_nst.files.targets import check_target
    from layered_nst.outputs.result import files_of
    from layered_nst.recipe.packing import SUFFIX, pack_recipe
    from layered_nst.recipe.unpacking import is_packed

    target = output or Path(f"{recipe.stem}{SUFFIX}")
    with printed_notes() as notes:
        loaded = api.load(recipe, overrides=set_ or ())
    known = None if output is not None else is_packed
    check_target(target, formats=(SUFFIX,), reads=[recipe, *files_of(loaded)], known=known)
    names = pack_recipe(loaded, target, thumbnail=thumbnail)
    if as_json:
        print_json({"output": str(target), "files": names, "notes": notes})
        return
    for name in names:
        print(name)
    err.print(f"[bold]{target}[/]", highlight=False)
