"""``live``: a page that shows the picture while its recipe is edited."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from layered_nst.cli.console import out
from layered_nst.cli.options import (
    DeviceOption,
    MaxPixelsOption,
    PhotoArgument,
    Quality,
    SetOption,
    SizeOption,
    WeightsOption,
    joined_overrides,
    limits,
)
from layered_nst.errors import Interrupted, RecipeError

PORT = 8420


def live(
    photo: PhotoArgument,
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", "-r", help="Recipe to follow. [PHOTO.yaml, or recipe.yaml]"),
    ] = None,
    size: SizeOption = None,
    set_: SetOption = None,
    quality: Annotated[
        Quality, typer.Option("--quality", help="How long to work on each picture.")
    ] = Quality.INSTANT,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Of the page; 0 for any that is free.")
    ] = PORT,
    browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
) -> None:
    """Show a photo as its recipe paints it, again whenever the recipe is saved.

    A page of this machine's own shows the picture, how many there would be a second, and what is
    wrong with the recipe if something is. Ctrl-C ends it.
    """
    from layered_nst import api
    from layered_nst.live.serving import serve
    from layered_nst.live.watching import Watcher
    from layered_nst.picture.opening import existing_file

    existing_file(photo)
    named = recipe or _beside(photo)
    overrides = joined_overrides(set_, quality=quality.value)
    options: dict[str, Any] = {"size": size, "device": device, "weights_dir": weights}

    def paint() -> Any:
        return api.apply(named, photo, overrides=overrides, **options, **limits(max_pixels))

    watcher = Watcher(named, paint, files=(photo,))
    with serve(watcher, port) as server:
        out.print(f"{server.address}  follows {named}; Ctrl-C ends it", highlight=False)
        if browser:
            _open(server.address)
        _follow(watcher, server)


def _beside(photo: Path) -> Path:
    """The recipe that is meant if none is named."""
    own = photo.with_suffix(".yaml")
    found = own if own.is_file() else Path("recipe.yaml")
    if not found.is_file():
        raise RecipeError(
            f"{found}: no such file; name a recipe, or write one with `layered-nst new`"
        )
    return found


def _open(address: str) -> None:
    import webbrowser

    webbrowser.open(address)


def _follow(watcher: Any, server: Any) -> None:
    """Serve in the background, and paint here until Ctrl-C."""
    from threading import Event, Thread

    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        watcher.run(Event())
    except (KeyboardInterrupt, Interrupted):
        pass  # which is how it ends
    finally:
        server.shutdown()
