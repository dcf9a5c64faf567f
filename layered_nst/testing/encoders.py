"""What encoders keep."""

from __future__ import annotations

from functools import cache

import torch

from layered_nst.networks.catalogue import is_present
from layered_nst.networks.encoders import Encoder, load_encoder
from layered_nst.networks.encoders.tiles import cut, grid, halo
from layered_nst.plugins import Part
from layered_nst.testing.contracts import NotHere
from layered_nst.testing.samples import photo, random, speed, spelled

LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1")
"""That are looked at, of those of VGGs."""
MOST = 512
"""Longest side in px of a photo in tiles."""


def _encoder(part: Part, dtype: torch.dtype = torch.float32) -> Encoder:
    if part.is_own and not is_present(part.name):
        raise NotHere(f"the weights of {part.name} are not on this machine")
    return _loaded(spelled(part), dtype)


@cache
def _loaded(name: str, dtype: torch.dtype) -> Encoder:
    return load_encoder(name, dtype=dtype)


def _layers(encoder: Encoder) -> tuple[str, ...]:
    return tuple(layer for layer in LAYERS if layer in encoder.layers) or encoder.layers


def _middle(encoder: Encoder) -> str:
    """A layer that is neither the first nor the last."""
    return "conv3_1" if "conv3_1" in encoder.layers else encoder.layers[len(encoder.layers) // 2]


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
    layer, x = _middle(encoder), photo(16, 20).double()[None].requires_grad_()
    weights = random(1, encoder.width(layer), *encoder.layer_sizes((16, 20))[layer], seed=2)

    def value(at: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = (encoder(at, [layer])[layer] * weights.double()).sum()
        return found

    (found,) = torch.autograd.grad(value(x), x)
    for seed in range(3):
        along = random(*x.shape, seed=seed).double() - 0.5
        with torch.no_grad():
            wanted = (value(x + 1e-6 * along) - value(x - 1e-6 * along)) / 2e-6
        off = ((found * along).sum() - wanted).abs() / wanted.abs().clamp(min=1e-9)
        assert off < 1e-3, f"it misses finite differences by {off.item():.2g} of them"


def tiles(part: Part) -> None:
    encoder = _encoder(part)
    layers, apart = _layers(encoder), encoder.strides()
    step, border = grid(encoder, layers), halo(encoder, layers)
    # Where units see all, so does every tile, and a few of them tell.
    side = max(32, step) if border < MOST else max(64, step)
    long = max(96, 2 * (border + side)) if border < MOST // 2 else 2 * side
    size = (long, long - 16)
    rgb = photo(*size)[None]
    with torch.no_grad():
        seen = encoder(rgb, layers)
        for tile in cut(size, side, encoder, layers):
            within = encoder(rgb[:, :, *tile.read], layers)
            for layer in layers:
                whole = seen[layer][:, :, *tile.owned_at(apart[layer])]
                part_of = within[layer][:, :, *tile.inside(apart[layer])]
                off = ((whole - part_of).norm() / whole.norm().clamp(min=1e-9)).item()
                assert off < 1e-4, f"{layer} of a tile differs from the whole by {off:.2g} of it"


def fields(part: Part) -> None:
    encoder = _encoder(part)
    seen_by, apart = encoder.receptive_fields(), encoder.strides()
    for layer in (_middle(encoder),) if part.is_own else encoder.layers:
        if seen_by[layer] <= MOST:
            _sees_no_further(encoder, layer, seen_by[layer], apart[layer])


def _sees_no_further(encoder: Encoder, layer: str, field: int, stride: int) -> None:
    at = 2 * field // stride
    rgb = photo(*2 * ((2 * at + 1) * stride,))[None].requires_grad_()
    weights = random(encoder.width(layer), seed=3)
    unit = (encoder(rgb, [layer])[layer][0, :, at, at] * weights).sum()
    (gradient,) = torch.autograd.grad(unit, rgb)
    rows, columns = gradient[0].abs().sum(0).nonzero(as_tuple=True)
    first, last = at * stride, (at + 1) * stride - 1
    for axis in (rows, columns):
        if axis.numel():
            found = max(first - int(axis.min()), int(axis.max()) - last)
            said = (field - stride) // 2
            assert found <= said, f"{layer} sees {found} px beyond its square, and says {said}"


def precision(part: Part) -> None:
    encoder, rgb = _encoder(part), photo(33, 48)[None]
    layers = _layers(encoder)
    one = encoder(rgb, layers)
    two = encoder.multiplying_in("bfloat16")(rgb, layers)
    for layer in layers:
        assert two[layer].dtype == torch.float32, f"{layer} comes in {two[layer].dtype}"
        off = ((one[layer] - two[layer]).norm() / one[layer].norm().clamp(min=1e-9)).item()
        assert off < 0.05, f"{layer} in bfloat16 misses float32 by {off:.2g} of it"


def the_same(part: Part) -> None:
    rgb = photo(33, 48)[None]
    if part.determinism != "same-bytes":
        return
    one, two = (load_encoder(spelled(part)) for _ in range(2) if _encoder(part))
    assert one.fingerprint == two.fingerprint, "two of them have other fingerprints"
    for layer in _layers(one):
        assert torch.equal(one(rgb, [layer])[layer], two(rgb, [layer])[layer]), layer


def how_fast(part: Part) -> str:
    encoder, rgb = _encoder(part), photo(200, 300)[None]
    with torch.no_grad():
        return speed(60_000, lambda: encoder(rgb, _layers(encoder)))


CONTRACTS = {
    "its layers have the sizes that it says, and are finite": sizes,
    "its gradient is that of finite differences": gradient,
    "its tiles give the features of the whole": tiles,
    "its units see no further than it says": fields,
    "bfloat16 is near float32": precision,
    "the same photo gives the same, to the byte": the_same,
    "how fast it is": how_fast,
}
