"""Color profiles: to sRGB and back, against formulas and against Pillow's own conversion."""

import io
import itertools
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

from layered_nst.errors import LayeredNstWarning
from layered_nst.picture import color, read_picture, write_picture

ADOBE = color.adobe_rgb_profile()


def cmyk_profile() -> bytes:
    """A small but real CMYK profile: an 8-bit table from ink to Lab, with two steps per ink."""
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    to_lab = ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
    corners = []
    for c, m, y, k in itertools.product((0, 1), repeat=4):
        ink = [round(255 * (1 - 0.9 * part) * (1 - 0.95 * k)) for part in (c, m, y)]
        pixel = ImageCms.applyTransform(Image.new("RGB", (1, 1), tuple(ink)), to_lab)
        lightness, a, b = (int(value) for value in pixel.tobytes())
        corners += [lightness, (a + 128) % 256, (b + 128) % 256]
    ramp = bytes(range(256))
    unit = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + unit + ramp * 4 + bytes(corners) + ramp * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    tags = [(b"A2B0", table), (b"wtpt", white)]
    offset, directory, body = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags:
        data += b"\0" * (-len(data) % 4)
        directory += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    size = 128 + len(directory) + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    header += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28
    header += struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + directory + body


def adobe_to_srgb(values: np.ndarray) -> np.ndarray:
    """Adobe RGB (1998) to sRGB by the published matrices, in float64."""
    adobe = [[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]]
    srgb = [[0.41239, 0.35758, 0.18048], [0.21264, 0.71517, 0.07219], [0.01933, 0.11919, 0.95053]]
    linear = (values ** (563 / 256)) @ (np.linalg.inv(srgb) @ np.array(adobe)).T
    linear = linear.clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def random_pixels(dtype, channels=3, *, size=(40, 50)):
    top = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, top + 1, (*size, channels), dtype=dtype)


def test_an_adobe_rgb_picture_of_8_bits_becomes_srgb(tmp_path):
    pixels = random_pixels(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=ADOBE)
    picture = read_picture(tmp_path / "a.png")
    expected = adobe_to_srgb(pixels / 255)
    assert np.abs(picture.rgb.movedim(0, -1).numpy() - expected).max() < 0.002
    assert picture.profile == ADOBE


def test_an_adobe_rgb_picture_of_16_bits_keeps_its_16_bits(tmp_path):
    ramp = np.linspace(20000, 20400, 400).round().astype(np.uint16)
    pixels = np.repeat(ramp[None, :, None], 3, axis=2)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", iccprofile=ADOBE)
    picture = read_picture(tmp_path / "a.tif")
    expected = adobe_to_srgb(pixels / 65535)
    assert picture.depth == 16
    assert np.abs(picture.rgb.movedim(0, -1).numpy() - expected).max() < 1e-4
    assert len(torch.unique(picture.rgb[1])) > 390


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_picture_goes_out_in_its_own_profile_as_it_came_in(tmp_path, name, depth):
    dtype = np.uint8 if depth == 8 else np.uint16
    # Muted, because what lies outside sRGB cannot come back.
    muted = (random_pixels(dtype) // 5 + np.iinfo(dtype).max // 5 * 2).astype(dtype)
    tifffile.imwrite(tmp_path / "in.tif", muted, photometric="rgb", iccprofile=ADOBE)
    picture = read_picture(tmp_path / "in.tif")
    path = tmp_path / name
    write_picture(path, picture.rgb, depth=depth, profile=picture.profile)
    out = tifffile.imread(path) if name == "a.tif" else imagecodecs.imread(path)
    assert out.dtype == dtype
    assert np.abs(out.astype(int) - muted.astype(int)).max() <= (0 if depth == 8 else 8)
    assert Image.open(path).info["icc_profile"] == ADOBE


def test_an_srgb_profile_leaves_every_sample_as_it_is(tmp_path):
    pixels = random_pixels(np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=profile)
    picture = read_picture(tmp_path / "a.png")
    assert torch.equal(picture.rgb, torch.from_numpy(pixels).movedim(-1, 0).float() / 255)
    assert not color.is_srgb(ADOBE)


def test_pictures_carry_srgb_unless_told_otherwise_and_always_the_same_bytes(tmp_path):
    for suffix in ("png", "tif", "jpg", "webp"):
        path = tmp_path / f"a.{suffix}"
        write_picture(path, torch.rand(3, 5, 5))
        profile = Image.open(path).info["icc_profile"]
        assert profile == color.srgb_profile()
        assert color.is_srgb(profile)
    color.srgb_profile.cache_clear()
    assert color.srgb_profile() == profile


def test_a_grey_profile_is_used_for_grey_pictures(tmp_path):
    profile = imagecodecs.cms_profile("gray", whitepoint=(0.3127, 0.3290), gamma=1.0)
    grey = np.arange(256, dtype=np.uint8)[None]
    Image.fromarray(grey).save(tmp_path / "a.png", icc_profile=profile)
    picture = read_picture(tmp_path / "a.png")
    linear = grey / 255.0
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(picture.rgb.numpy() - expected).max() < 0.002


def test_an_rgb_profile_on_a_grey_picture_is_used_too(tmp_path):
    grey = np.arange(256, dtype=np.uint8)[None]
    Image.fromarray(grey).save(tmp_path / "a.png", icc_profile=ADOBE)
    expected = adobe_to_srgb(np.repeat(grey[..., None] / 255, 3, axis=2))
    picture = read_picture(tmp_path / "a.png")
    assert np.abs(picture.rgb.movedim(0, -1).numpy() - expected).max() < 0.002


@pytest.mark.parametrize("depth", [8, 16])
def test_cmyk_is_converted_by_its_profile(tmp_path, depth):
    profile = cmyk_profile()
    ink = random_pixels(np.uint8, 4, size=(20, 20))
    path = tmp_path / "a.tif"
    if depth == 8:
        Image.fromarray(ink, "CMYK").save(path, icc_profile=profile)
    else:
        deep = ink.astype(np.uint16) * 257
        tifffile.imwrite(path, deep, photometric="separated", iccprofile=profile)
    picture = read_picture(path)
    expected = ImageCms.profileToProfile(
        Image.fromarray(ink, "CMYK"),
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    error = picture.rgb.movedim(0, -1).numpy() * 255 - np.asarray(expected)
    assert np.abs(error).max() < 3
    assert np.abs(error).mean() < 0.5


def test_a_cmyk_jpeg_with_profile_reads_white_paper_as_white(tmp_path):
    Image.new("CMYK", (16, 16), (0, 0, 0, 0)).save(tmp_path / "a.jpg", icc_profile=cmyk_profile())
    assert read_picture(tmp_path / "a.jpg").rgb.min() > 0.99


def test_cmyk_without_profile_is_approximated_with_a_warning(tmp_path):
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(tmp_path / "a.jpg", quality=100)
    with pytest.warns(LayeredNstWarning, match=r"a\.jpg is CMYK without a profile"):
        picture = read_picture(tmp_path / "a.jpg")
    expected = torch.tensor([0.0, 1.0, 1.0])
    assert torch.allclose(picture.rgb[:, 8, 8], expected, atol=0.02)


@pytest.mark.parametrize(
    "profile", [b"nonsense", ADOBE[:200], ADOBE[:132], cmyk_profile()], ids=str
)
def test_a_profile_that_cannot_be_used_is_ignored_with_a_warning(tmp_path, profile):
    Image.new("RGB", (4, 4), (9, 99, 200)).save(tmp_path / "a.png", icc_profile=profile)
    with pytest.warns(LayeredNstWarning, match="profile is ignored"):
        picture = read_picture(tmp_path / "a.png")
    assert torch.allclose(picture.rgb[:, 0, 0] * 255, torch.tensor([9.0, 99.0, 200.0]))


@pytest.mark.parametrize("profile", [b"nonsense", cmyk_profile()], ids=["broken", "cmyk"])
def test_a_profile_that_cannot_be_written_gives_srgb_and_a_warning(tmp_path, profile):
    with pytest.warns(LayeredNstWarning, match="replaced by sRGB"):
        write_picture(tmp_path / "a.png", torch.rand(3, 4, 4), profile=profile)
    assert Image.open(tmp_path / "a.png").info["icc_profile"] == color.srgb_profile()


def test_a_camera_that_only_names_adobe_rgb_in_its_exif_is_believed(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0xA001: 65535, 0xA005: {1: "R03"}})
    Image.new("RGB", (8, 8), (0, 200, 0)).save(
        tmp_path / "a.jpg", exif=exif, quality=100, subsampling=0
    )
    picture = read_picture(tmp_path / "a.jpg")
    assert picture.profile == ADOBE
    expected = adobe_to_srgb(np.array([0, 200, 0]) / 255)
    assert np.abs(picture.rgb[:, 4, 4].numpy() - expected).max() < 0.02
