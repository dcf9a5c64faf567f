"""Restyle a photo region by region: masked neural style transfer from a recipe."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from layered_nst._version import __version__ as __version__

if TYPE_CHECKING:
    from layered_nst.api import apply
    from layered_nst.errors import LayeredNstError
    from layered_nst.outputs.result import Result
    from layered_nst.painting.progress import Progress
    from layered_nst.recipe import Recipe, load_recipe

__all__ = ["LayeredNstError", "Progress", "Recipe", "Result", "apply", "load_recipe"]

_HOMES = {
    "LayeredNstError": "errors",
    "Progress": "painting.progress",
    "Recipe": "recipe",
    "Result": "outputs.result",
    "apply": "api",
    "load_recipe": "recipe",
}


def __getattr__(name: str) -> Any:
    # torch takes seconds to import; what doesn't compute, such as --help, must not wait for it.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
