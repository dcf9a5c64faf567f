"""What is told when a campaign has ended: a command, an address."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Mapping
from typing import Any

from layered_nst.campaign.schema import Finish

PATIENCE = 30.0
"""Seconds that a command or an address has."""


def tell_of_end(finish: Finish, summary: Mapping[str, Any]) -> list[str]:
    """Tell whoever is to be told.

    Args:
        summary: what they get, as JSON.

    Returns:
        What went wrong, in sentences; the campaign itself is none the worse.
    """
    data = json.dumps(dict(summary)).encode()
    found = []
    if finish.command is not None:
        found.append(_run(finish.command, data))
    if finish.url is not None:
        found.append(_post(finish.url, data))
    return [sentence for sentence in found if sentence]


def _run(command: str, data: bytes) -> str:
    try:
        # A line of the user's own file, as in a Makefile.
        ran = subprocess.run(command, shell=True, input=data, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return f"finish.command: {command}: has not ended within {PATIENCE:.0f} s"
    except OSError as error:
        return f"finish.command: {command}: {error.strerror}"
    return f"finish.command: {command}: ended with code {ran.returncode}" if ran.returncode else ""


def _post(url: str, data: bytes) -> str:
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE):
            return ""
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return f"finish.url: {url}: cannot be told: {reason}"
