"""Memory: how much there is, what fits into it, and what would if it runs out."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from layered_nst.errors import OutOfMemoryError
from layered_nst.painting.state import State
from layered_nst.painting.tiled import STYLE_TILE, Place, Reading
from layered_nst.scene.scene import Scene
from layered_nst.strategies.costs import TOLERANCE, Footprint, LevelCost
from layered_nst.words import gigabytes, pixels

log = logging.getLogger(__name__)

SMALLEST = 64
"""A size below this, in px, is no advice: the pictures that are read are what is too large."""
ROUND = 16
"""Sizes are advised in steps of so many px."""
USABLE = 0.9
"""Share of what there is that a run takes of its own accord."""
PRINTS_TAKE = 4e9
"""Bytes that a print on the CPU takes of its own accord if it can do with them: it goes on for
long, and seen whole it would take three times as many."""
ROUND_AMOUNTS = tuple(sorted(n * 2.0**power * 1e9 for n in (1.0, 1.5) for power in range(14)))
SMALLEST_TILE = 128
"""Side in px below which tiles are all border: at this one a step takes five times as long."""
WORTH = 1.1
"""Pixels that are read, with their borders, over those of the largest tiles that there could be, up
to which a longer memory of L-BFGS is worth more than larger tiles."""
FEWEST_REMEMBERED = 4
"""Steps that L-BFGS remembers at least."""
TILE_STEP = 16


@dataclass(frozen=True)
class Room:
    """What a run is given.

    Attributes:
        memory: bytes by which tiles were chosen; None if every level is seen whole.
        readings: of the levels that are not seen whole, or not all of them.
        notes: sentences for the user.
    """

    memory: float | None
    readings: Mapping[Place, Reading]
    notes: tuple[str, ...]

    @property
    def tried(self) -> float | None:
        """Bytes that tiles were to stay within, None where there are none."""
        return self.memory if self.readings else None


def make_room(
    costs: Sequence[LevelCost],
    *,
    asked: float | None,
    resumed: State | None,
    obtainable: float,
    enough: float | None,
) -> Room:
    """Settle how the levels of a run fit into memory.

    Args:
        costs: of all its levels.
        asked: bytes that the user allows.
        resumed: where it goes on, with the memory that it began with unless ``asked`` differs.
        obtainable: bytes that there are, for runs of which neither says anything.
        enough: bytes that such a run is content with, as ``enough_for`` has it; None for no limit.

    Raises:
        OutOfMemoryError: some level does not fit even in the smallest tiles; the sentence names
            what would.
    """
    if asked is not None:
        memory: float | None = asked
    else:
        memory = automatic_memory(costs, obtainable, enough) if resumed is None else resumed.memory
    if memory is None:
        log.info("all levels are seen whole; there are %s", gigabytes(obtainable))
        return Room(None, {}, ())
    if missing := [cost for cost in costs if _reading(cost, memory) is None]:
        worst = max(missing, key=lambda cost: cost.pixels)
        size, least = worst.stage.size, _least(costs)
        raise OutOfMemoryError(
            advice(size, worst.need, obtainable)
            if asked is None
            else _too_little(size, worst.need, least, memory)
        )
    readings, notes = _readings(costs, memory), _tile_notes(costs, memory)
    for place, reading in readings.items():
        log.info("to stay within %s, level %s is read as %s", gigabytes(memory), place, reading)
    if resumed is not None and readings != _readings(costs, resumed.memory):
        notes = (*notes, _changed(resumed.memory, memory))
    return Room(memory, readings, notes)


def enough_for(scene: Scene) -> float | None:
    """Bytes that a run of a scene is content with where nobody says anything; None if there is no
    such limit."""
    printed = scene.recipe.optimize.quality == "print"
    return PRINTS_TAKE if printed and scene.picture.rgb.device.type == "cpu" else None


def automatic_memory(
    costs: Sequence[LevelCost], obtainable: float, enough: float | None = None
) -> float | None:
    """How much a run may take where nobody has said it.

    Args:
        costs: of all its levels.
        obtainable: bytes that there are.
        enough: bytes that it is content with, if there are as many and if it can do with them.

    Returns:
        None if all levels can be seen whole. Otherwise a round number of bytes, so that what
        other programs take does not change the picture's last digits from run to run; or all
        that there is, if nothing less would do.
    """
    usable, least = USABLE * obtainable, _least(costs)
    if enough is not None and least <= enough <= usable:
        usable = enough
    if max(cost.memory(_whole(cost)) for cost in costs) * TOLERANCE <= usable:
        return None
    amount = max((n for n in ROUND_AMOUNTS if n <= usable), default=usable)
    return amount if least <= amount else max(usable, min(obtainable, least))


def _readings(costs: Sequence[LevelCost], memory: float | None) -> dict[Place, Reading]:
    """How the levels are read that are not seen whole with so many bytes."""
    found = [] if memory is None else [(cost, _reading(cost, memory)) for cost in costs]
    return {
        cost.place: reading
        for cost, reading in found
        if reading is not None and reading != _whole(cost)
    }


def _tile_notes(costs: Sequence[LevelCost], memory: float) -> tuple[str, ...]:
    """Say which levels are painted in tiles, and which with a shorter history."""
    readings = _readings(costs, memory)
    chosen = [(cost, readings[cost.place]) for cost in costs if cost.place in readings]
    tiled = [(cost, reading) for cost, reading in chosen if reading.tile is not None]
    if not tiled:
        return ()
    sides = [f"{cost.level.longest} px by {reading.tile} px" for cost, reading in tiled]
    given = f"to stay within `memory={_named(memory)}`"
    notes = [f"{given}, levels are painted in tiles: {', '.join(dict.fromkeys(sides))}"]
    histories = {reading.history for _, reading in tiled}
    usual = tiled[0][0].need.history
    if min(histories) < usual:
        notes.append(f"{given}, L-BFGS remembers {min(histories)} steps there, not {usual}")
    return tuple(notes)


def _changed(before: float | None, now: float) -> str:
    begun = "no tiles" if before is None else f"`memory={_named(before)}`"
    return (
        f"the work was begun with {begun} and goes on with `memory={_named(now)}`, so the last "
        "digits of the picture are not those of an unbroken run"
    )


def _whole(cost: LevelCost) -> Reading:
    return Reading(None, None, cost.need.history)


def _reading(cost: LevelCost, budget: float) -> Reading | None:
    """How a level fits into so many bytes; None if it does not."""
    room, history = budget / TOLERANCE, cost.need.history
    style_tile = None if cost.style_memory(None) <= room else STYLE_TILE
    if cost.style_memory(style_tile) > room:
        return None
    whole = Reading(None, style_tile, history)
    if cost.memory(whole) <= room:
        return whole
    fewest = min(history, FEWEST_REMEMBERED)
    largest = _largest_tile(cost, style_tile, fewest, room)
    if largest is None:
        return None
    most = WORTH * cost.read(largest)[1]
    for remembered in range(history, fewest, -1):
        tile = _largest_tile(cost, style_tile, remembered, room)
        if tile is not None and cost.read(tile)[1] <= most:
            return Reading(tile, style_tile, remembered)
    return Reading(largest, style_tile, fewest)


def _largest_tile(cost: LevelCost, style_tile: int | None, history: int, room: float) -> int | None:
    for tile in range(_longest_tile(cost), SMALLEST_TILE - 1, -TILE_STEP):
        if cost.memory(Reading(tile, style_tile, history)) <= room:
            return tile
    return None


def _longest_tile(cost: LevelCost) -> int:
    """The longest side of a tile that is less than the level."""
    return max(SMALLEST_TILE, (max(cost.size) - 1) // TILE_STEP * TILE_STEP)


def _least(costs: Sequence[LevelCost]) -> float:
    """Bytes that all levels need, whichever way they are read."""
    least = max(min(map(cost.memory, _smallest(cost))) for cost in costs)
    return TOLERANCE * (least + 1)  # a byte for the rounding of the division by the same


def _smallest(cost: LevelCost) -> tuple[Reading, Reading]:
    fewest = min(cost.need.history, FEWEST_REMEMBERED)
    return Reading(SMALLEST_TILE, STYLE_TILE, fewest), Reading(None, STYLE_TILE, cost.need.history)


def _too_little(size: tuple[int, int], need: Footprint, least: float, memory: float) -> str:
    fitting = _fitting_size(size, need, memory / TOLERANCE)
    or_size = f" or `size={fitting}`" if fitting >= SMALLEST else ""
    return (
        f"out of memory at {pixels(size)}: `memory={_named(memory)}` is too little, even "
        f"in tiles of {SMALLEST_TILE} px; `memory={_named(_up(least))}`{or_size} would do"
    )


def _up(amount: float) -> float:
    """The next tenth of a gigabyte."""
    return math.ceil(amount / 1e8) * 1e8


def _named(amount: float) -> str:
    """An amount as ``memory`` takes it, to the megabyte."""
    tenths = amount >= 1e9 and amount % 1e8 == 0
    return f"{amount / 1e9:.10g}G" if tenths else f"{round(amount / 1e6)}M"


def advice(
    size: tuple[int, int],
    need: Footprint,
    obtainable: float,
    *,
    costs: Sequence[LevelCost] = (),
    tried: float | None = None,
) -> str:
    """Say in one sentence which ``size``, or ``memory``, would have fitted.

    Args:
        size: height and width in px that did not fit.
        need: what a run takes.
        obtainable: bytes that there are for it.
        costs: of all its levels, if tiles may be advised.
        tried: bytes that it was to stay within; None if it was seen whole.
    """
    height, width = size
    failed = f"out of memory at {pixels(size)}: there are {gigabytes(obtainable)} for it"
    # Where the model is too hopeful, what did not fit is known to take more than there was.
    failing = need.bytes(height * width) if tried is None else tried
    budget = min(obtainable, failing) / TOLERANCE
    tenths = math.floor(budget / 1e8) * 1e8
    in_tiles = bool(costs) and _least(costs) <= tenths
    fitting = _fitting_size(size, need, budget)
    ways = [f"`memory={_named(tenths)}`"] if in_tiles else []
    ways += [f"`size={fitting}`"] if fitting >= SMALLEST else []
    if not ways:
        return f"{failed}, too little for any size; close other programs or read smaller pictures"
    return f"{failed}, and {' or '.join(ways)} would do with them"


def _fitting_size(size: tuple[int, int], need: Footprint, room: float) -> int:
    """The longest side whose whole fits, in px."""
    share = math.sqrt(max(0.0, need.pixels(room)) / (size[0] * size[1]))
    return math.floor(min(1.0, share) * max(size) / ROUND) * ROUND
