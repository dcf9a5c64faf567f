"""Every kind of file a designer may hand over, good and bad."""

import contextlib
import io
import struct
import warnings
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from layered_nst.errors import LayeredNstWarning, PictureError
from layered_nst.picture import MAX_PIXELS, Picture, read_metadata, read_picture


def random_pixels(dtype=np.uint8, channels=3, *, size=(11, 17)):
    top = np.iinfo(dtype).max
    pixels = np.random.default_rng(1).integers(0, top + 1, (*size, channels), dtype=dtype)
    return pixels[..., 0] if channels == 1 else pixels


def expected_rgb(pixels):
    unit = torch.from_numpy(pixels.astype(np.float32)) / float(np.iinfo(pixels.dtype).max)
    return (unit[..., None].expand(-1, -1, 3) if pixels.ndim == 2 else unit[..., :3]).movedim(-1, 0)


def png_header(width, height):
    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + body
    checksum = struct.pack(">I", zlib.crc32(chunk))
    beginning = struct.pack(">I", 999) + b"IDAT"
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + checksum + beginning


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_an_8_bit_picture_is_read_sample_for_sample(tmp_path, suffix):
    pixels = random_pixels()
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels).save(path)
    picture = read_picture(path)
    assert torch.equal(picture.rgb, expected_rgb(pixels))
    assert picture.rgb.dtype == torch.float32
    assert picture.size == (11, 17)
    assert (picture.alpha, picture.depth, picture.profile) == (None, 8, None)


@pytest.mark.parametrize(("suffix", "options"), [("jpg", {}), ("webp", {"lossless": True})])
def test_jpeg_and_webp_are_read(tmp_path, suffix, options):
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (20, 10), (200, 100, 50)).save(path, **options)
    wanted = torch.tensor([200, 100, 50])[:, None, None] / 255
    assert (read_picture(str(path)).rgb - wanted).abs().max() < 0.01


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_all_16_bits_arrive(tmp_path, suffix, channels):
    pixels = random_pixels(np.uint16, channels)
    path = tmp_path / f"a.{suffix}"
    if suffix == "png":
        path.write_bytes(imagecodecs.png_encode(pixels))
    else:
        tifffile.imwrite(
            path,
            pixels,
            photometric="rgb" if channels > 2 else "minisblack",
            extrasamples=["unassalpha"] if channels in (2, 4) else None,
            compression="lzw" if channels == 3 else None,
        )
    picture = read_picture(path)
    color = pixels[..., 0] if channels == 2 else pixels
    assert picture.depth == 16
    assert torch.equal(picture.rgb, expected_rgb(color))
    assert (picture.alpha is None) == (channels in (1, 3))
    if picture.alpha is not None:
        back = (picture.alpha.double() * 65535).round().numpy().astype(np.uint16)
        assert np.array_equal(back, pixels[..., -1])


@pytest.mark.parametrize(
    "options",
    [
        {"planarconfig": "separate", "photometric": "rgb"},
        {"tile": (16, 16), "photometric": "rgb"},
        {"byteorder": ">", "photometric": "rgb"},
        {"photometric": "rgb", "compression": "zlib", "predictor": True},
    ],
    ids=["planes", "tiles", "big-endian", "predictor"],
)
def test_a_16_bit_tiff_is_read_whatever_its_layout(tmp_path, options):
    pixels = random_pixels(np.uint16, size=(40, 33))
    stored = np.moveaxis(pixels, -1, 0) if "planarconfig" in options else pixels
    tifffile.imwrite(tmp_path / "a.tif", stored, **options)
    assert torch.equal(read_picture(tmp_path / "a.tif").rgb, expected_rgb(pixels))


def test_a_tiff_with_white_as_zero_is_not_negative(tmp_path):
    pixels = random_pixels(np.uint16, 1)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
    assert torch.equal(read_picture(tmp_path / "a.tif").rgb, expected_rgb(65535 - pixels))


def test_alpha_that_is_multiplied_in_is_divided_out(tmp_path):
    pixels = np.array([[[30000, 15000, 0, 30000], [0, 0, 0, 0]]], dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["assocalpha"])
    picture = read_picture(tmp_path / "a.tif")
    assert torch.allclose(picture.rgb[:, 0, 0], torch.tensor([1.0, 0.5, 0.0]), atol=1e-6)
    assert picture.rgb[:, 0, 1].tolist() == [0, 0, 0]


def test_a_float_tiff_is_read(tmp_path):
    pixels = np.random.default_rng(0).random((9, 8, 3), dtype=np.float32)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
    picture = read_picture(tmp_path / "a.tif")
    assert picture.depth == 16
    assert torch.equal(picture.rgb, torch.from_numpy(pixels).movedim(-1, 0))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "YCbCr", "HSV", "I;16", "I", "F"])
def test_any_opaque_mode_of_pillow_is_read(mode):
    image = Image.new("L", (6, 4), 255).convert("I" if mode == "I;16" else mode)
    image = Image.fromarray(np.full((4, 6), 65535, np.uint16)) if mode == "I;16" else image
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LayeredNstWarning)
        picture = read_picture(image)
    assert picture.size == (4, 6)
    assert picture.alpha is None
    assert torch.allclose(picture.rgb, torch.ones(3, 4, 6), atol=0.01)
    assert picture.depth == (16 if mode in ("I;16", "I", "F") else 8)


@pytest.mark.parametrize("mode", ["LA", "PA", "RGBA", "La", "RGBa"])
def test_any_mode_of_pillow_with_alpha_is_read(mode):
    image = Image.new("RGBA", (6, 4), (255, 255, 255, 128))
    straight = "LA" if mode in ("La", "LA") else "RGBA"
    image = image.convert(straight).convert(mode)
    picture = read_picture(image)
    assert picture.alpha is not None
    assert torch.allclose(picture.alpha, torch.full((4, 6), 128 / 255))
    assert torch.allclose(picture.rgb, torch.ones(3, 4, 6), atol=0.01)


def test_a_palette_with_transparency_gives_alpha(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "a.png", transparency=0)
    picture = read_picture(tmp_path / "a.png")
    assert picture.alpha is not None
    assert picture.alpha[0, 0] == 0
    assert picture.alpha[1:].min() == 1
    assert picture.rgb[:, 2, 2].tolist() == [1, 0, 0]


def test_a_transparent_color_in_a_16_bit_png_gives_alpha(tmp_path):
    pixels = random_pixels(np.uint16)
    data = imagecodecs.png_encode(pixels)
    chunk = b"tRNS" + pixels[0, 0].astype(">u2").tobytes()
    chunk = struct.pack(">I", 6) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])
    alpha = read_picture(tmp_path / "a.png").alpha
    assert alpha is not None
    assert (alpha == 0).nonzero().tolist() == [[0, 0]]


def test_alpha_that_hides_nothing_is_no_alpha():
    assert read_picture(Image.new("RGBA", (3, 3), (1, 2, 3, 255))).alpha is None


def test_a_picture_of_one_pixel_is_read(tmp_path):
    Image.new("RGB", (1, 1), (255, 0, 0)).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").rgb.flatten().tolist() == [1, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "deep.png", "deep.tif", "webp", "jpg"])
def test_the_picture_is_upright_whatever_way_the_camera_was_held(tmp_path, orientation, suffix):
    # Flat quarters survive JPEG, and no two orientations of them are alike.
    quarters = np.array([[[250, 0, 0], [0, 250, 0]], [[0, 0, 250], [250, 250, 250]]], np.uint8)
    stored = quarters.repeat(16, axis=0).repeat(32, axis=1)
    turns = {2: 0, 3: 1, 4: 2, 5: 3, 6: 4, 7: 5, 8: 6}
    operations = [
        Image.Transpose.FLIP_LEFT_RIGHT,
        Image.Transpose.ROTATE_180,
        Image.Transpose.FLIP_TOP_BOTTOM,
        Image.Transpose.TRANSPOSE,
        Image.Transpose.ROTATE_270,
        Image.Transpose.TRANSVERSE,
        Image.Transpose.ROTATE_90,
    ]
    upright = Image.fromarray(stored)
    if orientation > 1:
        upright = upright.transpose(operations[turns[orientation]])
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[274] = orientation
    if suffix == "deep.tif":
        deep = stored.astype(np.uint16) * 257
        tags = [(274, 3, 1, orientation, True)]
        tifffile.imwrite(path, deep, photometric="rgb", extratags=tags, resolution=(300, 150))
    elif suffix == "deep.png":
        deep = imagecodecs.png_encode(stored.astype(np.uint16) * 257)
        chunk = b"eXIf" + exif.tobytes()[6:]
        framed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        path.write_bytes(deep[:33] + framed + deep[33:])
    else:
        Image.fromarray(stored).save(path, exif=exif, dpi=(300, 150))
    picture = read_picture(path)
    difference = picture.rgb - expected_rgb(np.asarray(upright))
    assert difference.abs().mean() < (0.03 if suffix in ("webp", "jpg") else 1e-7)
    if suffix in ("png", "deep.tif", "jpg"):
        assert picture.dpi == ((150, 300) if orientation >= 5 else (300, 150))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_the_print_resolution_is_read(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (4, 4)).save(path, dpi=(300, 300))
    assert read_picture(path).dpi == (300, 300)


def test_a_picture_that_states_no_resolution_has_none(tmp_path):
    exif = Image.Exif()
    exif[271] = "a camera"
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert read_picture(tmp_path / "a.jpg").dpi is None


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_broken_exif_does_not_spoil_a_whole_picture(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (4, 4)).save(path, exif=b"Exif\0\0garbage and more garbage")
    with pytest.warns(LayeredNstWarning, match="EXIF data is broken"):
        assert read_picture(path).size == (4, 4)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_only_the_first_frame_is_used_and_said_so(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue", "lime")]
    path = tmp_path / f"a.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.warns(LayeredNstWarning, match="3 frames; only the first"):
        picture = read_picture(path)
    assert (picture.rgb[:, 4, 4] - torch.tensor([1.0, 0.0, 0.0])).abs().max() < 0.02


@pytest.mark.parametrize(
    ("array", "depth"),
    [
        (np.full((4, 5), 255, np.uint8), 8),
        (np.full((4, 5, 1), True), 8),
        (np.full((4, 5, 3), 65535, np.uint16), 16),
        (np.full((4, 5, 3), 1.0), 16),
    ],
)
def test_arrays_are_read(array, depth):
    picture = read_picture(array)
    assert torch.equal(picture.rgb, torch.ones(3, 4, 5))
    assert picture.depth == depth


def test_a_float_array_of_0_to_255_is_refused_rather_than_guessed():
    with pytest.raises(PictureError, match=r"must lie in \[0, 1\], not 0 to 255"):
        read_picture(np.array([[0.0, 255.0]]))
    with pytest.raises(PictureError, match="nan"):
        read_picture(np.array([[0.0, np.nan]]))


@pytest.mark.parametrize(
    "array", [np.zeros((2, 3, 8, 8)), np.zeros((3, 20, 30)), np.zeros((4, 4), int), np.zeros(3)]
)
def test_arrays_of_other_shapes_and_kinds_are_refused(array):
    with pytest.raises(PictureError, match="array must"):
        read_picture(array)


def test_a_missing_picture_is_named_with_the_nearest_name(tmp_path):
    Image.new("RGB", (1, 1)).save(tmp_path / "swirl.png")
    with pytest.raises(PictureError, match=r"swrl\.png \(did you mean swirl\.png\?\)"):
        read_picture(tmp_path / "swrl.png")
    with pytest.raises(PictureError, match=r"no such picture: .*x\.jpg$"):
        read_picture(tmp_path / "x.jpg")
    with pytest.raises(PictureError, match="no folder"):
        read_picture(tmp_path / "nowhere" / "a.png")
    with pytest.raises(PictureError, match="is a folder"):
        read_picture(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Dear all,\nplease find the picture attached.", "not a picture in a format"),
        (b"", "is empty"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture in a format"),
        (b"\x89PNG\r\n\x1a\n", "broken or cut short"),
        (b"\xff\xd8\xff\xe0", "broken or cut short"),
        (b"II*\0\x08\0\0\0", "broken"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "broken or cut short"),
        (b"GIF89a\x01", "broken or cut short"),
    ],
)
def test_a_file_that_is_no_whole_picture_is_refused_in_one_sentence(tmp_path, content, message):
    path = tmp_path / "notes.png"
    path.write_bytes(content)
    with pytest.raises(PictureError, match=message) as caught:
        read_picture(path)
    assert "notes.png" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "tif", "deep.png", "deep.tif"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_picture_cut_short_is_refused(tmp_path, suffix, share):
    pixels = random_pixels(size=(120, 160))
    whole = io.BytesIO()
    if suffix == "deep.png":
        whole.write(imagecodecs.png_encode(pixels.astype(np.uint16) * 257))
    elif suffix == "deep.tif":
        tifffile.imwrite(whole, pixels.astype(np.uint16), photometric="rgb")
    else:
        formats = {"jpg": "JPEG", "tif": "TIFF"}
        Image.fromarray(pixels).save(whole, formats.get(suffix, suffix))
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(whole.getvalue()[: int(len(whole.getvalue()) * share)])
    with pytest.raises(PictureError, match="broken"):
        read_picture(path)


def test_200_megapixels_are_refused_by_the_header_alone(tmp_path):
    path = tmp_path / "big.png"
    path.write_bytes(png_header(20_000, 10_000))
    with pytest.raises(PictureError, match=r"200 megapixels \(20000 x 10000\).*`max_pixels`"):
        read_picture(path)
    with pytest.raises(PictureError, match="broken or cut short"):
        read_picture(path, max_pixels=300_000_000)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_200_megapixels_of_tiff_are_refused_by_the_header_alone(tmp_path, dtype):
    path = tmp_path / "big.tif"
    tifffile.imwrite(path, shape=(10_000, 20_000, 3), dtype=dtype, photometric="rgb")
    with pytest.raises(PictureError, match="200 megapixels"):
        read_picture(path)


def test_the_limit_on_pixels_can_be_raised_and_lowered():
    assert MAX_PIXELS == 100_000_000
    image = Image.new("L", (10, 10))
    assert read_picture(image, max_pixels=100).size == (10, 10)
    with pytest.raises(PictureError, match="megapixels"):
        read_picture(image, max_pixels=99)
    with pytest.raises(PictureError, match="megapixels"):
        read_picture(np.zeros((10, 10)), max_pixels=99)


def test_an_array_without_pixels_is_refused():
    with pytest.raises(PictureError, match="is empty: 5 x 0 px"):
        read_picture(np.zeros((0, 5), np.uint8))


def test_reading_changes_no_setting_of_pillow(tmp_path):
    before = Image.MAX_IMAGE_PIXELS
    Image.new("RGB", (3, 3)).save(tmp_path / "a.png")
    read_picture(tmp_path / "a.png", max_pixels=9)
    assert before == Image.MAX_IMAGE_PIXELS


def test_a_picture_checks_that_its_parts_fit():
    with pytest.raises(ValueError, match="rgb must be"):
        Picture(rgb=torch.zeros(4, 2, 2))
    with pytest.raises(ValueError, match="does not fit"):
        Picture(rgb=torch.zeros(3, 2, 2), alpha=torch.zeros(2, 3))


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp", "gif"])
def test_flipped_bytes_are_either_read_or_refused_in_a_sentence(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(random_pixels(size=(24, 31))).save(path)
    whole = path.read_bytes()
    generator = np.random.default_rng(3)
    for _ in range(60):
        flipped = bytearray(whole)
        for place in generator.integers(0, min(len(whole), 300), size=4):
            flipped[place] = generator.integers(0, 256)
        path.write_bytes(flipped)
        with contextlib.suppress(PictureError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read_picture(path, max_pixels=1_000_000)
            read_metadata(path)
