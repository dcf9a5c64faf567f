"""Pictures for a press: CMYK by a profile, a soft proof, and how much of it is out of gamut."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms
from profiles import press, profile
from torch import Tensor
from workbench import lay_out, run

from layered_nst import LayeredNstError, api
from layered_nst.errors import OutputError, PictureError
from layered_nst.picture import proof, read_picture, read_profile, write_picture

QUICK = ("--steps", "0", "--size", "48", "--no-preview")


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lay_out(tmp_path))
    (tmp_path / "press.icc").write_bytes(press())
    return tmp_path


def pale(*size: int) -> Tensor:
    """Colors that the press has."""
    generator = torch.Generator().manual_seed(1)
    return 0.45 + 0.3 * torch.rand(3, *size, generator=generator)


def by_pillow(image: Image.Image, icc: bytes) -> np.ndarray:
    """Ink in sRGB as another program shows it."""
    shown = ImageCms.profileToProfile(
        image,
        ImageCms.ImageCmsProfile(io.BytesIO(icc)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    return np.asarray(shown) / 255


def test_colors_that_a_press_has_come_through() -> None:
    found = proof(pale(20, 30), press())
    assert found.lost == 0
    assert (found.rgb - pale(20, 30)).abs().max() < 0.015


def test_what_is_out_of_gamut_is_counted_by_pixels() -> None:
    picture = pale(20, 30)
    picture[:, :5] = torch.tensor([0.0, 1.0, 0.0])[:, None, None]
    found = proof(picture, press())
    assert found.lost == pytest.approx(0.25)
    assert (found.rgb[:, 5:] - picture[:, 5:]).abs().max() < 0.015
    assert found.rgb[1, 0, 0] - found.rgb[0, 0, 0] < 0.85


@pytest.mark.parametrize(("name", "depth"), [("a.tif", 8), ("a.tif", 16), ("a.jpg", 8)])
def test_ink_is_what_another_program_shows_in_the_same_colors(
    tmp_path: Path, name: str, depth: int
) -> None:
    path, picture = tmp_path / name, pale(16, 24)
    if name == "a.jpg":
        picture = picture.mean((1, 2), keepdim=True).expand(3, 16, 24)
    write_picture(path, picture, inks=press(), depth=depth, quality=100, dpi=300)
    if depth == 16:
        pixels = tifffile.imread(path)
        assert pixels.dtype == np.uint16
        image = Image.frombytes("CMYK", (24, 16), (pixels // 257).astype(np.uint8).tobytes())
    else:
        with Image.open(path) as image:
            image.load()
        assert image.info["icc_profile"] == press()
        assert [round(value) for value in image.info["dpi"]] == [300, 300]
    assert image.mode == "CMYK"
    shown = by_pillow(image, press())
    assert np.abs(shown - picture.movedim(0, -1).numpy()).max() < 0.03
    assert (read_picture(path).rgb - picture).abs().max() < 0.03


def test_a_transparent_picture_is_printed_on_white(tmp_path: Path) -> None:
    alpha = torch.ones(8, 8)
    alpha[:, :4] = 0
    write_picture(tmp_path / "a.tif", pale(8, 8), alpha=alpha, inks=press())
    assert (tifffile.imread(tmp_path / "a.tif")[:, :4] <= 3).all()


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_a_format_without_ink_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"holds no CMYK.*name it \.tif or \.jpg"):
        write_picture(tmp_path / name, pale(8, 8), inks=press())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"nonsense", "it is not an ICC profile"),
        (press()[:500], "it cannot be used"),
        (press().replace(b"B2A0", b"B2A9"), "it cannot be used"),
        (press()[:16] + b"GRAY" + press()[20:], "it describes neither RGB nor CMYK"),
    ],
)
def test_a_profile_that_nothing_can_be_printed_by_is_refused(
    look: Path, data: bytes, why: str
) -> None:
    (look / "odd.icc").write_bytes(data)
    with pytest.raises(PictureError, match=f"odd.icc: is no profile to print by: {why}"):
        read_profile(look / "odd.icc")
    for key in ("profile", "proof"):
        ran = run("apply", "look.yaml", *QUICK, "--set", f"output.{key}=odd.icc", "-o", "a.tif")
        assert ran.code == 1
        assert f"odd.icc: is no profile to print by: {why}" in ran.error
        assert not (look / "a.tif").exists()


def test_apply_writes_ink_a_proof_and_a_note_of_what_is_lost(look: Path) -> None:
    output = ("--set", "output.profile=press.icc", "--set", "output.proof=press.icc")
    ran = run("apply", "look.yaml", *QUICK, *output, "-o", "out.tif", "--json")
    assert ran.code == 0, ran.err
    with Image.open(look / "out.tif") as image:
        assert image.mode == "CMYK"
    assert ran.json["proof"] == "out.proof.png"
    assert (read_picture("out.tif").rgb - read_picture("out.proof.png").rgb).abs().max() < 0.03
    (note,) = (note for note in ran.json["notes"] if "gamut" in note)
    assert note.endswith("of press.icc: it takes the nearest colors that there are")
    again = api.load(look / "out.tif")
    assert Path(again.output.profile) == look / "press.icc"


def test_a_proof_alone_leaves_the_picture_as_it_is(look: Path) -> None:
    assert run("apply", "look.yaml", *QUICK, "-o", "plain.png").code == 0
    ran = run("apply", "look.yaml", *QUICK, "--set", "output.proof=press.icc", "-o", "out.png")
    assert ran.code == 0, ran.err
    assert torch.equal(read_picture("plain.png").rgb, read_picture("out.png").rgb)
    assert (look / "out.proof.png").exists()


def test_a_profile_of_rgb_goes_into_any_format(look: Path) -> None:
    (look / "wide.icc").write_bytes(profile("Adobe RGB"))
    ran = run("apply", "look.yaml", *QUICK, "--set", "output.profile=wide.icc", "-o", "out.png")
    assert ran.code == 0, ran.err
    with Image.open("out.png") as image:
        assert image.info["icc_profile"] == profile("Adobe RGB")


def test_nothing_is_painted_for_a_file_that_could_not_hold_the_ink(look: Path) -> None:
    ran = run("apply", "look.yaml", *QUICK, "--set", "output.profile=press.icc", "-o", "out.png")
    assert ran.code == 3
    assert "out.png: PNG holds no CMYK" in ran.error


def test_a_proof_takes_nobody_s_place(look: Path) -> None:
    (look / "out.proof.png").write_bytes(b"mine")
    ran = run(
        *("apply", "look.yaml", *QUICK, "--set", "output.proof=press.icc"),
        *("-o", "out.png", "--json"),
    )
    assert ran.json["proof"] == "out.proof.2.png"
    assert (look / "out.proof.png").read_bytes() == b"mine"


def test_a_profile_that_is_not_there_is_told_by_its_key(look: Path) -> None:
    with pytest.raises(LayeredNstError, match=r"output\.proof: no such file: pres\.icc"):
        api.load("look.yaml", overrides=["output.proof=pres.icc"])
    with pytest.raises(LayeredNstError, match=r"output\.profile: found 'CMYK', allowed: sRGB, k"):
        api.load("look.yaml", overrides=["output.profile=CMYK"])
