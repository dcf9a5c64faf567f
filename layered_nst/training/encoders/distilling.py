"""Distill a narrow encoder from a wide one: it sees the same styles at a fraction of the cost.

Source: Wang et al. 2020, Collaborative Distillation for Ultra-Resolution Universal Style Transfer
(arXiv 2003.08436). Departures: the student starts from a choice of the teacher's own channels and
not from chance, its moments are matched beside its features, and half of what it sees is grainy or
mixed, because an optimization shows an encoder what no camera does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from layered_nst.errors import ModelError
from layered_nst.files.targets import check_weights_output
from layered_nst.networks.encoders.encoder import Encoder
from layered_nst.networks.encoders.encoder_files import is_distilled
from layered_nst.training.checkpoints import Stateful, restored, save_training, swept, take_up
from layered_nst.training.encoders.matching import (
    DEFAULT_PLAN,
    DistillPlan,
    distillation_loss,
    feature_energy,
)
from layered_nst.training.encoders.pictures import pictures_digest, split, training_crops
from layered_nst.training.encoders.scoring import check_pair, student_errors
from layered_nst.training.encoders.students import (
    Student,
    new_student,
    save_student,
    student_of,
    student_widths,
)
from layered_nst.training.steps import adam, averaged, descend, is_due, set_learning_rate, stepped

SAMPLE = 64
"""Crops from which channels are chosen and linear maps are solved."""


@dataclass
class _DistillingState:
    student: Student
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    energy: dict[str, float]
    step: int = 0

    def parts(self) -> dict[str, Stateful]:
        """What a checkpoint keeps the state of."""
        return {name: getattr(self, name) for name in ("student", "average", "optimizer")}


def distill(
    teacher: Encoder,
    pictures: Sequence[Tensor],
    output: Path,
    *,
    plan: DistillPlan = DEFAULT_PLAN,
    start: Encoder | None = None,
    every: int = 250,
    device: torch.device | str = "cpu",
    on_step: Callable[[int, int, float], None] = lambda *_: None,
    on_score: Callable[[int, Mapping[str, float]], None] = lambda *_: None,
) -> dict[str, float]:
    """Train a student, keep it at ``output``, and resume from ``output`` + ``.training``.

    A run that is broken off, even by kill -9, goes on after its last checkpoint when it is called
    again with the same arguments, and ends with the same file (byte for byte on a CPU).

    Args:
        teacher: a wide encoder, on ``device``.
        pictures: uint8 pictures (3, H, W) of any size from 16 px; every 24th is held out.
        output: a ``.safetensors`` file; written with every checkpoint.
        start: an encoder that was distilled before, to train on; it is as wide as the student
            will be, whatever the plan says.
        every: steps from checkpoint to checkpoint; a run that is broken off loses as many at most.
        on_step: called with (step, steps, loss).
        on_score: called with (step, error of each layer on held-out pictures) at checkpoints.

    Returns:
        The error of each layer on held-out pictures: unexplained share of the teacher's variance.

    Raises:
        DataError: fewer than two pictures.
        ModelError: the checkpoint is broken, or of another plan, teacher, start or pictures; or
            start or form do not correspond to the teacher; or the loss is no number any more.
        OutputError: ``output`` cannot be written, or is a file of another kind.
    """
    check_output(output, reads=() if start is None else [Path(start.source)])
    if start is not None:
        check_pair(start, teacher)
    else:
        widths_of(teacher, plan)
    trained, held = split(pictures)
    checkpoint = swept(output)
    made = _made_by(plan, start)
    belongs = _belonging(teacher, pictures, made)
    if checkpoint.exists():
        state = _restored(checkpoint, belongs, teacher, plan, device)
    else:
        torch.manual_seed(plan.seed)
        state = _new_state(teacher, trained, plan, start, device)
    scores: dict[str, float] = {}
    taken = stepped(lambda _: _update(state, teacher, trained, plan, device), plan, state.step)
    for step, loss in taken:
        on_step(step, plan.steps, loss)
        if is_due(step, every, plan):
            scores = _export(state, teacher, held, output, made, device)
            counts = {"step": step, "energy": state.energy}
            save_training(checkpoint, state.parts(), belongs, counts)
            on_score(step, scores)
    return scores or _export(state, teacher, held, output, made, device)


def check_output(output: Path, *, reads: Iterable[Path] = ()) -> None:
    """Find out before hours of training that their result could not be written.

    Args:
        reads: the file of the encoder to train on, if there is one.

    Raises:
        OutputError: another suffix, no such folder, a file that is read or one of another kind in
            its place.
    """
    kind = "encoder that was distilled"
    check_weights_output(output, known=is_distilled, kind=kind, reads=reads)


def widths_of(teacher: Encoder, plan: DistillPlan) -> dict[str, int]:
    """Channels of each layer of a student.

    Raises:
        ModelError: the plan's form has more or fewer layers than the teacher, or wider ones.
    """
    if plan.form is None:
        return student_widths(teacher, width=plan.width, first=plan.first)
    if len(plan.form) != len(teacher.layers):
        raise ModelError(
            f"form: found {len(plan.form)} widths, {teacher.name} has {len(teacher.layers)} layers"
        )
    widths = dict(zip(teacher.layers, plan.form, strict=True))
    for layer, width in widths.items():
        if width > teacher.width(layer):
            raise ModelError(
                f"form: found {width} channels at {layer}, allowed: up to {teacher.width(layer)}, "
                f"those of {teacher.name}"
            )
    return widths


def _new_state(
    teacher: Encoder,
    pictures: Sequence[Tensor],
    plan: DistillPlan,
    start: Encoder | None,
    device: torch.device | str,
) -> _DistillingState:
    batches = math.ceil(SAMPLE / plan.batch)
    sample = torch.cat([_crops(pictures, plan) for _ in range(batches)])
    if start is None:
        student = new_student(teacher, sample, widths_of(teacher, plan))
    else:
        student = student_of(start, teacher, sample)
    with torch.no_grad():
        seen = teacher(sample[: plan.batch * 2].to(device), teacher.layers)
    energy = feature_energy(seen)
    return _state_of(student, energy, plan, device)


def _state_of(
    student: Student, energy: dict[str, float], plan: DistillPlan, device: torch.device | str
) -> _DistillingState:
    student = student.to(device)
    optimizer = adam([student], plan.learning_rate)
    return _DistillingState(student, averaged(student), optimizer, energy)


def _crops(pictures: Sequence[Tensor], plan: DistillPlan) -> Tensor:
    return training_crops(pictures, batch=plan.batch, side=plan.crop)


def _update(
    state: _DistillingState,
    teacher: Encoder,
    pictures: Sequence[Tensor],
    plan: DistillPlan,
    device: torch.device | str,
) -> float:
    """One update of the student and of its running average; returns the loss before it."""
    set_learning_rate(state.optimizer, plan.learning_rate, state.step, plan.steps, least=0.01)
    crops = _crops(pictures, plan).to(device)
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=plan.bfloat16):
        with torch.no_grad():
            targets = teacher(crops, teacher.layers)
        loss = distillation_loss(state.student, crops, targets, plan, state.energy)
    before = descend(loss, state.student, state.average, state.optimizer)
    state.step += 1
    return before


def _export(
    state: _DistillingState,
    teacher: Encoder,
    held: Sequence[Tensor],
    output: Path,
    made: Mapping[str, Any],
    device: torch.device | str,
) -> dict[str, float]:
    """Score the average of the weights, and write it."""
    student = state.average.get_submodule("module")
    assert isinstance(student, Student)
    scores = student_errors(student, teacher, held, device)
    notes = {
        "teacher": teacher.name,
        "step": state.step,
        **made,
        "unexplained": {layer: round(value, 4) for layer, value in scores.items()},
    }
    save_student(student, teacher, output, notes=notes)
    return scores


def _made_by(plan: DistillPlan, start: Encoder | None) -> dict[str, dict[str, Any]]:
    """What a student's file says of plan and start: a start has widths already."""
    decided = asdict(plan)
    del decided["form"]
    if start is None and plan.form is None:
        return {"plan": decided}
    del decided["width"], decided["first"]
    if start is None:
        return {"plan": {**decided, "form": list(plan.form or ())}}
    return {"plan": decided, "start": {"encoder": start.name, "fingerprint": start.fingerprint}}


def _belonging(
    teacher: Encoder, pictures: Sequence[Tensor], made: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """What a checkpoint can go on with and no other, each so named that "made with other" fits."""
    return {
        "start": made["start"]["fingerprint"] if "start" in made else "",
        "plan": made["plan"],
        "teacher": teacher.fingerprint,
        "pictures": pictures_digest(pictures),
    }


def _restored(
    checkpoint: Path,
    belongs: Mapping[str, Any],
    teacher: Encoder,
    plan: DistillPlan,
    device: torch.device | str,
) -> _DistillingState:
    wide = {layer: teacher.width(layer) for layer in teacher.layers}
    with restored(checkpoint, belongs) as saved:
        stored = saved["student"]
        widths = {layer: len(stored[f"convolutions.{layer}.bias"]) for layer in teacher.layers}
        student = Student(teacher.blocks, widths, wide)
        state = _state_of(student, saved["energy"], plan, device)
        take_up(state.parts(), saved)
        state.step = saved["step"]
    return state
