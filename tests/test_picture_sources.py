"""A picture may be bytes, an open file, an array or a tensor."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from workbench import lay_out, photo

import layered_nst
from layered_nst.errors import PictureError
from layered_nst.picture import read_picture

WANTED = torch.from_numpy(photo().astype(np.float32) / 255).movedim(-1, 0)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


def deep_tiff() -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, photo().astype(np.uint16) * 257, photometric="rgb")
    return file.getvalue()


SOURCES: dict[str, Callable[[], Any]] = {
    "text": lambda: "photo.png",
    "path": lambda: Path("photo.png"),
    "bytes": lambda: Path("photo.png").read_bytes(),
    "bytearray": lambda: bytearray(Path("photo.png").read_bytes()),
    "memoryview": lambda: memoryview(Path("photo.png").read_bytes()),
    "bytes of a deep tiff": deep_tiff,
    "binary file": lambda: io.BytesIO(Path("photo.png").read_bytes()),
    "file on disk": lambda: Path("photo.png").open("rb"),  # noqa: SIM115 - reading is what is tested
    "pillow": lambda: Image.open("photo.png"),
    "uint8": photo,
    "uint16": lambda: photo().astype(np.uint16) * 257,
    "float": lambda: photo() / 255,
    "tensor": lambda: WANTED.clone(),
    "tensor with channels last": lambda: WANTED.movedim(0, -1),
    "tensor with a gradient": lambda: WANTED.clone().requires_grad_(),
    "tensor of bytes": lambda: torch.from_numpy(photo()).movedim(-1, 0),
    "tensor of doubles": lambda: WANTED.double(),
}


@pytest.mark.parametrize("name", SOURCES)
def test_whatever_holds_a_picture_is_read(name: str) -> None:
    assert (read_picture(SOURCES[name]()).rgb - WANTED).abs().max() < 1e-6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_tensor_of_few_bits_is_read(dtype: torch.dtype) -> None:
    assert (read_picture(WANTED.to(dtype)).rgb - WANTED).abs().max() < 0.01


@pytest.mark.parametrize("channels", [1, 4])
def test_a_tensor_may_be_gray_or_have_alpha(channels: int) -> None:
    picture = read_picture(torch.full((channels, 6, 9), 0.5))
    assert picture.size == (6, 9)
    assert (picture.alpha is None) == (channels == 1)
    assert read_picture(torch.full((6, 9), 0.5)).size == (6, 9)


def test_of_three_rows_or_columns_the_channels_come_first_in_a_tensor() -> None:
    tensor = torch.rand(3, 5, 3)
    assert torch.equal(read_picture(tensor).rgb, tensor)
    assert torch.equal(read_picture(tensor.numpy()).rgb, tensor.movedim(-1, 0))


def test_what_rounding_adds_to_white_is_white() -> None:
    assert read_picture(torch.full((3, 2, 2), 1 + 1e-6)).rgb.max() == 1


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (lambda: {}, "allowed: a path, bytes, a binary file, .*, not a dict"),
        (lambda: 3, "not a int"),
        (lambda: None, "not nothing"),
        (lambda: b"", "is empty"),
        (lambda: b"no picture", "picture is not a picture in a format"),
        (lambda: io.BytesIO(), "is empty, or was read to its end before"),
        (lambda: io.StringIO("photo"), "picture is opened as text; open it in binary mode"),
        (lambda: io.TextIOWrapper(io.BytesIO(b"a")), "is opened as text"),
        (lambda: WANTED[None], r"not a batch \(1, 3, 48, 64\)"),
        (lambda: WANTED * 255, r"must lie in \[0, 1\]"),
        (lambda: WANTED * 2 - 1, r"must lie in \[0, 1\]"),
        (lambda: WANTED[0, 0], "must be"),
        (lambda: torch.ones(5, 9, 9), "must be"),
        (lambda: torch.ones(3, 9, 9, dtype=torch.int64), "not int64"),
        (lambda: torch.ones(3, 9, 9, dtype=torch.complex64), "must be dense and real"),
        (lambda: torch.empty(3, 0, 9), "is empty: 9 x 0 px"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence(source: Callable[[], Any], words: str) -> None:
    with pytest.raises(PictureError, match=words) as caught:
        read_picture(source())
    assert "--" not in str(caught.value)


def test_a_closed_file_is_refused() -> None:
    file = io.BytesIO(b"something")
    file.close()
    with pytest.raises(PictureError, match="cannot be read"):
        read_picture(file)


@pytest.mark.parametrize("name", ["bytes", "binary file", "tensor", "float"])
def test_any_of_them_is_a_photo_to_paint(name: str) -> None:
    text = Path("look.yaml").read_text("utf-8").replace("photo.png", "gone.png")
    Path("look.yaml").write_text(text, "utf-8")
    result = layered_nst.apply(
        "look.yaml", SOURCES[name](), size=32, overrides={"optimize.steps": 1}, cache=False
    )
    assert result.image.size == (32, 24)
    assert result.manifest["photo"]["path"] is None
