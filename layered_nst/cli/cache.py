"""``cache``: what earlier runs have left to be used again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from layered_nst.cli.console import print_json
from layered_nst.cli.options import JsonOption
from layered_nst.words import storage

if TYPE_CHECKING:
    from layered_nst.machine.cache import CacheInfo

app = typer.Typer(
    help="Show or clear what was computed before, for styles and photos.", no_args_is_help=True
)


@app.command("info")
def info(as_json: JsonOption = False) -> None:
    """Print where the cache is, how many entries it has and how much room they take."""
    from layered_nst.machine.cache import SIZE_VARIABLE, own_cache
    from layered_nst.machine.folders import FOLDER_VARIABLE

    found = own_cache().info()
    if as_json:
        print_json(_told(found))
        return
    print(f"folder    {found.folder}  ({FOLDER_VARIABLE})")
    print(f"entries   {found.entries}")
    print(f"size      {storage(found.bytes)} of {storage(found.limit)}  ({SIZE_VARIABLE})")


@app.command("clear")
def clear(as_json: JsonOption = False) -> None:
    """Remove all entries."""
    from layered_nst.machine.cache import own_cache

    before = own_cache().clear()
    if as_json:
        print_json({"removed": _told(before)})
        return
    print(f"{before.entries} entries, {storage(before.bytes)} removed from {before.folder}")


def _told(found: CacheInfo) -> dict[str, Any]:
    return {
        "folder": str(found.folder),
        "entries": found.entries,
        "bytes": found.bytes,
        "limit": found.limit,
    }
