"""The folder of a search: what may be written there, and by which plan."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch

from layered_nst.errors import OutputError
from layered_nst.files.atomic import replacing
from layered_nst.files.targets import FOREIGN
from layered_nst.training.searching.subjects import SearchPlan, Subject

MADE = ("plan.json", "shared.training", "journal.json", "front.json", "front.md", "front.png")
"""What a search writes into its folder."""
TAUGHT = 0.7
"""Share of a time in which the shared weights are taught; the rest is for evaluations."""


def check_folder(folder: Path) -> None:
    """Refuse a folder in which files of a search's names are no search's, before the work.

    Raises:
        OutputError: one is there and the folder holds no search, or the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file, not a folder")
    if not (folder / MADE[0]).is_file():
        for name in MADE[1:]:
            if (folder / name).exists():
                raise OutputError(f"{folder / name}: {FOREIGN}")
        return
    try:
        SearchPlan(**json.loads((folder / MADE[0]).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(f"{folder / MADE[0]}: {FOREIGN}") from error


def plan_for(subject: Subject, folder: Path, *, budget: float | None, seed: int) -> SearchPlan:
    """The plan of a search; what a time allows is measured once, and stands in the folder then.

    Args:
        budget: seconds for teaching and evaluating.
    """
    path = folder / MADE[0]
    if path.is_file():
        kept = SearchPlan(**json.loads(path.read_text("utf-8")))
        return replace(kept, seed=seed)
    plan = replace(subject.usual, seed=seed)
    if budget is not None:
        step, evaluation = seconds_of(subject, plan)
        steps = max(1, round(TAUGHT * budget / step))
        evaluations = max(4, round((1 - TAUGHT) * budget / (2 * evaluation)))
        plan = replace(plan, steps=steps, evaluations=evaluations)
    with replacing(path) as file:
        file.write(json.dumps(asdict(plan)).encode())
    return plan


def seconds_of(subject: Subject, plan: SearchPlan) -> tuple[float, float]:
    """Seconds of a step of the shared weights, and of the evaluation of a form of middling size."""
    subject.begin(plan)
    middle = tuple(choice[len(choice) // 2] for choice in subject.space.choices)
    taught = _second_seconds(lambda: subject.backward(middle, subject.draw(plan)))
    subject.settle(plan)
    with torch.no_grad():
        return taught, _second_seconds(lambda: subject.error(middle))


def _second_seconds(run: Callable[[], object]) -> float:
    """The second time: the first sets up what all others find."""
    run()
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
