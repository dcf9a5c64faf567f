"""The plug-ins that are installed, found without importing any of them.

Entry points of the group ``layered_nst.plugins`` name a manifest, ``package:plugin.yaml``. They are
read here and not by importlib.metadata, which takes longer to import than twenty plug-ins take to
be read, and would be paid for by every ``--help``; a test holds that both find the same.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from layered_nst.errors import PluginError
from layered_nst.plugins.manifests import MAX_BYTES, OWN, Part, Plugin, read_manifest, read_single

GROUP = "layered_nst.plugins"
VARIABLE = "LAYERED_NST_PLUGINS"
"""``off`` uses none of those that are installed, ``a,b`` only these."""
_COMMAND = re.compile(r"kind[\"']?\s*:\s*[\"']?command")


@dataclass(frozen=True)
class EntryPoint:
    """What a distribution says of its manifest.

    Attributes:
        name: of the entry.
        value: ``package:plugin.yaml``.
        distribution, version: that say it.
    """

    name: str
    value: str
    distribution: str
    version: str


@dataclass(frozen=True)
class Broken:
    """A plug-in that cannot be used, and why.

    Attributes:
        name: of its entry point, or of its file.
        distribution: that it came in.
        problem: what is wrong, in a sentence.
    """

    name: str
    distribution: str
    problem: str


@dataclass(frozen=True)
class Installed:
    """What is installed.

    Attributes:
        plugins: that can be used, by name.
        parts: that they bring.
        broken: those that cannot be used.
        left_out: names of those that ``LAYERED_NST_PLUGINS`` turns off.
        unknown: names in ``LAYERED_NST_PLUGINS`` that no plug-in has.
    """

    plugins: tuple[Plugin, ...] = ()
    parts: tuple[Part, ...] = ()
    broken: tuple[Broken, ...] = ()
    left_out: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def entry_points(folders: Sequence[str] | None = None) -> list[EntryPoint]:
    """All entry points of the group, by the distributions in folders.

    Args:
        folders: Python's path, if not given.
    """
    found: dict[str, list[EntryPoint]] = {}
    for folder in dict.fromkeys(sys.path if folders is None else folders):
        for info in _infos(folder or "."):
            name, _, version = info.name.rpartition(".")[0].partition("-")
            key = re.sub(r"[-_.]+", "-", name).lower()
            # As for imports, the first on the path hides those of the same name behind it.
            if key not in found:
                found[key] = [*_entries_of(info, key, version)]
    return sorted((e for of in found.values() for e in of), key=lambda e: (e.distribution, e.name))


def _infos(folder: str) -> Iterator[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return  # a zip, or nothing
    yield from (Path(folder, name) for name in names if name.endswith((".dist-info", ".egg-info")))


def _entries_of(info: Path, distribution: str, version: str) -> Iterator[EntryPoint]:
    try:
        with open(info / "entry_points.txt", "rb") as file:
            text = file.read(MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return
    if GROUP not in text:
        return
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line.strip("[] ")
        elif section == GROUP and "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield EntryPoint(name.strip(), value.strip(), distribution, version)


def find_installed(
    files: Iterable[Path] = (),
    *,
    allowed: str | None = None,
    entries: Sequence[EntryPoint] | None = None,
) -> Installed:
    """The plug-ins that are installed, and those of single files.

    Args:
        files: plug-ins of one file that the user has named.
        allowed: what ``LAYERED_NST_PLUGINS`` says; None for all.
        entries: entry points, where they have been looked for already.
    """
    found: list[tuple[str, str, tuple[Part, ...] | str]] = []
    if allowed == "off":
        entries = ()
    for entry in entry_points() if entries is None else entries:
        found.append((entry.name, entry.distribution, _of_entry(entry)))
    for path in files:
        found.append((path.name, "", _of_file(path)))
    wanted = None if allowed is None else {*re.split(r"[,\s]+", allowed)}
    return _without_clashes(found, wanted)


def brings_commands(entries: Iterable[EntryPoint]) -> bool:
    """Whether some installed plug-in may have a command; manifests are not even parsed for it."""
    return any(_COMMAND.search(_manifest_text(entry)) for entry in entries)


def _manifest_text(entry: EntryPoint) -> str:
    try:
        return manifest_of(entry)[1]
    except PluginError:
        return ""


def manifest_of(entry: EntryPoint) -> tuple[Path, str, Path]:
    """Path and text of the manifest that an entry point names, and the folder of its package.

    Raises:
        PluginError: there is no such file.
    """
    module, _, name = entry.value.partition(":")
    top, *inner = module.strip().split(".")
    try:
        spec = importlib.util.find_spec(top)
    except Exception as error:  # finders are other people's code
        raise PluginError(f"its package {top} cannot be looked for: {error}") from error
    places = [] if spec is None else [*(spec.submodule_search_locations or ())]
    if not places:
        raise PluginError(f"its package {top} is not there; install it again")
    for place in places:
        path = Path(place, *inner, name.strip() or "plugin.yaml")
        if path.is_file():
            return path, _text_of(path), Path(place)
    raise PluginError(
        f"{path.name} is not in {Path(places[0], *inner)}; a package says by package-data which "
        "files beside code go with it"
    )


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise PluginError(f"{path.name} cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise PluginError(f"{path.name} is larger than {MAX_BYTES:,} bytes, no manifest is")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PluginError(f"{path.name} is not UTF-8 text (byte {error.start})") from error


def _of_entry(entry: EntryPoint) -> tuple[Part, ...] | str:
    try:
        path, text, folder = manifest_of(entry)
        return read_manifest(text, source=path, folder=folder, distribution=entry.distribution)
    except PluginError as error:
        return str(error)


def _of_file(path: Path) -> tuple[Part, ...] | str:
    try:
        return read_single(_text_of(path), source=path)
    except PluginError as error:
        return str(error)


def _without_clashes(
    found: list[tuple[str, str, tuple[Part, ...] | str]], wanted: set[str] | None
) -> Installed:
    """Each name once: that of the distribution which is called so, else the first in order."""
    kept: dict[str, tuple[Part, ...]] = {}
    broken, left_out = [], []
    by_name = sorted(found, key=lambda one: not _is_called_so(one))
    for name, distribution, parts in by_name:
        if isinstance(parts, str):
            broken.append(Broken(name, distribution, parts))
            continue
        plugin = _plugin_of(parts)
        if plugin.name == OWN:
            broken.append(Broken(name, distribution, f"the name {OWN} is taken by this package"))
        elif plugin.name in kept:
            other = _plugin_of(kept[plugin.name])
            by = other.distribution or other.source
            problem = f"there is already a plug-in called {plugin.name}, by {by}; uninstall one"
            broken.append(Broken(name, distribution, problem))
        elif wanted is not None and distribution and plugin.name not in wanted:
            left_out.append(plugin.name)
        else:
            kept[plugin.name] = parts
    ordered = [kept[name] for name in sorted(kept)]
    return Installed(
        tuple(map(_plugin_of, ordered)),
        tuple(part for parts in ordered for part in parts),
        tuple(sorted(broken, key=lambda one: (one.name, one.distribution))),
        tuple(sorted(left_out)),
        tuple(sorted((wanted or set()) - {"", "off", OWN, *kept, *(b.name for b in broken)})),
    )


def _is_called_so(one: tuple[str, str, tuple[Part, ...] | str]) -> bool:
    return not isinstance(one[2], str) and _plugin_of(one[2]).name == one[1]


def _plugin_of(parts: tuple[Part, ...]) -> Plugin:
    plugin = parts[0].plugin
    assert plugin is not None
    return plugin
