"""The code of the plug-ins that this computer has: by what pictures and caches know it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from layered_nst import plugins
from layered_nst.files.hashes import bytes_hash, file_hash
from layered_nst.plugins import Plugin


def identities(named: Iterable[tuple[str, str]]) -> dict[str, dict[str, str]]:
    """Version and hash of the code of each plug-in that has one of these parts, by its name.

    Args:
        named: kind and name of each part.
    """
    found = (plugins.part(kind, name).plugin for kind, name in named)
    used = {plugin.name: plugin for plugin in found if plugin is not None and not plugin.is_own}
    return {name: identity(used[name]) for name in sorted(used)}


def identity(plugin: Plugin) -> dict[str, str]:
    """Version of a plug-in and SHA-256 of its code, by which pictures and caches know it."""
    files = _files(plugin)
    states = tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files)
    base = plugin.folder or plugin.source.parent
    return {"version": plugin.version, "sha256": _hash(str(base), states)}


def _files(plugin: Plugin) -> list[Path]:
    if plugin.folder is None:
        return [plugin.source]
    return sorted(
        path
        for path in plugin.folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    )


@lru_cache(maxsize=64)
def _hash(base: str, states: tuple[tuple[str, int, int], ...]) -> str:
    return bytes_hash(_told(base, states))


def _told(base: str, states: tuple[tuple[str, int, int], ...]) -> Iterator[bytes]:
    for name, _, size in states:
        path = Path(name)
        yield f"{path.relative_to(base).as_posix()} {size};".encode()
        yield bytes.fromhex(file_hash(path))
