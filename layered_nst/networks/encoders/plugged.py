"""Encoders of plug-ins: any network whose layers lie over the picture, behind the form of ours."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from layered_nst import plugins
from layered_nst.errors import PluginError
from layered_nst.networks.encoders.encoder import Encoder
from layered_nst.plugins import Part

EVERYTHING = 2**20
"""How far a unit sees that sees all, px."""


@runtime_checkable
class LayeredNetwork(Protocol):
    """What a plug-in's encoder is: a ``torch.nn.Module`` that gives features of layers by name.

    Layers are told shallow to deep. A unit stands for a square of ``strides[layer]`` px, the first
    for that in the picture's corner; so a layer is ⌈H/s⌉ × ⌈W/s⌉ units large, which strided
    convolutions of odd size k give with a padding of k//2. A picture too large for memory is seen
    in tiles that are read with ``reach`` px around them, so it has to be true.

    Attributes:
        strides: of each layer in px, a power of two.
        widths: channels of each layer.
        reach: how far beyond its own square a unit of each layer sees, px; ``math.inf`` where it
            sees all, as behind attention or a squeeze of the whole picture. Then tiles are as
            large as the picture and save no memory.
    """

    strides: Mapping[str, int]
    widths: Mapping[str, int]
    reach: Mapping[str, float]

    def __call__(self, picture: Tensor, layers: Collection[str], /) -> Mapping[str, Tensor]:
        """Features (B, C, h, w) of the layers that are wanted.

        Args:
            picture: RGB in [0, 1], shape (B, 3, H, W), any H and W from 1.
        """
        ...


class PluggedEncoder(Encoder):
    """A plug-in's network as an encoder.

    Args:
        part: that it is.
        inner: what the plug-in made.
        name: of the part, with what was said to it.
        dtype: of its numbers.

    Raises:
        PluginError: it is no ``LayeredNetwork``, or does not offer what its manifest says.
    """

    def __init__(self, part: Part, inner: nn.Module, name: str, dtype: torch.dtype) -> None:
        super().__init__(name, {}, ())
        _check(part, inner)
        self.part, self.precision, self.dtype = part, "float32", dtype
        self.register_buffer("here", torch.zeros((), dtype=dtype))  # by which its device is known
        self.inner: Any = inner.to(dtype)

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers, shallow to deep."""
        return tuple(self.inner.strides)

    @property
    def style_layers(self) -> Mapping[str, float] | None:
        """The layers that styles are compared at, with weights."""
        return {n: weight for n, weight in self.part.layers.items() if weight} or None

    def width(self, layer: str) -> int:
        """Number of channels of a layer."""
        return int(self.inner.widths[layer])

    def multiplying_in(self, precision: str) -> Encoder:
        """See ``Encoder``; here torch says what is multiplied so."""
        other = copy.copy(self)
        other.precision = precision
        return other

    def forward(
        self,
        picture: Tensor,
        layers: Collection[str],
        *,
        pooling: str = "max",
        read: Callable[[str, Tensor], Any] | None = None,
        measured: bool = True,
    ) -> dict[str, Any]:
        """See ``Encoder``; all layers are there before the first is read."""
        if unknown := sorted({*layers} - {*self.layers}):
            raise ValueError(f"{self.name} has no layer {unknown[0]}; it has {self.layers}")
        if pooling != "max":
            raise self._wrong("halves its maps in its own way; leave `optimize.pooling` out")
        wanted = [layer for layer in self.layers if layer in layers]
        narrow, device = self.precision == "bfloat16", picture.device.type
        with plugins.blamed(self.part), torch.autocast(device, torch.bfloat16, enabled=narrow):
            found = self.inner(picture, tuple(wanted))
        sizes = self.layer_sizes((picture.shape[2], picture.shape[3]))
        features = {}
        for layer in wanted:
            seen = found.get(layer)
            shape = (len(picture), self.width(layer), *sizes[layer])
            if not isinstance(seen, Tensor) or tuple(seen.shape) != shape:
                was = tuple(seen.shape) if isinstance(seen, Tensor) else "missing"
                raise self._wrong(f"its layer {layer} is {was}, not {shape}")
            seen = seen.to(self.dtype).contiguous(memory_format=torch.channels_last)
            features[layer] = seen if read is None else read(layer, seen)
        return features

    def _wrong(self, sentence: str) -> PluginError:
        return PluginError(f"{self.part}: {sentence}")

    def measure(self, layer: str) -> None:
        """None: features are compared as they are."""

    def _dense(self) -> Iterator[bytes]:
        for name, value in sorted(self.inner.state_dict().items()):
            yield f"{name} {value.dtype} {tuple(value.shape)}".encode()
            yield value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()

    def weights(self) -> Iterator[Tensor]:
        """All tensors that it computes with."""
        yield from self.parameters()
        yield from self.buffers()

    def layer_sizes(self, size: tuple[int, int]) -> dict[str, tuple[int, int]]:
        """Height and width of every layer for a picture of this height and width."""
        height, width = size
        return {n: (-(-height // s), -(-width // s)) for n, s in self.strides().items()}

    def strides(self) -> dict[str, int]:
        """See ``Encoder``."""
        return dict(self.inner.strides)

    def receptive_fields(self) -> dict[str, int]:
        """See ``Encoder``."""
        reach = {n: math.ceil(min(EVERYTHING, px)) for n, px in self.inner.reach.items()}
        return {layer: 2 * reach[layer] + stride for layer, stride in self.strides().items()}


def _check(part: Part, inner: Any) -> None:
    """Refuse what is no ``LayeredNetwork``, or has no such layers."""
    kind = type(inner).__name__
    if not isinstance(inner, nn.Module) or not isinstance(inner, LayeredNetwork):
        wanted = "a torch.nn.Module with strides, widths and reach"
        raise PluginError(f"{part}: made a {kind}, which is no encoder: allowed: {wanted}")
    names = [*inner.strides]
    told = {"widths": inner.widths, "reach": inner.reach}
    for key, of in told.items():
        if {*of} != {*names}:
            raise PluginError(f"{part}: its {key} are of {', '.join(of)}, its strides of {names}")
    for layer, stride in inner.strides.items():
        if not isinstance(stride, int) or stride < 1 or stride & (stride - 1):
            raise PluginError(f"{part}: its layer {layer} has a stride of {stride}, no power of 2")
        if not inner.reach[layer] >= 0:
            raise PluginError(f"{part}: its layer {layer} sees {inner.reach[layer]} px around it")
    missing = [n for n in part.layer_names if n not in names]
    if missing:
        raise PluginError(
            f"{part}: plugin.yaml names a layer {missing[0]}, and it has {', '.join(names)}"
        )
