"""Writing layered files: by name, by command, when it fails, and as another program sees them."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from flattening import differences, flat, layered, ramp_alpha, read_ora
from PIL import Image
from psd_tools import PSDImage
from workbench import lay_out, run

from layered_nst.errors import OutputError
from layered_nst.files import atomic as replacement
from layered_nst.outputs.layered import writing
from layered_nst.outputs.layered.writing import write_layered

SIZE = (40, 64)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of each test, with a photo, two styles and look.yaml in it."""
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


def files() -> set[str]:
    return {path.name for path in Path().iterdir()}


# the command


@pytest.mark.parametrize("name", ["out.ora", "out.PSD"])
def test_apply_writes_the_layers_beside_the_picture(name: str) -> None:
    before = files()
    ran = run("apply", "look.yaml", "-o", "out.png", "--layers", name)
    assert ran.code == 0, ran.err
    assert ran.err.splitlines()[-1] == name
    assert files() >= before | {"out.png", name}
    assert not [left for left in files() if left.startswith(".")]
    picture = np.asarray(Image.open("out.png").convert("RGBA"))
    if name == "out.ora":
        found = read_ora(Path(name)).flattened()
    else:
        found = np.asarray(PSDImage.open(name).topil(apply_icc=False).convert("RGBA"))
    assert max(differences(found, picture)) <= 1


def test_json_names_the_layers() -> None:
    assert run("apply", "look.yaml", "--layers", "out.ora", "--json").json["layers"] == "out.ora"
    assert run("apply", "look.yaml", "--json").json["layers"] is None


@pytest.mark.usefixtures("no_painting")
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("out.xcf", "out.xcf: no known format; use .ora, .psd"),
        ("out", "out: no known format; use .ora, .psd"),
        ("no/where.ora", "no/where.ora: no such folder"),
        ("folder.psd", "folder.psd: is a folder, not a file"),
    ],
)
def test_layers_that_cannot_be_written_are_refused_before_the_work(
    name: str, sentence: str
) -> None:
    Path("folder.psd").mkdir()
    before = files()
    ran = run("apply", "look.yaml", "--layers", name)
    assert ran.code == 3
    assert ran.error.startswith(sentence)
    assert files() == before


@pytest.mark.usefixtures("no_painting")
def test_a_read_only_folder_is_refused_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Path.touch

    def touch(path: Path, *rest: Any, **more: Any) -> None:
        if path.parent.name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied")
        usual(path, *rest, **more)

    Path("locked").mkdir()
    monkeypatch.setattr(Path, "touch", touch)
    ran = run("apply", "look.yaml", "--layers", "locked/out.ora")
    assert (ran.code, ran.error) == (3, "locked/out.ora: cannot be written (Permission denied)")


@pytest.mark.usefixtures("no_painting")
def test_the_photo_is_not_replaced_by_layers() -> None:
    Path("photo.png").rename("photo.psd")
    text = Path("look.yaml").read_text().replace("photo.png", "photo.psd")
    Path("look.yaml").write_text(text)
    ran = run("apply", "look.yaml", "--layers", "photo.psd")
    assert ran.code == 3
    assert "would replace a file that is read" in ran.error


# failures while writing


def test_a_format_is_made_once_for_each_file(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def counted(path: Path) -> writing.LayeredFormat:
        made.append(path)
        return writing.BUILT_IN[path.suffix]

    monkeypatch.setattr(writing, "layered_format", counted)
    write_layered(Path("a.ora"), layered())
    assert made == [Path("a.ora")]


@pytest.mark.parametrize("name", ["a.ora", "a.psd"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    Path(name).write_bytes(b"old")
    before = files()
    monkeypatch.setattr(replacement.os, "fsync", fail)
    with pytest.raises(OutputError, match=f"{name}: cannot be written: no space left") as caught:
        write_layered(Path(name), layered())
    assert caught.value.exit_code == 3
    assert Path(name).read_bytes() == b"old"
    assert files() == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("name", ["a.ora", "a.psd"])
def test_a_full_disk_is_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files()
    monkeypatch.setattr(
        replacement, "_exclusively", lambda _: os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb")
    )
    with pytest.raises(OutputError, match=f"{name}: cannot be written: no space left"):
        write_layered(Path(name), layered())
    assert files() == before


def test_the_picture_is_kept_when_the_layers_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = replacement._exclusively

    def full(part: Path) -> Any:
        if ".ora." in part.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return usual(part)

    monkeypatch.setattr(replacement, "_exclusively", full)
    ran = run("apply", "look.yaml", "-o", "out.png", "--layers", "out.ora")
    kept = "the work is kept in out.checkpoint, and --resume will write it"
    said = f"out.ora: cannot be written: no space left on device; {kept}"
    assert (ran.code, ran.error) == (3, said)
    assert Image.open("out.png").size == (48, 36)
    assert not Path("out.ora").exists()


def test_an_unknown_suffix_and_a_missing_folder_are_named() -> None:
    with pytest.raises(OutputError, match=r"a\.tif: no known format of layers; use \.ora, \.psd"):
        write_layered(Path("a.tif"), layered())
    with pytest.raises(OutputError, match=r"cannot be written: no such folder: nowhere"):
        write_layered(Path("nowhere/a.ora"), layered())


# another program


def install(*packages: str) -> None:
    """Install programs from Debian, or skip the test with the reason."""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        pytest.skip(f"no {packages[0]}, and it takes apt-get and root to install it")
    command = ["apt-get", "install", "-qy", "--no-install-recommends", *packages]
    for step in (["apt-get", "update", "-q"], command):
        done = subprocess.run(step, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"{packages[0]} cannot be installed: {done.stderr.strip()[-200:]}")


@pytest.fixture(scope="module")
def magick() -> str:
    """ImageMagick's ``convert``, installed from Debian where it is missing."""
    # Not plain convert: other programs have that name.
    names = ("magick", "convert-im6.q16", "convert-im7.q16")
    if not any(map(shutil.which, names)):
        install("imagemagick")
    return next(name for name in names if shutil.which(name))


@pytest.fixture(scope="module")
def krita() -> list[str]:
    """Krita without a screen, installed from Debian where it is missing."""
    if not all(map(shutil.which, ("krita", "xvfb-run", "xauth"))):
        install("krita", "xvfb", "xauth")
    return ["xvfb-run", "-a", "krita"]


def rendered(*command: str | Path) -> np.ndarray:
    """What an ImageMagick command makes, (H, W, 4) in whole steps."""
    subprocess.run([*map(str, command), "-depth", "8", "PNG32:seen.png"], check=True)
    return np.asarray(Image.open("seen.png").convert("RGBA"))


def canvas() -> tuple[str, ...]:
    """A transparent picture to begin with, as cut layers don't tell how large the whole is."""
    return ("-size", f"{SIZE[1]}x{SIZE[0]}", "xc:none")


def weighted(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference of colors as they are seen, faint where alpha is."""
    apart = found[..., :3].astype(float) - wanted[..., :3]
    return float(np.abs(apart * wanted[..., 3:] / 255).max())


CASES = {"opaque": None, "alpha": ramp_alpha(*SIZE)}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_imagemagick_sees_the_flat_picture_in_both_files(case: str, magick: str) -> None:
    picture = layered(alpha=CASES[case], name="Größe", dpi=(300, 300))
    wanted = flat(picture)
    write_layered(Path("a.ora"), picture)
    with zipfile.ZipFile("a.ora") as archive:
        archive.extract("mergedimage.png")
    assert differences(rendered(magick, "mergedimage.png"), wanted) == (0, 0)
    write_layered(Path("a.psd"), picture)
    # The first picture of a PSD is the merged one, whose faint colors have fewer steps.
    found = rendered(magick, "a.psd[0]")
    assert weighted(found, wanted) <= 1
    assert (found[..., 3] == wanted[..., 3]).all()


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_imagemagick_flattens_a_psd_to_the_flat_picture(case: str, magick: str) -> None:
    picture = layered(alpha=CASES[case])
    write_layered(Path("a.psd"), picture)
    # It reads a hidden layer as one that is composed by doing nothing.
    layers = ("(", "a.psd", "-delete", "0", ")", "-background", "none", "-flatten")
    found = rendered(magick, *canvas(), *layers)
    assert max(differences(found, flat(picture))) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_imagemagick_flattens_the_layers_of_an_ora_to_the_flat_picture(
    case: str, magick: str
) -> None:
    picture = layered(alpha=CASES[case])
    write_layered(Path("a.ora"), picture)
    with zipfile.ZipFile("a.ora") as archive:
        archive.extractall()
    command = [magick, *canvas()]
    # Not every ImageMagick reads this format, so it is told where the layers lie.
    for layer in reversed(list(ElementTree.parse("stack.xml").iter("layer"))):
        if layer.attrib["visibility"] == "visible":
            place = "+{x}+{y}".format(**layer.attrib)
            command += [layer.attrib["src"], "-geometry", place, "-composite"]
    assert max(differences(rendered(*command), flat(picture))) <= 1


@pytest.mark.slow
def test_imagemagick_reads_names_visibility_and_resolution(magick: str) -> None:
    write_layered(Path("a.psd"), layered(dpi=(300, 300)))
    form = "%[label] %[compose] %[resolution.x]\n"
    said = subprocess.run(
        [magick, "a.psd", "-delete", "0", "-format", form, "info:"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    shown = [f"{name} Over 300" for name in ("ground", "house", "sky")]
    assert said == ["photo None 300", *shown, "contour None 300"]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["a.ora", "a.psd"])
def test_krita_flattens_both_files_to_the_flat_picture(
    name: str, case: str, krita: list[str], folder: Path
) -> None:
    picture = layered(("Größe", "🦊", "sky"), alpha=CASES[case], name="A/B", dpi=(300, 300))
    write_layered(Path(name), picture)
    command = [*krita, name, "--export", "--export-filename", "seen.png"]
    home = os.environ | {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    subprocess.run(command, check=True, capture_output=True, timeout=300, env=home)
    with Image.open("seen.png") as seen:
        assert seen.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        found = np.asarray(seen.convert("RGBA"))
    assert max(differences(found, flat(picture))) <= 1
