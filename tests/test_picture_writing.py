"""Files out: every format, alpha and depth, and never half a file under the final name."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from layered_nst.errors import LayeredNstWarning, OutputError
from layered_nst.files.atomic import replacing
from layered_nst.picture import (
    FORMATS,
    read_metadata,
    read_picture,
    to_image,
    write_image,
    write_picture,
)

RECIPE = "recipe: 1\nname: Tempel «Dämmerung» ☀\nregions: [<a> & 'b']\ttab \x0b bell"


def samples(depth, channels=3, *, size=(13, 19)):
    top = 2**depth
    dtype = np.uint8 if depth == 8 else np.uint16
    return np.random.default_rng(2).integers(0, top, (*size, channels)).astype(dtype)


def as_tensor(pixels):
    return torch.from_numpy(pixels.astype(np.float32)).movedim(-1, 0) / float(
        np.iinfo(pixels.dtype).max
    )


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("suffix", ["png", "tif", "tiff", "PNG"])
def test_color_and_alpha_come_back_bit_for_bit(tmp_path, suffix, depth):
    pixels = samples(depth, 4)
    tensor = as_tensor(pixels)
    path = tmp_path / f"a.{suffix}"
    write_picture(path, tensor[:3], alpha=tensor[3], depth=depth)
    picture = read_picture(path)
    assert picture.depth == depth
    assert torch.equal(picture.rgb, tensor[:3])
    assert torch.equal(picture.alpha, tensor[3])


@pytest.mark.parametrize("quality", [80, 90, 95, 100])
def test_a_jpeg_holds_the_busiest_picture(tmp_path, quality):
    rgb = as_tensor(samples(8, size=(240, 320)))
    write_picture(tmp_path / "a.jpg", rgb, quality=quality)
    assert read_picture(tmp_path / "a.jpg").size == (240, 320)


def test_other_programs_see_the_same_16_bits(tmp_path):
    pixels = samples(16, 4)
    tensor = as_tensor(pixels)
    write_picture(tmp_path / "a.tif", tensor[:3], alpha=tensor[3], depth=16)
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), pixels)
    write_picture(tmp_path / "a.png", tensor[:3], alpha=tensor[3], depth=16)
    seen = np.asarray(Image.open(tmp_path / "a.png"))
    assert np.abs(seen.astype(int) - pixels / 257).max() <= 1


def test_lossless_webp_keeps_alpha_bit_for_bit(tmp_path):
    tensor = as_tensor(samples(8, 4))
    write_picture(tmp_path / "a.webp", tensor[:3], alpha=tensor[3], quality=80)
    assert torch.equal(read_picture(tmp_path / "a.webp").alpha, tensor[3])
    write_picture(tmp_path / "b.webp", tensor[:3], quality=100)
    assert torch.equal(read_picture(tmp_path / "b.webp").rgb, tensor[:3])


def test_jpeg_is_close_and_keeps_color_edges(tmp_path):
    rgb = torch.zeros(3, 32, 32)
    rgb[0, :, :15], rgb[2, :, 15:] = 1.0, 1.0
    write_picture(tmp_path / "a.jpg", rgb)
    assert (read_picture(tmp_path / "a.jpg").rgb - rgb).abs().mean() < 0.01


def test_jpeg_lays_transparency_on_white_or_the_color_asked_for(tmp_path):
    rgb, alpha = torch.zeros(3, 16, 16), torch.full((16, 16), 0.5)
    write_picture(tmp_path / "a.jpg", rgb, alpha=alpha)
    assert torch.allclose(read_picture(tmp_path / "a.jpg").rgb, torch.tensor(0.5), atol=0.01)
    write_picture(tmp_path / "b.jpeg", rgb, alpha=alpha * 0, background=(255, 0, 0))
    seen = read_picture(tmp_path / "b.jpeg").rgb[:, 8, 8]
    assert torch.allclose(seen, torch.tensor([1.0, 0.0, 0.0]), atol=0.02)


def test_a_background_takes_the_alpha_away_in_any_format(tmp_path):
    rgb = torch.zeros(3, 4, 4)
    write_picture(tmp_path / "a.png", rgb, alpha=torch.zeros(4, 4), background=(0, 255, 0))
    picture = read_picture(tmp_path / "a.png")
    assert picture.alpha is None
    assert picture.rgb[:, 0, 0].tolist() == [0, 1, 0]


@pytest.mark.parametrize("suffix", [name[1:] for name in FORMATS])
def test_the_print_resolution_and_the_metadata_come_back(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    strings = {"layered-nst recipe": RECIPE, "Software": "layered-nst", "empty": ""}
    write_picture(path, torch.rand(3, 6, 7), dpi=300, metadata=strings)
    assert read_picture(path).dpi == (300, 300)
    assert read_metadata(path) == strings


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_uneven_resolution_and_metadata_come_back_at_both_depths(tmp_path, suffix, depth):
    path = tmp_path / f"a.{suffix}"
    write_picture(path, torch.rand(3, 6, 7), dpi=(300, 72), depth=depth, metadata={"a": "b"})
    assert read_picture(path).dpi == (300, 72)
    assert read_metadata(path) == {"a": "b"}


def test_a_file_of_another_program_has_no_metadata_of_ours(tmp_path):
    for suffix in ("png", "jpg", "tif", "webp", "gif"):
        path = tmp_path / f"a.{suffix}"
        Image.new("RGB", (4, 4)).save(path)
        assert read_metadata(path) == {}


def test_a_jpeg_leaves_out_metadata_that_it_cannot_hold(tmp_path):
    strings = {"long": "x" * 70_000, "short": "y"}
    with pytest.warns(LayeredNstWarning, match="'long' is left out"):
        write_picture(tmp_path / "a.jpg", torch.rand(3, 4, 4), metadata=strings)
    assert read_metadata(tmp_path / "a.jpg") == {"short": "y"}
    write_picture(tmp_path / "a.png", torch.rand(3, 4, 4), metadata=strings)
    assert read_metadata(tmp_path / "a.png") == strings


@pytest.mark.parametrize("key", ["", "x" * 80, "ключ", "a\nb", " a"])
def test_metadata_keys_that_a_png_cannot_hold_are_refused(tmp_path, key):
    with pytest.raises(ValueError, match="metadata key"):
        write_picture(tmp_path / "a.png", torch.rand(3, 4, 4), metadata={key: "a"})


def test_the_same_picture_gives_the_same_bytes_at_another_time(tmp_path):
    rgb, suffixes = torch.rand(3, 30, 40), ("png", "tif", "jpg", "webp")
    for name in ("a", "b"):
        for suffix in suffixes:
            write_picture(tmp_path / f"{name}.{suffix}", rgb, dpi=300, metadata={"a": "b"})
        time.sleep(1.1 if name == "a" else 0)
    for suffix in suffixes:
        one, other = (tmp_path / f"{name}.{suffix}" for name in ("a", "b"))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
def test_the_thinnest_pictures_can_be_written(tmp_path, suffix, size):
    path = tmp_path / f"a.{suffix}"
    write_picture(path, torch.full((3, *size), 0.5), alpha=None, depth=8)
    assert read_picture(path).size == size


def test_numbers_outside_the_range_are_tamed():
    values = torch.tensor([float("nan"), -1.0, 2.0, float("inf"), float("-inf"), 127.5 / 255])
    image = to_image(values.expand(3, 1, 6))
    assert np.asarray(image)[0, :, 0].tolist() == [0, 0, 255, 255, 0, 128]


def test_pictures_in_memory_have_alpha_only_if_given():
    rgb = torch.rand(3, 4, 5, requires_grad=True)
    assert (to_image(rgb).mode, to_image(rgb).size) == ("RGB", (5, 4))
    assert to_image(rgb, torch.rand(4, 5)).mode == "RGBA"


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_16_bits_become_8_with_a_warning_where_the_format_has_no_more(tmp_path, suffix):
    with pytest.warns(LayeredNstWarning, match="holds 8 bits"):
        write_picture(tmp_path / f"a.{suffix}", torch.rand(3, 4, 4), depth=16)


@pytest.mark.parametrize("name", ["a.gif", "a", "a.psd"])
def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path, name):
    with pytest.raises(OutputError, match=r"use \.png, \.jpg, \.jpeg, \.tif, \.tiff, \.webp"):
        write_picture(tmp_path / name, torch.rand(3, 4, 4))


def test_a_side_longer_than_the_format_holds_is_refused(tmp_path):
    with pytest.raises(OutputError, match="WEBP holds 16383 px a side, not 16384×1 px"):
        write_picture(tmp_path / "a.webp", torch.rand(3, 1, 16384))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [{"depth": 10}, {"quality": 0}, {"alpha": torch.ones(3, 4)}],
    ids=["depth", "quality", "alpha"],
)
def test_options_out_of_range_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match=r"must be|does not fit"):
        write_picture(tmp_path / "a.png", torch.rand(3, 4, 4), **options)


def test_a_missing_folder_or_a_folder_in_the_way_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"no such folder: .*nowhere"):
        write_picture(tmp_path / "nowhere" / "a.png", torch.rand(3, 4, 4))
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        write_picture(tmp_path / "a.png", torch.rand(3, 4, 4))


def test_a_device_is_not_replaced_by_a_picture(tmp_path):
    link = tmp_path / "a.png"
    link.symlink_to(os.devnull)
    with pytest.raises(OutputError, match="not an ordinary file"):
        write_picture(link, torch.rand(3, 4, 4))


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.png").write_bytes(b"old")
    (tmp_path / "a.png").symlink_to(tmp_path / "real.png")
    write_picture(tmp_path / "a.png", torch.rand(3, 4, 4))
    assert (tmp_path / "a.png").is_symlink()
    assert read_picture(tmp_path / "real.png").size == (4, 4)


def test_an_unwritable_folder_is_named(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("layered_nst.files.atomic.os.open", refuse)
    with pytest.raises(OutputError, match=r"a\.png: cannot be written: permission denied"):
        write_picture(tmp_path / "a.png", torch.rand(3, 4, 4))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def open_full(_part):
        return os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb")

    monkeypatch.setattr("layered_nst.files.atomic._exclusively", open_full)
    with pytest.raises(OutputError, match=r"a\.png: cannot be written: no space left") as caught:
        write_picture(path, torch.rand(3, 40, 40))
    assert caught.value.exit_code == 3
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_fails_at_the_very_end_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def fail(_handle):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("layered_nst.files.atomic.os.fsync", fail)
    with pytest.raises(OutputError, match="input/output error"):
        write_picture(path, torch.rand(3, 40, 40))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_exception_while_writing_leaves_nothing(tmp_path):
    def stop_halfway():
        with replacing(tmp_path / "a.bin") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_halfway()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_killed_process_never_leaves_half_a_file_under_the_final_name(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    program = textwrap.dedent(f"""
        import time
        from layered_nst.files.atomic import replacing
        with replacing({str(path)!r}) as file:
            file.write(b"half")
            file.flush()
            print("half", flush=True)
            time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"half"
        process.kill()
    assert path.read_bytes() == b"old"
    part = [name for name in os.listdir(tmp_path) if name.endswith(".part")]
    assert len(part) == 1
    assert (tmp_path / part[0]).read_bytes() == b"half"


def test_files_get_the_usual_permissions(tmp_path):
    write_picture(tmp_path / "a.png", torch.rand(3, 4, 4))
    (tmp_path / "plain").write_bytes(b"")
    modes = [(tmp_path / name).stat().st_mode for name in ("a.png", "plain")]
    assert modes[0] == modes[1]


def test_a_sheet_of_ours_may_be_larger_than_what_is_read(tmp_path, monkeypatch):
    monkeypatch.setitem(read_picture.__kwdefaults__, "max_pixels", 10)
    write_image(tmp_path / "sheet.png", Image.new("RGB", (40, 30), (200, 10, 30)))
    with Image.open(tmp_path / "sheet.png") as written:
        assert written.getpixel((39, 29)) == (200, 10, 30)
