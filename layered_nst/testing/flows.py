"""What optical flows keep."""

from __future__ import annotations

import torch
from torch import Tensor

from layered_nst.errors import ClipError
from layered_nst.plugins import Part
from layered_nst.testing.contracts import NotHere
from layered_nst.testing.samples import photo, speed, spelled
from layered_nst.video.flow import flow_of

MOVED = (3, 2)
"""Across and down, px."""


def _flow(part: Part, one: Tensor, other: Tensor) -> Tensor:
    try:
        return flow_of(spelled(part))(one, other)
    except ClipError as error:
        raise NotHere(str(error)) from error


def _pair() -> tuple[Tensor, Tensor]:
    """A photo and the same after it has moved, each (3, 96, 128)."""
    large, (across, down) = photo(120, 160), MOVED
    return large[:, 12:108, 16:144], large[:, 12 - down : 108 - down, 16 - across : 144 - across]


def finds_what_moved(part: Part) -> None:
    one, other = _pair()
    found = _flow(part, one, other)
    assert tuple(found.shape) == (2, 96, 128), f"its shape is {tuple(found.shape)}"
    assert bool(found.isfinite().all()), "it has what is no number"
    inner = found[:, 16:-16, 16:-16].flatten(1).median(1).values
    for axis, wanted, said in zip(("across", "down"), MOVED, inner.tolist(), strict=True):
        assert abs(said - wanted) < 1, f"what moved {wanted} px {axis} is said to move {said:.2g}"


def nothing_moves(part: Part) -> None:
    one, _ = _pair()
    off = _flow(part, one, one).abs().mean().item()
    assert off < 0.25, f"between a photo and itself it finds {off:.2g} px"


def the_same(part: Part) -> None:
    pair = _pair()
    if part.determinism == "same-bytes":
        assert torch.equal(_flow(part, *pair), _flow(part, *pair)), "two flows differ"


def nothing_is_written(part: Part) -> None:
    one, other = (picture.clone() for picture in _pair())
    _flow(part, one, other)
    assert all(map(torch.equal, (one, other), _pair())), "it writes into the pictures"


def how_fast(part: Part) -> str:
    pair = _pair()
    return speed(96 * 128, lambda: _flow(part, *pair))


CONTRACTS = {
    "it finds how far a photo has moved": finds_what_moved,
    "between a photo and itself nothing moves": nothing_moves,
    "the same pictures give the same, to the byte": the_same,
    "the pictures stay as they are": nothing_is_written,
    "how fast it is": how_fast,
}
