"""Moments as tensors to store."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from layered_nst.styles.moments import Moments


def pack(moments: Mapping[str, Moments], *, prefix: str = "") -> dict[str, Tensor]:
    """Moments by name as tensors to store: of a symmetric matrix the upper triangle is enough."""
    packed = {}
    for name, value in moments.items():
        rows, columns = torch.triu_indices(*value.second.shape)
        packed[f"{prefix}{name}/mean"] = value.mean
        packed[f"{prefix}{name}/second"] = value.second[rows, columns]
        packed[f"{prefix}{name}/weight"] = value.weight
    return packed


def unpack(packed: Mapping[str, Tensor], *, prefix: str = "") -> dict[str, Moments]:
    """The moments that ``pack`` took apart, bit for bit.

    Raises:
        ValueError: sizes that do not fit each other.
        KeyError: a part is missing.
    """
    ends = (prefix, "/mean")
    names = [k[len(prefix) : -5] for k in packed if k.startswith(ends[0]) and k.endswith(ends[1])]
    return {name: _unpacked(packed, f"{prefix}{name}") for name in names}


def _unpacked(packed: Mapping[str, Tensor], key: str) -> Moments:
    mean, triangle = packed[f"{key}/mean"], packed[f"{key}/second"]
    rows, columns = torch.triu_indices(len(mean), len(mean))
    if mean.dim() != 1 or triangle.shape != rows.shape:
        raise ValueError(f"{key}: {tuple(triangle.shape)} does not fit {tuple(mean.shape)}")
    second = mean.new_empty(len(mean), len(mean))
    second[rows, columns] = triangle
    second[columns, rows] = triangle
    return Moments(mean, second, packed[f"{key}/weight"])
