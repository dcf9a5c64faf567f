"""What a recipe finds in its photo and what it would cost, before anything is painted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from layered_nst import plugins
from layered_nst.networks.encoders import Encoder
from layered_nst.painting.plan import Plan
from layered_nst.plugins import Plugin
from layered_nst.recipe import Recipe
from layered_nst.scene.scene import Scene
from layered_nst.strategies.budget import Room, enough_for, make_room
from layered_nst.strategies.costs import LevelCost, estimate, level_costs


@dataclass(frozen=True)
class Check:
    """What a recipe finds in its photo and what it would cost.

    Attributes:
        scene: the recipe on the photo: regions, masks, styles.
        plan: the levels and all constants of the optimization.
        costs: of every level of every stage, in order.
        room: how the levels fit into memory.
        notes: sentences for the user.
        seconds: about how long the whole run takes.
        megabytes: about how much memory it takes at its peak, in 10^6 bytes.
    """

    scene: Scene
    plan: Plan
    costs: tuple[LevelCost, ...]
    room: Room
    notes: tuple[str, ...]
    seconds: float
    megabytes: float

    def as_dict(self) -> dict[str, Any]:
        """The same as data that JSON can hold, without pixels."""
        return {
            "width": self.scene.size[1],
            "height": self.scene.size[0],
            "coverage": self.scene.masks.coverage,
            "levels": [[level.longest, level.steps] for level in self.plan.levels],
            "seconds": round(self.seconds, 1),
            "megabytes": round(self.megabytes),
            "plugins": {p.name: p.version for p in used_plugins(self.scene.recipe)},
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        height, width = self.scene.size
        return (
            f"<Check of {self.scene.recipe.name or 'a recipe'}: {width}×{height} px, "
            f"about {self.seconds:.0f} s and {self.megabytes:.0f} MB>"
        )


def used_plugins(recipe: Recipe) -> list[Plugin]:
    """The plug-ins that have parts in a recipe, by name."""
    found = (plugins.part(kind, name).plugin for kind, name in recipe.plugin_parts())
    used = {plugin.name: plugin for plugin in found if plugin is not None}
    return [used[name] for name in sorted(used)]


def plugin_notes(recipe: Recipe) -> tuple[str, ...]:
    """Sentences about parts of plug-ins by which the same run gives other bytes."""
    parts = (plugins.part(kind, name) for kind, name in recipe.plugin_parts())
    return tuple(
        f"{part.kind} {part.full_name} does not give the same picture every time"
        for part in parts
        if part.determinism != "same-bytes"
    )


def checked(
    scene: Scene,
    plan: Plan,
    encoders: Mapping[str, Encoder],
    *,
    asked: float | None,
    obtainable: float,
    seconds: float = 0.0,
) -> Check:
    """Settle how a run would fit into memory, and how long it would take.

    Args:
        encoders: by the names that the plan's levels use.
        asked: bytes that the user allows.
        obtainable: bytes that there are, where he says nothing.
        seconds: that finding the scene has taken.

    Raises:
        OutOfMemoryError: not even tiles fit.
    """
    costs = level_costs(scene, plan, encoders)
    room = make_room(
        costs, asked=asked, resumed=None, obtainable=obtainable, enough=enough_for(scene)
    )
    found = estimate(scene, plan, encoders, room.readings)
    return Check(
        scene=scene,
        plan=plan,
        costs=tuple(costs),
        room=room,
        notes=scene.notes + room.notes,
        seconds=seconds + found.seconds,
        megabytes=found.memory / 1e6,
    )
