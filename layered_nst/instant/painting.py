"""One picture, painted at once: whole, or in strips that show no seam.

All that a part of the picture has to know of the others are the moments of its regions. So a
picture that does not fit into memory is seen twice, strip by strip: once for its moments, and once
to be painted, each strip read with a border as wide as what is seen from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from layered_nst.instant.drawing import FrozenPainter, draw, frozen
from layered_nst.instant.grain import grained
from layered_nst.instant.network import COARSE, LAYERS, Painter, deviations
from layered_nst.instant.transport import Carriers, carriers
from layered_nst.networks.encoders import Encoder
from layered_nst.networks.encoders.tiles import Sums, Tile, added, laid_out
from layered_nst.picture import size_of
from layered_nst.regions.layers import layer_masks
from layered_nst.styles.moments import Columns, columns, measured, region_moments

Stacked = tuple[Tensor, Tensor]
"""Means (R, C) and raw second moments (R, C, C) of all regions at one layer."""

Steadied = Callable[[Mapping[str, Stacked]], Mapping[str, Stacked]]
"""What takes the regions' own moments, by layer, and gives what counts as those."""

AT_ONCE = 2**20
"""Pixels of a strip, about."""
NOTHING = 1e-6
"""Of a position: less belongs to all regions but for rounding."""


@dataclass(frozen=True)
class Asked:
    """What each region is to become.

    Attributes:
        targets: moments of the regions' styles, by layer.
        amount: how far each region is carried, shape (R,) in [0, 1].
    """

    targets: Mapping[str, Stacked]
    amount: Tensor


@dataclass(frozen=True)
class Shares:
    """Which positions of a part of the picture are whose.

    Attributes:
        masks: of the regions, shape (R, h, w) by layer.
        columns: what each region reads, by layer.
    """

    masks: Mapping[str, Tensor]
    columns: Mapping[str, Columns]


@dataclass(frozen=True)
class Settled:
    """All that has to be known of a whole picture before any part of it can be painted."""

    carriers: Mapping[str, Carriers]
    modulation: Sequence[Tensor]


@torch.no_grad()
def painted(
    painter: Painter,
    encoder: Encoder,
    picture: Tensor,
    masks: Sequence[Tensor],
    asked: Asked,
    *,
    precision: str = "float32",
    at_once: int = AT_ONCE,
    steadied: Steadied = dict,
) -> Tensor:
    """Paint a picture.

    Args:
        encoder: the one that the painter was taught with.
        picture: the photo in the palette of its styles, shape (3, H, W) in [0, 1], any size.
        masks: of the R regions, shape (H, W), sum 1 at most; what is left keeps its features.
        asked: styles and strengths, region by region.
        precision: in which networks multiply, ``float32`` or ``bfloat16``.
        at_once: pixels that are painted at once, about; fewer take less memory.
        steadied: of a frame of a clip, what its moments are with those of the frames before.

    Returns:
        Shape (3, H, W) in [0, 1].
    """
    size = size_of(picture)
    tiles = strips(size, at_once, border(painter, encoder))
    narrow, drawing = encoder.multiplying_in(precision), frozen(painter, precision)
    sight = WholeSight(painter, narrow, picture, masks, asked, drawing, steadied)
    if len(tiles) == 1:
        return sight.paint(tiles[0], sight.settle_whole(tiles[0])).contiguous()
    settled = sight.settle(tiles)
    canvas = torch.empty_like(picture)
    for tile in tiles:
        canvas[:, *tile.owned] = sight.paint(tile, settled)
    return canvas


@dataclass
class WholeSight:
    """What is painted, and how its parts are seen."""

    painter: Painter
    encoder: Encoder
    picture: Tensor
    masks: Sequence[Tensor]
    asked: Asked
    drawing: FrozenPainter
    steadied: Steadied = dict
    kept: tuple[dict[str, Tensor], Shares] | None = None

    def see(self, tile: Tile) -> tuple[dict[str, Tensor], Shares]:
        """Features of what a tile reads, and whose they are."""
        if self.kept is not None:
            return self.kept
        part = self.picture[:, *tile.read]
        masks = torch.stack([mask[tile.read] for mask in self.masks])
        corner = (tile.read[0].start, tile.read[1].start)
        laid = torch.einsum("rhw,r->hw", masks, self.asked.amount)
        picture = grained(part, laid, corner=corner)[None]
        features = self.encoder(picture, LAYERS, measured=False, read=lambda _, seen: seen)
        return features, shares_of(self.encoder, masks)

    def settle_whole(self, tile: Tile) -> Settled:
        """Settle by a picture that is seen once, and keep what is seen."""
        self.kept = self.see(tile)
        features, shares = self.kept
        counts = {layer: shares.columns[layer].total for layer in LAYERS}
        return self._settled(moments_of(features, shares.columns), counts)

    def settle(self, tiles: Sequence[Tile]) -> Settled:
        """Settle by what all tiles own."""
        apart = self.encoder.strides()
        sums: dict[str, Sums] = {}
        for tile in tiles:
            features, shares = self.see(tile)
            found: dict[str, Sums] = {}
            for layer in LAYERS:
                window = tile.inside(apart[layer])
                owned = shares.masks[layer][:, *window]
                read = replace(columns(owned), total=owned.new_ones(len(owned)))
                first, second = region_moments(features[layer][:, :, *window], read)
                found[layer] = (owned.sum((1, 2)), first, second)
            sums = added(sums, found) if sums else found
        own = {}
        for layer, (count, first, second) in sums.items():
            total = count.clamp(min=torch.finfo(first.dtype).tiny)
            own[layer] = (first / total[:, None], second / total[:, None, None])
        return self._settled(own, {k: part[0] for k, part in sums.items()})

    def _settled(self, seen: Mapping[str, Stacked], counts: Mapping[str, Tensor]) -> Settled:
        """Settle by moments of features that were not taken to their measure, as none are here."""
        measures = {layer: self.encoder.measure(layer) for layer in LAYERS}
        own = self.steadied({k: measured(*seen[k], measures[k]) for k in LAYERS})
        found = settle(self.painter, own, self.asked, counts)
        dtype = self.drawing.dtype
        by = {k: found.carriers[k].reading(measures[k], seen[k][0], dtype) for k in LAYERS}
        return Settled(by, [values.to(dtype) for values in found.modulation])

    def paint(self, tile: Tile, settled: Settled) -> Tensor:
        """What a tile owns of the picture, shape (3, h, w) in [0, 1]."""
        features, shares = self.see(tile)
        carried = [carry(features[k], shares.columns[k], settled.carriers[k]) for k in LAYERS]

        def mixed(scale: int, rows: slice) -> Tensor:
            return _mixed(shares.masks[LAYERS[scale]][:, rows], settled.modulation[scale])

        drawn = draw(self.drawing, self.picture[None, :, *tile.read], carried, mixed)
        return drawn[:, *tile.inside(1)].clamp_(0, 1)


def border(painter: Painter, encoder: Encoder) -> int:
    """How far a position of the picture sees, in px, rounded up to a multiple of 16."""
    deepest = encoder.receptive_fields()[LAYERS[0]] // 2
    scales = (8, 4, 2, 1)
    # Each convolution sees one position beyond its own, and a stage has one more than its depth;
    # of what is enlarged it may see one more.
    drawn = sum(
        scale * (2 + depth) for scale, depth in zip(scales, painter.form.depths, strict=True)
    )
    return math.ceil((deepest + drawn + scales[0] + 1 + COARSE) / 16) * 16


def strips(size: tuple[int, int], at_once: int, beyond: int) -> tuple[Tile, ...]:
    """Cut a picture into tiles of about so many pixels, each read so far ``beyond`` its own."""
    side = max(16, int(math.sqrt(at_once)) // 16 * 16)
    if size[0] * size[1] <= at_once * 5 // 4:
        side = max(size)
    return laid_out(size, side, 16, beyond)


def shares_of(encoder: Encoder, masks: Tensor) -> Shares:
    """Whose the positions of each layer are, from masks (R, H, W)."""
    size, apart = size_of(masks), encoder.strides()
    if any(side % max(apart[layer] for layer in LAYERS) for side in size):
        sizes = encoder.layer_sizes(size)
        at = layer_masks(masks, {layer: sizes[layer] for layer in LAYERS})
    else:
        at, halved = {}, {1: masks}
        for layer in reversed(LAYERS):
            at[layer] = halved[apart[layer]] = _halved(halved[apart[layer] // 2])
    return Shares(at, {layer: columns(at[layer]) for layer in LAYERS})


def _halved(masks: Tensor) -> Tensor:
    """The means of squares of 2 × 2; four times as fast as a pooling."""
    rows = masks[:, ::2] + masks[:, 1::2]
    return (rows[:, :, ::2] + rows[:, :, 1::2]).div_(4)


def moments_of(features: Mapping[str, Tensor], parts: Mapping[str, Columns]) -> dict[str, Stacked]:
    """The regions' own moments."""
    return {layer: region_moments(features[layer], parts[layer]) for layer in LAYERS}


def settle(
    painter: Painter, own: Mapping[str, Stacked], asked: Asked, counts: Mapping[str, Tensor]
) -> Settled:
    """How features are carried, from the moments of the whole picture.

    Args:
        own: the regions' moments, by layer.
        counts: how many positions each region has, shape (R,) by layer.
    """
    found = {
        layer: carriers(
            *own[layer], *asked.targets[layer], count=counts[layer], amount=asked.amount
        )
        for layer in LAYERS
    }
    amount = asked.amount[:, None]
    means = [torch.lerp(own[k][0], asked.targets[k][0], amount) for k in LAYERS]
    spread = [
        torch.lerp(deviations(*own[k]), deviations(*asked.targets[k]), amount) for k in LAYERS
    ]
    return Settled(found, painter.code(means, spread))


def ready(
    features: Mapping[str, Tensor], shares: Shares, settled: Settled
) -> tuple[list[Tensor], list[Tensor]]:
    """What the painter takes of a picture or of a part of it: carried features and modulation."""
    carried = [carry(features[k], shares.columns[k], settled.carriers[k]) for k in LAYERS]
    modulation = [
        _mixed(shares.masks[layer], values)
        for layer, values in zip(LAYERS, settled.modulation, strict=True)
    ]
    return carried, modulation


def _mixed(masks: Tensor, values: Tensor) -> Tensor:
    """Values of regions (R, C) mixed by masks (R, h, w), shape (1, C, h, w), channels-last."""
    mixed = masks.flatten(1).T.to(values.dtype) @ values
    return mixed.view(1, *masks.shape[1:], -1).permute(0, 3, 1, 2)


def carry(features: Tensor, read: Columns, by: Carriers) -> Tensor:
    """Features (1, C, h, w), each region's carried by its own map, mixed by the masks.

    What belongs to no region, wholly or in part, stays to that extent as it is.
    """
    rows = features[0].flatten(1).T
    # Read and written at one go, however many regions there are.
    seen = rows.index_select(0, read.index)
    moved = torch.empty_like(seen)
    for region, (start, _, end) in enumerate(read.spans):
        matrix, offset = by.matrix[region].to(rows.dtype), by.offset[region].to(rows.dtype)
        torch.addmm(offset, seen[start:end], matrix.T, out=moved[start:end])
    # Where a row went is soon found for each position; to write rows there takes six times as long.
    place = read.index.new_zeros(len(rows))
    place.index_copy_(0, read.index, torch.arange(len(seen), device=rows.device))
    carried = moved.index_select(0, place) if len(moved) else torch.empty_like(rows)
    if len(read.apart):
        # What lies in a feather stands there once for each of its regions: it is added up instead.
        carried.index_copy_(0, read.apart, _added_up(rows, moved, read, by).to(rows.dtype))
    return carried.view(1, *features.shape[2:], -1).permute(0, 3, 1, 2)


def _added_up(rows: Tensor, moved: Tensor, read: Columns, by: Carriers) -> Tensor:
    """Features of the positions that are inside no region, (E, C), in the precision of the masks.

    Args:
        rows: of all positions, before they are carried.
        moved: what regions read, carried.
    """
    feathers = [slice(soft, end) for _, soft, end in read.spans]
    place = read.index.new_zeros(len(rows))
    place.index_copy_(0, read.apart, torch.arange(len(read.apart), device=rows.device))
    place = place.index_select(0, torch.cat([read.index[part] for part in feathers]))
    share = torch.cat([read.root[part, 0] for part in feathers]).square()
    total = read.root.new_zeros(len(read.apart), rows.shape[1])
    total.index_add_(0, place, torch.cat([moved[part] for part in feathers]) * share[:, None])
    left = total.new_ones(len(read.apart)).index_add_(0, place, share, alpha=-1)
    # Mostly the regions share out all of a position.
    rest = (left > NOTHING).nonzero()[:, 0]
    unmoved = rows.index_select(0, read.apart[rest])
    if by.still is not None:
        unmoved = unmoved @ by.still.to(rows.dtype).T
    return total.index_add_(0, rest, unmoved * left[rest, None])
