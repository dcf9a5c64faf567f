"""One registry of everything that may be added: selectors, encoders, strategies, formats, …

What this package brings is registered like anything else. An entry may be the object itself or say
where it is, ``"package.module:name"``, or ``"package.module:table[key]"``: it is imported when it
is asked for, so that looking up a name costs nothing.

========== =================================================================================
kind       what an entry is
========== =================================================================================
selector   ``(selector, view) -> mask``, see ``regions.select``; by its telling key
segmenter  a ``networks.catalogue.Model``
encoder    a ``networks.catalogue.Model``
judge      a ``networks.catalogue.Model``
detector   a ``networks.catalogue.Model``
strategy   a ``strategies.stages.Strategy``
output     a ``picture.writing.PictureFormat`` or an ``outputs.layered.writing.LayeredFormat``;
           by the suffix of its files
loss       ``(asked) -> FeatureLoss, PixelLoss or None``, see ``painting.objective``: for the
           encoder, problem, plan and size of a level, None if nothing is asked of it
flow, executor, command: for those who add them; nothing is built in yet
========== =================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from threading import Lock
from typing import Any

from layered_nst.errors import PluginError
from layered_nst.words import did_you_mean

KINDS = (
    "selector",
    "segmenter",
    "encoder",
    "loss",
    "strategy",
    "output",
    "flow",
    "executor",
    "judge",
    "detector",
    "command",
)
"""What may be added."""

# By kind and name; where each is, since most of it takes seconds to import.
_SELECT, _CATALOGUE = "layered_nst.regions.select", "layered_nst.networks.catalogue"
BUILT_IN: Mapping[str, Mapping[str, str]] = {
    "selector": {
        kind: f"{_SELECT}:select_{kind}"
        for kind in (
            "class",
            "subject",
            "face",
            "points",
            "object_in",
            "mask",
            "box",
            "ellipse",
            "polygon",
            "color",
            "alpha",
            "rest",
            "any",
            "all",
            "not",
        )
    },
    **{
        kind: {name: f"{_CATALOGUE}:CATALOGUE[{name}]" for name in names}
        for kind, names in {
            "encoder": ("hed-vgg16", "light", "vgg16", "vgg19"),
            "segmenter": (
                "scenes",
                "deeplabv3_resnet50",
                "deeplabv3_resnet101",
                "deeplabv3_mobilenet_v3_large",
            ),
            "detector": ("blazeface",),
            "judge": ("efficientnet-lite0",),
        }.items()
    },
    "output": {
        **{
            suffix: f"layered_nst.picture.writing:BUILT_IN[{suffix}]"
            for suffix in (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
        },
        **{
            suffix: f"layered_nst.outputs.layered.writing:BUILT_IN[{suffix}]"
            for suffix in (".ora", ".psd")
        },
    },
    "loss": {
        name: f"layered_nst.painting.objective:{name}_loss"
        for name in ("style", "content", "contour", "smoothness", "range")
    },
    "strategy": {
        "joint": "layered_nst.strategies.joint:STRATEGY",
        "product-then-style": "layered_nst.strategies.product_first:STRATEGY",
    },
}

_Key = tuple[str, str]


class Registry:
    """Entries by kind and name.

    Adding makes a new table instead of changing the one that others may be reading, so threads
    see either none or all of what is added together.
    """

    def __init__(self, entries: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._entries: Mapping[_Key, Any] = {}
        self._lock = Lock()
        self.add(entries or {})

    def add(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        """Add entries, all of them or, if one is refused, none.

        Args:
            entries: by kind and name; each an object, or a text that says where it is,
                ``"package.module:name"``.

        Raises:
            PluginError: no such kind, a name that is taken, or a text that names no place.
        """
        new = {(kind, name): value for kind, of in entries.items() for name, value in of.items()}
        for kind in entries:
            _check_kind(kind)
        for (kind, name), value in new.items():
            if isinstance(value, str) and not all(value.partition(":")):
                raise PluginError(
                    f"{kind} {name}: {value!r} is no place such as package.module:name"
                )
        with self._lock:
            for kind, name in new:
                if (kind, name) in self._entries:
                    raise PluginError(f"there is already a {kind} called {name!r}")
            self._entries = {**self._entries, **new}

    def get(self, kind: str, name: str) -> Any:
        """The entry of that name, imported if need be.

        Raises:
            PluginError: there is none, by a sentence that names those there are; or the place
                that it names is empty.
        """
        value = self._entries.get((kind, name))
        if value is None:
            names = self.names(kind)
            there = f"there are {', '.join(names)}" if names else "there are none"
            raise PluginError(f"no {kind} is called {name!r}{did_you_mean(name, names)}; {there}")
        return _imported(f"{kind} {name}", value) if isinstance(value, str) else value

    def names(self, kind: str) -> tuple[str, ...]:
        """The names of all entries of a kind, in the order in which they were added."""
        _check_kind(kind)
        return tuple(name for of, name in self._entries if of == kind)


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        hint = did_you_mean(kind, KINDS)
        raise PluginError(
            f"no kind of plug-in is called {kind!r}{hint}; allowed: {', '.join(KINDS)}"
        )


def _imported(what: str, place: str) -> Any:
    module, _, rest = place.partition(":")
    name, _, key = rest.removesuffix("]").partition("[")
    try:
        found = getattr(import_module(module), name)
        return found[key] if key else found
    except (ImportError, AttributeError, KeyError) as error:
        raise PluginError(f"{what}: cannot be had from {place}: {error}") from error


_registry = Registry(BUILT_IN)
add, get, names = _registry.add, _registry.get, _registry.names
