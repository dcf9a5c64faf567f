"""Masks by a network of rembg that is on this machine; nothing is downloaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from layered_nst.errors import ModelError
from layered_nst.picture import to_image


def select(said: Mapping[str, Any], view: Any) -> Tensor:
    """The subject of a photo, shape (H, W) in [0, 1].

    Raises:
        ModelError: rembg or the network is not on this machine, or cannot be read.
    """
    session = _session(said["network"])
    masks = session.predict(to_image(view.picture.rgb.cpu()))
    # The network for clothes gives several.
    mask = np.maximum.reduce([np.asarray(m.convert("L"), np.float32) for m in masks]) / 255
    found = torch.from_numpy(np.nan_to_num(mask))
    if "border" in said:
        # As steep as one step of rembg's eight bits at each side allows, so that it stays smooth.
        found = ((found - said["border"]) * 16 + 0.5).clamp(0, 1)
    return found


@cache
def _session(network: str) -> Any:
    """rembg's session; a network that would have to be downloaded is refused."""
    try:
        from rembg.session_factory import new_session
        from rembg.sessions import sessions_class
    except ImportError as error:
        raise ModelError(
            f"rembg cannot be imported ({error}); run `pip install 'rembg[cpu]'`"
        ) from error
    kind = next((one for one in sessions_class if one.name() == network), None)
    if kind is None:
        raise ModelError(f"this version of rembg knows no network {network}; a newer one may")
    if not _is_there(kind, network):
        raise ModelError(
            f"the network {network} is not on this machine; run `rembg d {network}` where there "
            f"is a connection, or copy its file to {_home(kind)}"
        )
    try:
        return new_session(network)
    except Exception as error:  # onnxruntime has errors of its own, and many
        raise ModelError(f"the network {network} cannot be read: {error}") from error


def _is_there(kind: Any, network: str) -> bool:
    """Whether rembg would find the network's file without asking for it elsewhere."""
    if hasattr(kind, "resolve_existing"):
        return kind.resolve_existing(f"{network}.onnx") is not None
    return Path(_home(kind), f"{network}.onnx").is_file()


def _home(kind: Any) -> str:
    """Where rembg looks, by its version."""
    for name in ("model_dir", "u2net_home"):
        if hasattr(kind, name):
            return str(getattr(kind, name)())
    return os.path.expanduser("~/.u2net")
