"""Templates of pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def page_template(
    folder: str, *, filters: Mapping[str, Callable[..., Any]] | None = None
) -> Template:
    """The template ``report.html`` of a folder of this package; what it is told is escaped."""
    environment = Environment(
        loader=PackageLoader("layered_nst", folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters or {}
    return environment.get_template("report.html")
