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
    """Show a photo, clip or camera as its recipe paints it, again whenever the recipe is saved.

    PHOTO is a photo, a clip, a folder of frames, or the number of a camera, such as 0. A page of
    this machine's own shows the picture, how many there are a second, and what is wrong with the
    recipe if something is. Ctrl-C ends it.
    """
    from layered_nst.live.serving import serve

    clip = _moving(photo, quality, **limits(max_pixels))
    named = recipe or _beside(photo)
    overrides = joined_overrides(set_, quality=quality.value)
    options: dict[str, Any] = {"device": device, "weights_dir": weights, **limits(max_pixels)}
    if clip is None:
        watcher = _of_photo(named, photo, overrides, size=size, **options)
    else:
        watcher = _of_clip(named, clip, overrides, size, options)
    with serve(watcher, port) as server:
        out.print(f"{server.address}  follows {named}; Ctrl-C ends it", highlight=False)
        if browser:
            _open(server.address)
        _follow(watcher, server)


def _moving(photo: Path, quality: Quality, **limit: Any) -> Any:
    """The clip or camera that is meant; None for a photo.

    Raises:
        ClipError: it cannot be read.
        PictureError: there is no such file.
    """
    from layered_nst.picture.opening import existing_file
    from layered_nst.video.clips import is_clip, open_clip

    is_camera = photo.name.isdecimal() and not photo.exists()
    if not is_camera and not is_clip(photo):
        existing_file(photo)
        return None
    if quality is not Quality.INSTANT:
        raise typer.BadParameter("--quality: clips and cameras are shown as they are painted at "
                                 "once; leave it out")  # fmt: skip
    if is_camera:
        from layered_nst.live.filming import open_camera

        return open_camera(int(photo.name))
    return open_clip(photo, **limit)


def _of_photo(named: Path, photo: Path, overrides: Any, **options: Any) -> Any:
    from layered_nst import api
    from layered_nst.live.watching import Watcher

    def paint() -> Any:
        return api.apply(named, photo, overrides=overrides, **options)

    return Watcher(named, paint, files=(photo,))


def _of_clip(named: Path, clip: Any, overrides: Any, size: int | None, options: Any) -> Any:
    from layered_nst.live.filming import FilmWatcher, load_for

    load = load_for(named, clip, size=size, overrides=overrides)
    return FilmWatcher(named, clip, load, **options)


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
