"""What the commands that search for a network's form have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from layered_nst.cli.console import print_json, printed_notes, spelled
from layered_nst.cli.training import counted_by_name, enough_memory, training_bar

if TYPE_CHECKING:
    from layered_nst.training.searching.subjects import Subject

FrontOption = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for the front and what it takes.")
]
LatencyOption = Annotated[
    str | None,
    typer.Option("--latency", metavar="TIME", help="Tell the best that takes no longer: 60ms."),
]
BudgetOption = Annotated[
    str | None,
    typer.Option(
        "--budget", metavar="TIME", help="How long to search. [1500 steps, 96 evaluations]"
    ),
]


def searched(
    make: Callable[[Progress], Subject],
    folder: Path,
    latency: str | None,
    budget: str | None,
    seed: int,
    *,
    as_json: bool,
) -> None:
    """Search, tell how it goes, and print what was found.

    Args:
        make: reads pictures and networks, with a bar to tell of it.
    """
    most, time = _time(latency, "--latency"), _time(budget, "--budget")
    from layered_nst.files.targets import make_folder
    from layered_nst.training.searching.folders import check_folder, plan_for
    from layered_nst.training.searching.searching import search
    from layered_nst.training.searching.telling import tell_front

    check_folder(folder)
    with printed_notes() as notes, training_bar() as bar, enough_memory():
        subject = make(bar)
        make_folder(folder)
        plan = plan_for(subject, folder, budget=time, seed=seed)
        with counted_by_name(bar) as tell:
            front = search(subject, folder, plan=plan, on_step=tell)
    told = tell_front(front, folder, most)
    if as_json:
        print_json({**told.as_dict(), "notes": notes})
    else:
        print(spelled(told.text))


def _time(text: str | None, option: str) -> float | None:
    from layered_nst.words import seconds_in

    found = None if text is None else seconds_in(text)
    if text is not None and not (found and found > 0):
        raise typer.BadParameter(f"{option} {text}: allowed: a time above 0 such as 60ms or 3h")
    return found
