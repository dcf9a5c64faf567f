"""What a step of a training is, whatever is trained: its rate, the update, a loss that counts."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from layered_nst.errors import ModelError
from layered_nst.training.checkpoints import restored, save_training

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


@dataclass(frozen=True)
class Checkpoint:
    """Where a training that was broken off, even by kill -9, goes on when it is called again.

    Attributes:
        path: the file.
        belongs: what it goes on with and no other; see ``save_training``.
        draw: draws what is learned; its state goes along with that of torch.
        every: steps from one to the next.
    """

    path: Path
    belongs: Mapping[str, Any]
    draw: random.Random
    every: int = 100


def taught(
    network: nn.Module,
    loss_of: Callable[[], Tensor],
    plan: StepPlan,
    *,
    least: float,
    told: Callable[[str], None],
    keep: Callable[[nn.Module, int], None] = lambda *_: None,
    checkpoint: Checkpoint | None = None,
) -> nn.Module:
    """Teach a network by all steps of a plan and give it with the average of its weights.

    Args:
        loss_of: draws what is to be learned in the next step, and gives the network's loss.
        least: of the highest rate, what the last step has.
        told: called now and then with a line on how far it is.
        keep: is given the average, and how many steps there were, after each.
        checkpoint: written now and then, and gone on from where it is there.

    Raises:
        ModelError: the loss is no number; the checkpoint is broken, or of another training.
        OutputError: the checkpoint cannot be written.
    """
    average = averaged(network, decay=plan.ema)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
    )
    parts = {"network": network, "average": average, "optimizer": optimizer}
    first = 0 if checkpoint is None else _taken_up(parts, checkpoint)
    if first:
        told(f"goes on after step {first} of {plan.steps}")
        keep(average.module, first)
    recent = 0.0
    for step in range(first, plan.steps):
        set_learning_rate(optimizer, plan.learning_rate, step, plan.steps, least=least)
        loss = descend(loss_of(), network, average, optimizer)
        check_loss(loss, step, plan.learning_rate)
        recent += loss / TELLING
        if (step + 1) % TELLING == 0:
            told(f"step {step + 1} of {plan.steps}: loss {recent:.4f}")
            recent = 0.0
        keep(average.module, step + 1)
        if checkpoint is not None and (
            (step + 1) % checkpoint.every == 0 or step + 1 == plan.steps
        ):
            _put_down(parts, checkpoint, step + 1)
    return average.module


def _put_down(parts: Mapping[str, Any], checkpoint: Checkpoint, steps: int) -> None:
    """Write how far a training is."""
    states = {name: part.state_dict() for name, part in parts.items()}
    version, internal, spare = checkpoint.draw.getstate()
    states |= {"step": steps, "draw": [version, list(internal), spare]}
    save_training(checkpoint.path, states, checkpoint.belongs)


def _taken_up(parts: Mapping[str, Any], checkpoint: Checkpoint) -> int:
    """Go on from a checkpoint, where there is one; how many steps it has behind it."""
    if not checkpoint.path.exists():
        return 0
    with restored(checkpoint.path, checkpoint.belongs) as saved:
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        version, internal, spare = saved["draw"]
        checkpoint.draw.setstate((version, tuple(internal), spare))
        steps = int(saved["step"])
    return steps
