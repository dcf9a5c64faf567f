"""How long painters take on this machine, by a table of their stages.

Multiplications mislead: MicroAST takes an eighteenth of CCPL's and a third of its time. So each
stage is timed in each of its forms, once, as a frozen painter draws it, and a painter is the sum of
its stages.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from layered_nst.instant.drawing import draw, finest, frozen, stage_drawn
from layered_nst.instant.network import Form, Painter
from layered_nst.networks.encoders.rectified import at_once
from layered_nst.training.painters.sharing import form_of
from layered_nst.training.searching.spaces import Space
from layered_nst.training.searching.subjects import least_seconds

SIDE = 512
"""Side in px of the picture that is timed."""
SCALES = (8, 4, 2, 1)


def key_of(form: Form, stage: int) -> str:
    """By which a stage of a form stands in the table: below, width and depth."""
    below = form.widths[stage - 1] if stage else 0
    return f"{stage}: {below}, {form.widths[stage]}, {form.depths[stage]}"


def predicted(form: Form, table: Mapping[str, float]) -> float:
    """Seconds that a painter of a form takes for a picture of 512×512 px."""
    return table["rest"] + sum(table[key_of(form, stage)] for stage in range(4))


@torch.no_grad()
def measured(space: Space, channels: tuple[int, ...]) -> dict[str, float]:
    """The table of all stages of a space, in seconds."""
    table: dict[str, float] = {}
    for form in map(form_of, space):
        for number in range(4):
            key = key_of(form, number)
            if key not in table:
                table[key] = _stage_seconds(form, number, channels)
    smallest = form_of(space.smallest)
    stages = sum(table[key_of(smallest, number)] for number in range(4))
    table["rest"] = max(0.0, _whole_seconds(smallest, channels) - stages)
    return table


def _stage_seconds(form: Form, number: int, channels: tuple[int, ...]) -> float:
    painter, side = frozen(Painter(form, channels)), SIDE // SCALES[number]
    # The finer two are drawn in bands, which a processor keeps nearer at hand than the whole.
    bands = max(1, SIDE**2 // 4 // at_once(torch.device("cpu"))) if number > 1 else 1
    size = (side // bands, side)
    below = _features(form.widths[number - 1], size[0] // 2, size[1] // 2) if number else None
    if below is not None and number == 3:
        detail = torch.rand(1, 3, *size)
        return bands * least_seconds(lambda: finest(painter, below, detail))
    given = [_features(channels[number], *size)]
    if number == 2:
        given.append(_features(3, *size))  # the colors
    return bands * least_seconds(lambda: stage_drawn(painter.stages[number], below, given, None))


def _whole_seconds(form: Form, channels: tuple[int, ...]) -> float:
    painter, colors = frozen(Painter(form, channels)), torch.rand(1, 3, SIDE, SIDE)
    carried = [
        _features(width, SIDE // scale, SIDE // scale)
        for width, scale in zip(channels, SCALES, strict=False)
    ]
    modulation = [torch.zeros(1, 2 * width, 1, 1) for width in form.widths[:3]]
    return least_seconds(lambda: draw(painter, colors, carried, lambda scale, _: modulation[scale]))


def _features(channels: int, height: int, width: int) -> Tensor:
    features = torch.rand(1, channels, height, width)
    return features.contiguous(memory_format=torch.channels_last)
