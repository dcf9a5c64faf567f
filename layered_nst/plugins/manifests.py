"""``plugin.yaml``: what a plug-in says of itself, read without importing any of its code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from layered_nst.errors import PluginError
from layered_nst.words import amount, did_you_mean

API = 1
"""Version of the form of plug-ins that this version of the package reads."""

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
    "painter",
    "command",
)
"""What may be added."""

OWN = "layered-nst"
"""The name of what this package itself brings."""

DEVICES = ("cpu", "cuda", "mps")
OPEN = tuple(kind for kind in KINDS if kind not in ("detector", "painter"))
"""What a plug-in may bring; of the others there are models of this package alone."""
DETERMINISM = ("same-bytes", "varies")
"""Whether the same seed gives the same bytes on the same machine."""
HOLDS = ("picture", "layers")
"""What the files of an output hold."""

MAX_BYTES = 1_000_000
"""Size limit of a manifest; one of fifty parts has some ten thousand."""

NAME = re.compile(r"[a-z0-9]+([_-][a-z0-9]+)*")
_NAME_WORDS = "a name of lower-case letters and digits, with - or _ between them"
LAYER = re.compile(r"[A-Za-z0-9]+([_-][A-Za-z0-9]+)*")
_LAYER_WORDS = "names of letters and digits, with - or _ between them"
_KEYS = ("api", "name", "version", "license", "summary", "parts")
_PART_KEYS = (
    "kind",
    "name",
    "object",
    "summary",
    "parameters",
    "suffixes",
    "holds",
    "layers",
    "content_layers",
    "determinism",
    "devices",
    "memory",
    "bytes_per_pixel",
)
NOTHING: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
"""The JSON Schema of a part that takes no parameters."""


@dataclass(frozen=True)
class Plugin:
    """A plug-in, as its manifest tells of it.

    Attributes:
        name: what stands before the slash in ``name/part``.
        version, license, summary: of the whole.
        source: the manifest, or the file that a plug-in is.
        folder: of its package; None for a single file.
        distribution: the installed package that it came in; empty for a single file.
    """

    name: str
    version: str
    license: str = ""
    summary: str = ""
    source: Path = Path()
    folder: Path | None = None
    distribution: str = ""

    def __str__(self) -> str:
        return f"plug-in {self.name} {self.version}".strip()

    @property
    def is_own(self) -> bool:
        """Whether it is what this package itself brings."""
        return self.name == OWN


@dataclass(frozen=True)
class Part:
    """One thing that a plug-in adds.

    Attributes:
        kind: one of ``KINDS``.
        name: what stands after the slash.
        object: the thing itself, or where it is, ``package.module:name``.
        plugin: that brings it; None for what a program has added.
        summary: a sentence for people.
        parameters: JSON Schema of what a recipe or an option may say to it.
        suffixes: of an output's files, with their dots.
        holds: what an output's files hold, one of ``HOLDS``; empty if it is not said.
        layers, content_layers: of an encoder that is no VGG: all that it offers, with the weights
            at which styles, and forms, are compared there where a recipe says nothing else.
        determinism: one of ``DETERMINISM``.
        devices: where it runs.
        memory: bytes that it takes beside what a run takes anyway.
        bytes_per_pixel: the same, for each pixel of the result.
    """

    kind: str
    name: str
    object: Any
    plugin: Plugin | None = None
    summary: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    suffixes: tuple[str, ...] = ()
    holds: str = ""
    layers: Mapping[str, float] = field(default_factory=dict)
    content_layers: Mapping[str, float] = field(default_factory=dict)
    determinism: str = DETERMINISM[0]
    devices: tuple[str, ...] = DEVICES
    memory: float = 0.0
    bytes_per_pixel: float = 0.0

    @property
    def full_name(self) -> str:
        """How recipes are written: ``name/part``, or the name alone for what is our own."""
        return self.name if self.is_own else f"{self.plugin.name}/{self.name}"  # type: ignore[union-attr]

    @property
    def layer_names(self) -> tuple[str, ...]:
        """All that an encoder offers, to styles or to forms; nothing for a VGG."""
        return tuple(dict.fromkeys((*self.layers, *self.content_layers)))

    @property
    def is_own(self) -> bool:
        """Whether it needs no plug-in."""
        return self.plugin is None or self.plugin.is_own

    def __str__(self) -> str:
        own = f"{self.kind} {self.name}"
        return own if self.is_own else f"{self.plugin}, {own}"


def read_manifest(text: str, *, source: Path, folder: Path, distribution: str) -> tuple[Part, ...]:
    """The parts that a ``plugin.yaml`` tells of.

    Args:
        text: of the manifest.
        source: its path.
        folder: of the package that it is of.
        distribution: that it came in.

    Raises:
        PluginError: what is wrong with it, in a sentence without its path.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        stated = yaml.load(text, loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or "cannot be read"
        raise PluginError(f"{source.name} is not YAML{line}: {reason}") from error
    except (RecursionError, ValueError) as error:
        raise PluginError(f"{source.name} cannot be read: {error}") from error
    return _parts(stated, source.name, Plugin("", "", "", "", source, folder, distribution))


def read_single(text: str, *, source: Path) -> tuple[Part, ...]:
    """The parts that a plug-in of one file tells of, in its constant ``PLUGIN``.

    Nothing in the file is run: the constant is a literal mapping, of the form of a manifest.

    Raises:
        PluginError: what is wrong with it, in a sentence without its path.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise PluginError(f"is no Python{line}: {getattr(error, 'msg', error)}") from error
    found = [node.value for node in tree.body if _assigns(node, "PLUGIN")]  # type: ignore[attr-defined]
    if not found:
        raise PluginError("has no PLUGIN = {...}, which tells what it brings")
    try:
        stated = ast.literal_eval(found[-1])
    except (ValueError, TypeError) as error:
        raise PluginError("PLUGIN is no literal mapping: it is read without being run") from error
    if not isinstance(stated, Mapping):
        raise PluginError("PLUGIN is no mapping")
    stem = re.sub(r"[^a-z0-9]+", "-", source.stem.lower()).strip("-") or "file"
    whole = {"name": stem, "version": "0", "license": "its author's", **stated}
    return _parts(whole, "PLUGIN", Plugin("", "", "", "", source))


def _assigns(node: ast.stmt, name: str) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return isinstance(node, ast.Assign | ast.AnnAssign) and any(
        isinstance(target, ast.Name) and target.id == name for target in targets
    )


def _parts(stated: Any, source: str, plugin: Plugin) -> tuple[Part, ...]:
    if not isinstance(stated, Mapping):
        raise PluginError(f"{source}: is no mapping of keys and values")
    api = stated.get("api")
    if api != API or isinstance(api, bool):
        found = "is missing" if api is None else f"is {api!r}"
        raise PluginError(f"{source}: api {found}, and this version reads api: {API}")
    _refuse_unknown(stated, _KEYS, source)
    name = _named(stated, source)
    listed = stated.get("parts")
    if not isinstance(listed, Sequence) or isinstance(listed, str) or not listed:
        raise PluginError(f"{source}: parts: allowed: a list of at least one")
    plugin = replace(
        plugin,
        name=name,
        version=_text(stated, "version", source, needed=name != OWN),
        license=_text(stated, "license", source),
        summary=_text(stated, "summary", source, needed=False),
    )
    parts = tuple(_part(one, f"{source}: parts[{n}]", plugin) for n, one in enumerate(listed))
    taken: set[tuple[str, str]] = set()
    for part in parts:
        if (part.kind, part.name) in taken:
            raise PluginError(f"{source}: there are two parts {part.kind} {part.name}")
        taken.add((part.kind, part.name))
    return parts


def _part(stated: Any, where: str, plugin: Plugin) -> Part:
    if not isinstance(stated, Mapping):
        raise PluginError(f"{where}: is no mapping of keys and values")
    _refuse_unknown(stated, _PART_KEYS, where)
    kind = _one_of(stated, "kind", KINDS if plugin.is_own else OPEN, where)
    assert kind is not None
    place = _text(stated, "object", where)
    if plugin.folder is None and ":" not in place:
        place = f":{place}"  # in a plug-in of one file, a name of that file
    elif not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*(\[[^]]+\])?", place):
        raise PluginError(f"{where}: object: {place!r} is no place such as package.module:name")
    return Part(
        kind,
        _named(stated, where),
        place,
        plugin,
        _text(stated, "summary", where, needed=False),
        _parameters(stated, where),
        tuple(_suffixes(stated, kind, where)),
        _one_of(stated, "holds", HOLDS, where, needed=kind == "output") or "",
        *_layers(stated, kind, where),
        _one_of(stated, "determinism", DETERMINISM, where, needed=False) or DETERMINISM[0],
        tuple(_devices(stated, where)),
        _memory(stated, where),
        _number(stated, "bytes_per_pixel", where),
    )


def _refuse_unknown(stated: Mapping[Any, Any], known: Sequence[str], where: str) -> None:
    for key in stated:
        if key not in known:
            hint = did_you_mean(str(key), known) or f"; allowed: {', '.join(known)}"
            raise PluginError(f"{where}: unknown key {str(key)!r}{hint}")


def _text(stated: Mapping[str, Any], key: str, where: str, *, needed: bool = True) -> str:
    found = stated.get(key, "")
    if not isinstance(found, str) or (needed and not found.strip()):
        said = "is missing" if key not in stated else f"found {found!r}, allowed: a text"
        hint = " (numbers need quotes)" if isinstance(found, int | float) else ""
        raise PluginError(f"{where}: {key}: {said}{hint}")
    return found.strip()


def _named(stated: Mapping[str, Any], where: str) -> str:
    name = _text(stated, "name", where)
    if not NAME.fullmatch(name) or len(name) > 60:
        raise PluginError(f"{where}: name: found {name!r}, allowed: {_NAME_WORDS}")
    return name


def _one_of(
    stated: Mapping[str, Any], key: str, known: Sequence[str], where: str, *, needed: bool = True
) -> str | None:
    found = stated.get(key)
    if found is None and not needed:
        return None
    if found not in known:
        said = "is missing" if found is None else f"found {found!r}"
        hint = did_you_mean(str(found), known)
        raise PluginError(f"{where}: {key}: {said}, allowed: {', '.join(known)}{hint}")
    return str(found)


def _parameters(stated: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    schema = stated.get("parameters")
    if schema is None:
        return NOTHING
    if not isinstance(schema, Mapping):
        raise PluginError(f"{where}: parameters: found {schema!r}, allowed: a JSON Schema")
    # A key that nobody knows is a key that was misspelled.
    is_object = "properties" in schema and schema.get("type", "object") == "object"
    return {"additionalProperties": False, **schema} if is_object else dict(schema)


def _layers(
    stated: Mapping[str, Any], kind: str, where: str
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    keys = ("layers", "content_layers")
    if not any(key in stated for key in keys):
        return {}, {}
    if kind != "encoder":
        raise PluginError(f"{where}: layers: allowed: for encoders alone")
    style, content = (_weights(stated.get(key), f"{where}: {key}") for key in keys)
    return style, content


def _weights(stated: Any, where: str) -> Mapping[str, float]:
    """Weights by layer, of which one is above 0."""
    if not isinstance(stated, Mapping) or not all(map(_is_weight, stated.values())):
        raise PluginError(f"{where}: found {stated!r}, allowed: weights by layer, none below 0")
    for name in stated:
        if not isinstance(name, str) or not LAYER.fullmatch(name):
            raise PluginError(f"{where}: found {name!r}, allowed: {_LAYER_WORDS}")
    if not any(stated.values()):
        raise PluginError(f"{where}: no weight is above 0")
    return dict(stated)


def _is_weight(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9


def _suffixes(stated: Mapping[str, Any], kind: str, where: str) -> Iterator[str]:
    listed = stated.get("suffixes", [])
    if kind != "output" and not listed:
        return
    if kind != "output" or not isinstance(listed, list) or not listed:
        allowed = "a list such as [.jxl]" if kind == "output" else "for outputs alone"
        raise PluginError(f"{where}: suffixes: allowed: {allowed}")
    for suffix in listed:
        if not isinstance(suffix, str) or not re.fullmatch(r"\.[a-z0-9]+", suffix):
            raise PluginError(f"{where}: suffixes: found {suffix!r}, allowed: such as .jxl")
        yield suffix


def _devices(stated: Mapping[str, Any], where: str) -> Iterator[str]:
    listed = stated.get("devices", list(DEVICES))
    if not isinstance(listed, list) or not listed or not {*map(str, listed)} <= {*DEVICES}:
        known = ", ".join(DEVICES)
        raise PluginError(f"{where}: devices: found {listed!r}, allowed: a list of {known}")
    yield from listed


def _memory(stated: Mapping[str, Any], where: str) -> float:
    found = stated.get("memory", 0)
    size = amount(found) if isinstance(found, str) else None
    if size is None and found != 0:
        raise PluginError(f"{where}: memory: found {found!r}, allowed: an amount such as 300 MB")
    return size or 0.0


def _number(stated: Mapping[str, Any], key: str, where: str) -> float:
    found = stated.get(key, 0)
    if not isinstance(found, int | float) or isinstance(found, bool) or not 0 <= found < 1e9:
        raise PluginError(f"{where}: {key}: found {found!r}, allowed: a number of bytes")
    return float(found)
