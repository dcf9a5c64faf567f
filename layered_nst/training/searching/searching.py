"""Search for a network's form: as little error as may be, in as little time and in few bytes.

One set of weights stands for all forms (``sharing``); evolution chooses by their error on pictures
that they were not taught with, by the time that this machine takes and by the size of the file; a
random search of the same length runs beside it, to see what evolution is worth. Everything that was
evaluated stands in a journal, and every generation draws from a generator of its own: a search that
is broken off goes on to the same front. Each step teaches the largest form, the smallest and one in
between: the sandwich rule of Yu and Huang 2019 (arXiv 1903.05134).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from layered_nst.files.atomic import replacing
from layered_nst.training.checkpoints import Stateful, restored, save_training, take_up
from layered_nst.training.searching.evolving import chance, evolution
from layered_nst.training.searching.fronts import Found, Front, fronts, volumes
from layered_nst.training.searching.journal import Journal
from layered_nst.training.searching.spaces import Numbers
from layered_nst.training.searching.subjects import SearchPlan, Subject
from layered_nst.training.steps import adam, check_loss, is_due, stepped

SAVED = 100
"""Steps of the shared weights from checkpoint to checkpoint."""


def search(
    subject: Subject,
    folder: Path,
    *,
    plan: SearchPlan,
    on_step: Callable[[int, int, str], None] = lambda *_: None,
) -> Front:
    """Teach shared weights, evolve forms, draw as many by chance, and write the front.

    Args:
        folder: for ``shared.training``, ``journal.json`` and ``front.json``; it goes on from there.
        on_step: called with (done, of, what).

    Raises:
        ModelError: what is in the folder belongs to another search or another machine; or a loss is
            no number any more.
        OutputError: the folder cannot be written to.
    """
    choices = [list(choice) for choice in subject.space.choices]
    belongs = {"plan": asdict(plan), "space": choices, **subject.belongs}
    _teach(subject, plan, folder / "shared.training", belongs, on_step)
    journal = Journal(folder / "journal.json", belongs, subject)
    torch.manual_seed(plan.seed)
    subject.settle(plan)

    def judge(form: Numbers) -> Found:
        known = journal.find(form)
        if known is None:
            with torch.no_grad():
                error = subject.error(form)
            check_loss(error, plan.steps, plan.learning_rate)
            seconds = subject.predicted(form, journal.table)
            found = Found(form, subject.called(form), error, seconds, subject.size(form))
            known = journal.note(found)
        return known

    asked = (judge, subject.space, plan.evaluations, plan.seed)
    known = subject.known
    evolved = evolution(*asked, lambda n: on_step(n, plan.evaluations, "evolution"), known=known)
    drawn = chance(*asked, lambda n: on_step(n, plan.evaluations, "by chance"), known=known)
    best, reached = fronts([*evolved, *drawn], least=1)[0], volumes(evolved, drawn)
    front = Front(evolved, drawn, best, reached, subject.seconds_for)
    _write(folder / "front.json", front)
    return front


def _teach(
    subject: Subject,
    plan: SearchPlan,
    path: Path,
    belongs: Mapping[str, Any],
    on_step: Callable[[int, int, str], None],
) -> None:
    """The shared weights: taught by the largest, the smallest and one in between, step by step."""
    torch.manual_seed(plan.seed)
    subject.begin(plan)
    taught, begun = subject.taught(), 0
    whole, optimizer = next(iter(taught.values())), adam(taught.values(), plan.learning_rate)
    parts: dict[str, Stateful] = {**taught, "optimizer": optimizer}
    if path.exists():
        with restored(path, belongs) as saved:
            take_up(parts, saved)
            begun = int(saved["step"])

    def update(step: int) -> float:
        middle = subject.space.draw(random.Random(f"{plan.seed}/{step}"))
        drawn = subject.draw(plan)
        optimizer.zero_grad(set_to_none=True)
        total = subject.backward(middle, drawn)
        nn.utils.clip_grad_norm_(whole.parameters(), 1.0)
        optimizer.step()
        return total

    for step, _ in stepped(update, plan, begun):
        on_step(step, plan.steps, "shared weights")
        if is_due(step, SAVED, plan):
            save_training(path, parts, belongs, {"step": step})
    for part in taught.values():
        part.requires_grad_(False)


def _write(path: Path, front: Front) -> None:
    told = {
        "front": [found.as_dict() for found in front.best],
        "seconds for": front.seconds_for,
        "hypervolume": {"evolution": front.volumes[0], "chance": front.volumes[1]},
        "evaluations": {"evolution": len(front.evolved), "chance": len(front.drawn)},
    }
    with replacing(path) as file:
        file.write(json.dumps(told, indent=1).encode())
