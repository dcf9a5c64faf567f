"""What a step of a training is, whatever is trained: its rate, the update, a loss that counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from layered_nst.errors import ModelError

AVERAGING = 0.998
"""Decay a step of the average of weights that is scored and kept."""
WARM = 100
"""Steps over which the learning rate rises."""

TELLING = 50
"""Steps between two lines on how far a training is."""


class StepPlan(Protocol):
    """What a plan says of its steps: their number, AdamW's rate and decay, that of the average."""

    @property
    def steps(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def ema(self) -> float: ...


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


def taught(
    network: nn.Module,
    loss_of: Callable[[], Tensor],
    plan: StepPlan,
    *,
    least: float,
    told: Callable[[str], None],
    keep: Callable[[nn.Module, int], None] = lambda *_: None,
) -> nn.Module:
    """Teach a network by all steps of a plan and give it with the average of its weights.

    Args:
        loss_of: draws what is to be learned in the next step, and gives the network's loss.
        least: of the highest rate, what the last step has.
        told: called now and then with a line on how far it is.
        keep: is given the average, and how many steps there were, after each.

    Raises:
        ModelError: the loss is no number.
    """
    average = averaged(network, decay=plan.ema)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
    )
    recent = 0.0
    for step in range(plan.steps):
        set_learning_rate(optimizer, plan.learning_rate, step, plan.steps, least=least)
        loss = descend(loss_of(), network, average, optimizer)
        check_loss(loss, step, plan.learning_rate)
        recent += loss / TELLING
        if (step + 1) % TELLING == 0:
            told(f"step {step + 1} of {plan.steps}: loss {recent:.4f}")
            recent = 0.0
        keep(average.module, step + 1)
    return average.module
