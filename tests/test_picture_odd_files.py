"""Files that are not quite what the formats say, and files that say what they are not."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from layered_nst.errors import LayeredNstWarning, PictureError
from layered_nst.picture import read_metadata, read_picture
from layered_nst.picture.png import LONGEST_TEXT


def pixels(dtype: Any = np.uint8, top: int = 255) -> NDArray[Any]:
    """(10, 14, 3), from 0 to ``top``."""
    return np.random.default_rng(3).integers(0, top + 1, (10, 14, 3)).astype(dtype)


def as_rgb(array: NDArray[Any], top: float) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float32) / np.float32(top)).movedim(-1, 0)


def chunk(kind: bytes, body: bytes, *, wrong: bool = False) -> bytes:
    checksum = zlib.crc32(kind + body) ^ (1 if wrong else 0)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def png(array: NDArray[Any], *extra: bytes, after: bytes = b"") -> bytes:
    """A PNG with chunks before its pixels, and after them."""
    data = bytes(imagecodecs.png_encode(array))
    return data[:33] + b"".join(extra) + data[33:-12] + after + data[-12:]


@contextmanager
def told(*words: str) -> Iterator[None]:
    """Exactly these warnings, each with its words in it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    sentences = [str(warning.message) for warning in caught]
    assert len(sentences) == len(words), sentences
    for sentence, word in zip(sentences, words, strict=True):
        assert word in sentence


# PNG


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"tIME", b"pHYs", b"eXIf", b"iCCP"])
def test_a_wrong_checksum_beside_the_pixels_is_a_note(kind: bytes, depth: Any) -> None:
    array = pixels(depth)
    broken = chunk(kind, b"Comment\0 by somebody", wrong=True)
    for data in (png(array, broken), png(array, after=broken)):
        with told(f"a {kind.decode()} with a wrong checksum is ignored"):
            assert torch.equal(
                read_picture(data).rgb, as_rgb(array, 255 if depth is np.uint8 else 65535)
            )


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_wrong_checksum_of_pixels_is_still_refused(depth: Any) -> None:
    data = bytearray(png(pixels(depth)))
    data[data.index(b"IDAT") + 20] ^= 255
    with pytest.raises(PictureError, match="broken or cut short"):
        read_picture(bytes(data))


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
@pytest.mark.parametrize("keyword", [b"workflow", b"XML:com.adobe.xmp"])
def test_a_text_that_unpacks_to_megabytes_is_left_out_with_a_note(
    tmp_path: Path, kind: bytes, keyword: bytes, depth: Any
) -> None:
    packed = zlib.compress(b"x" * (LONGEST_TEXT + 1))
    between = b"\0\0" if kind == b"zTXt" else b"\0\1\0\0\0"
    large = chunk(kind, keyword + between + packed)
    small = chunk(b"tEXt", b"Author\0me")
    path = tmp_path / "a.png"
    path.write_bytes(png(pixels(depth), large, small))
    with told(f"a.png: the text {keyword.decode()!r} is ignored"):
        assert read_picture(path).size == (10, 14)
    assert read_metadata(path) == {"Author": "me"}


def test_texts_that_are_too_many_together_are_left_out() -> None:
    packed = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(LONGEST_TEXT)))
    with told("the text 'a' is ignored"):
        assert read_picture(png(pixels(), packed * 100)).size == (10, 14)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_profile_of_more_than_a_megabyte_is_used(depth: Any) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    padded = profile + bytes(3 * LONGEST_TEXT)
    padded = struct.pack(">I", len(padded)) + padded[4:]
    data = png(pixels(depth), chunk(b"iCCP", b"big\0\0" + zlib.compress(padded)))
    assert read_picture(data).profile == padded


def test_a_profile_that_cannot_be_unpacked_is_left_out_with_a_note() -> None:
    with told("a color profile that cannot be unpacked is ignored"):
        assert read_picture(png(pixels(), chunk(b"iCCP", b"big\0\0 no zlib"))).profile is None


@pytest.mark.parametrize(("kind", "body"), [(b"pHYs", b"\0"), (b"acTL", b"\0"), (b"gAMA", b"")])
def test_a_part_of_a_wrong_length_beside_the_pixels_does_not_spoil_them(
    kind: bytes, body: bytes
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LayeredNstWarning)
        assert read_picture(png(pixels(), chunk(kind, body))).size == (10, 14)


def test_an_orientation_that_only_the_xmp_of_a_png_states_is_applied(tmp_path: Path) -> None:
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)
    assert read_picture(png(pixels(), text)).size == (14, 10)


# TIFF


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 15])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_tiff_of_10_to_14_bits_is_as_bright_as_it_is(
    tmp_path: Path, bits: int, channels: int
) -> None:
    array = pixels(np.uint16, 2**bits - 1)[..., :channels]
    array[0, 0] = 2**bits - 1
    stored = array if channels == 3 else array[..., 0]
    path = tmp_path / "a.tif"
    write_packed(path, stored, bits)
    wanted = as_rgb(array, 2**bits - 1).expand(3, -1, -1)
    picture = read_picture(path)
    assert picture.depth == 16
    assert (picture.rgb - wanted).abs().max() < 1e-5
    assert picture.rgb[0, 0, 0] == 1


def write_packed(path: Path, array: NDArray[Any], bits: int) -> None:
    """A TIFF with samples of so many bits, rows beginning at whole bytes."""
    rows = array.reshape(array.shape[0], -1)
    ones = (rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    packed = np.packbits(ones.reshape(len(rows), -1).astype(np.uint8), axis=1).tobytes()
    height, width = array.shape[:2]
    channels = 1 if array.ndim == 2 else array.shape[2]
    tags = [
        (256, 3, (width,)),
        (257, 3, (height,)),
        (258, 3, (bits,) * channels),
        (259, 3, (1,)),
        (262, 3, (1 if channels == 1 else 2,)),
        (273, 4, (0,)),
        (277, 3, (channels,)),
        (278, 3, (height,)),
        (279, 4, (len(packed),)),
    ]
    body = b"" if channels == 1 else struct.pack("<3H", *(bits,) * 3)
    start = 8 + 2 + 12 * len(tags) + 4
    entries = b""
    for code, kind, values in tags:
        if code == 258 and channels == 3:
            value = struct.pack("<I", start)
        elif code == 273:
            value = struct.pack("<I", start + len(body))
        else:
            value = struct.pack("<I", values[0])
        entries += struct.pack("<HHI", code, kind, len(values)) + value
    header = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags))
    path.write_bytes(header + entries + bytes(4) + body + packed)


def test_a_pillow_picture_of_a_tiff_of_12_bits_is_as_bright_as_it_is(tmp_path: Path) -> None:
    array = pixels(np.uint16, 4095)[..., 0]
    write_packed(tmp_path / "a.tif", array, 12)
    with Image.open(tmp_path / "a.tif") as image:
        found = read_picture(image).rgb[0]
    assert (found - torch.from_numpy(array / 4095)).abs().max() < 1e-5


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_an_overshoot_above_white_is_clipped_with_a_note(tmp_path: Path, dtype: Any) -> None:
    array = np.random.default_rng(0).random((20, 30, 3)).astype(dtype)
    array[0, 0, 0], array[0, 1, 1], array[0, 2, 2] = 1.03, 40, -0.2
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb")
    with told("2 samples above white, which is 1, are clipped"):
        found = read_picture(tmp_path / "a.tif").rgb
    assert torch.equal(found, as_rgb(array.clip(0, 1), 1))


@pytest.mark.parametrize("white", [255.0, 65535.0])
def test_floats_that_plainly_have_another_white_are_read_by_it(
    tmp_path: Path, white: float
) -> None:
    array = np.random.default_rng(0).random((20, 30, 3), np.float32) * white
    array[0, 0, 0] = 1.1 * white
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb")
    with told(f"{white:g} is taken as white", "1 samples above white"):
        found = read_picture(tmp_path / "a.tif").rgb
    assert (found - as_rgb(array.clip(0, white), white)).abs().max() < 1e-6


def test_a_bright_picture_of_linear_light_is_not_taken_for_0_to_255(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((20, 30, 3), np.float32) * 6
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb")
    with told("are clipped"):
        found = read_picture(tmp_path / "a.tif").rgb
    assert torch.equal(found, as_rgb(array.clip(0, 1), 1))


def test_a_gray_pillow_picture_of_floats_is_read_like_a_tiff() -> None:
    array = np.full((4, 4), 0.5, np.float32)
    array[0, 0] = 1.01
    with told("1 samples above white"):
        assert read_picture(Image.fromarray(array)).rgb[0, 2, 2] == 0.5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_tiff_that_states_no_resolution_has_none(tmp_path: Path, dtype: Any) -> None:
    path = tmp_path / "a.tif"
    top = 1 if dtype is np.float32 else np.iinfo(dtype).max
    tifffile.imwrite(path, pixels(dtype, top), photometric="rgb")
    assert read_picture(path).dpi is None
    if dtype is np.uint8:
        Image.fromarray(pixels()).save(path)
        assert read_picture(path).dpi is None
        Image.fromarray(pixels()).save(path, dpi=(72, 144))
        assert read_picture(path).dpi == (72, 144)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("unit", "factor"), [("inch", 1), ("centimeter", 2.54)])
def test_a_resolution_that_a_tiff_states_is_read_at_any_depth(
    tmp_path: Path, dtype: Any, unit: Any, factor: float
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, pixels(dtype), photometric="rgb", resolution=(100, 50), resolutionunit=unit
    )
    assert read_picture(path).dpi == (100 * factor, 50 * factor)


def raw_tiff(path: Path, **first: Any) -> None:
    """A thumbnail, and below it what a camera's sensor saw."""
    with tifffile.TiffWriter(path) as file:
        file.write(pixels(), photometric="rgb", subifds=1, subfiletype=1, **first)
        file.write(np.zeros((64, 64), np.uint16), photometric="cfa", subfiletype=0)


@pytest.mark.parametrize("name", ["shot.dng", "shot.nef", "shot.jpg"])
def test_a_camera_raw_is_refused_by_what_it_is(tmp_path: Path, name: str) -> None:
    raw_tiff(tmp_path / name)
    with pytest.raises(PictureError, match=f"{name} is a camera raw.*; develop it first"):
        read_picture(tmp_path / name)


def test_a_dng_of_linear_light_or_any_other_is_a_camera_raw(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    version = (50706, 1, 4, bytes((1, 4, 0, 0)), True)
    tifffile.imwrite(path, pixels(), photometric="rgb", extratags=[version])
    with pytest.raises(PictureError, match="camera raw"):
        read_picture(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_of_a_tiff_that_begins_with_a_thumbnail_the_picture_is_read(
    tmp_path: Path, dtype: Any
) -> None:
    path = tmp_path / "a.tif"
    array = pixels(dtype)
    with tifffile.TiffWriter(path) as file:
        file.write(array[:2, :3], photometric="rgb", subfiletype=1)
        file.write(array, photometric="rgb")
    with told():
        found = read_picture(path).rgb
    assert torch.equal(found, as_rgb(array, np.iinfo(dtype).max))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_broken_page_after_the_first_does_not_spoil_it(tmp_path: Path, dtype: Any) -> None:
    path = tmp_path / "a.tif"
    array = pixels(dtype)
    with tifffile.TiffWriter(path) as file:
        file.write(array, photometric="rgb")
        file.write(array, photometric="rgb")
    with tifffile.TiffFile(path) as file:
        second = file.pages[1].offset
    data = bytearray(path.read_bytes())
    data[second + 2 : second + 60] = b"\xff" * 58
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LayeredNstWarning)
        assert torch.equal(read_picture(path).rgb, as_rgb(array, np.iinfo(dtype).max))


# EXIF


def exif_of(**tags: tuple[int, int, bytes]) -> bytes:
    """EXIF of one folder whose tags are (type, count, at most 4 bytes), and XResolution = 300."""
    entries = sorted((ExifTags.Base[name].value, *rest) for name, rest in tags.items())
    start = 8 + 2 + 12 * len(entries) + 4
    folder = struct.pack("<H", len(entries))
    for code, kind, count, value in entries:
        where = struct.pack("<I", start) if kind == 5 else value.ljust(4, b"\0")
        folder += struct.pack("<HHI", code, kind, count) + where
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + folder + bytes(4) + struct.pack("<II", 300, 1)


RATIONAL = (5, 1, b"")


@pytest.mark.parametrize("suffix", ["jpg", "webp", "png"])
@pytest.mark.parametrize(
    "unit",
    [(2, 1, b""), (2, 4, b"cm?"), (3, 1, b"\7\0"), (5, 1, b""), (7, 2, b"in")],
    ids=["empty", "text", "seven", "a fraction", "bytes"],
)
def test_a_resolution_in_an_unknown_unit_is_none(
    tmp_path: Path, suffix: str, unit: tuple[int, int, bytes]
) -> None:
    exif = exif_of(ResolutionUnit=unit, XResolution=RATIONAL, YResolution=RATIONAL)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels()).save(path, exif=exif)
    picture = read_picture(path)
    assert (picture.size, picture.dpi) == ((10, 14), None)


@pytest.mark.parametrize("tag", ["XResolution", "Orientation", "ResolutionUnit"])
def test_a_tag_with_a_text_for_a_number_does_not_spoil_a_photo(tmp_path: Path, tag: str) -> None:
    inch = (3, 1, b"\2\0")
    tags = {"XResolution": RATIONAL, "YResolution": RATIONAL, "ResolutionUnit": inch}
    Image.fromarray(pixels()).save(tmp_path / "a.jpg", exif=exif_of(**tags))
    assert read_picture(tmp_path / "a.jpg").dpi == (300, 300)
    Image.fromarray(pixels()).save(tmp_path / "b.jpg", exif=exif_of(**tags | {tag: (2, 3, b"ab")}))
    picture = read_picture(tmp_path / "b.jpg")
    assert (picture.size, picture.dpi) == ((10, 14), (300, 300) if tag == "Orientation" else None)


# names that lie


def boxed(brand: bytes, *others: bytes) -> bytes:
    size = 16 + 4 * len(others)
    return struct.pack(">I", size) + b"ftyp" + brand + bytes(4) + b"".join(others) + bytes(80)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (boxed(b"heic", b"mif1", b"heic"), "is a HEIC photo, .*; convert it to JPEG, PNG or TIFF"),
        (boxed(b"mif1", b"mif1", b"heic"), "is a HEIC photo"),
        (boxed(b"msf1", b"hevc"), "is a HEIC photo"),
        (boxed(b"crx ", b"isom"), "is a camera raw.*; develop it first"),
        (boxed(b"isom", b"mp42"), "is a video"),
        (boxed(b"M4A ", b"isom"), "is sound, .*; name a photo or a clip"),
        (b"ID3\3\0\0", "is sound"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "is sound"),
        (b"RIFF\x24\0\0\0AVI LIST", "is a video"),
        (b"\x1aE\xdf\xa3", "is a video or sound"),
        (b"\xef\xbb\xbf1\r\n00:00:00,000 --> 00:00:01,000\r\nhello", "is subtitles"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "is a JPEG XL picture"),
        (b"\xff\x0a rest", "is a JPEG XL picture"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "is a JPEG 2000 picture"),
        (b"8BPS\0\1", "is a Photoshop document"),
        (b"%PDF-1.7", "is a PDF document"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b'<?xml version="1.0"?>\n<!-- drawn --><svg xmlns="', "is an SVG drawing"),
        (b"IIRO\x08\0\0\0", "is a camera raw"),
        (b"II*\0\x10\0\0\0CR\2\0", "broken|camera raw"),
        (b"version https://git-lfs.github.com/spec/v1", "in Git LFS"),
    ],
)
def test_a_file_of_another_kind_called_jpg_is_named(
    tmp_path: Path, start: bytes, words: str
) -> None:
    path = tmp_path / "IMG_1.jpg"
    path.write_bytes(start)
    for source in (path, start):
        with pytest.raises(PictureError, match=words):
            read_picture(source)


def test_an_avif_called_jpg_is_read(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (200, 100, 50)).save(tmp_path / "a.avif")
    path = (tmp_path / "a.avif").rename(tmp_path / "a.jpg")
    assert read_picture(path).size == (16, 16)


def test_the_limits_of_pillow_stay_what_they_were() -> None:
    before = PngImagePlugin.MAX_TEXT_CHUNK
    read_picture(png(pixels(), chunk(b"tEXt", b"a\0b")))
    assert before == PngImagePlugin.MAX_TEXT_CHUNK
