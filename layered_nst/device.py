"""Which device a run uses."""

from __future__ import annotations

import torch

from layered_nst.errors import DeviceError

# torch knows more, but among them are kinds that compute nothing, such as meta.
KINDS = ("cpu", "cuda", "mps", "xpu")


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """The device of that name; by default CUDA, MPS or the CPU, whichever is there first.

    Raises:
        DeviceError: no such device on this machine.
    """
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


def _best() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
