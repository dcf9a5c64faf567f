"""Tensors of a device that knows no float64, as far as code asks for it by ``double``."""

from __future__ import annotations

from torch import Tensor


class Single(Tensor):
    """Refuses to be made float64 until it is on the CPU."""

    def double(self, *_: object, **__: object) -> Tensor:
        raise TypeError("this device knows no float64")

    def cpu(self, *_: object, **__: object) -> Tensor:
        return self.as_subclass(Tensor)
