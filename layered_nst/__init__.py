"""Restyle a photo region by region: masked neural style transfer from a recipe."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from layered_nst._version import __version__ as __version__
    from layered_nst.api import apply, check
    from layered_nst.errors import Interrupted, LayeredNstError
    from layered_nst.judge import score_file as score
    from layered_nst.outputs.result import Result
    from layered_nst.painting.progress import Progress
    from layered_nst.recipe import Recipe, load_recipe
    from layered_nst.strategies.checking import Check
    from layered_nst.video.result import VideoResult
    from layered_nst.video.run import apply_video
    from layered_nst.views.asking import masks, new, segment

__all__ = [
    "Check",
    "Interrupted",
    "LayeredNstError",
    "Progress",
    "Recipe",
    "Result",
    "VideoResult",
    "apply",
    "apply_video",
    "check",
    "load_recipe",
    "masks",
    "new",
    "score",
    "segment",
]

_HOMES = {
    "__version__": "_version:__version__",
    "Check": "strategies.checking:Check",
    "Interrupted": "errors:Interrupted",
    "LayeredNstError": "errors:LayeredNstError",
    "Progress": "painting.progress:Progress",
    "Recipe": "recipe:Recipe",
    "Result": "outputs.result:Result",
    "VideoResult": "video.result:VideoResult",
    "apply": "api:apply",
    "apply_video": "video.run:apply_video",
    "check": "api:check",
    "load_recipe": "recipe:load_recipe",
    "masks": "views.asking:masks",
    "new": "views.asking:new",
    "score": "judge:score_file",
    "segment": "views.asking:segment",
}
"""Where each public name is."""


def __getattr__(name: str) -> Any:
    # torch takes seconds to import; what doesn't compute, such as --help, must not wait for it.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, found = _HOMES[name].partition(":")
    return getattr(import_module(f"{__name__}.{module}"), found)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
