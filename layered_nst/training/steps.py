"""What the steps of a training are, whatever is trained: rate, update, a loss that counts."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from layered_nst.errors import ModelError
from layered_nst.training.checkpoints import Stateful, restored, save_training, take_up

AVERAGING = 0.998
"""Decay a step of the average of weights that is scored and kept."""
WARM = 100
"""Steps over which the learning rate rises."""

TELLING = 50
"""Steps between two lines on how far a training is."""


class StepPlan(Protocol):
    """What a plan says of its steps: their number, and the highest learning rate."""

    @property
    def steps(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...


class AveragedPlan(StepPlan, Protocol):
    """The same with the decay of AdamW and that of the average of weights."""

    @property
    def weight_decay(self) -> float: ...
    @property
    def ema(self) -> float: ...


def adam(networks: Iterable[nn.Module], rate: float) -> torch.optim.Optimizer:
    """Adam over the weights of all of these."""
    weights = [weight for network in networks for weight in network.parameters()]
    return torch.optim.Adam(weights, lr=rate, betas=(0.9, 0.99))


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


def stepped(
    update: Callable[[int], float], plan: StepPlan, begun: int = 0
) -> Iterator[tuple[int, float]]:
    """Take the steps of a plan one by one, and give the number of each, from 1, and its loss.

    Args:
        update: takes a step; is given how many there are behind it.
        begun: steps that were taken before.

    Raises:
        ModelError: a loss is no number; says what to do.
    """
    for step in range(begun, plan.steps):
        loss = update(step)
        check_loss(loss, step + 1, plan.learning_rate)
        yield step + 1, loss


def is_due(step: int, every: int, plan: StepPlan) -> bool:
    """Whether something is to be done after that step: after every so manyth, and at the end."""
    return step % every == 0 or step == plan.steps


def check_loss(loss: float, step: int, learning_rate: float) -> None:
    """Refuse a loss that is no number.

    Args:
        step: its number, from 1.

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
    plan: AveragedPlan,
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
    parts: dict[str, Stateful]
    parts = {"network": network, "average": average, "optimizer": optimizer}
    begun = 0 if checkpoint is None else _taken_up(parts, checkpoint)
    if begun:
        told(f"goes on after step {begun} of {plan.steps}")
        keep(average.module, begun)

    def update(step: int) -> float:
        set_learning_rate(optimizer, plan.learning_rate, step, plan.steps, least=least)
        return descend(loss_of(), network, average, optimizer)

    recent = 0.0
    for step, loss in stepped(update, plan, begun):
        recent += loss / TELLING
        if step % TELLING == 0:
            told(f"step {step} of {plan.steps}: loss {recent:.4f}")
            recent = 0.0
        keep(average.module, step)
        if checkpoint is not None and is_due(step, checkpoint.every, plan):
            _put_down(parts, checkpoint, step)
    return average.module


def _put_down(parts: Mapping[str, Stateful], checkpoint: Checkpoint, steps: int) -> None:
    """Write how far a training is."""
    version, internal, spare = checkpoint.draw.getstate()
    drawn = [version, list(internal), spare]
    save_training(checkpoint.path, parts, checkpoint.belongs, {"step": steps, "draw": drawn})


def _taken_up(parts: Mapping[str, Stateful], checkpoint: Checkpoint) -> int:
    """Go on from a checkpoint, where there is one; how many steps it has behind it."""
    if not checkpoint.path.exists():
        return 0
    with restored(checkpoint.path, checkpoint.belongs) as saved:
        take_up(parts, saved)
        version, internal, spare = saved["draw"]
        checkpoint.draw.setstate((version, tuple(internal), spare))
        steps = int(saved["step"])
    return steps
