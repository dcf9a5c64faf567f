"""How long painters take on this machine, by a table of their stages.

Multiplications mislead: MicroAST takes an eighteenth of CCPL's and a third of its time. So each
stage is timed in each of its forms, once, and a painter is the sum of its stages.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping

import torch

from layered_nst.instant.network import Form, Painter, PainterStage
from layered_nst.training.painters.sharing import Space

SIDE = 512
"""Side in px of the picture that is timed."""
ROUNDS = 5
SCALES = (8, 4, 2, 1)


def machine() -> str:
    """What a table holds for: another machine has other times."""
    return f"{platform.machine()} {platform.processor()} {torch.get_num_threads()} threads"


def key_of(form: Form, stage: int) -> str:
    """By which a stage of a form stands in the table: below, width and depth."""
    below = form.widths[stage - 1] if stage else 0
    return f"{stage}: {below}, {form.widths[stage]}, {form.depths[stage]}"


def predicted(form: Form, table: Mapping[str, float]) -> float:
    """Seconds that a painter of a form takes for a picture of 512×512 px."""
    return table["rest"] + sum(table[key_of(form, stage)] for stage in range(4))


@torch.no_grad()
def measured(space: Space, channels: tuple[int, ...]) -> dict[str, float]:
    """The table of all stages of a space, in seconds: the least of some rounds of each.

    What a machine does beside only ever adds to a time, so the least is the truest.
    """
    table: dict[str, float] = {}
    for form in space:
        for number in range(4):
            key = key_of(form, number)
            if key not in table:
                table[key] = _stage_seconds(form, number, channels)
    table["rest"] = max(0.0, _whole_seconds(space.smallest, channels) - sum(
        table[key_of(space.smallest, number)] for number in range(4)
    ))  # fmt: skip
    return table


def _stage_seconds(form: Form, number: int, channels: tuple[int, ...]) -> float:
    given = (channels[0], channels[1], channels[2] + 3, 3)[number]
    below = form.widths[number - 1] if number else 0
    stage = PainterStage(below, given, form.widths[number], form.depths[number])
    side = SIDE // SCALES[number]
    order = torch.channels_last
    smaller = torch.rand(1, max(1, below), side // 2, side // 2).contiguous(memory_format=order)
    beside = torch.rand(1, given, side, side).contiguous(memory_format=order)
    return _least(lambda: stage(smaller if below else None, beside, None))


def _whole_seconds(form: Form, channels: tuple[int, ...]) -> float:
    painter = Painter(form, channels)
    carried = [
        torch.rand(1, width, SIDE // scale, SIDE // scale)
        for width, scale in zip(channels, SCALES, strict=False)
    ]
    modulation = [torch.zeros(1, 2 * width, 1, 1) for width in form.widths[:3]]
    colors = torch.rand(1, 3, SIDE, SIDE)
    return _least(lambda: painter(colors, carried, modulation))


def _least(run: Callable[[], object]) -> float:
    run()
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return min(taken)
