"""Everything that may be added: selectors, encoders, losses, strategies, formats, …

A plug-in is a package with a ``plugin.yaml``, found by its entry point, or one file of Python that
the command line names. What this package brings stands in a ``plugin.yaml`` of its own and is
registered like anything else. A part is imported when a recipe or a command first names it, so
that looking up a name costs nothing, and a plug-in that is broken hurts nobody who does not use it.

========== =================================================================================
kind       what a part is
========== =================================================================================
selector   ``(said, view) -> mask``, see ``regions.select``: what a recipe says to it, and a view
           of the photo
segmenter  a ``networks.catalogue.Model``; of a plug-in, ``(device, **said) -> Segmenter``
encoder    a ``networks.catalogue.Model``; of a plug-in, ``(device, dtype, **said) -> Encoder``
judge      ``(device, **said) -> Seer``, see ``judge.named``: feature maps of a picture
detector   a ``networks.catalogue.Model``
painter    a ``networks.catalogue.Model``
strategy   a ``strategies.run.Strategy``, or ``(**said) -> Strategy``
output     a ``picture.writing.PictureFormat`` or an ``outputs.layered.writing.LayeredFormat``, or
           ``(**said)`` that gives one
loss       ``(asked, **said) -> FeatureLoss, PixelLoss or None``, see ``painting.objective``: for
           the encoder, problem, plan and size of a level, None if nothing is asked of it
command    a function that typer makes a command of; with parameters, ``(**said)``
flow       ``(one, other, **said) -> Tensor``, see ``video.flow``: where each pixel of one picture
           (3, H, W) is in another, px, shape (2, H, W), across and down
executor   ``(workers, **said) -> Executor``, see ``campaign.executors.interface``
========== =================================================================================
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from layered_nst.errors import PluginError
from layered_nst.plugins.code import blamed, check_device, made_of, object_of
from layered_nst.plugins.installed import (
    VARIABLE,
    Broken,
    Installed,
    brings_commands,
    entry_points,
)
from layered_nst.plugins.manifests import API, KINDS, OWN, Part, Plugin, read_manifest
from layered_nst.plugins.registry import Registry
from layered_nst.plugins.spelling import apart, name_in, spelled

__all__ = [
    "API",
    "BUILT_IN",
    "KINDS",
    "OWN",
    "VARIABLE",
    "Broken",
    "Installed",
    "Part",
    "Plugin",
    "Registry",
    "add",
    "add_file",
    "apart",
    "blamed",
    "check_device",
    "commands",
    "files",
    "find",
    "get",
    "installed",
    "known",
    "made_of",
    "meant",
    "name_in",
    "names",
    "object_of",
    "outputs",
    "part",
    "parts",
    "registry",
    "spelled",
    "suffixes",
    "unknown_allowed",
    "unknown_plugin",
]


@cache
def _built_in() -> Mapping[str, Mapping[str, Part]]:
    source = Path(__file__).parents[1] / "plugin.yaml"
    stated = read_manifest(
        source.read_text("utf-8"), source=source, folder=source.parent, distribution=OWN
    )
    found: dict[str, dict[str, Part]] = {}
    for one in stated:
        found.setdefault(one.kind, {})[one.name] = one
    return found


_registry: Registry | None = None


def registry() -> Registry:
    """The table that all of the package looks into."""
    global _registry
    if _registry is None:
        _registry = Registry(_built_in())
    return _registry


def add(entries: Mapping[str, Mapping[str, Any]]) -> None:
    """See ``Registry.add``."""
    registry().add(entries)


def add_file(path: str | Path) -> None:
    """See ``Registry.add_file``."""
    registry().add_file(Path(path))


def files() -> tuple[Path, ...]:
    """The plug-ins of one file that were added, for processes that are to have them too."""
    return registry().files


def unknown_allowed() -> list[str]:
    """See ``Registry.unknown_allowed``."""
    return registry().unknown_allowed()


def installed() -> Installed:
    """See ``Registry.installed``."""
    return registry().installed()


def get(kind: str, name: str) -> Any:
    """See ``Registry.get``."""
    return registry().get(kind, name)


def part(kind: str, name: str) -> Part:
    """See ``Registry.part``."""
    return registry().part(kind, name)


def find(kind: str, name: str) -> Part | None:
    """See ``Registry.find``."""
    return registry().find(kind, name)


def meant(kind: str, text: str) -> tuple[Part, Any]:
    """The part that a text names, and what it says to it, with the part's defaults.

    Args:
        text: a name, or ``{NAME: {KEY: VALUE}}``.

    Raises:
        PluginError: there is no such part, or it does not take what is said, by a sentence.
    """
    from layered_nst.plugins.parameters import accepted

    name, said = apart(text)
    found = part(kind, name)
    return found, accepted(found, said)


def names(kind: str) -> tuple[str, ...]:
    """See ``Registry.names``."""
    return registry().names(kind)


def known(kind: str) -> tuple[str, ...]:
    """See ``Registry.known``."""
    return registry().known(kind)


def parts(kind: str | None = None) -> tuple[Part, ...]:
    """See ``Registry.parts``."""
    return registry().parts(kind)


def commands() -> list[Part]:
    """See ``Registry.commands``; without any, not even our own manifest is read."""
    global _registry
    if _registry is None:
        entries = [] if os.environ.get(VARIABLE) == "off" else entry_points()
        if not brings_commands(entries):
            return []
        _registry = Registry(_built_in(), entries)
    return _registry.commands()


def outputs(suffix: str, holds: str) -> Iterator[Part]:
    """See ``Registry.outputs``."""
    return registry().outputs(suffix, holds)


def suffixes(holds: str) -> tuple[str, ...]:
    """See ``Registry.suffixes``."""
    return registry().suffixes(holds)


def unknown_plugin(name: str) -> PluginError:
    """See ``Registry.unknown_plugin``."""
    return registry().unknown_plugin(name)


def __getattr__(name: str) -> Any:
    # Read when it is wanted: --help does not wait for YAML.
    if name == "BUILT_IN":
        return _built_in()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
