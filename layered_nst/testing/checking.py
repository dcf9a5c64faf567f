"""``plugins check``: all that a plug-in must keep, and for a package its wheel, as users get it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from layered_nst import plugins
from layered_nst.errors import PluginError
from layered_nst.plugins import Plugin
from layered_nst.plugins.examining import examine
from layered_nst.plugins.installed import entry_points
from layered_nst.testing.contracts import contracts

PATIENCE = 600.0
"""Seconds that building a wheel, and testing it, may take."""
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "venv", "build", "*.egg-info", "__pycache__")


@dataclass(frozen=True)
class Verdict:
    """What has come of one contract.

    Attributes:
        part: kind and name.
        contract: in a sentence.
        state: ``kept``, ``broken`` or ``not here``.
        said: why, or a number.
    """

    part: str
    contract: str
    state: str
    said: str = ""

    def as_dict(self) -> dict[str, str]:
        """The same as data that JSON can hold."""
        return asdict(self)


def check_plugin(target: str) -> Iterator[Verdict]:
    """Test all contracts of a plug-in.

    Args:
        target: the name of one that is installed, the path of one of one file, or the folder of
            a package, whose wheel is built and tested.

    Raises:
        PluginError: there is none, or its wheel cannot be built.
    """
    path, names = Path(target), [plugin.name for plugin in plugins.installed().plugins]
    # A name counts before a folder that is called so; the folder is then ./NAME.
    if target not in (*names, plugins.OWN) and (path / "pyproject.toml").is_file():
        yield from _of_wheel(path)
        return
    wanted = contracts(target)
    plugin = wanted[0].part.plugin
    assert plugin is not None
    if not plugin.is_own:
        yield from _of_whole(plugin)
    for contract in wanted:
        part = f"{contract.part.kind} {contract.part.full_name}"
        yield Verdict(part, contract.name, *contract.tell())


def _of_whole(plugin: Plugin) -> Iterator[Verdict]:
    found = examine([plugin])[plugin.name]
    said = "; ".join(found.problems) or f"{found.seconds:.2f} s"
    state = "broken" if found.problems else "kept"
    yield Verdict(plugin.name, "it is imported without an error and in silence", state, said)
    if plugin.distribution:
        versions = {e.version for e in entry_points() if e.distribution == plugin.distribution}
        same = plugin.version in versions
        said = "" if same else f"plugin.yaml says {plugin.version}, it is {', '.join(versions)}"
        name = "its version is that of its package"
        yield Verdict(plugin.name, name, "kept" if same else "broken", said)


def _of_wheel(folder: Path) -> Iterator[Verdict]:
    with tempfile.TemporaryDirectory() as name:
        site = Path(name, "site")
        _build(folder, Path(name), site)
        for plugin in _names_in(site):
            for row in _checked_there(plugin, site):
                yield Verdict(**row)


def _build(folder: Path, work: Path, site: Path) -> None:
    """Build a wheel of a copy of a package, and take it apart into ``site``."""
    source = shutil.copytree(folder, work / "source", ignore=LEFT_OUT)
    words = ["-m", "pip", "wheel", "--no-deps", "--quiet", "--disable-pip-version-check"]
    for isolated in (["--no-build-isolation"], []):
        done = _run(*words, *isolated, "-w", str(work), str(source))
        if done.returncode == 0:
            break
    else:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        why = next((line for line in reversed(lines) if "rror" in line), "pip says no more")
        raise PluginError(f"{folder}: no wheel can be built of it: {why.strip()}")
    for wheel in work.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)


def _names_in(site: Path) -> list[str]:
    found = []
    for entry in entry_points([str(site)]):
        module, _, file = entry.value.partition(":")
        path = site.joinpath(*module.split("."), file or "plugin.yaml")
        if not path.is_file():
            raise PluginError(f"{path.name} is not in the wheel; package-data says what goes in")
        found.append(str((yaml.safe_load(path.read_text("utf-8")) or {}).get("name", entry.name)))
    if not found:
        raise PluginError("the wheel has no entry point of the group layered_nst.plugins")
    return found


def _checked_there(plugin: str, site: Path) -> list[dict[str, Any]]:
    """What a process that has the wheel on its path says of it."""
    done = _run("-m", "layered_nst.cli", "plugins", "check", plugin, "--json", site=site)
    try:
        told = json.loads(done.stdout)
        return list(told["contracts"])
    except (ValueError, KeyError) as error:
        said = done.stderr.strip().splitlines() or ["nothing"]
        raise PluginError(f"{plugin}: {said[-1].removeprefix('error: ')}") from error


def _run(*words: str, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    first = [] if site is None else [str(site)]
    path = os.pathsep.join([*first, *(str(Path(folder).absolute()) for folder in sys.path)])
    environment = {**os.environ, "PYTHONPATH": path}
    environment.pop(plugins.VARIABLE, None)
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        env=environment,
        cwd=site,  # there are no other folders, that could be taken for the plug-in's
        timeout=PATIENCE,
    )
