"""A device that knows no float64, as MPS does not: imitated on the CPU, to see who asks for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

THERE = torch.device("meta")
"""The name of a kind that torch lets anything stand for."""


class Elsewhere(Tensor):
    """A tensor that says it is there; its numbers are on the CPU."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> Elsewhere:
        made = torch.Tensor._make_wrapper_subclass(
            cls, here.size(), strides=here.stride(), dtype=here.dtype, device=THERE
        )
        made.here = here
        return made

    def __repr__(self) -> str:
        return f"Elsewhere({self.here!r})"

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        return _run(function, args, kwargs or {})


class OnlyFloat32(TorchDispatchMode):
    """While it holds, tensors made there are imitated as well."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        return _run(function, args, kwargs or {})


def there(tensor: Tensor) -> Elsewhere:
    """A tensor on the imitated device.

    Raises:
        TypeError: it is float64.
    """
    if tensor.dtype == torch.float64:
        raise TypeError("this device knows no float64")
    return Elsewhere(tensor)


def _run(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    leaves = torch.utils._pytree.tree_leaves((args, kwargs))
    away = any(isinstance(leaf, Elsewhere) for leaf in leaves)
    wanted = kwargs.get("device")
    if wanted is not None:
        away = torch.device(wanted).type == THERE.type
        kwargs = {**kwargs, "device": torch.device("cpu")}
    args, kwargs = tree_map(_back, (args, kwargs))
    found = function(*args, **kwargs)
    return tree_map(lambda v: there(v) if isinstance(v, Tensor) else v, found) if away else found


def _back(value: Any) -> Any:
    return value.here if isinstance(value, Elsewhere) else value
