"""A campaign on the terminal: a live table, or a line for each job where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from layered_nst.cli.console import err
from layered_nst.words import duration, fine_duration

if TYPE_CHECKING:
    from layered_nst.campaign.engine import Happening
    from layered_nst.campaign.jobs import Job
    from layered_nst.campaign.ledger import Counts, Entry

MOST_TOLD = 20
"""Failures of before that are told one by one."""
MOST_SHOWN = 16
"""Running jobs that the table shows."""


class CampaignDisplay:
    """Shows what happens in a campaign.

    Args:
        quiet: show nothing.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.total = self.before = self.done = self.failed = 0
        self.left = self.cost = 0.0
        self.told: set[str] = set()
        self.running: dict[str, tuple[str, dict[str, Any]]] = {}
        self.began = time.monotonic()
        self.live = Live(console=err, refresh_per_second=4, get_renderable=self._table)

    def __enter__(self) -> Self:
        if not self.quiet and err.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self.live.is_started:
            self.live.stop()

    def start(self, counts: Counts, jobs: Sequence[Job]) -> None:
        """What is to be done."""
        self.total, self.before = counts.total, counts.total - len(jobs)
        self.left = sum(job.cost for job in jobs)
        self.began = time.monotonic()
        if self.before and not self.quiet:
            bad = f", {counts.bad} of them failed" if counts.bad else ""
            err.print(f"{self.before} of {self.total} are settled{bad}", highlight=False)

    def tell(self, event: Happening) -> None:
        """An event of the engine."""
        if event.kind in ("started", "progress"):
            self.running[event.worker] = (event.job.name, dict(event.told))
            return
        self.running.pop(event.worker, None)
        if event.kind != "again":
            self.left -= event.job.cost
        if event.kind == "done":
            self.done += 1
            self.cost += event.job.cost
        elif event.kind in ("failed", "poisoned"):
            self.failed += 1
        self.told.add(event.job.name)
        self._log(event)

    def tell_unseen(self, failed: Sequence[Entry]) -> None:
        """Jobs that failed before a worker had them, such as those without a photo."""
        unseen = [entry for entry in failed if entry.name not in self.told]
        for entry in [] if self.quiet else unseen[:MOST_TOLD]:
            name, said = escape(entry.name), escape(entry.sentence)
            err.print(f"[red]{entry.state}:[/] [bold]{name}[/]  {said}", highlight=False)
        if len(unseen) > MOST_TOLD and not self.quiet:
            err.print(f"and {len(unseen) - MOST_TOLD} more", highlight=False)

    def _log(self, event: Happening) -> None:
        if self.quiet:
            return
        name = f"[bold]{escape(event.job.name)}[/]"
        count = f"{self.before + self.done + self.failed}/{self.total}"
        if event.kind == "done" and event.outcome is not None:
            width, height = event.outcome.pixels
            size = f"{width}×{height} px  " if width else ""
            err.print(
                f"{count}  {name}  {size}{fine_duration(event.outcome.seconds)}", highlight=False
            )
        elif event.kind == "again":
            err.print(f"[yellow]again:[/] {name}  {escape(event.sentence)}", highlight=False)
        else:
            said = escape(event.sentence)
            err.print(f"{count}  [red]{event.kind}:[/] {name}  {said}", highlight=False)

    def _table(self) -> Group:
        settled = self.before + self.done + self.failed
        head = Table.grid(padding=(0, 2))
        words = [f"{settled} of {self.total}", f"{self.failed} failed" if self.failed else ""]
        head.add_row(
            ProgressBar(total=max(1, self.total), completed=settled, width=28),
            Text("  ".join(filter(None, [*words, self._pace()]))),
        )
        rows = Table.grid(padding=(0, 2))
        for worker, (name, told) in sorted(self.running.items())[:MOST_SHOWN]:
            rows.add_row(Text(worker, "dim"), Text(name), Text(_progress(told)))
        return Group(head, rows)

    def _pace(self) -> str:
        """Pictures an hour, and the time to the end."""
        if not self.done:
            return ""
        passed = time.monotonic() - self.began
        rate = self.done / max(passed, 1e-6) * 3600
        # What is left costs as much for its size as what has been done.
        share = passed / max(self.cost, 1e-9)
        return f"{rate:.0f} an hour  about {duration(max(0.0, self.left * share))} left"


def _progress(told: dict[str, Any]) -> str:
    if not told:
        return "begins"
    level = f"level {told.get('level')} of {told.get('levels')}"
    return f"{level}  {told.get('done', 0):.0%}  {duration(told.get('seconds_left', 0))} left"
