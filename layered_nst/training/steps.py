"""What a step of a training is, whatever is trained: its rate, the update, a loss that counts."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from layered_nst.errors import ModelError

AVERAGING = 0.998
"""Decay a step of the average of weights that is scored and kept."""
WARM = 100
"""Steps over which the learning rate rises."""


def averaged(
    network: nn.Module, *, decay: float = AVERAGING, use_buffers: bool = False
) -> AveragedModel:
    """The running average of a network's weights."""
    averaging = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=averaging, use_buffers=use_buffers)


def set_learning_rate(
    optimizer: torch.optim.Optimizer, highest: float, step: int, steps: int, *, least: float
) -> None:
    """Warm up over the first 100 steps, and fall as a half cosine to ``least`` of the highest."""
    warm = min(1.0, (step + 1) / WARM)
    factor = warm * (least + (1 - least) * 0.5 * (1 + math.cos(math.pi * (step / steps))))
    for group in optimizer.param_groups:
        group["lr"] = highest * factor


def descend(
    loss: Tensor,
    network: nn.Module,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
    *,
    longest: float = 1.0,
) -> float:
    """Update a network by the gradient of a loss, and its running average; returns the loss.

    Args:
        longest: length to which the gradient of the network is cut.
    """
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), longest)
    optimizer.step()
    average.update_parameters(network)
    return float(loss.item())


def check_loss(loss: float, step: int, learning_rate: float) -> None:
    """Refuse a loss that is no number.

    Raises:
        ModelError: it is none; says what to do.
    """
    if not math.isfinite(loss):
        raise ModelError(
            f"step {step}: the loss is {loss}; try a learning rate below {learning_rate:g}"
        )
