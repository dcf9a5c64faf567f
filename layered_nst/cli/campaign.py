"""``campaign``: many photos in many looks, over night, none lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from layered_nst.cli.console import SaidCode, err, note, out, print_json, printed_notes
from layered_nst.cli.options import (
    DeviceOption,
    JsonOption,
    NoCacheOption,
    QualityOption,
    SetOption,
    SizeOption,
)
from layered_nst.cli.watching import CampaignDisplay
from layered_nst.errors import CampaignError
from layered_nst.words import duration, storage

if TYPE_CHECKING:
    from layered_nst.campaign.campaign import Campaign
    from layered_nst.campaign.engine import Summary
    from layered_nst.campaign.ledger import Counts
    from layered_nst.campaign.planning import Forecast
    from layered_nst.campaign.standing import Status

SHOWN = 20
"""Failures, or what is wrong, that are printed; of very many the first tell what it is."""

app = typer.Typer(
    help="Paint many photos in many looks and formats, none of them twice.", no_args_is_help=True
)


CampaignArgument = Annotated[
    Path,
    typer.Argument(
        metavar="CAMPAIGN", help="Campaign file, the folder of one, or a recipe with PHOTOS."
    ),
]
BegunArgument = Annotated[
    Path, typer.Argument(metavar="CAMPAIGN", help="Campaign file, or the folder of its pictures.")
]
PhotosArgument = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[PHOTOS]...", help="Photos, folders or CSV files, for a recipe."),
]
FolderOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Folder of the pictures. [the campaign's]"),
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Pictures painted at once. [one for each processor]"),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Threads of each worker. [what processors are left]"),
]
ExecutorOption = Annotated[
    str, typer.Option("--executor", help="What runs the jobs: local, ray, or a plug-in's.")
]
AddressOption = Annotated[
    str | None, typer.Option("--address", help="Ray cluster to use. [one of its own]")
]
CarryOption = Annotated[
    bool,
    typer.Option("--carry", help="Send files along with the jobs: the cluster shares no folder."),
]
RebuildOption = Annotated[
    bool, typer.Option("--rebuild", help="Make a damaged ledger anew from the pictures.")
]


@app.command("run")
def run(
    campaign: CampaignArgument,
    photos: PhotosArgument = None,
    output: FolderOption = None,
    workers: WorkersOption = None,
    threads: ThreadsOption = None,
    executor: ExecutorOption = "local",
    address: AddressOption = None,
    carry: CarryOption = False,
    size: SizeOption = None,
    quality: QualityOption = None,
    set_: SetOption = None,
    device: DeviceOption = "auto",
    no_cache: NoCacheOption = False,
    rebuild: RebuildOption = False,
    as_json: JsonOption = False,
) -> None:
    """Paint all pictures of a campaign that are not there yet.

    What is done is not done again, unless its photo, a style or its recipe has changed. Ctrl-C
    stops the pictures with checkpoints, a second one at once; `resume` goes on.

    The exit code is 1 if any picture failed. A page with all pictures and failures is
    OUTPUT/report/index.html.
    """
    found = _campaign(
        campaign, photos, output, device, no_cache, _more(size=size, quality=quality, set_=set_)
    )
    options = {"workers": workers, "threads": threads, "address": address or "", "carry": carry}
    _run(found, executor, as_json=as_json, rebuild=rebuild, **options)


@app.command("resume")
def resume(
    campaign: BegunArgument,
    workers: WorkersOption = None,
    threads: ThreadsOption = None,
    executor: ExecutorOption = "local",
    address: AddressOption = None,
    carry: CarryOption = False,
    device: DeviceOption = "auto",
    rebuild: RebuildOption = False,
    as_json: JsonOption = False,
) -> None:
    """Go on with a campaign that was begun, from the checkpoints of its pictures."""
    found = _begun(campaign, device)
    options = {"workers": workers, "threads": threads, "address": address or "", "carry": carry}
    _run(found, executor, as_json=as_json, rebuild=rebuild, **options)


@app.command("retry")
def retry(
    campaign: BegunArgument,
    workers: WorkersOption = None,
    threads: ThreadsOption = None,
    executor: ExecutorOption = "local",
    address: AddressOption = None,
    carry: CarryOption = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Begin the pictures again that have failed, and go on with the rest."""
    found = _begun(campaign, device)
    options = {"workers": workers, "threads": threads, "address": address or "", "carry": carry}
    _run(found, executor, as_json=as_json, again=True, **options)


@app.command("status")
def status(campaign: BegunArgument, as_json: JsonOption = False) -> None:
    """Show how far a campaign is, whether it is running or not."""
    from layered_nst.campaign.standing import status_of

    found = status_of(_folder(campaign), most=-1 if as_json else SHOWN)
    if as_json:
        print_json(found.as_dict())
        return
    _print_status(found)


@app.command("plan")
def plan(
    campaign: CampaignArgument,
    photos: PhotosArgument = None,
    output: FolderOption = None,
    workers: WorkersOption = None,
    threads: ThreadsOption = None,
    size: SizeOption = None,
    quality: QualityOption = None,
    set_: SetOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Say what a campaign will take and what is wrong with it; nothing is painted or written.

    The exit code is 1 if names clash, a row is at fault, or the disk is too small.
    """
    from layered_nst.campaign.planning import forecast

    found = _campaign(
        campaign, photos, output, device, False, _more(size=size, quality=quality, set_=set_)
    )
    told = forecast(found, workers=workers, threads=threads)
    if as_json:
        print_json(told.as_dict())
    else:
        _print_plan(told)
    if told.exit_code:
        raise typer.Exit(told.exit_code)


@app.command("report")
def report(campaign: BegunArgument, as_json: JsonOption = False) -> None:
    """Write the page, the table and the contact sheet of a campaign anew."""
    from layered_nst.campaign.reporting import write_campaign_report

    found = write_campaign_report(_folder(campaign))
    files = [str(path) for path in (found.page, found.table, found.sheet) if path is not None]
    if as_json:
        print_json({"files": files})
        return
    for file in files:
        print(file)


def _more(**options: Any) -> dict[str, Any]:
    """What options say in the words of a campaign file."""
    from layered_nst.recipe.overrides import as_mapping

    found: dict[str, Any] = {}
    changed = as_mapping(options["set_"] or [])
    if options["size"] is not None:
        changed["size"] = options["size"]
    if options["quality"] is not None:
        found["quality"] = str(options["quality"])
    return {**found, **({"set": changed} if changed else {})}


def _campaign(
    path: Path,
    photos: list[Path] | None,
    output: Path | None,
    device: str,
    no_cache: bool,
    more: dict[str, Any],
) -> Campaign:
    from layered_nst.campaign.campaign import Campaign
    from layered_nst.campaign.loading import is_campaign, load_campaign, simple

    target = None if output is None else output.absolute()
    if path.is_dir() and not photos:
        return replace(_begun(path, device), cache=not no_cache)
    if is_campaign(path) or not (photos or output):
        if photos:
            raise CampaignError(f"{path}: is a campaign; it names its photos itself")
        return Campaign(load_campaign(path, output=target, more=more), device, not no_cache)
    if target is None:
        raise CampaignError(f"{path}: is a recipe; `output` must name a folder for the pictures")
    stated = simple(path, photos or (), output=target, more=more)
    return Campaign(stated, device, not no_cache)


def _begun(path: Path, device: str) -> Campaign:
    from layered_nst.campaign.campaign import Campaign, begun_by, begun_in

    with printed_notes():
        return Campaign(begun_in(path) if path.is_dir() else begun_by(path), device)


def _folder(path: Path) -> Path:
    """The folder of a campaign's pictures; a file takes longer to read."""
    if path.is_dir():
        return path
    from layered_nst.campaign.loading import load_campaign

    return load_campaign(path).output


def _run(campaign: Campaign, executor: str, *, as_json: bool, **options: Any) -> None:
    with CampaignDisplay(quiet=as_json) as display:
        summary = campaign.run(
            executor, on_event=display.tell, on_start=display.start, on_note=note, **options
        )
    display.tell_unseen(campaign.status().failed)
    _tell_end(campaign, summary, as_json=as_json)
    if summary.exit_code:
        raise typer.Exit(SaidCode(summary.exit_code))


def _tell_end(campaign: Campaign, summary: Summary, *, as_json: bool) -> None:
    from layered_nst.campaign.hooks import tell_of_end
    from layered_nst.campaign.reporting import write_campaign_report

    files = write_campaign_report(campaign.output)
    told = {
        "title": campaign.stated.title,
        "output": str(campaign.output),
        "report": str(files.page),
        **summary.as_dict(),
    }
    notes = tell_of_end(campaign.stated.asked.finish, told)
    if as_json:
        print_json({**told, "notes": notes})
        return
    for sentence in notes:
        note(sentence)
    took = duration(summary.seconds)
    err.print(f"{_in_words(summary.counts)}  {took}", highlight=False)
    if summary.halted:
        err.print(f"[red]error:[/] {escape(summary.halted)}", highlight=False)
    if summary.interrupted:
        err.print("interrupted; `layered-nst campaign resume` goes on", highlight=False)
    err.print(f"[bold]{escape(str(files.page))}[/]", highlight=False)


def _in_words(counts: Counts) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.by_state.items())


def _print_status(found: Status) -> None:
    counts = found.counts
    active = "running" if found.active else "not running"
    out.print(f"[bold]{escape(found.title)}[/]  {active}", highlight=False)
    out.print(f"{_in_words(counts)}  {storage(counts.bytes)}", highlight=False)
    for entry in found.running:
        share = entry.progress.get("done")
        far = f"  {share:.0%}" if isinstance(share, float) else ""
        out.print(f"  {escape(entry.worker)}  {escape(entry.name)}{far}", highlight=False)
    for entry in found.failed:
        said = escape(entry.sentence)
        out.print(f"  [red]{entry.state}:[/] {escape(entry.name)}  {said}", highlight=False)
    if counts.bad > len(found.failed):
        rest = f"  and {counts.bad - len(found.failed)} more; --json and the report show all"
        out.print(rest, highlight=False)


def _print_plan(told: Forecast) -> None:
    there = f", {told.done} of them there already" if told.done else ""
    pictures = "1 picture" if told.pictures == 1 else f"{told.pictures} pictures"
    out.print(f"{pictures}{there}; {told.to_do} to paint", highlight=False)
    source = "as those before" if told.measured else "by usual rates"
    threads = "1 thread" if told.threads == 1 else f"{told.threads} threads"
    workers = f"{told.workers} at once, {threads} each"
    out.print(f"about {duration(told.seconds)} ({source}; {workers})", highlight=False)
    out.print(f"about {storage(told.bytes)}; {storage(told.free)} are free", highlight=False)
    if told.threads_measured:
        out.print(told.threads_measured, highlight=False)
    wrong = (*told.clashes, *told.problems)
    for sentence in wrong[:SHOWN]:
        out.print(f"[red]wrong:[/] {escape(sentence)}", highlight=False)
    if len(wrong) > SHOWN:
        out.print(f"and {len(wrong) - SHOWN} more; --json shows all", highlight=False)
