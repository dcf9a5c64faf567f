"""What losses keep, each alone on one level of a small problem."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from layered_nst import plugins
from layered_nst.networks.encoders import Encoder, load_encoder
from layered_nst.painting.losses.loss import FeatureLoss
from layered_nst.painting.losses.pixels import PixelLoss
from layered_nst.painting.losses.plugged import plugged
from layered_nst.painting.objective import Asked, Objective, content_loss
from layered_nst.painting.plan import Level, Plan, make_plan
from layered_nst.painting.tiled import TiledObjective
from layered_nst.plugins import Part
from layered_nst.plugins.parameters import taken
from layered_nst.recipe import Optimize
from layered_nst.testing.contracts import NotHere
from layered_nst.testing.samples import problem, random, sample, speed

SIZE = (72, 56)


@cache
def _encoder(dtype: torch.dtype = torch.float32) -> Encoder:
    return load_encoder("light", dtype=dtype)


def _plan(part: Part, precision: str = "float32") -> Plan:
    plan = replace(make_plan(Optimize(), SIZE), levels=(Level(max(SIZE), 1),), precision=precision)
    if part.is_own:
        return plan
    said, _ = taken(part, sample(part.parameters))
    return replace(plan, losses={part.full_name: said})


def _made(part: Part, asked: Asked) -> list[FeatureLoss | PixelLoss]:
    own = part.is_own
    made = plugins.object_of(part)(asked) if own else plugged(part.full_name, asked)
    if made is None:
        raise NotHere("it asks nothing of the sample, a frame of a clip with three regions")
    return [made]


def _objective(part: Part, *, double: bool = False, precision: str = "float32") -> Objective:
    encoder = _encoder(torch.float64 if double else torch.float32)
    asked = (encoder, problem(double=double), _plan(part, precision), SIZE)
    return Objective(*asked, losses=partial(_made, part))


def _picture(*, double: bool = False) -> Tensor:
    """A picture on its way, some of its values out of range."""
    start = problem(double=double).start
    return (start + 0.3 * random(*start.shape, seed=9).to(start) - 0.1)[None]


def _found(objective: Objective, picture: Tensor) -> tuple[dict[str, float], Tensor]:
    terms, gradient = objective.backward(picture)
    return {name: value.item() for name, value in terms.items()}, gradient


def _off(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm().clamp(min=1e-12))


def finite(part: Part) -> None:
    terms, gradient = _found(_objective(part), _picture())
    assert len(terms) > 1, "it has no term"
    for name, value in terms.items():
        assert isfinite(value), f"its term {name} is {value}"
    assert gradient.shape == _picture().shape, f"its gradient has shape {tuple(gradient.shape)}"
    assert bool(gradient.isfinite().all()), "its gradient has what is no number"


def pulls(part: Part) -> None:
    _, gradient = _found(_objective(part), _picture())
    assert gradient.abs().max() > 0, "it pulls nowhere"


def differences(part: Part) -> None:
    objective, x = _objective(part, double=True), _picture(double=True)
    _, gradient = _found(objective, x)
    for seed in range(3):
        along = random(*x.shape, seed=20 + seed).double() - 0.5
        found = (gradient * along).sum()
        # A long step may lead over a kink, and a short one is all rounding.
        slopes = [_slope(objective, x, along, step) for step in (1e-6, 1e-7, 1e-8)]
        off = min(((found - s).abs() / s.abs().clamp(min=1e-9)).item() for s in slopes)
        assert off < 1e-3, f"its gradient misses finite differences by {off:.2g} of them"


@torch.no_grad()
def _slope(objective: Objective, x: Tensor, along: Tensor, step: float) -> Tensor:
    ahead, behind = (
        torch.stack(list(objective(x + sign * step * along).values())).sum() for sign in (1, -1)
    )
    return (ahead - behind) / (2 * step)


def tiles(part: Part) -> None:
    whole, wanted = _found(_objective(part), _picture())
    tiled, gradient = _in_tiles(part)
    for name in [name for name in whole if name != "total"]:
        gap, value = abs(tiled[name] - whole[name]), whole[name]
        assert gap <= 1e-3 * abs(value) + 1e-6, f"{name} is {tiled[name]:g} in tiles, not {value:g}"
    off = _off(gradient, wanted)
    assert off < 2e-3, f"its gradient in tiles misses that of the whole by {off:.2g} of it"


def _in_tiles(part: Part) -> tuple[dict[str, float], Tensor]:
    asked = (_encoder(), problem(), _plan(part), SIZE)
    own, other = _made(part, asked), content_loss(asked)
    if any(isinstance(loss, FeatureLoss) for loss in own) or other is None:
        return _found(TiledObjective(*asked, side=32, losses=lambda _: own), _picture())
    # A loss of pixels has no tiles of its own: it is looked at beside one of features.
    beside = TiledObjective(*asked, side=32, losses=lambda _: [*own, other])
    alone = TiledObjective(*asked, side=32, losses=lambda _: [other])
    terms, gradient = _found(beside, _picture())
    return terms, gradient - _found(alone, _picture())[1]


def the_same(part: Part) -> None:
    one, two = (_found(_objective(part), _picture()) for _ in range(2))
    if part.determinism == "same-bytes":
        assert one[0] == two[0], "its terms differ from one time to the next"
        assert torch.equal(one[1], two[1]), "its gradient differs from one time to the next"


def precision(part: Part) -> None:
    _, wanted = _found(_objective(part), _picture())
    terms, found = _found(_objective(part, precision="bfloat16"), _picture())
    assert all(value == value for value in terms.values()), "a term is no number in bfloat16"
    assert found.dtype == torch.float32, f"its gradient comes in {found.dtype}"
    along = torch.cosine_similarity(found.flatten(), wanted.flatten(), dim=0).item()
    assert along > 0.9, f"its gradient in bfloat16 has a cosine of {along:.2g} with float32's"


def nothing_is_written(part: Part) -> None:
    asked, picture = problem(), _picture()
    held: dict[str, Any] = {"photo": asked.photo, "start": asked.start, "picture": picture}
    held |= {f"mask of {r.name}": r.mask for r in asked.regions}
    before = {name: value.clone() for name, value in held.items()}
    _found(_objective(part), picture)
    changed = [name for name, value in held.items() if not torch.equal(value, before[name])]
    assert not changed, f"it writes into the {changed[0]}"


def how_fast(part: Part) -> str:
    objective, picture = _objective(part), _picture()
    height, width = SIZE
    return speed(height * width, lambda: objective.backward(picture))


CONTRACTS = {
    "its terms and their gradient are finite": finite,
    "it pulls": pulls,
    "its gradient is that of finite differences": differences,
    "its tiles give the gradient of the whole": tiles,
    "the same picture gives the same gradient, to the byte": the_same,
    "bfloat16 is near float32": precision,
    "what it is given stays as it is": nothing_is_written,
    "how fast it is, with the encoder": how_fast,
}
