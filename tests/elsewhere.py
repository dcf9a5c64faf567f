"""A device beside the CPU that knows no float64, as MPS does: imitated, to see who forgets it.

It refuses what such a device refuses: float64, and tensors of both places in one operation.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

THERE = torch.device("meta")
"""The name of a kind that torch lets anything stand for."""

COPIES = {"_to_copy", "copy_", "set_", "_has_compatible_shallow_copy_type"}
"""What takes tensors from one place to the other."""
TAKES_PLACES = {"index", "index_put_", "index_put", "_unsafe_index", "_index_put_impl_"}
"""What takes positions from the CPU as well, wherever the values are."""


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

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.here.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        return _run(function, args, kwargs or {})


class _MadeOfData(TorchFunctionMode):
    """Tensors made of Python's numbers: torch fills those of this kind with nothing."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        kwargs = kwargs or {}
        if function is Tensor.new_tensor and isinstance(args[0], Elsewhere):
            made = args[0].here.new_tensor(*args[1:], **{**kwargs, "device": "cpu"})
            return made.to(kwargs.get("device", THERE))
        if function in (torch.tensor, torch.as_tensor) and _is_there(kwargs.get("device")):
            return function(*args, **{**kwargs, "device": "cpu"}).to(THERE)
        if function is Tensor.tolist and isinstance(args[0], Elsewhere):
            return args[0].here.tolist()
        return function(*args, **kwargs)


class OnlyFloat32(TorchDispatchMode):
    """While it holds, tensors made there are imitated as well."""

    def __enter__(self) -> OnlyFloat32:
        self.of_data = _MadeOfData()
        self.of_data.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.of_data.__exit__(*error)

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
    leaves = tree_leaves((args, kwargs))
    away = any(isinstance(leaf, Elsewhere) for leaf in leaves)
    if away:
        _refuse_mixtures(function, args, kwargs)
    if kwargs.get("device") is not None:
        away = _is_there(kwargs["device"])
        kwargs = {**kwargs, "device": torch.device("cpu")}
    here_args, here_kwargs = tree_map(_back, (args, kwargs))
    found = function(*here_args, **here_kwargs)
    if _writes(function) and args and isinstance(args[0], Tensor):
        return args[0]
    return tree_map(lambda v: there(v) if isinstance(v, Tensor) else v, found) if away else found


def _refuse_mixtures(function: Any, args: Any, kwargs: dict[str, Any]) -> None:
    name = function.overloadpacket.__name__
    if name in COPIES:
        return
    from_here = name in TAKES_PLACES and isinstance(args[0], Elsewhere)
    checked = (args[0], args[2:]) if from_here else (args, kwargs)
    leaves = [leaf for leaf in tree_leaves(checked) if isinstance(leaf, Tensor)]
    # A single number goes to any device.
    here = [leaf for leaf in leaves if not isinstance(leaf, Elsewhere) and leaf.dim() > 0]
    if here and len(here) < len(leaves):
        raise RuntimeError(f"{name}: tensors of two devices, one of shape {tuple(here[0].shape)}")


def _writes(function: Any) -> bool:
    """Whether an operation gives back the tensor that it has written to."""
    name = function.overloadpacket.__name__
    return name.endswith("_") and not name.endswith("__")


def _is_there(device: Any) -> bool:
    return device is not None and torch.device(device).type == THERE.type


def _back(value: Any) -> Any:
    return value.here if isinstance(value, Elsewhere) else value
