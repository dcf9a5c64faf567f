"""What encoders keep."""

from __future__ import annotations

from functools import cache

import torch

from layered_nst.networks.catalogue import is_present
from layered_nst.networks.encoders import Encoder, load_encoder
from layered_nst.networks.encoders.tiles import cut, strides
from layered_nst.plugins import Part
from layered_nst.testing.contracts import NotHere
from layered_nst.testing.samples import photo, random, speed

LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1")
"""That are looked at."""


def _encoder(part: Part, dtype: torch.dtype = torch.float32) -> Encoder:
    if part.is_own and not is_present(part.name):
        raise NotHere(f"the weights of {part.name} are not on this machine")
    return _loaded(part.full_name, dtype)


@cache
def _loaded(name: str, dtype: torch.dtype) -> Encoder:
    return load_encoder(name, dtype=dtype)


def sizes(part: Part) -> None:
    encoder = _encoder(part)
    for height, width in ((33, 48), (1, 1), (17, 64)):
        seen = encoder(photo(height, width)[None], encoder.layers)
        wanted = encoder.layer_sizes((height, width))
        for layer, features in seen.items():
            found = (features.shape[2], features.shape[3])
            assert found == wanted[layer], f"{layer} of {width}×{height} px is {found}"
            assert features.shape[1] == encoder.width(layer), f"{layer}: {features.shape[1]}"
            assert bool(features.isfinite().all()), f"{layer} has what is no number"


def gradient(part: Part) -> None:
    encoder = _encoder(part, torch.float64)
    x = photo(16, 20).double()[None].requires_grad_()
    weights = random(1, encoder.width("conv3_1"), 4, 5, seed=2).double()

    def value(at: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = (encoder(at, ["conv3_1"])["conv3_1"] * weights).sum()
        return found

    (found,) = torch.autograd.grad(value(x), x)
    for seed in range(3):
        along = random(*x.shape, seed=seed).double() - 0.5
        with torch.no_grad():
            wanted = (value(x + 1e-6 * along) - value(x - 1e-6 * along)) / 2e-6
        off = ((found * along).sum() - wanted).abs() / wanted.abs().clamp(min=1e-9)
        assert off < 1e-3, f"it misses finite differences by {off.item():.2g} of them"


def tiles(part: Part) -> None:
    encoder, apart = _encoder(part), strides(_encoder(part))
    rgb = photo(96, 80)[None]
    seen = encoder(rgb, LAYERS)
    for tile in cut((96, 80), 32, encoder, LAYERS):
        within = encoder(rgb[:, :, *tile.read], LAYERS)
        for layer in LAYERS:
            whole = seen[layer][:, :, *tile.owned_at(apart[layer])]
            part_of = within[layer][:, :, *tile.inside(apart[layer])]
            off = ((whole - part_of).norm() / whole.norm().clamp(min=1e-9)).item()
            assert off < 1e-4, f"{layer} of a tile differs from the whole by {off:.2g} of it"


def fields(part: Part) -> None:
    encoder = _encoder(part)
    seen_by, apart = encoder.receptive_fields(), strides(encoder)
    layer = "conv3_1"
    side = 4 * seen_by[layer]
    rgb = photo(side, side)[None]
    at = side // 2 // apart[layer]
    center, reach = at * apart[layer] + apart[layer] // 2, seen_by[layer] // 2 + apart[layer]
    other = random(*rgb.shape, seed=3)
    inside = slice(center - reach, center + reach)
    other[:, :, inside, inside] = rgb[:, :, inside, inside]
    one, two = (encoder(x, [layer])[layer][0, :, at, at] for x in (rgb, other))
    assert torch.allclose(one, two, atol=1e-5), f"{layer} sees further than it says"


def precision(part: Part) -> None:
    encoder, rgb = _encoder(part), photo(33, 48)[None]
    one = encoder(rgb, LAYERS)
    two = encoder.multiplying_in("bfloat16")(rgb, LAYERS)
    for layer in LAYERS:
        assert two[layer].dtype == torch.float32, f"{layer} comes in {two[layer].dtype}"
        off = ((one[layer] - two[layer]).norm() / one[layer].norm().clamp(min=1e-9)).item()
        assert off < 0.05, f"{layer} in bfloat16 misses float32 by {off:.2g} of it"


def the_same(part: Part) -> None:
    rgb = photo(33, 48)[None]
    one, two = (load_encoder(part.full_name) for _ in range(2) if _encoder(part))
    assert one.fingerprint == two.fingerprint, "two of them have other fingerprints"
    for layer in LAYERS:
        assert torch.equal(one(rgb, [layer])[layer], two(rgb, [layer])[layer]), layer


def how_fast(part: Part) -> str:
    encoder, rgb = _encoder(part), photo(200, 300)[None]
    with torch.no_grad():
        return speed(60_000, lambda: encoder(rgb, LAYERS))


CONTRACTS = {
    "its layers have the sizes that it says, and are finite": sizes,
    "its gradient is that of finite differences": gradient,
    "its tiles give the features of the whole": tiles,
    "its units see no further than it says": fields,
    "bfloat16 is near float32": precision,
    "the same photo gives the same, to the byte": the_same,
    "how fast it is": how_fast,
}
