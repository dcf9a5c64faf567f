"""Packages as pip leaves them, written into a folder of Python's path."""

from __future__ import annotations

import importlib
import json
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml


class Site:
    """A folder of Python's path that packages with plug-ins are installed into.

    Args:
        folder: made, and put on the path.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        monkeypatch.syspath_prepend(folder)

    def install(
        self,
        name: str,
        manifest: dict[str, Any] | str | None,
        code: str = "",
        *,
        distribution: str | None = None,
    ) -> Path:
        """Install a package ``NAME`` with one module of code, and return its folder.

        Args:
            manifest: as data or as text; None leaves the file out.
            distribution: its name, if it is another.
        """
        module = name.replace("-", "_")
        package = self.folder / module
        package.mkdir()
        # Another test may have had one of this name.
        sys.modules.pop(module, None)
        importlib.invalidate_caches()
        (package / "__init__.py").write_text(textwrap.dedent(code))
        if manifest is not None:
            text = manifest if isinstance(manifest, str) else yaml.safe_dump(manifest)
            (package / "plugin.yaml").write_text(text)
        info = self.folder / f"{(distribution or name).replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution or name}\nVersion: 1.2\n"
        )
        other = "[console_scripts]\nnot-this = x:y\n\n"
        points = f"{other}[layered_nst.plugins]\n{name} = {module}:plugin.yaml\n"
        (info / "entry_points.txt").write_text(points)
        return package


def manifest_of(name: str, *parts: dict[str, Any], **keys: Any) -> dict[str, Any]:
    """A manifest, with parts that lie in the package's own module."""
    module = name.replace("-", "_")
    placed = [{"object": f"{module}:{p['name'].replace('-', '_')}", **p} for p in parts]
    return {"api": 1, "name": name, "version": "1.2", "license": "MIT", "parts": placed, **keys}


def selector(name: str, **keys: Any) -> dict[str, Any]:
    """A part of a manifest."""
    return {"kind": "selector", "name": name, **keys}


def single(path: Path, stated: dict[str, Any], code: str) -> Path:
    """A plug-in of one file."""
    path.write_text(f"PLUGIN = {json.dumps(stated)}\n\n{textwrap.dedent(code)}")
    return path


PACKAGES = Path(__file__).parent / "plugins"
"""Plug-ins that are packages of their own."""


def installed(folder: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a package on the path as ``pip install -e`` would.

    Args:
        folder: of the package, with its pyproject.toml.
        site: made, for what pip writes.
    """
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    points = project["entry-points"]["layered_nst.plugins"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    lines = "".join(f"{name} = {value}\n" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[layered_nst.plugins]\n{lines}")
    for place in (site, folder):
        monkeypatch.syspath_prepend(place)
