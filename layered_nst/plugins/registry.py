"""One table of all parts, by kind and name: our own, what a program adds, and what is installed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from layered_nst.errors import PluginError
from layered_nst.plugins.code import object_of
from layered_nst.plugins.installed import VARIABLE, EntryPoint, Installed, find_installed
from layered_nst.plugins.manifests import KINDS, OWN, Part
from layered_nst.words import did_you_mean, listed

_Key = tuple[str, str]


class Registry:
    """Parts by kind and name.

    Adding makes a new table instead of changing the one that others may be reading, so threads
    see either none or all of what is added together. What is installed is looked for when a name
    is asked for that is not in the table.

    Args:
        entries: see ``add``.
        entry_points: of what is installed, where they have been looked for already.
    """

    def __init__(
        self,
        entries: Mapping[str, Mapping[str, Any]] | None = None,
        entry_points: Sequence[EntryPoint] | None = None,
    ) -> None:
        self._entries: Mapping[_Key, Part] = {}
        self.files: tuple[Path, ...] = ()
        self._entry_points = entry_points
        self._installed: tuple[Any, Installed] | None = None
        self._lock = Lock()
        self.add(entries or {})

    def add(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        """Add entries, all of them or, if one is refused, none.

        Args:
            entries: by kind and name; each a ``Part``, an object, or a text that says where it is,
                ``"package.module:name"``.

        Raises:
            PluginError: no such kind, a name that is taken, or a text that names no place.
        """
        new = {(kind, name): value for kind, of in entries.items() for name, value in of.items()}
        for kind in entries:
            check_kind(kind)
        for (kind, name), value in new.items():
            if isinstance(value, str) and not all(value.partition(":")):
                raise PluginError(
                    f"{kind} {name}: {value!r} is no place such as package.module:name"
                )
        parts = {key: v if isinstance(v, Part) else _added(*key, v) for key, v in new.items()}
        with self._lock:
            for kind, name in parts:
                if (kind, name) in self._entries:
                    raise PluginError(f"there is already a {kind} called {name!r}")
            self._entries = {**self._entries, **parts}

    def add_file(self, path: Path) -> None:
        """Add a plug-in of one file, such as ``--plugin`` names; it is not run before it is used.

        Raises:
            PluginError: what is wrong with it.
        """
        path = path.absolute()
        found = find_installed([path], allowed="off")
        if found.broken:
            raise PluginError(f"{path}: {found.broken[0].problem}")
        with self._lock:
            self.files = (*(other for other in self.files if other != path), path)
        clash = next((b for b in self.installed().broken if b.name == path.name), None)
        if clash is not None:
            raise PluginError(f"{path}: {clash.problem}")

    def installed(self) -> Installed:
        """What is installed, and what single files bring; looked for once."""
        files, allowed = key = (self.files, os.environ.get(VARIABLE))
        if self._installed is None or self._installed[0] != key:
            found = find_installed(files, allowed=allowed, entries=self._entry_points)
            self._installed = (key, found)
        return self._installed[1]

    def get(self, kind: str, name: str) -> Any:
        """What is registered under that name, imported if need be.

        Raises:
            PluginError: there is none, by a sentence that names those there are; or it cannot be
                imported.
        """
        return object_of(self.part(kind, name))

    def part(self, kind: str, name: str) -> Part:
        """The part of that name: of ours and what was added, or else of what is installed.

        Raises:
            PluginError: there is none, or several are meant.
        """
        found = self.find(kind, name)
        if found is None:
            raise PluginError(self._unknown(kind, name))
        return found

    def find(self, kind: str, name: str) -> Part | None:
        """The part of that name, None if there is none.

        Raises:
            PluginError: a short name that several plug-ins give to theirs.
        """
        check_kind(kind)
        own = self._entries.get((kind, name.removeprefix(f"{OWN}/")))
        if own is not None:
            return own
        several = [p for p in self._others(kind) if name in (p.full_name, p.name)]
        if len(several) > 1:
            meant = listed([part.full_name for part in several])
            raise PluginError(f"{kind} {name!r} may be {meant}; write which")
        return several[0] if several else None

    def names(self, kind: str) -> tuple[str, ...]:
        """The names of what is ours or was added, in the order in which they were added."""
        check_kind(kind)
        return tuple(name for of, name in self._entries if of == kind)

    def known(self, kind: str) -> tuple[str, ...]:
        """All names that may be written: ``names``, and those of what is installed."""
        return (*self.names(kind), *(part.full_name for part in self._others(kind)))

    def parts(self, kind: str | None = None) -> tuple[Part, ...]:
        """All parts, or those of a kind."""
        every = (*self._entries.values(), *self.installed().parts)
        return tuple(part for part in every if kind in (None, part.kind))

    def commands(self) -> list[Part]:
        """The commands of plug-ins."""
        return [*self._others("command")]

    def outputs(self, suffix: str, holds: str) -> Iterator[Part]:
        """The outputs whose files have a suffix and hold pictures, or layers; ours first.

        Those that do not say what they hold are among them.
        """
        for of in (self._of("output"), self._others("output")):
            yield from (p for p in of if suffix in p.suffixes and p.holds in ("", holds))

    def suffixes(self, holds: str) -> tuple[str, ...]:
        """The suffixes of all files that hold pictures, or layers."""
        every = (part for part in self.parts("output") if part.holds == holds)
        return tuple(dict.fromkeys(suffix for part in every for suffix in part.suffixes))

    def _of(self, kind: str) -> Iterator[Part]:
        return (part for (of, _), part in self._entries.items() if of == kind)

    def _others(self, kind: str) -> Iterator[Part]:
        return (part for part in self.installed().parts if part.kind == kind)

    def unknown_allowed(self) -> list[str]:
        """A sentence for each name in ``LAYERED_NST_PLUGINS`` that no plug-in has."""
        found = self.installed()
        known = [*(plugin.name for plugin in found.plugins), *found.left_out]
        return [
            f"{VARIABLE} names {name}, and no plug-in is called so{did_you_mean(name, known)}"
            for name in found.unknown
        ]

    def unknown_plugin(self, name: str) -> PluginError:
        """The error that says that no plug-in has a name, and why."""
        known = [plugin.name for plugin in self.installed().plugins]
        hint = did_you_mean(name, [*known, OWN])
        why = self._why_missing(name).replace("; no plug-in", "; none called")
        return PluginError(f"no plug-in is called {name!r}{hint}{why}")

    def _unknown(self, kind: str, name: str) -> str:
        known = self.known(kind)
        there = f"there are {', '.join(known)}" if known else "there are none"
        short = [part.name for part in self._others(kind)]
        said = f"no {kind} is called {name!r}{did_you_mean(name, (*known, *short))}; {there}"
        package = name.partition("/")[0] if "/" in name else ""
        return f"{said}{self._why_missing(package)}" if package else said

    def _why_missing(self, package: str) -> str:
        found = self.installed()
        if os.environ.get(VARIABLE) == "off":
            return f"; {VARIABLE}=off leaves out all plug-ins"
        if package in found.left_out:
            said = f"; {VARIABLE} leaves out the plug-in {package}"
            return "; ".join([said, *self.unknown_allowed()])
        for broken in found.broken:
            if package in (broken.name, broken.distribution):
                return f"; the plug-in {package} is broken: {broken.problem}"
        if package not in [plugin.name for plugin in found.plugins]:
            return f"; no plug-in {package} is installed"
        return ""


def _added(kind: str, name: str, value: Any) -> Part:
    suffixes = (name,) if kind == "output" and name.startswith(".") else ()
    return Part(kind, name, value, suffixes=suffixes)


def check_kind(kind: str) -> None:
    """Refuse what is no kind of part.

    Raises:
        PluginError: it is none.
    """
    if kind not in KINDS:
        hint = did_you_mean(kind, KINDS)
        raise PluginError(
            f"no kind of plug-in is called {kind!r}{hint}; allowed: {', '.join(KINDS)}"
        )
