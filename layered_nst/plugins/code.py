"""The code of plug-ins: imported when it is first asked for, blamed for what it does."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from threading import RLock
from types import ModuleType, TracebackType
from typing import Any, TypeVar

from layered_nst.errors import LayeredNstError, PluginError
from layered_nst.plugins.manifests import Part, Plugin

Made = TypeVar("Made")

_lock = RLock()
_singles: dict[Path, ModuleType] = {}
_used: dict[str, Plugin] = {}
_watcher: ContextVar[Callable[[Part, Any], Any] | None] = ContextVar("watcher", default=None)


def object_of(part: Part) -> Any:
    """What a part is, imported if need be.

    Raises:
        PluginError: it cannot be imported, or is not where the part says.
    """
    found = _object_of(part)
    watch = _watcher.get()
    return found if watch is None else watch(part, found)


@contextlib.contextmanager
def watched(watch: Callable[[Part, Any], Any]) -> Iterator[None]:
    """Have something else used in place of parts, such as the same with a clock.

    Args:
        watch: makes it of a part and what it is.
    """
    token = _watcher.set(watch)
    try:
        yield
    finally:
        _watcher.reset(token)


def made_of(part: Part, wanted: type[Made], said: Any = None) -> Made:
    """What a part is, or what it makes of what is said to it, where it is a function.

    Args:
        wanted: what it must be.
        said: to it; its defaults, if nothing.

    Raises:
        PluginError: it cannot be imported, fails, or is something else.
    """
    from layered_nst.plugins.parameters import accepted

    found = object_of(part)
    if not isinstance(found, wanted) and callable(found):
        with blamed(part):
            found = found(**accepted(part, said))
    if not isinstance(found, wanted):
        raise PluginError(f"{part}: is a {type(found).__name__}, which is no {wanted.__name__}")
    return found


def _object_of(part: Part) -> Any:
    if not isinstance(part.object, str):
        return part.object
    module, _, rest = part.object.partition(":")
    name, _, key = rest.removesuffix("]").partition("[")
    try:
        home = _imported(part, module)
        found = getattr(home, name)
        return found[key] if key else found
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may even end the program
        told = error if isinstance(error, LayeredNstError) else _told(error)
        where = part.object.removeprefix(":")
        raise PluginError(f"{part}: cannot be had from {where}: {told}") from error


def _imported(part: Part, module: str) -> ModuleType:
    if part.plugin is None or part.is_own or module in sys.modules:
        found = import_module(module)
    else:
        with _lock, contextlib.redirect_stdout(sys.stderr):
            # What a package prints while it is imported would spoil what a command prints.
            found = import_module(module) if module else _single(part.plugin)
    if part.plugin is not None and not part.is_own:
        _used[part.plugin.name] = part.plugin
    return found


def _single(plugin: Plugin) -> ModuleType:
    """The module of a plug-in of one file."""
    path = plugin.source.resolve()
    if path not in _singles:
        name = f"layered_nst_plugin_{plugin.name.replace('-', '_')}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # so that what it defines can be pickled
        spec.loader.exec_module(module)
        _singles[path] = module
    return _singles[path]


def _told(error: BaseException) -> str:
    text = str(error) or "no more is said"
    if isinstance(error, KeyError):
        text = f"there is no {error}"
    elif isinstance(error, SyntaxError) and error.filename:
        text = f"{error.msg} ({Path(error.filename).name}, line {error.lineno})"
    return f"{type(error).__name__}: {text}"


def check_device(part: Part, device: str) -> None:
    """Refuse a device that a part does not run on.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.

    Raises:
        PluginError: it says so.
    """
    if device not in part.devices:
        raise PluginError(f"{part}: runs on {', '.join(part.devices)}, not on {device}")


@contextlib.contextmanager
def blamed(part: Part | None = None) -> Iterator[None]:
    """Say of an error that comes from a plug-in's code whose it is.

    What this package says no with passes as it is, and so does a lack of memory: neither is the
    fault of whoever is on the way to it.

    Args:
        part: of a plug-in, that is called within: what goes wrong is its fault. Otherwise it is
            that of the plug-in whose code is the innermost on the way to the error, if any is.

    Raises:
        PluginError: in place of any other error; the error is its cause.
    """
    try:
        yield
    except (LayeredNstError, MemoryError):
        raise
    except Exception as error:
        whose, place = _culprit(error.__traceback__) or (None, "")
        if part is not None and not part.is_own:
            whose = part
        if whose is None or "out of memory" in str(error).lower():
            raise
        raise PluginError(f"{whose}: {_told(error)}{place}") from error


def _culprit(traceback: TracebackType | None) -> tuple[Plugin | Part, str] | None:
    """The plug-in whose code is the innermost on the way to an error, and where in it."""
    homes = _homes()
    found: tuple[Plugin | Part, str] | None = None
    while traceback is not None and homes:
        path = Path(traceback.tb_frame.f_code.co_filename)
        for home, plugin in homes.items():
            if path == home or home in path.parents:
                place = path.name if path == home else path.relative_to(home.parent).as_posix()
                found = plugin, f" ({place}, line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    return found


def _homes() -> Mapping[Path, Plugin]:
    """Where the code of the plug-ins lies that were used, links followed and not."""
    return {
        home: plugin
        for plugin in _used.values()
        for place in [plugin.folder or plugin.source]
        for home in (place, place.resolve())
    }
