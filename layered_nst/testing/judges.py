"""What judges keep."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from layered_nst.judge.measures import content_distance, style_distance
from layered_nst.judge.named import NamedJudge, load_judge
from layered_nst.judge.network import region_moments
from layered_nst.plugins import Part
from layered_nst.testing.samples import photo, pictures, random, speed, spelled

SIDE = 64


@cache
def _loaded(name: str) -> NamedJudge:
    return load_judge(name)


def _judge(part: Part) -> NamedJudge:
    return _loaded(spelled(part))


def _halves() -> Tensor:
    """The left half and the right one, shape (2, SIDE, SIDE)."""
    left = torch.zeros(SIDE, SIDE)
    left[:, : SIDE // 2] = 1
    return torch.stack([left, 1 - left])


def maps(part: Part) -> None:
    judge = _judge(part)
    for what, picture in pictures().items():
        seen = judge(picture.rgb)  # which says itself what is wrong with them
        assert not any(one.requires_grad for one in seen), f"{what} gives maps with a gradient"


def tells_apart(part: Part) -> None:
    whole = torch.ones(1, SIDE, SIDE)
    flat, rough = torch.full((3, SIDE, SIDE), 0.5), random(3, SIDE, SIDE, seed=4)
    one, two = (region_moments(_judge(part)(rgb), whole)[0] for rgb in (flat, rough))
    assert style_distance(two, two) == 0, "it is at a distance from itself"
    assert style_distance(one, two) > 1e-3, "noise and a plain color are one and the same to it"


def sees_places(part: Part) -> None:
    judge, rgb = _judge(part), photo(SIDE, SIDE)
    other = torch.where(_halves()[1] > 0, random(3, SIDE, SIDE, seed=8), rgb)
    before, after = judge(rgb), judge(other)
    left, right = (content_distance(after, before, half) for half in _halves())
    assert right > left, "what changes on the right changes the left as much"


def the_same(part: Part) -> None:
    rgb = photo(33, 48)
    if part.determinism == "same-bytes":
        one, two = _judge(part)(rgb), load_judge(_judge(part).name)(rgb)
        assert all(map(torch.equal, one, two)), "two looks differ"


def photo_stays(part: Part) -> None:
    rgb = photo(33, 48)
    before = rgb.clone()
    _judge(part)(rgb)
    assert torch.equal(rgb, before), "it writes into the picture"


def how_fast(part: Part) -> str:
    judge, rgb = _judge(part), photo(200, 300)
    return speed(60_000, lambda: judge(rgb))


CONTRACTS = {
    "its maps are finite, and as wide for every picture": maps,
    "it tells one texture from another": tells_apart,
    "it sees where something is": sees_places,
    "the same picture gives the same, to the byte": the_same,
    "the picture stays as it is": photo_stays,
    "how fast it is": how_fast,
}
