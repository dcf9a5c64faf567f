"""Which device a run uses."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from layered_nst.errors import DeviceError
from layered_nst.machine import processes

PRECISION_VARIABLE = "LAYERED_NST_PRECISION"
PRECISIONS = ("float32", "bfloat16")
# torch knows more, but among them are kinds that compute nothing, such as meta.
KINDS = ("cpu", "cuda", "mps", "xpu")
# Of these some know it and some do not; what needs it is little enough for the CPU.
WITHOUT_FLOAT64 = ("mps", "xpu")


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """The device of that name; by default CUDA, MPS or the CPU, whichever is there first.

    Raises:
        DeviceError: no such device on this machine.
        ProcessError: in a process that was forked from one that has painted.
    """
    processes.check_threads()
    if name is None or name == "auto":
        return torch.device(_best())
    if str(name).partition(":")[0] not in KINDS:
        raise DeviceError(f"device {name}: no such kind; allowed: auto, {', '.join(KINDS)}")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise DeviceError(f"device {name}: not on this machine; {_best()} is") from error
    return device


def in_float64(tensor: Tensor) -> Tensor:
    """A tensor in float64: on its own device, or on the CPU where that one does not know it."""
    return (tensor.cpu() if tensor.device.type in WITHOUT_FLOAT64 else tensor).double()


def choose_precision(device: torch.device) -> str:
    """How encoders multiply where no recipe says it: ``bfloat16`` where that is native.

    The environment variable ``LAYERED_NST_PRECISION`` decides for all machines of a team.

    Raises:
        DeviceError: the variable names no precision.
    """
    asked = os.environ.get(PRECISION_VARIABLE)
    if asked is None:
        return "bfloat16" if multiplies_bfloat16(device) else "float32"
    if asked not in PRECISIONS:
        allowed = " or ".join(PRECISIONS)
        raise DeviceError(f"{PRECISION_VARIABLE}={asked}: no such precision; allowed: {allowed}")
    return asked


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 natively, so that it is faster than float32 there."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # Releases of torch that cannot tell what the processor does get along without.
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def _best() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
