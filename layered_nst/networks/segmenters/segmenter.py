"""From a photo to class probabilities whose edges follow the photo's."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from layered_nst.errors import ModelError
from layered_nst.networks.catalogue import (
    BUNDLE,
    CAREFUL,
    CAREFUL_HEAD,
    find_model,
    weights_path,
)
from layered_nst.networks.segmenters import crf, network
from layered_nst.networks.segmenters.careful import SecondOpinion, load_second_opinion
from layered_nst.networks.segmenters.checkpoints import (
    fill,
    fill_part,
    read_description,
    read_tensors,
)
from layered_nst.networks.segmenters.ground import by_ground
from layered_nst.networks.segmenters.labels import VOC
from layered_nst.networks.segmenters.network import Undrawn
from layered_nst.networks.segmenters.subject import (
    PREFIX,
    SHARED,
    SubjectHead,
    by_colors,
    outlined,
    subject_head,
)
from layered_nst.networks.segmenters.unsure import by_edges
from layered_nst.picture import guided, size_of

METHOD = 10
"""Counted up whenever the same weights come to give other probabilities than those kept."""

LONGEST = 4096
"""Longest side in px that a network is shown, however narrow the photo."""

STRIDE = 16
"""Networks are shown sides that are multiples of this."""


class Segmenter(Protocol):
    """Anything that can tell classes apart in a photo."""

    @property
    def name(self) -> str:
        """For messages and reports."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""

    def __call__(self, rgb: Tensor) -> Tensor:
        """Probabilities (K, H, W), float32, sum 1, for a photo (3, H, W) in [0, 1] of any size."""


class CheckpointSpec(Protocol):
    """What a recipe says of a team's own network, in the words of ``build_network``."""

    @property
    def architecture(self) -> str: ...
    @property
    def encoder(self) -> str: ...
    @property
    def weights(self) -> Path: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def mean(self) -> float | tuple[float, float, float] | None: ...
    @property
    def std(self) -> float | tuple[float, float, float] | None: ...
    @property
    def decoder_channels(self) -> int: ...


@dataclass(frozen=True)
class Segmentation:
    """What a segmenter saw in one photo.

    ``probabilities`` has shape (K, H, W) and sums to 1 over ``classes``. ``subject`` is how surely
    each pixel is of what the photo was taken of, shape (H, W) in [0, 1]; None where the segmenter
    tells classes alone.
    """

    probabilities: Tensor
    classes: tuple[str, ...]
    segmenter: str
    subject: Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in px."""
        return self.probabilities.shape[1], self.probabilities.shape[2]

    @property
    def winner(self) -> Tensor:
        """Index of the likeliest class at each pixel, long, shape (H, W)."""
        return self.probabilities.argmax(0)

    def shares(self) -> dict[str, float]:
        """Share of the photo that each class wins, in [0, 1]."""
        winner = self.winner.flatten()
        counts = torch.bincount(winner, minlength=len(self.classes)) / winner.numel()
        return dict(zip(self.classes, counts.tolist(), strict=True))


@dataclass(frozen=True)
class NetworkSegmenter:
    """A DeepLabV3 network with all it takes to use it on any photo.

    Attributes:
        name: for messages and reports.
        classes: names, in the order of the logits.
        network: takes normalized (1, 3, h, w), gives logits (1, K, h, w); not changed by use.
        mean, std: normalization of RGB in [0, 1], one number each or three.
        pixels: area in px at which objects have the size that the network was trained on.
        scales: sizes to look at, as factors of the sides at ``pixels``; their votes are averaged.
        mirror: look at the mirrored photo too; beside two scales it brings nothing more.
        connect: let places of like color agree on their class.
        refine: sharpen the masks to the photo's edges.
        subject: finds what the photo was taken of, in the encoder's features.
        second: is asked for the subject too, and what both think is averaged.
    """

    name: str
    classes: tuple[str, ...]
    network: nn.Module
    mean: float | tuple[float, float, float]
    std: float | tuple[float, float, float]
    pixels: int
    scales: tuple[float, ...] = (0.75, 1.25)
    mirror: bool = False
    connect: bool = True
    refine: bool = True
    subject: SubjectHead | None = None
    second: SecondOpinion | None = None

    def __call__(self, rgb: Tensor) -> Tensor:
        """See ``Segmenter``."""
        return self.see(rgb).probabilities

    @torch.no_grad()
    def see(self, rgb: Tensor) -> Segmentation:
        """Classes and, with a head for it, the subject, for a photo (3, H, W) in [0, 1]."""
        # Not inference_mode: masks made from these tensors take part in losses with gradients.
        full = size_of(rgb)
        votes = self._votes(rgb, full)
        rough = votes[: len(self.classes)]
        rough = rough / rough.sum(0, keepdim=True)
        if self.connect:
            rough = crf.dense_crf(rough, rgb)
        found = guided.refine(rough, rgb) if self.refine else guided.enlarge(rough, full)
        subject = None if self.subject is None else self._outlined(votes[-1], rgb)
        return Segmentation(found, self.classes, self.name, subject)

    def _outlined(self, logits: Tensor, rgb: Tensor) -> Tensor:
        if self.refine:
            clear = by_edges(by_colors(logits, rgb), rgb)
            return outlined(by_ground(clear, rgb).sigmoid(), rgb)
        return guided.enlarge(logits.sigmoid()[None], size_of(rgb))[0]

    def _votes(self, rgb: Tensor, full: tuple[int, int]) -> Tensor:
        """Means over scales and mirrorings, at the largest of the scales.

        Returns:
            Probabilities of the classes and, with a head for it, logits of the subject.
        """
        sizes = [working_size(full, round(self.pixels * scale**2)) for scale in self.scales]
        grid = min(max(sizes), full)
        planes = len(self.classes) + (self.subject is not None)
        total: Tensor = rgb.new_zeros(planes, *grid)
        for size in sizes:
            shown = guided.resample(rgb, size)
            for flip in (False, True)[: 1 + self.mirror]:
                seen = self._look(shown.flip(-1) if flip else shown)
                total += guided.resample(seen.flip(-1) if flip else seen, grid)
        votes = total / (len(sizes) * (1 + self.mirror))
        if self.second is None:
            return votes
        network: Any = self.network
        subject = self.second.joined(votes[-1:], network.encoder, rgb)
        return torch.cat([votes[:-1], subject])

    def _look(self, rgb: Tensor) -> Tensor:
        """One pass at the size given; see ``_votes``."""
        height, width = rgb.shape[-2:]
        where = next(self.network.parameters())
        mean, std = (_per_channel(value, rgb) for value in (self.mean, self.std))
        shown = ((rgb - mean) / std)[None]
        shown = F.pad(shown, (0, -width % STRIDE, 0, -height % STRIDE), "replicate")
        shown = shown.to(where, memory_format=torch.channels_last)
        logits, subject = self._logits(shown)
        seen: Tensor = logits[0, :, :height, :width].to(rgb).softmax(0)
        if subject is None:
            return seen
        drawn = guided.enlarge(subject[0].to(rgb), size_of(shown))
        return torch.cat([seen, drawn[:, :height, :width]])

    def _logits(self, shown: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.subject is None:
            logits = self.network(shown)
            # torchvision's networks give a mapping.
            return (logits["out"] if isinstance(logits, dict) else logits), None
        network: Any = self.network
        features = network.encoder(shown)
        logits = network.segmentation_head(network.decoder(features))
        return logits, self.subject(features[1 : 1 + SHARED])


def _per_channel(value: float | Sequence[float], like: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=like.dtype, device=like.device).reshape(-1, 1, 1)


def working_size(size: tuple[int, int], pixels: int) -> tuple[int, int]:
    """Size (height, width) of about ``pixels`` px with the same shape, to show to a network.

    Tiny photos are enlarged fourfold at most, and no side gets longer than ``LONGEST``.
    """
    height, width = size
    scale = min(4.0, (pixels / (height * width)) ** 0.5, LONGEST / max(size))
    return max(1, round(height * scale)), max(1, round(width * scale))


def segment(
    segmenter: Segmenter,
    rgb: Tensor,
    *,
    scales: tuple[float, ...] | None = None,
    mirror: bool | None = None,
    connect: bool | None = None,
    refine: bool | None = None,
) -> Segmentation:
    """Segment a photo.

    Args:
        segmenter: from ``load_segmenter``, or any of your own.
        rgb: shape (3, H, W), in [0, 1].
        scales, mirror, connect, refine: those of a ``NetworkSegmenter``, to look more or less
            carefully than it would.
    """
    asked = {"scales": scales, "mirror": mirror, "connect": connect, "refine": refine}
    changes: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
    if changes:
        segmenter = dataclasses.replace(segmenter, **changes)  # type: ignore[type-var]
    if isinstance(segmenter, NetworkSegmenter):
        return segmenter.see(rgb)
    return Segmentation(segmenter(rgb), segmenter.classes, segmenter.name)


def load_segmenter(
    spec: str | CheckpointSpec,
    *,
    weights_dir: Path | None = None,
    device: torch.device | str = "cpu",
) -> NetworkSegmenter:
    """Load a segmenter by name, by file, or from a recipe's description of a team's network.

    Args:
        spec: a segmenter of the catalogue (``scenes``, ``careful``, …), the path of a
            ``.safetensors`` file that ``train_segmenter`` wrote, or a description.
        weights_dir: folder searched for downloaded weights.
        device: where the network runs; photos may be anywhere.

    Raises:
        ModelError: no such segmenter, or its weights are missing, broken or of another network.
    """
    if not isinstance(spec, str):
        loaded = _from_checkpoint(spec)
    elif spec == CAREFUL:
        loaded = _carefully(weights_dir)
    else:
        path = segmenter_path(spec, weights_dir=weights_dir)
        if spec in network.TORCHVISION:
            loaded = _from_torchvision(spec, path)
        else:
            loaded = _from_file(path, name=Path(spec).stem)
    loaded.network.eval().requires_grad_(False)
    # Depthwise convolutions run 1.3 to 1.7 times faster on CPUs in channels-last order.
    loaded.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if loaded.subject is not None:
        loaded.subject.eval().requires_grad_(False)
        loaded.subject.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if loaded.second is not None:
        loaded.second.to(device)
    return loaded


def _carefully(weights_dir: Path | None) -> NetworkSegmenter:
    # What the second opinion lacks is said before the first one is loaded.
    path = weights_path(CAREFUL, weights_dir=weights_dir)
    second = load_second_opinion(path, BUNDLE / CAREFUL_HEAD)
    bundled = _from_file(weights_path("scenes"), name=CAREFUL)
    return dataclasses.replace(bundled, second=second)


def segmenter_path(name: str, *, weights_dir: Path | None = None) -> Path:
    """The file of a segmenter's weights; one that is named by its path may be missing.

    Raises:
        ModelError: neither a ``.safetensors`` file nor a segmenter of the catalogue, or one whose
            weights are not on this machine.
    """
    if name.endswith(".safetensors"):
        return Path(name)
    find_model(name, kind="segmenter")
    return weights_path(name, weights_dir=weights_dir)


SCENES_PIXELS = 481 * 321
OTHER_PIXELS = 520 * 520


def _from_file(path: Path, *, name: str) -> NetworkSegmenter:
    described = read_description(path)
    if described is None:
        raise ModelError(
            f"{path}: does not say which network it is; describe it in the recipe "
            "(architecture, encoder, weights, classes)"
        )
    built, tensors = _smp_network(
        path,
        architecture=described.architecture,
        encoder=described.encoder,
        decoder_channels=described.decoder_channels,
        classes=len(described.classes),
    )
    return NetworkSegmenter(
        name,
        described.classes,
        built,
        described.mean,
        described.std,
        SCENES_PIXELS,
        subject=_subject_head(path, tensors, built),
    )


def _subject_head(
    path: Path, tensors: Mapping[str, Tensor], network: nn.Module
) -> SubjectHead | None:
    """The head for the subject that a file holds beside its network."""
    own = {k.removeprefix(PREFIX): v for k, v in tensors.items() if k.startswith(PREFIX)}
    if not own:
        return None
    with Undrawn():
        head = subject_head(network.get_submodule("encoder"))
    fill_part(head, own, path=path)
    return head


def _from_checkpoint(spec: CheckpointSpec) -> NetworkSegmenter:
    described = read_description(spec.weights)
    built, _ = _smp_network(
        spec.weights,
        architecture=spec.architecture,
        encoder=spec.encoder,
        decoder_channels=spec.decoder_channels,
        classes=len(spec.classes),
    )
    mean = described.mean if described else network.IMAGENET_MEAN
    std = described.std if described else network.IMAGENET_STD
    return NetworkSegmenter(
        spec.weights.stem,
        tuple(spec.classes),
        built,
        mean if spec.mean is None else spec.mean,
        std if spec.std is None else spec.std,
        SCENES_PIXELS if described else OTHER_PIXELS,
    )


def _from_torchvision(name: str, path: Path) -> NetworkSegmenter:
    with Undrawn():
        built = network.build_torchvision_network(name)
    fill(built, read_tensors(path), path=path, classes=len(VOC))
    mean, std = network.IMAGENET_MEAN, network.IMAGENET_STD
    return NetworkSegmenter(name, VOC, built, mean, std, OTHER_PIXELS)


def _smp_network(
    path: Path, *, architecture: str, encoder: str, decoder_channels: int, classes: int
) -> tuple[nn.Module, dict[str, Tensor]]:
    """A network filled from a file, and all that the file holds."""
    try:
        with Undrawn():
            built = network.build_network(
                architecture=architecture,
                encoder=encoder,
                classes=classes,
                decoder_channels=decoder_channels,
            )
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from error
    tensors = read_tensors(path)
    fill(built, tensors, path=path, classes=classes)
    return built, tensors
