"""All measures of a result, by region and as means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from layered_nst import api
from layered_nst.errors import PictureError, RecipeError
from layered_nst.judge.edges import TOLERANCE, thin_edges
from layered_nst.judge.measures import (
    BANDS,
    Bands,
    against,
    content_distance,
    edges_kept,
    gain,
    halo,
    leak,
    nearest,
    seam,
    style_distance,
)
from layered_nst.judge.named import MODEL, NamedJudge, Seer, load_judge
from layered_nst.judge.network import region_moments, style_moments
from layered_nst.machine.device import choose_device
from layered_nst.networks.encoders import Encoder, load_encoder
from layered_nst.outputs.rerun import holds_recipe
from layered_nst.picture import (
    MAX_PIXELS,
    Picture,
    average,
    bleed_under_alpha,
    fit_within,
    read_picture,
    resize,
    size_of,
)
from layered_nst.recipe import Recipe, Region
from layered_nst.scene.resolving import FEWEST_PIXELS, resolve
from layered_nst.scene.scene import Scene
from layered_nst.styles.moments import Moments
from layered_nst.styles.style import StylePicture, pictures_of, stroke_side, stroked_by
from layered_nst.words import pixels

CONTOURS = "hed-vgg16"
"""The encoder whose contours are compared, whichever one painted."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class RegionScore:
    """One region of a result.

    Attributes:
        name: of the recipe.
        coverage: share of the picture, 0 to 1.
        distance, photo_distance: style distance of the result and of the photo.
        gain: how much of the way to the style is done, 1 all of it; NaN without a way to go.
        nearest: the region whose style it is nearest to; its own unless styles leak.
        content: distance of the judge's features to the photo's, relative.
        edges: F-score of the contours inside against the photo's; NaN if the photo has none.
        grain, relief: energy of the three finest bands over the style's, fine to coarse, of
            lightness and of chroma: 1 is the style, and a relief far below the grain looks
            embossed; NaN in a band that the style does not have.
    """

    name: str
    coverage: float
    distance: float
    photo_distance: float
    gain: float
    nearest: str
    content: float
    edges: float
    grain: tuple[float, ...]
    relief: tuple[float, ...]


@dataclass(frozen=True)
class ProductScore:
    """The product of a result.

    Attributes:
        contour: F-score of the contours inside against the photo's; NaN if the photo has none.
        halo, photo_halo: ΔE around its outline to the nearer side, of the result and the photo.
        distance: mean style distance of the regions that are not product; NaN if there are none.
    """

    contour: float
    halo: float
    photo_halo: float
    distance: float


@dataclass(frozen=True)
class Score:
    """A result, seen by the judge.

    Attributes:
        size: height and width in px.
        regions: those with a style that cover something, bottom to top.
        leak: share of regions nearest to a style that isn't theirs.
        seam, photo_seam: how much borders stand out, in the result and in the photo.
        content, edges: as of a region, over the whole picture.
        product: None if the recipe names no product.
        judge: its name, with what was said to it.
        plugins: version and hash of the code of its plug-in, by name; none for ours.
    """

    size: tuple[int, int]
    regions: tuple[RegionScore, ...]
    leak: float
    seam: float
    photo_seam: float
    content: float
    edges: float
    product: ProductScore | None = None
    judge: str = MODEL
    plugins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def distance(self) -> float:
        """Mean style distance of the regions."""
        return _mean(region.distance for region in self.regions)

    @property
    def gain(self) -> float:
        """Mean gain of the regions."""
        return _mean(region.gain for region in self.regions)

    @property
    def grain(self) -> tuple[float, ...]:
        """Mean grain of the regions, fine to coarse."""
        return tuple(map(_mean, zip(*(region.grain for region in self.regions), strict=True)))

    @property
    def relief(self) -> tuple[float, ...]:
        """Mean relief of the regions, fine to coarse."""
        return tuple(map(_mean, zip(*(region.relief for region in self.regions), strict=True)))

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain numbers, texts, lists and mappings, means included."""
        means = {n: getattr(self, n) for n in ("distance", "gain", "grain", "relief")}
        return {**asdict(self), **means}


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


@dataclass(frozen=True)
class Ruler:
    """The styles of a scene as the judge sees them, for as many pictures as there are to measure.

    Attributes:
        regions: those that have a style and cover something, bottom to top.
        masks: their shares of the visible pixels, shape (R, H, W).
        targets: moments of each region's style, as large as the finest level shows it.
        bands: of each region's style, at the same size, shape (R, 2, 3).
    """

    regions: tuple[Region, ...]
    masks: Tensor
    targets: tuple[list[Moments], ...]
    bands: Numbers

    @classmethod
    def of(cls, scene: Scene, judge: Seer) -> Ruler:
        """Look at a scene's styles.

        Raises:
            RecipeError: no region can be measured.
        """
        regions = _painted(scene)
        masks = torch.stack([_mask(scene, [region.name]) for region in regions])
        styles = [pictures_of(scene.styles[region.name]) for region in regions]
        sides = [stroke_side(stroked_by(scene.size), region.strokes) for region in regions]
        seen = list(zip(styles, sides, strict=True))
        targets = tuple(style_moments(judge, style, longest=side) for style, side in seen)
        bands = np.stack([style_bands(style, longest=side) for style, side in seen])
        return cls(tuple(regions), masks, targets, bands)

    def distances(self, maps: Sequence[Tensor]) -> Numbers:
        """Style distance of each region of a picture (row) to each region's style (column).

        Args:
            maps: what the judge sees of the picture, at the scene's size.
        """
        found = region_moments(maps, self.masks)
        return np.array([[style_distance(here, to) for to in self.targets] for here in found])

    def looks(self, rgb: Tensor) -> Numbers:
        """Grain and relief of each region of a picture (3, H, W), shape (R, 2, 3)."""
        found = np.stack([Bands.of(rgb, mask).value for mask in self.masks])
        return against(found, self.bands)


def style_bands(styles: Sequence[StylePicture], *, longest: int) -> Numbers:
    """Bands of a blend at a longest side in px, shape (2, 3): energies are mixed by weight."""
    total, energy = sum(style.weight for style in styles), np.zeros((2, len(BANDS)))
    for style in styles:
        size = fit_within(size_of(style.rgb), longest)
        mask = average(style.mask[None], size)[0]
        energy += style.weight / total * Bands.of(resize(style.rgb, size), mask).value ** 2
    return np.sqrt(energy)


def score_file(
    picture: str | Path,
    recipe: str | Path | Mapping[str, Any] | Recipe | None = None,
    content: Any = None,
    *,
    judge: str = MODEL,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    device: str | torch.device | None = None,
    weights_dir: Path | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Score:
    """Score any picture as a result of a recipe, at the picture's own size.

    Args:
        picture: the result, from whatever program.
        recipe: what it should be like; without it, the recipe in the picture's metadata.
        content: the photo, in place of the recipe's own.
        judge: by whom: the name of one that is registered, or ``{NAME: {KEY: VALUE}}``.
        overrides, weights_dir, max_pixels: as ``apply`` takes them.
        device: where the networks look; by default the fastest there is.

    Raises:
        RecipeError: neither is there a recipe given nor in the metadata, or it is at fault.
        PictureError: a picture cannot be read, or has another shape than the photo.
        ModelError: the judge's weights are missing.
        PluginError: there is no such judge, or it fails.
    """
    picture = Path(picture)
    if recipe is None and not holds_recipe(picture):
        raise RecipeError(f"{picture}: carries no recipe; name the one to score it by (`recipe`)")
    device = choose_device(device)
    eyes = load_judge(judge, weights_dir=weights_dir, device=device)
    found = read_picture(picture, max_pixels=max_pixels)
    loaded = api.load(
        picture if recipe is None else recipe,
        content,
        size=max(found.size),
        overrides=overrides,
    )
    scene = resolve(loaded, content, weights_dir=weights_dir, device=device, max_pixels=max_pixels)
    contours = load_encoder(CONTOURS, device=device)
    return score(_fitted(found, scene), scene, judge=eyes, contours=contours)


def _fitted(found: Picture, scene: Scene) -> Tensor:
    """A result's visible colors at the scene's size, which may differ by the rounding of a side."""
    if max(abs(found.size[axis] - scene.size[axis]) for axis in (0, 1)) > 2:
        raise PictureError(
            f"{found.source}: {pixels(found.size)} does not have the shape of the photo "
            f"{scene.photo.source}, which would be {pixels(scene.size)}"
        )
    return resize(bleed_under_alpha(found.rgb, found.alpha), scene.size)


def score(rgb: Tensor, scene: Scene, *, judge: Seer, contours: Encoder) -> Score:
    """Score a picture as a result of a scene.

    Networks look where they are; it is measured on the CPU: not all devices know float64.

    Args:
        rgb: shape (3, H, W) in [0, 1], at the scene's size.
        scene: the recipe on its photo.
        judge: sees the styles.
        contours: an encoder with contour heads; sees the edges.

    Raises:
        ValueError: the picture has another size than the scene.
    """
    if tuple(rgb.shape[1:]) != scene.size:
        raise ValueError(f"a picture of {tuple(rgb.shape[1:])} for a scene of {scene.size}")
    ruler = Ruler.of(scene, judge)
    found, photo = (_look(p, judge, contours) for p in (rgb.cpu(), scene.picture.rgb.cpu()))
    distances = ruler.distances(found.maps)
    owners = nearest(distances, _alike(scene, ruler.regions))
    return Score(
        size=scene.size,
        regions=_region_scores(scene, ruler, distances, owners, found, photo),
        leak=leak(owners),
        seam=seam(found.rgb, scene.masks.masks.cpu()),
        photo_seam=seam(photo.rgb, scene.masks.masks.cpu()),
        content=content_distance(found.maps, photo.maps, scene.visible.cpu()),
        edges=_edges_kept(found, photo, scene.visible),
        product=_product(scene, ruler.regions, distances.diagonal(), found, photo),
        **_told(judge),
    )


def _told(judge: Seer) -> dict[str, Any]:
    """Who has judged; of eyes without a name, what they are."""
    if isinstance(judge, NamedJudge):
        return {"judge": judge.name, "plugins": judge.plugins}
    return {"judge": type(judge).__name__}


def _region_scores(
    scene: Scene,
    ruler: Ruler,
    distances: Numbers,
    owners: Sequence[int],
    found: _Look,
    photo: _Look,
) -> tuple[RegionScore, ...]:
    before = ruler.distances(photo.maps).diagonal()
    looks = ruler.looks(found.rgb)
    parts = zip(
        ruler.regions, ruler.masks, distances.diagonal(), before, owners, looks, strict=True
    )
    return tuple(
        RegionScore(
            name=region.name,
            coverage=float(scene.mask(region.name).cpu().double().mean()),
            distance=float(distance),
            photo_distance=float(photo_distance),
            gain=gain(float(distance), float(photo_distance)),
            nearest=ruler.regions[owner].name,
            content=content_distance(found.maps, photo.maps, mask),
            edges=_edges_kept(found, photo, mask),
            grain=tuple(look[0].tolist()),
            relief=tuple(look[1].tolist()),
        )
        for region, mask, distance, photo_distance, owner, look in parts
    )


@dataclass(frozen=True)
class _Look:
    """A picture as the judge and the contour network see it."""

    rgb: Tensor
    maps: Sequence[Tensor]
    edges: Tensor


def _look(rgb: Tensor, judge: Seer, contours: Encoder) -> _Look:
    return _Look(rgb, judge(rgb), thin_edges(contours, rgb))


def _painted(scene: Scene) -> list[Region]:
    regions = [
        region
        for region in scene.recipe.regions
        if scene.styles.get(region.name)
        and float(_mask(scene, [region.name]).sum()) >= FEWEST_PIXELS
    ]
    if not regions:
        least = f"{FEWEST_PIXELS:g} pixels of this photo"
        raise RecipeError(f"no region with a style covers {least}, so there is nothing to score")
    return regions


def _mask(scene: Scene, names: Sequence[str]) -> Tensor:
    """What regions cover together of the visible pixels, shape (H, W)."""
    return (torch.stack([scene.mask(name) for name in names]).sum(0) * scene.visible).cpu()


def _alike(scene: Scene, regions: Sequence[Region]) -> NDArray[np.bool_]:
    """Which regions are given the same pictures in the same proportions, shape (R, R)."""
    blends = [
        sorted((style.source, style.weight / total) for style in blend)
        for blend in (scene.styles[region.name] for region in regions)
        for total in [sum(style.weight for style in blend)]
    ]
    return np.array([[here == there for there in blends] for here in blends])


def _edges_kept(found: _Look, photo: _Look, mask: Tensor) -> float:
    return edges_kept(found.edges, photo.edges, mask.cpu() >= 0.5, tolerance=TOLERANCE)


def _product(
    scene: Scene, regions: Sequence[Region], distances: Numbers, found: _Look, photo: _Look
) -> ProductScore | None:
    names = scene.recipe.products
    if not names:
        return None
    mask = _mask(scene, names)
    around = [d for region, d in zip(regions, distances, strict=True) if region.name not in names]
    return ProductScore(
        contour=_edges_kept(found, photo, mask),
        halo=halo(found.rgb, mask),
        photo_halo=halo(photo.rgb, mask),
        distance=_mean(map(float, around)),
    )
