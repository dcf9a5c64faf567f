"""A photo goes in and a picture comes out: what must survive the trip, in every format."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms
from profiles import Space, colorants, profile

from layered_nst import Result, apply
from layered_nst.errors import LayeredNstWarning, OutputError
from layered_nst.painting.plan import make_plan
from layered_nst.picture import color, read_picture
from layered_nst.picture.metadata import png_chunk
from layered_nst.recipe import load_recipe
from layered_nst.scene.resolving import resolve
from layered_nst.strategies.looks import planned
from layered_nst.strategies.problems import finished, problem
from layered_nst.styles.colors import color_moments
from layered_nst.styles.style import style_color

HEIGHT, WIDTH = 20, 32
LOGO = {"name": "logo", "select": {"box": [0.0, 0.0, 0.5, 1.0]}, "protect": True, "feather": 4}
KINDS = ["png 8", "png 16", "tiff 16", "jpeg 8", "webp 8"]
SUFFIX = {"png 8": "png", "png 16": "png", "tiff 16": "tif", "jpeg 8": "jpg", "webp 8": "webp"}
SPACES: list[Space | None] = [None, "sRGB", "Display P3", "Adobe RGB"]
# EXIF orientations: as it is, upside down, and lying on its right side; and a resolution.
TRIPS = [(1, None), (3, (300, 150)), (6, (300, 150))]
TURNS = {1: 0, 3: 2, 6: 3}

JPEG_ALPHA = ("jpeg 8", True)

Pixels = NDArray[Any]


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("styles") / "look.png"
    Image.fromarray(samples(8, 3, seed=3)).save(path)
    return path


def samples(depth: int, channels: int, *, seed: int = 0) -> Pixels:
    """Every color there is, the most saturated among them, (HEIGHT, WIDTH, channels)."""
    top = 2**depth - 1
    pixels = np.random.default_rng(seed).integers(0, top + 1, (HEIGHT, WIDTH, channels))
    corners = np.array(list(itertools.product((0, top), repeat=3)))
    pixels[0, : len(corners), :3] = corners
    if channels == 4:
        pixels[1:4, :, 3], pixels[4:, :, 3] = 0, np.maximum(pixels[4:, :, 3], 1)
    return pixels.astype(np.uint8 if depth == 8 else np.uint16)


def smooth(channels: int) -> Pixels:
    """Colors that JPEG keeps within a few steps."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    planes = [x * 7, y * 12, 255 - x * 4 - y * 3, np.full_like(x, 255)]
    return np.stack(planes[:channels], -1).astype(np.uint8)


# files by other programs


def write(
    path: Path,
    pixels: Pixels,
    *,
    icc: bytes | None = None,
    dpi: tuple[int, int] | None = None,
    orientation: int = 1,
) -> Path:
    """Write a photo that shows ``pixels`` once it is turned upright."""
    lying = np.ascontiguousarray(np.rot90(pixels, -TURNS[orientation]))
    if orientation == 6:
        dpi = dpi and (dpi[1], dpi[0])
    if pixels.dtype == np.uint16:
        writer = _write_tiff if path.suffix == ".tif" else _write_deep_png
        writer(path, lying, icc, dpi, orientation)
        return path
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {} if dpi is None else {"dpi": dpi}
    if dpi and path.suffix == ".webp":
        exif[0x011A], exif[0x011B], exif[0x0128] = *(float(value) for value in dpi), 2
    if path.suffix == ".webp":
        options |= {"lossless": True, "exact": True}
    if path.suffix == ".jpg":
        options |= {"quality": 95, "subsampling": 0}
    Image.fromarray(lying).save(path, icc_profile=icc, exif=exif, **options)
    return path


def _write_tiff(
    path: Path, pixels: Pixels, icc: bytes | None, dpi: tuple[int, int] | None, orientation: int
) -> None:
    tifffile.imwrite(
        path,
        pixels,
        photometric="rgb",
        extrasamples=["unassalpha"] if pixels.shape[2] == 4 else None,
        iccprofile=icc,
        resolution=dpi,
        resolutionunit="inch" if dpi else None,
        extratags=[(274, 3, 1, orientation, True)],
        metadata=None,
    )


def _write_deep_png(
    path: Path, pixels: Pixels, icc: bytes | None, dpi: tuple[int, int] | None, orientation: int
) -> None:
    encoded, chunks = imagecodecs.png_encode(pixels), b""
    if icc:
        chunks += png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(icc))
    if dpi:
        chunks += png_chunk(b"pHYs", struct.pack(">IIB", *(round(v / 0.0254) for v in dpi), 1))
    exif = Image.Exif()
    exif[0x0112] = orientation
    chunks += png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    path.write_bytes(encoded[:33] + chunks + encoded[33:])


def read(path: Path) -> Pixels:
    """The samples in a file, with no profile and no orientation applied."""
    if path.suffix in (".tif", ".jpg"):
        decode = tifffile.imread if path.suffix == ".tif" else imagecodecs.imread
        return np.asarray(decode(path))
    if path.suffix == ".png":
        return np.asarray(imagecodecs.png_decode(path.read_bytes()))
    with Image.open(path) as image:
        return np.asarray(image)


def header(path: Path) -> tuple[bytes | None, tuple[float, float] | None, int]:
    """ICC profile, resolution and orientation of a file as Pillow sees them."""
    with Image.open(path) as image:
        dpi, exif = image.info.get("dpi"), image.getexif()
        if path.suffix == ".webp" and 0x011A in exif:
            dpi = (exif[0x011A], exif[0x011B])
        found = None if dpi is None else (round(float(dpi[0]), 1), round(float(dpi[1]), 1))
        return image.info.get("icc_profile"), found, exif.get(0x0112, 1)


# what comes out, with a repainting that needs no network


def repainted(photo: Any, look: Path, output: dict[str, Any], **options: Any) -> Result:
    recipe = {
        "recipe": 1,
        "size": WIDTH,
        "regions": [{"name": "rest", "select": "rest", "style": str(look)}, LOGO],
        "output": output,
        **options,
    }
    content = photo if isinstance(photo, Path) else None
    scene = resolve(load_recipe(recipe, content=content), None if content else photo)
    canvas = 1 - scene.picture.rgb.flip(0) * 0.8
    return Result(finished(canvas, scene), scene, planned(scene), [], 0.0)


def protected(result: Result) -> NDArray[np.bool_]:
    """Pixels inside the feather of the logo that are not quite transparent."""
    inside = (result.scene.mask("logo") == 1) & (result.scene.visible > 0)
    assert inside.float().mean() > 0.25
    return inside.numpy()


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(
    ("kind", "alpha"),
    [(kind, alpha) for kind in KINDS for alpha in (False, True) if (kind, alpha) != JPEG_ALPHA],
)
def test_protected_pixels_alpha_profile_and_resolution_come_back(
    tmp_path: Path, look: Path, kind: str, space: Space | None, alpha: bool
) -> None:
    depth, suffix, lossy = int(kind.split()[1]), SUFFIX[kind], kind == "jpeg 8"
    icc = profile(space) if space else None
    pixels = smooth(3) if lossy else samples(depth, 4 if alpha else 3)
    for orientation, dpi in TRIPS:
        photo = write(tmp_path / f"in.{suffix}", pixels, icc=icc, dpi=dpi, orientation=orientation)
        result = repainted(photo, look, {"profile": "keep", "quality": 95 if lossy else 100})
        out = result.save(tmp_path / f"out.{suffix}")
        inside, seen = protected(result), read(out)
        assert (seen.shape, seen.dtype) == (pixels.shape, pixels.dtype)
        if lossy:
            assert np.abs(seen.astype(int) - pixels)[inside].mean() < 2.5
        else:
            assert np.array_equal(seen[inside], pixels[inside])
        if alpha:
            assert np.array_equal(seen[..., 3], pixels[..., 3])
        painted = (result.scene.kept == 0).numpy() & (result.scene.visible > 0).numpy()
        assert (seen != pixels)[painted].any(-1).mean() > 0.9
        assert header(out) == (icc or color.srgb_profile(), dpi, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("space", ["Display P3", "Adobe RGB"])
def test_without_keep_a_photo_comes_back_as_srgb(
    tmp_path: Path, look: Path, kind: str, space: Space
) -> None:
    depth, suffix = int(kind.split()[1]), SUFFIX[kind]
    pixels = smooth(3).astype(np.uint16) * 257 if depth == 16 else smooth(3)
    photo = write(tmp_path / f"in.{suffix}", pixels, icc=profile(space))
    result = repainted(photo, look, {"quality": 100})
    out = result.save(tmp_path / f"out.{suffix}")
    assert header(out)[0] == color.srgb_profile()
    # JPEG's own losses are in the photo already; compare with what is really in the file.
    wanted = by_pillow(read(photo) // (257 if depth == 16 else 1), profile(space))
    inside = protected(result)
    seen = read(out) / (257 if depth == 16 else 1)
    assert np.abs(seen - wanted)[inside].max() <= (6 if kind == "jpeg 8" else 2)
    assert np.abs(seen - wanted)[inside].mean() <= 1


def by_pillow(pixels: Pixels, icc: bytes) -> NDArray[np.float64]:
    """Convert 8-bit pixels to sRGB by Pillow's own bindings."""
    moved = ImageCms.profileToProfile(
        Image.fromarray(pixels.astype(np.uint8)),
        ImageCms.ImageCmsProfile(io.BytesIO(icc)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    return np.asarray(moved).astype(float)


@pytest.mark.parametrize(
    ("space", "published"),
    [
        ("sRGB", [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061]]),
        ("Display P3", [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657]]),
        ("Adobe RGB", [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322]]),
    ],
)
def test_the_profiles_of_these_tests_have_the_published_primaries(
    space: Space, published: list[list[float]]
) -> None:
    assert np.abs(colorants(space)[:2] - published).max() < 3e-4
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile(space))).profile
    assert opened.xcolor_space.strip() == "RGB"
    assert np.abs(np.array(opened.red_colorant[0]) - colorants(space)[:, 0]).max() < 1e-4
    assert color.is_srgb(profile(space)) == (space == "sRGB")


def test_colors_outside_of_srgb_meet_the_painting_without_an_edge(
    tmp_path: Path, look: Path
) -> None:
    """In a feather the photo's own colors fade in; they do not jump from clipped to whole."""
    red = np.full((HEIGHT, WIDTH, 3), (255, 0, 0), np.uint8)
    photo = write(tmp_path / "in.png", red, icc=profile("Display P3"))
    result = repainted(photo, look, {"profile": "keep"})
    row = read(result.save(tmp_path / "out.png"))[10].astype(int)
    kept = result.scene.kept[10].numpy()
    steps = np.abs(np.diff(row, axis=0)).max(-1)
    assert (row[kept == 1] == [255, 0, 0]).all()
    assert steps[(kept[1:] == 1) | (kept[:-1] == 1)].max() < 45
    assert steps.max() < 150


def test_a_smaller_result_keeps_protected_colors_outside_of_srgb(
    tmp_path: Path, look: Path
) -> None:
    red = np.full((HEIGHT, WIDTH, 3), (255, 0, 0), np.uint8)
    photo = write(tmp_path / "in.png", red, icc=profile("Display P3"))
    result = repainted(photo, look, {"profile": "keep"}, size=16)
    seen = read(result.save(tmp_path / "out.png"))
    assert (seen[:, :4] == [255, 0, 0]).all()


def test_a_cmyk_photo_comes_back_in_srgb_with_a_note(tmp_path: Path, look: Path) -> None:
    ink = Image.new("CMYK", (WIDTH, HEIGHT), (0, 255, 0, 0))
    ink.save(tmp_path / "in.jpg", quality=100, dpi=(300, 300))
    with pytest.warns(LayeredNstWarning, match="CMYK without a profile"):
        result = repainted(tmp_path / "in.jpg", look, {"profile": "keep"})
    icc, dpi, _ = header(result.save(tmp_path / "out.jpg"))
    assert (icc, dpi) == (color.srgb_profile(), (300, 300))
    assert np.abs(read(tmp_path / "out.jpg")[5, 5].astype(int) - [255, 0, 255]).max() < 12


# output: {depth, dpi, quality, background, format, size}


@pytest.mark.parametrize(
    ("stored", "suffix", "asked", "depth"),
    [
        (16, "png", {}, 16),
        (16, "tif", {}, 16),
        (16, "jpg", {}, 8),
        (16, "webp", {}, 8),
        (16, "png", {"depth": 8}, 8),
        (8, "png", {}, 8),
        (8, "tif", {}, 8),
        (8, "tif", {"depth": 16}, 16),
        (8, "png", {"depth": 16}, 16),
    ],
)
@pytest.mark.filterwarnings("error")
def test_the_depth_is_that_of_the_photo_unless_another_is_asked_for(
    tmp_path: Path, look: Path, stored: int, suffix: str, asked: dict[str, Any], depth: int
) -> None:
    photo = write(tmp_path / "in.png", samples(stored, 3))
    out = repainted(photo, look, asked).save(tmp_path / f"out.{suffix}")
    assert read(out).dtype == (np.uint16 if depth == 16 else np.uint8)


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_a_depth_that_the_format_does_not_have_is_noted(
    tmp_path: Path, look: Path, suffix: str
) -> None:
    result = repainted(samples(16, 3), look, {"depth": 16})
    with pytest.warns(LayeredNstWarning, match="holds 8 bits per channel, so 16 become 8"):
        result.save(tmp_path / f"out.{suffix}")


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
def test_the_resolution_asked_for_replaces_the_photos(
    tmp_path: Path, look: Path, suffix: str
) -> None:
    photo = write(tmp_path / "in.png", samples(8, 3), dpi=(72, 72))
    out = repainted(photo, look, {"dpi": 300}).save(tmp_path / f"out.{suffix}")
    assert header(out)[1] == (300, 300)
    assert read_picture(out).dpi == (300, 300)


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
def test_a_background_is_what_transparent_pixels_become(
    tmp_path: Path, look: Path, suffix: str
) -> None:
    pixels = np.dstack([smooth(3), np.where(np.arange(HEIGHT) < 10, 0, 255)[:, None].repeat(32, 1)])
    result = repainted(pixels.astype(np.uint8), look, {"background": "#00ff00", "quality": 100})
    seen = read(result.save(tmp_path / f"out.{suffix}")).astype(int)
    assert seen.shape[2] == 3
    assert np.abs(seen[:8] - [0, 255, 0]).max() <= (4 if suffix == "jpg" else 0)
    assert np.abs(seen[12:, :10] - pixels[12:, :10, :3]).max() <= (16 if suffix == "jpg" else 0)


def test_without_a_background_jpeg_lays_transparency_on_white(tmp_path: Path, look: Path) -> None:
    pixels = samples(8, 4)
    seen = read(repainted(pixels, look, {"quality": 100}).save(tmp_path / "out.jpg"))
    assert seen[2].min() > 245


def test_a_background_and_colors_outside_of_srgb_go_together(tmp_path: Path, look: Path) -> None:
    red = np.full((HEIGHT, WIDTH, 4), (255, 0, 0, 255), np.uint8)
    red[:10, :, 3] = 0
    photo = write(tmp_path / "in.png", red, icc=profile("Display P3"))
    result = repainted(photo, look, {"profile": "keep", "background": "black"})
    seen = read(result.save(tmp_path / "out.png"))
    assert (seen[12:, :10] == [255, 0, 0]).all()
    assert not seen[:8].any()


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_a_lower_quality_makes_a_smaller_file(tmp_path: Path, look: Path, suffix: str) -> None:
    sizes = [
        repainted(samples(8, 3), look, {"quality": quality}).save(tmp_path / f"a.{suffix}").stat()
        for quality in (100, 90, 30)
    ]
    assert sizes[0].st_size > sizes[1].st_size > sizes[2].st_size


def test_a_name_of_another_format_than_the_recipes_is_refused(tmp_path: Path, look: Path) -> None:
    result = repainted(samples(8, 3), look, {"format": "jpeg"})
    with pytest.raises(OutputError, match=r"out\.png: the recipe says output.format: jpeg, so its"):
        result.save(tmp_path / "out.png")
    for name in ("out.jpg", "out.JPEG"):
        with Image.open(result.save(tmp_path / name)) as image:
            assert image.format == "JPEG"


# transparency


def cutout(hidden: tuple[int, int, int] | None, *, depth: int = 8) -> Pixels:
    """A product on alpha, with a color or garbage hidden around it."""
    pixels = samples(depth, 4, seed=8)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    away = np.hypot(y - 9.5, x - 15.5)
    top = 2**depth - 1
    pixels[..., 3] = ((9 - away).clip(0, 1) * top).astype(pixels.dtype)
    if hidden is not None:
        pixels[pixels[..., 3] == 0, :3] = [value * (top // 255) for value in hidden]
    return pixels


BLACK, MAGENTA = (0, 0, 0), (255, 0, 255)
CUTOUT: dict[str, Any] = {
    "recipe": 1,
    "size": WIDTH,
    "regions": [
        {"name": "product", "select": {"alpha": True}, "color": "content"},
        {"name": "label", "select": {"box": [0.3, 0.4, 0.5, 0.6]}, "protect": True, "feather": 1},
    ],
    "optimize": {"steps": 1},
}


def cutout_recipe(look: Path, **output: Any) -> dict[str, Any]:
    product, label = CUTOUT["regions"]
    regions = [{**product, "style": str(look)}, label]
    return {**CUTOUT, "regions": regions, "output": output}


@pytest.mark.parametrize(
    ("name", "depth", "size"),
    [("png", 8, 25), ("png", 16, WIDTH), ("tif", 16, 60), ("webp", 8, WIDTH)],
)
def test_colors_under_transparency_change_nothing_that_is_seen(
    tmp_path: Path, look: Path, name: str, depth: int, size: int
) -> None:
    seen = []
    for hidden in (BLACK, MAGENTA):
        photo = write(
            tmp_path / f"in.{'tif' if depth == 16 else 'png'}",
            cutout(hidden, depth=depth),
            icc=profile("Display P3"),
        )
        recipe = cutout_recipe(look, profile="keep", quality=100)
        seen.append(read(apply(recipe, photo, size=size).save(tmp_path / f"out.{name}")))
    assert np.array_equal(*seen)
    if size == WIDTH:
        assert np.array_equal(seen[0][..., 3], cutout(BLACK, depth=depth)[..., 3])


def test_select_alpha_paints_the_product_and_keeps_its_label(look: Path) -> None:
    photo = cutout(MAGENTA)
    result = apply(cutout_recipe(look), photo)
    image, label = np.asarray(result.image), result.scene.mask("label").numpy() == 1
    assert label.sum() > 8
    assert np.array_equal(image[label], photo[label])
    assert np.array_equal(image[..., 3], photo[..., 3])
    opaque = (photo[..., 3] == 255) & (result.scene.mask("label").numpy() == 0)
    assert (image != photo)[opaque].any(-1).mean() > 0.9
    product = np.asarray(result.masks["product"])
    assert product[12:15, 14:17].min() == 255
    assert product[:, :2].max() == product[:, -2:].max() == 0


@pytest.mark.parametrize("change", ["photo", "style"])
def test_transparent_pixels_enter_no_statistic(tmp_path: Path, look: Path, change: str) -> None:
    scenes = []
    for hidden in (BLACK, None):
        style = look
        if change == "style":
            style = tmp_path / "style.png"
            Image.fromarray(cutout(hidden)).save(style)
        photo = cutout(hidden if change == "photo" else BLACK)
        scenes.append(resolve(load_recipe(cutout_recipe(style)), photo))
    asked = [problem(scene, make_plan(scene.recipe.optimize, scene.size)) for scene in scenes]
    for one, other in zip(*(tensors_of(each) for each in asked), strict=True):
        assert torch.equal(one, other)
    scene = scenes[0]
    weight = scene.mask("product") * scene.visible
    assert not weight[scene.visible == 0].any()
    pixels, weights = scene.photo.rgb.double().flatten(1).numpy(), weight.double().flatten().numpy()
    mean = (pixels * weights).sum(1) / weights.sum()
    found = color_moments(scene.picture.rgb, weight)
    assert np.abs(found.mean.numpy() - mean).max() < 1e-9
    if change == "style":
        drawn = cutout(BLACK).astype(float).reshape(-1, 4) / 255
        wanted = (drawn[:, :3] * drawn[:, 3:]).sum(0) / drawn[:, 3].sum()
        given = resolve(load_recipe(style_as_is(style)), photo).styles["product"]
        # Colors are told from a copy of 512 px.
        assert np.abs(style_color(given).mean.numpy() - wanted).max() < 0.01


def style_as_is(style: Path) -> dict[str, Any]:
    recipe = cutout_recipe(style)
    recipe["regions"][0]["color"] = "style"
    return recipe


def tensors_of(problem: Any) -> list[torch.Tensor]:
    """Everything that the optimization is told."""
    parts = [problem.content, problem.photo, problem.start, problem.frozen]
    for region in problem.regions:
        parts += [region.mask, *(style.rgb for style in region.styles)]
        parts += [style.mask for style in region.styles]
    return parts


# the real thing


@pytest.mark.parametrize("kind", ["png 16", "webp 8"])
def test_a_painted_picture_returns_protected_pixels_byte_for_byte(
    tmp_path: Path, look: Path, kind: str
) -> None:
    depth, suffix = int(kind.split()[1]), SUFFIX[kind]
    photo = write(
        tmp_path / f"in.{suffix}",
        samples(depth, 4),
        icc=profile("Display P3"),
        dpi=(300, 150),
        orientation=6,
    )
    recipe = {
        "recipe": 1,
        "content": str(photo),
        "size": WIDTH,
        "regions": [{"name": "rest", "select": "rest", "style": str(look)}, LOGO],
        "optimize": {"steps": 1},
        "output": {"profile": "keep", "quality": 100},
    }
    result = apply(recipe)
    out = result.save(tmp_path / f"out.{suffix}")
    assert np.array_equal(read(out)[protected(result)], samples(depth, 4)[protected(result)])
    assert np.array_equal(read(out)[..., 3], samples(depth, 4)[..., 3])
    assert header(out) == (profile("Display P3"), (300, 150), 1)


# protected regions


def strips(logo: Callable[[Pixels], Pixels]) -> Pixels:
    """A photo whose right quarter is a logo."""
    rng = np.random.default_rng(4)
    photo = rng.integers(0, 256, (32, 128, 3), dtype=np.uint8)
    photo[:, 98:] = logo(photo[:, 98:])
    return photo


def protecting(look: Path, color: str = "style") -> dict[str, Any]:
    """Far from the logo one region, beside it another, and the logo."""
    painted = {"style": str(look), "feather": 0, "color": color}
    return {
        "recipe": 1,
        "size": 128,
        "regions": [
            {"name": "far", "select": "rest", **painted},
            {"name": "near", "select": {"box": [0.5, 0, 0.75, 1]}, **painted},
            {**LOGO, "select": {"box": [0.75, 0, 1, 1]}},
        ],
        "optimize": {
            "optimizer": "adam",
            "levels": [128],
            "steps": 1,
            # Excess of color is one of the whole picture, and strokes have some at once.
            "start": "color",
            # A unit of conv3_1 sees 24 px, more than one of the others.
            "layers": {"conv1_1": 1, "conv2_1": 1, "conv3_1": 1},
            "content_layers": {"conv2_2": 1},
        },
    }


LOGOS: list[Callable[[Pixels], Pixels]] = [np.zeros_like, lambda part: 255 - part]


@pytest.mark.parametrize("color", ["style", "content"])
def test_a_protected_region_enters_no_target_and_no_color_of_another(
    look: Path, color: str
) -> None:
    scenes = [resolve(load_recipe(protecting(look, color)), strips(logo)) for logo in LOGOS]
    asked = [problem(scene, make_plan(scene.recipe.optimize, scene.size)) for scene in scenes]
    changed = (asked[0].photo != asked[1].photo).any(0)
    assert changed.float().mean() > 0.2
    for one, other in zip(asked[0].regions, asked[1].regions, strict=True):
        assert not one.mask[changed].any()
        assert torch.equal(one.mask, other.mask)
        assert torch.equal(one.styles[0].rgb, other.styles[0].rgb)
    for key in ("content", "start"):
        found, wanted = (getattr(each, key) for each in asked)
        assert torch.equal(found[:, ~changed], wanted[:, ~changed])


def test_beyond_the_receptive_field_a_protected_region_changes_nothing(look: Path) -> None:
    """Nearer, the network sees it beside the region, as it sees whatever is there."""
    one, other = (apply(protecting(look), strips(logo)) for logo in LOGOS)
    far, border, field = one.scene.mask("far").bool(), 64, 24
    assert far[:, :border].all()
    own = [name for name in one.losses[0] if name.startswith("style.far.")]
    assert len(own) == 3
    assert all(one.losses[0][name] == other.losses[0][name] for name in own)
    assert one.losses[0]["style.near.conv3_1"] != other.losses[0]["style.near.conv3_1"]
    apart = border - field
    assert torch.equal(one.rgb[:, :, :apart], other.rgb[:, :, :apart])
    assert not torch.equal(one.rgb[:, :, 66:94], other.rgb[:, :, 66:94])
