"""What formats of files keep."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from layered_nst.errors import PictureError
from layered_nst.outputs.layered.layers import LayeredPicture, region_layers
from layered_nst.outputs.layered.writing import write_layered
from layered_nst.picture import Picture, read_picture, write_picture
from layered_nst.plugins import Part
from layered_nst.testing.contracts import NotHere
from layered_nst.testing.samples import photo, pictures, speed


def _write(part: Part, path: Path, picture: Picture, depth: int = 8) -> None:
    if part.holds == "layers":
        write_layered(path, _layered(picture))
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some hold 8 bits alone, and say so
            write_picture(path, picture.rgb, alpha=picture.alpha, depth=depth, dpi=300)


def _layered(picture: Picture) -> LayeredPicture:
    height, width = picture.size
    left = torch.zeros(height, width)
    left[:, : (width + 1) // 2] = 1
    shares = torch.stack([1 - left, left])
    layers = region_layers(["ground", "sky"], shares, rgb=picture.rgb, alpha=picture.alpha)
    return LayeredPicture(layers, picture.rgb, picture.alpha, "a look", (300, 300))


def _in_folder(part: Part, work: Callable[[Path], None]) -> None:
    for suffix in part.suffixes:
        with tempfile.TemporaryDirectory() as folder:
            work(Path(folder, f"out{suffix}"))


def writes(part: Part) -> None:
    for what, picture in pictures().items():

        def work(path: Path, what: str = what, picture: Picture = picture) -> None:
            _write(part, path, picture)
            assert path.stat().st_size > 0, f"{what} gives an empty file"
            assert [*path.parent.iterdir()] == [path], "it leaves other files behind"

        _in_folder(part, work)


def the_same(part: Part) -> None:
    picture, found = Picture(photo(33, 48), None), []

    def work(path: Path) -> None:
        _write(part, path, picture)
        found.append(path.read_bytes())

    if part.determinism == "same-bytes":
        _in_folder(part, work)
        _in_folder(part, work)
        assert found[: len(part.suffixes)] == found[len(part.suffixes) :], "two files differ"


def comes_back(part: Part) -> None:
    """Only of what this package reads too."""
    picture = Picture(photo(33, 48), None)

    def work(path: Path) -> None:
        _write(part, path, picture)
        try:
            read = read_picture(path)
        except PictureError as error:
            raise NotHere(f"this package does not read {path.suffix}") from error
        off = (read.rgb - picture.rgb).abs().mean().item()
        assert read.size == picture.size, f"{read.size} comes back"
        assert off < 0.05, f"pixels come back {off:.2g} off"

    _in_folder(part, work)


def how_fast(part: Part) -> str:
    picture = Picture(photo(200, 300), None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"out{part.suffixes[0]}")
        return speed(60_000, lambda: _write(part, path, picture))


CONTRACTS = {
    "whatever the picture, a whole file is written and nothing beside it": writes,
    "the same picture gives the same file, to the byte": the_same,
    "its pixels come back": comes_back,
    "how fast it is": how_fast,
}
