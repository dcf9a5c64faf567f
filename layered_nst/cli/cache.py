"""``cache``: what earlier runs have left to be used again."""

from __future__ import annotations

import typer

from layered_nst.words import storage

app = typer.Typer(
    help="Show or clear what was computed before, for styles and photos.", no_args_is_help=True
)


@app.command("info")
def info() -> None:
    """Print where the cache is, how many entries it has and how much room they take."""
    from layered_nst.machine.cache import FOLDER_VARIABLE, SIZE_VARIABLE, own_cache

    found = own_cache().info()
    print(f"folder    {found.folder}  ({FOLDER_VARIABLE})")
    print(f"entries   {found.entries}")
    print(f"size      {storage(found.bytes)} of {storage(found.limit)}  ({SIZE_VARIABLE})")


@app.command("clear")
def clear() -> None:
    """Remove all entries."""
    from layered_nst.machine.cache import own_cache

    before = own_cache().clear()
    print(f"{before.entries} entries, {storage(before.bytes)} removed from {before.folder}")
