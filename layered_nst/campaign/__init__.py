"""Campaigns: many photos in many looks and formats, on one machine or a cluster, none lost.

``Campaign.load(path).run()`` is the whole of it for programs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from layered_nst.campaign.campaign import Campaign
    from layered_nst.campaign.engine import Happening, Summary
    from layered_nst.campaign.jobs import Job, Outcome

__all__ = ["Campaign", "Happening", "Job", "Outcome", "Summary"]
_HOMES = {
    "Campaign": "campaign",
    "Happening": "engine",
    "Summary": "engine",
    "Job": "jobs",
    "Outcome": "jobs",
}


def __getattr__(name: str) -> Any:
    # Looking how a campaign stands needs none of what painting needs.
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
