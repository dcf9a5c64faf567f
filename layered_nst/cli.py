"""The command line: parse, call, print."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn
from rich.table import Column, Table
from rich.text import Text

from layered_nst.errors import Interrupted, LayeredNstError, LayeredNstWarning, OutputError

if TYPE_CHECKING:
    from layered_nst.optimize import Progress as Step
    from layered_nst.plan import Plan
    from layered_nst.result import Result
    from layered_nst.scene import Scene

# torch takes seconds to import, so each command imports what it needs and --help stays quick.

app = typer.Typer(
    name="layered-nst",
    help="Restyle a photo region by region, as a recipe says.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
segmenter_app = typer.Typer(
    help="Train and score segmenters on your own photos.", no_args_is_help=True
)
app.add_typer(segmenter_app, name="segmenter")
models_app = typer.Typer(help="List the models, or fetch one.", invoke_without_command=True)
app.add_typer(models_app, name="models")

# Names of files and regions are the user's: a :cat: among them is no emoji.
out = Console(soft_wrap=True, emoji=False)
err = Console(stderr=True, soft_wrap=True, emoji=False)

# Long enough not to slow the work, short enough that a look at the file is worth it.
PREVIEW_SECONDS = 20.0


class Quality(StrEnum):
    """Presets of ``optimize.quality``."""

    DRAFT = "draft"
    STANDARD = "standard"
    FINE = "fine"


RecipeArgument = Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe (YAML).")]
PhotoArgument = Annotated[Path, typer.Argument(metavar="PHOTO", help="Photo.")]
ContentOption = Annotated[
    Path | None, typer.Option("--content", "-c", help="Photo, in place of the recipe's own.")
]
SizeOption = Annotated[
    int | None,
    typer.Option("--size", min=1, max=32768, help="Longest side of the result in px."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override, e.g. regions.sky.strength=0.5."),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="cpu, cuda, mps, or auto for the fastest there is.")
]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", metavar="DIR", help="Folder with fetched weights.")
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="An empty region is an error, not a note.")
]
MaxPixelsOption = Annotated[
    int | None, typer.Option("--max-pixels", min=1, help="Largest picture that is read, in pixels.")
]
StepsOption = Annotated[int | None, typer.Option("--steps", min=0, help="Steps at each level.")]
QualityOption = Annotated[
    Quality | None, typer.Option("--quality", help="How long to work on it.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]


@app.callback()
def _main(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    context.ensure_object(dict)["debug"] = debug


@app.command()
def apply(
    recipe: RecipeArgument,
    content: ContentOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Result; its suffix names the format. [RECIPE.png]"),
    ] = None,
    size: SizeOption = None,
    set_: SetOption = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the random numbers.")] = None,
    device: DeviceOption = "auto",
    steps: StepsOption = None,
    quality: QualityOption = None,
    weights: WeightsOption = None,
    strict: StrictOption = False,
    max_pixels: MaxPixelsOption = None,
    no_preview: Annotated[
        bool, typer.Option("--no-preview", help="Keep no OUT.preview.png while working.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Restyle a photo and write the picture.

    A preview that grows sharper is kept beside the output. Ctrl-C saves the picture so far as
    OUT.partial.png.
    """
    from layered_nst import api
    from layered_nst.result import check_writable, files_of

    overrides = _overrides(set_, seed=seed, steps=steps, quality=quality)
    loaded = api.load(recipe, content, size=size, overrides=overrides)
    target = output or Path(f"{recipe.stem}.{loaded.output.format or 'png'}")
    check_writable(target, keep=files_of(loaded))
    shown = _Display(target, quiet=as_json, preview=not no_preview)
    with _notes() as notes, shown as display:
        try:
            result = api.apply(
                loaded,
                content,
                device=device,
                strict=strict,
                weights_dir=weights,
                **_max_pixels(max_pixels),
                on_scene=display.scene,
                on_progress=display.step,
            )
        except Interrupted as stop:
            raise _saved_partial(stop, target) from None
        except KeyboardInterrupt:
            raise _saved_partial(Interrupted("interrupted"), target) from None
        with _undisturbed():
            result.save(target)
    _report(result, target, as_json, notes)


def _saved_partial(stop: Interrupted, target: Path) -> Interrupted:
    if stop.partial is None:
        return Interrupted("interrupted before the first step; nothing was written")
    with _undisturbed():
        path = stop.partial.save(target.with_name(f"{target.stem}.partial.png"))
    return Interrupted(f"interrupted; the picture so far is {path}")


def _report(result: Result, target: Path, as_json: bool, notes: list[str]) -> None:
    width, height = result.image.size
    if not as_json:
        err.print(
            f"[bold]{escape(str(target))}[/]  {width}×{height} px  {_duration(result.seconds)}",
            highlight=False,
        )
        return
    _print_json(
        {
            "output": str(target),
            "width": width,
            "height": height,
            "seconds": round(result.seconds, 2),
            "coverage": result.coverage,
            "losses": dict(result.losses[-1]) if result.losses else {},
            "notes": [*notes, *result.notes],
            "seed": result.recipe.optimize.seed,
        }
    )


class _LossColumn(ProgressColumn):
    """Losses by region, cut where the line ends: a second line would make the bar jump."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["losses"], "dim", no_wrap=True, overflow="ellipsis")


class _PlainColumn(ProgressColumn):
    """A field that is never cut."""

    def __init__(self, field: str) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self.field = field

    def render(self, task: Task) -> Text:
        return Text(task.fields[self.field])


class _Display:
    """A progress bar on the terminal and a preview file beside the output."""

    def __init__(self, target: Path, *, quiet: bool, preview: bool) -> None:
        self.file = target.with_name(f"{target.stem}.preview.png") if preview else None
        self.quiet = quiet
        self.level = ("", 0)
        self.previewed_at = 0.0
        self.bar = Progress(
            _PlainColumn("where"),
            BarColumn(bar_width=24),
            TaskProgressColumn(table_column=Column(no_wrap=True)),
            _PlainColumn("left"),
            _LossColumn(),
            console=err,
            disable=quiet or not err.is_terminal,
        )

    def __enter__(self) -> _Display:
        self.bar.start()
        self.task = self.bar.add_task("", total=1.0, where="preparing", left="", losses="")
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()
        if self.file is not None:
            self.file.unlink(missing_ok=True)

    def scene(self, scene: Scene, plan: Plan) -> None:
        if not self.quiet:
            _print_scene(scene)

    def step(self, step: Step) -> None:
        from layered_nst.optimize import region_losses

        height, width = step.size
        where = f"{step.stage} {step.level}/{step.levels}  {width}×{height} px"
        losses = "  ".join(f"{k} {v:.3f}" for k, v in region_losses(step.losses).items())
        self.bar.update(
            self.task,
            completed=step.done,
            where=f"{where}  step {step.step}/{step.steps}",
            left=f"{_duration(step.seconds_left)} left",
            losses=losses,
        )
        is_new_level = self.level != (step.stage, step.level)
        self.level = (step.stage, step.level)
        if is_new_level and self.bar.disable and not self.quiet:
            err.print(escape(f"{where}  {losses}"), style="dim", highlight=False)
        if is_new_level or time.monotonic() - self.previewed_at > PREVIEW_SECONDS:
            self._preview(step)

    def _preview(self, step: Step) -> None:
        if self.file is None:
            return
        from layered_nst.picture import write_picture

        try:
            write_picture(self.file, step.picture.clamp(0, 1).cpu())
        except OutputError as error:
            # A look ahead is not worth the hours that went into the picture.
            self.file = None
            _note(f"no more previews: {error}")
        self.previewed_at = time.monotonic()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _print_scene(scene: Scene) -> None:
    height, width = scene.size
    device = scene.picture.rgb.device.type
    name = escape(scene.recipe.name or "recipe")
    err.print(f"[bold]{name}[/]  {width}×{height} px on {device}", highlight=False)
    err.print(_region_table(scene))
    for note in scene.notes:
        _note(note)


def _region_table(scene: Scene) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("region", "coverage", "style", "strength"):
        table.add_column(heading, justify="right" if heading == "coverage" else "left")
    named = {region.name: region for region in scene.recipe.regions}
    for name, share in scene.masks.coverage.items():
        region = named.get(name)
        styles = scene.styles.get(name) or []
        total = sum(style.weight for style in styles)
        words = ", ".join(
            Path(s.source).name + (f" {s.weight / total:.0%}" if len(styles) > 1 else "")
            for s in styles
        )
        strength = f"{region.strength:g}" if region and styles else ""
        table.add_row(
            escape(name), f"{share:.1%}", escape(words) or "(the photo as it is)", strength
        )
    return table


@app.command()
def check(
    recipe: RecipeArgument,
    content: ContentOption = None,
    size: SizeOption = None,
    set_: SetOption = None,
    device: DeviceOption = "auto",
    steps: StepsOption = None,
    quality: QualityOption = None,
    weights: WeightsOption = None,
    strict: StrictOption = False,
    max_pixels: MaxPixelsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a recipe finds in its photo and what it would cost; nothing is optimized."""
    from layered_nst import api
    from layered_nst.device import choose_device
    from layered_nst.estimate import estimate
    from layered_nst.features import load_encoder
    from layered_nst.scene import thin_notes

    loaded = api.load(
        recipe, content, size=size, overrides=_overrides(set_, steps=steps, quality=quality)
    )
    chosen = choose_device(device)
    started = time.perf_counter()
    with _notes() as warned:
        scene, plan = api.prepare(
            loaded,
            content,
            device=chosen,
            strict=strict,
            weights_dir=weights,
            **_max_pixels(max_pixels),
        )
        encoder = load_encoder(loaded.encoder, weights_dir=weights, device=chosen)
        preparation = time.perf_counter() - started
        cost = estimate(scene, plan, encoder)
    notes = scene.notes + thin_notes(scene, encoder, plan)
    if as_json:
        _print_json(
            {
                "width": scene.size[1],
                "height": scene.size[0],
                "coverage": scene.masks.coverage,
                "levels": [[level.longest, level.steps] for level in plan.levels],
                "seconds": round(preparation + cost.seconds, 1),
                "megabytes": round(cost.memory / 1e6),
                "notes": [*warned, *notes],
            }
        )
        return
    name, (height, width) = escape(loaded.name or str(recipe)), scene.size
    out.print(f"[bold]{name}[/]  {width}×{height} px on {chosen}", highlight=False)
    out.print(_region_table(scene))
    levels = ", ".join(f"{level.longest} px × {level.steps}" for level in plan.levels)
    out.print(f"levels    {levels}", highlight=False)
    out.print(f"time      about {_duration(preparation + cost.seconds)}", highlight=False)
    out.print(f"memory    about {cost.memory / 1e9:.1f} GB", highlight=False)
    for note in notes:
        _note(note)


@app.command()
def masks(
    source: Annotated[Path, typer.Argument(metavar="RECIPE|PHOTO", help="Recipe or photo.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write to.")
    ],
    content: ContentOption = None,
    size: SizeOption = None,
    set_: SetOption = None,
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
) -> None:
    """Write one PNG for each region and a colored overlay with names.

    For a photo, the regions are the classes that the bundled segmenter finds.
    """
    from layered_nst.findings import photo_masks, recipe_masks, write_masks

    with _notes():
        if source.suffix.lower() in (".yaml", ".yml"):
            found = recipe_masks(
                source,
                content,
                size=size,
                overrides=set_ or (),
                weights_dir=weights,
                **_max_pixels(max_pixels),
            )
        else:
            found = photo_masks(source, size=size, weights_dir=weights, **_max_pixels(max_pixels))
    for path in write_masks(found, output):
        print(path)
    for note in found.notes:
        _note(note)


@app.command("segment")
def segment_command(
    photo: PhotoArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Overlay. [PHOTO.segments.png]")
    ] = None,
    segmenter: Annotated[
        str, typer.Option(help="A name that `layered-nst models` lists, or a .safetensors file.")
    ] = "scenes",
    size: Annotated[
        int | None,
        typer.Option("--size", min=1, help="Longest side of the overlay in px. [1024]"),
    ] = None,
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the classes found in a photo, with their share, and write an overlay."""
    from layered_nst.findings import photo_masks, write_overlay
    from layered_nst.result import check_writable

    target = output or photo.with_name(f"{photo.stem}.segments.png")
    check_writable(target, keep=(photo,))
    with _notes() as notes:
        found = photo_masks(
            photo, size=size, segmenter=segmenter, weights_dir=weights, **_max_pixels(max_pixels)
        )
    path = write_overlay(found, target)
    shares = dict(sorted(found.coverage.items(), key=lambda item: -item[1]))
    if as_json:
        _print_json({"overlay": str(path), "classes": shares, "notes": notes})
        return
    for name, share in shares.items():
        print(f"{share:6.1%}  {name}")
    print(path)


@app.command()
def new(
    photo: PhotoArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Recipe to write.")] = Path(
        "recipe.yaml"
    ),
    style: Annotated[
        list[Path] | None,
        typer.Option("--style", help="Style picture; may be given several times."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing recipe.")] = False,
    weights: WeightsOption = None,
) -> None:
    """Write a commented starter recipe with the regions that segmentation finds."""
    from layered_nst.findings import photo_masks
    from layered_nst.starter import write_starter

    with _notes():
        found = photo_masks(photo, weights_dir=weights)
    write_starter(output, photo, found.coverage, styles=style or (), force=force)
    print(output)
    if not style:
        _note("no style yet: give a region of the recipe one, or run this again with --style")


@app.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for editors that complete and check them."""
    from layered_nst.recipe import json_schema

    print(json.dumps(json_schema(), indent=2))


@models_app.callback()
def models(context: typer.Context, weights: WeightsOption = None) -> None:
    """List the models: what for, size, license, and whether they are on this machine."""
    from layered_nst.weights.catalogue import CATALOGUE, is_present

    if context.invoked_subcommand is not None:
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "kind", "here", "MB", "license", "note"):
        table.add_column(heading, justify="right" if heading == "MB" else "left", overflow="fold")
    for model in CATALOGUE.values():
        here = is_present(model.name, weights_dir=weights)
        where = "bundled" if model.bundled else "yes" if here else "no"
        table.add_row(
            model.name, model.kind, where, f"{model.megabytes:.0f}", model.licence, model.note
        )
    Console(width=max(out.width, 120)).print(table)


@models_app.command("fetch")
def fetch_model(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A name that `layered-nst models` lists.")
    ],
    weights: WeightsOption = None,
) -> None:
    """Download a model's weights, and print where they are."""
    from layered_nst.weights.catalogue import fetch

    print(fetch(name, weights_dir=weights, progress=True))


@segmenter_app.command("train")
def train(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder with images/, labels/ and lists.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Weights (.safetensors).")],
    imagenet: Annotated[
        Path | None, typer.Option(help="EfficientNet-Lite0 ImageNet weights to start from.")
    ] = None,
    epochs: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIDE:EPOCHS", help="Crop side and epochs; may be given several times."
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=2, help="Crops in a step.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 0,
    device: DeviceOption = "auto",
) -> None:
    """Train the bundled architecture on your own photos and classes.

    DATA holds images/NAME.jpg, labels/NAME.png (class indices, 255 = not labelled), classes.txt,
    train.txt and val.txt. A run that was stopped goes on where the last epoch ended.
    """
    from layered_nst.device import choose_device
    from layered_nst.segmentation.dataset import read_labelled_photos
    from layered_nst.segmentation.training import Epoch, TrainingPlan, train_segmenter

    phases: dict[str, Any] = {"phases": _phases(epochs)} if epochs else {}
    with _notes(), Progress(console=err) as bar:
        task = bar.add_task("epoch", total=None)

        def on_step(step: int, steps: int, loss: float) -> None:
            bar.update(task, completed=step, total=steps, description=f"loss {loss:.3f}")

        def on_epoch(epoch: Epoch) -> None:
            bar.console.print(
                f"epoch {epoch.number}/{epoch.of}  loss {epoch.loss:.3f}  "
                f"mean IoU {epoch.score.mean_iou:.4f}  accuracy {epoch.score.accuracy:.4f}  "
                f"best {epoch.best:.4f}",
                highlight=False,
            )

        score = train_segmenter(
            read_labelled_photos(data),
            output,
            plan=TrainingPlan(batch=batch, seed=seed, **phases),
            imagenet=imagenet,
            device=choose_device(device),
            on_step=on_step,
            on_epoch=on_epoch,
        )
    print(f"{output}  mean IoU {score.mean_iou:.4f}  accuracy {score.accuracy:.4f}")


def _phases(texts: list[str]) -> tuple[tuple[int, int], ...]:
    try:
        return tuple((int(side), int(count)) for side, count in (t.split(":") for t in texts))
    except ValueError as error:
        raise typer.BadParameter(
            f"--epochs {' '.join(texts)}: write SIDE:EPOCHS, e.g. 224:8"
        ) from error


@segmenter_app.command("score")
def score_command(
    weights: Annotated[
        Path, typer.Argument(metavar="WEIGHTS", help="What `segmenter train` wrote.")
    ],
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder with images/, labels/ and lists.")
    ],
    sheet: Annotated[Path, typer.Option(help="Sheet of photos, predicted and true masks.")] = Path(
        "score.png"
    ),
) -> None:
    """Print accuracy, IoU per class and confusion on val.txt, and write a sheet of masks."""
    from layered_nst.segmentation.dataset import read_labelled_photos
    from layered_nst.segmentation.scoring import score_segmenter
    from layered_nst.segmentation.sheet import score_sheet

    labelled = read_labelled_photos(data)
    with _notes(), Progress(console=err) as bar:
        task = bar.add_task("scoring", total=len(labelled.val))
        score = score_segmenter(
            weights, labelled, on_photo=lambda done, of: bar.update(task, completed=done, total=of)
        )
    print(score.table(labelled.classes))
    print(score.summary())
    picture = score_sheet(weights, labelled)
    picture.save(sheet)
    print(sheet)


def _note(sentence: str) -> None:
    err.print(f"[yellow]note:[/] {escape(sentence)}", highlight=False)


def _overrides(texts: list[str] | None, **options: Any) -> list[str]:
    given = [f"optimize.{key}={value}" for key, value in options.items() if value is not None]
    return [*(texts or ()), *given]


def _max_pixels(limit: int | None) -> dict[str, Any]:
    return {} if limit is None else {"max_pixels": limit}


@contextmanager
def _notes() -> Iterator[list[str]]:
    """Print the package's warnings as notes, one line each, and keep them."""
    kept: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", LayeredNstWarning)
        usual = warnings.showwarning

        def show(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, LayeredNstWarning):
                kept.append(str(message))
                _note(str(message))
            else:
                usual(message, category, *rest, **more)

        warnings.showwarning = show
        yield kept


def _print_json(value: dict[str, Any]) -> None:
    # A loss may be infinite, which JSON has no word for.
    finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
    print(json.dumps(finite, ensure_ascii=False))


class _Stop:
    """Signal handler: a shutdown or a closed terminal ends the work as Ctrl-C does.

    It remembers, because libraries that are interrupted while they are imported may raise
    something else than KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.asked = False
        for number in _STOPPING:
            # Who starts us with a signal ignored, such as nohup, wants it ignored.
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        raise KeyboardInterrupt


_STOPPING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Finish writing a picture even if Ctrl-C is hit again."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    stop = _Stop()
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        code = app(standalone_mode=False, prog_name="layered-nst") or 0
        sys.stdout.flush()
    except LayeredNstError as error:
        code = _failed(error, error.exit_code, debug)
    except typer.Exit as leave:
        code = leave.exit_code
    except (KeyboardInterrupt, typer.Abort) as error:
        code = _failed(error, 130, debug, "interrupted")
    except (BrokenPipeError, SystemExit):
        # Typer itself meets a broken pipe with SystemExit, and nothing else here raises that.
        code = _unread()
    except Exception as error:
        code = _failed(error, 130, debug, "interrupted") if stop.asked else _other(error, debug)
    sys.exit(code)


def _unread() -> int:
    """Whoever read our output, such as ``head``, has seen enough."""
    # Python flushes once more at exit and would complain again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _other(error: Exception, debug: bool) -> int:
    if hasattr(error, "exit_code") and hasattr(error, "show"):
        error.show()
        return int(error.exit_code)
    if isinstance(error, MemoryError) or "not enough memory" in str(error):
        return _failed(error, 3, debug, "out of memory; try a smaller --size")
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return _failed(error, 3, debug, f"{place}{error.strerror or error}")
    sentence = f"unexpected {type(error).__name__}: {error} (run with --debug to see where)"
    return _failed(error, 1, debug, sentence)


def _failed(error: BaseException, code: int, debug: bool, sentence: str | None = None) -> int:
    if debug:
        traceback.print_exception(error)
    label = "" if code == 130 else "[red]error:[/] "
    err.print(label + escape(sentence or str(error)), highlight=False)
    return code


if __name__ == "__main__":
    main()
