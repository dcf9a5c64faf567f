"""A part with what is said to it, as one text: its name, or ``{NAME: {KEY: VALUE}}``.

Recipes say it as a mapping; options of commands, and tables whose keys are names, have a text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from layered_nst.errors import PluginError


def spelled(name: str, said: Any) -> str:
    """The text of a part and what is said to it: the same for the same, whatever their order."""
    if not said:
        return name
    return json.dumps({name: said}, sort_keys=True, ensure_ascii=False)


def apart(text: str) -> tuple[str, Any]:
    """The name in a text, and what it says to the part: None for a name alone.

    Raises:
        PluginError: it begins as a mapping, and is not one of a single name.
    """
    if not text.lstrip().startswith("{"):
        return text, None
    import yaml

    try:
        stated = yaml.safe_load(text)
    except yaml.YAMLError:
        stated = None
    if (
        not isinstance(stated, Mapping)
        or len(stated) != 1
        or not isinstance(next(iter(stated)), str)
    ):
        raise PluginError(f"{text}: allowed: a name, or {{NAME: {{KEY: VALUE}}}}")
    ((name, said),) = stated.items()
    return name, said


def name_in(text: str) -> str:
    """The name in a text; see ``apart``."""
    return apart(text)[0]
