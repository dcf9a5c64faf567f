"""The file of a library: what it says of each look, and the looks' tensors.

A library is a safetensors file. Its metadata hold the format and, as JSON, a record of each look.
The tensors of a look are named ``LOOK/moments/SIDE/LAYER/mean``, ``…/second`` (the upper triangle)
and ``…/weight`` (the total weight), ``LOOK/others/ENCODER/SIDE/LAYER/…`` and ``LOOK/color/rgb/…``
likewise, and ``LOOK/picture/NUMBER`` and ``LOOK/mask/NUMBER``, which are PNG files.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from layered_nst.errors import LibraryError
from layered_nst.files.hashes import digest
from layered_nst.files.tensors import read_metadata, read_tensors, write_tensors
from layered_nst.picture import read_picture
from layered_nst.styles.moments import Moments
from layered_nst.styles.packing import unpack
from layered_nst.words import did_you_mean

FORMAT = "layered-nst styles 1"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class SourceRecord(_Record):
    """A picture that a look was made from.

    ``sha256`` and ``mask_sha256`` are those of the files, ``width`` and ``height`` the picture's.
    """

    name: str
    sha256: str
    weight: float
    width: int
    height: int
    mask: str | None = None
    mask_sha256: str | None = None


class LookRecord(_Record):
    """What a library says of a look.

    ``weights`` is the fingerprint of the encoder's weights, ``others`` those of further encoders
    by name, ``sides`` the longest sides in px at which the pictures were seen. ``kept`` tells how
    the pictures are in the file: ``whole``, ``reduced`` to the largest of the sides, or as
    ``thumbnails`` that serve only to be looked at. ``variation`` is how much neighboring pixels
    differ at each of the sides (``StylePicture.variation``); early libraries have none.
    ``digest`` is that of the look's tensors. ``method`` is the encoders' ``METHOD``; early
    libraries, made before there was another, do not say it.
    """

    encoder: str
    weights: str
    others: dict[str, str] = {}
    pooling: Literal["max", "average"]
    layers: tuple[str, ...]
    sides: tuple[int, ...]
    variation: tuple[float, ...] = ()
    kept: Literal["whole", "reduced", "thumbnails"]
    license: str = ""
    sources: tuple[SourceRecord, ...]
    made_with: str
    digest: str = ""
    method: int = 1

    @property
    def encoders(self) -> dict[str, str]:
        """Fingerprints of all encoders that have seen it, by name."""
        return {self.encoder: self.weights, **self.others}


@dataclass(frozen=True)
class StoredLook:
    """A look as a library has it: its record, and its tensors named without the look."""

    record: LookRecord
    tensors: Mapping[str, Tensor]

    @cached_property
    def moments(self) -> dict[str, dict[str, Moments]]:
        """Moments by encoder and ``SIDE/LAYER``.

        Raises:
            KeyError, ValueError: they are misshapen.
        """
        record = self.record
        places = {record.encoder: "moments/", **{n: f"others/{n}/" for n in record.others}}
        return {name: unpack(self.tensors, prefix=place) for name, place in places.items()}

    @cached_property
    def color(self) -> Moments:
        """Moments of the colors in RGB.

        Raises:
            KeyError, ValueError: they are misshapen.
        """
        return unpack(self.tensors, prefix="color/")["rgb"]

    @cached_property
    def pictures(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """Colors (3, H, W) and mask (H, W) of each source, as the library keeps them."""
        return tuple(self._picture(number) for number in range(len(self.record.sources)))

    def _picture(self, number: int) -> tuple[Tensor, Tensor]:
        rgb = read_picture(_decoded(self.tensors[f"picture/{number}"])).rgb
        drawn = self.tensors.get(f"mask/{number}")
        return rgb, torch.ones_like(rgb[0]) if drawn is None else read_picture(_decoded(drawn)).rgb[
            0
        ]


def _decoded(data: Tensor) -> Image.Image:
    return Image.open(io.BytesIO(data.numpy().tobytes()), formats=["PNG"])


def read_records(path: Path) -> dict[str, LookRecord]:
    """The looks of a library by name, without their tensors.

    Raises:
        LibraryError: it cannot be read, is damaged, no library, or one of another version.
    """
    try:
        metadata = read_metadata(path)
    except (OSError, SafetensorError) as error:
        raise _broken(path, error) from error
    found = metadata.get("format", "")
    if not found.startswith("layered-nst styles"):
        raise LibraryError(f"{path}: is no style library; make one with `layered-nst styles build`")
    if found != FORMAT:
        raise LibraryError(f"{path}: is a library of version {found!r}; this one reads {FORMAT!r}")
    try:
        looks = json.loads(metadata["looks"])
        return {name: LookRecord.model_validate(look) for name, look in looks.items()}
    except (KeyError, ValueError, AttributeError, ValidationError) as error:
        raise LibraryError(f"{path}: its description of the looks is damaged") from error


def pick_look(path: Path, look: str | None) -> str:
    """The name of a look that a library has; None stands for its only one.

    Raises:
        LibraryError: there is no such look, or None and there are several.
    """
    names = list(read_records(path))
    if look is None and len(names) == 1:
        return names[0]
    there = f"it has {', '.join(names) or 'none'}"
    if look is None:
        raise LibraryError(f"{path}: which look? {there}; write {path.stem}/LOOK")
    if look not in names:
        raise LibraryError(f"{path}: no look {look!r}{did_you_mean(look, names)}; {there}")
    return look


def read_look(path: Path, look: str) -> StoredLook:
    """A look with its tensors, checked for damage.

    Raises:
        LibraryError: as ``read_records`` and ``pick_look``, or the look's tensors are damaged.
    """
    record = read_records(path)[pick_look(path, look)]
    try:
        tensors = read_tensors(path, prefix=f"{look}/")
    except (OSError, SafetensorError) as error:
        raise _broken(path, error) from error
    if digest(tensors) != record.digest:
        raise LibraryError(f"{path}: look {look!r} is damaged; its data is not what was stored")
    return StoredLook(record, tensors)


def read_looks(path: Path) -> dict[str, StoredLook]:
    """All looks of a library.

    Raises:
        LibraryError: as ``read_look``.
    """
    return {name: read_look(path, name) for name in read_records(path)}


def write_library(path: Path, looks: Mapping[str, StoredLook]) -> None:
    """Write a library, whole or not at all.

    Raises:
        OutputError: missing folder, no permission, full disk.
    """
    records = {
        name: {**look.record.model_dump(mode="json"), "digest": digest(look.tensors)}
        for name, look in looks.items()
    }
    tensors = {f"{n}/{key}": v for n, look in looks.items() for key, v in look.tensors.items()}
    write_tensors(path, tensors, {"format": FORMAT, "looks": json.dumps(records)})


def _broken(path: Path, error: Exception) -> LibraryError:
    if isinstance(error, FileNotFoundError):
        return LibraryError(f"{path}: no such style library")
    reason = " ".join(str(error).split())
    return LibraryError(f"{path}: is broken, cut short, or no style library ({reason})")
