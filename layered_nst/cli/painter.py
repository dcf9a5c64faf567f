"""``painter``: teach one that paints at once, and score it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress

from layered_nst.cli.console import print_json, printed_notes
from layered_nst.cli.options import (
    DeviceOption,
    EncoderOption,
    JsonOption,
    MaxPixelsOption,
    SeedOption,
    WeightsOption,
    WeightsOutput,
)
from layered_nst.cli.searching import BudgetOption, FrontOption, LatencyOption, searched
from layered_nst.cli.training import (
    BatchOption,
    Bfloat16Option,
    EveryOption,
    RateOption,
    StepsOption,
    planned,
    read_pictures,
    training,
    training_bar,
)

if TYPE_CHECKING:
    from torch import Tensor

    from layered_nst.training.painters.teaching import TeachingPlan
    from layered_nst.training.searching.subjects import Subject

app = typer.Typer(help="Teach painters for quality: instant.", no_args_is_help=True)

PhotosArgument = Annotated[
    Path, typer.Argument(metavar="PHOTOS", help="Folder of photos, with all below it.")
]
StylesArgument = Annotated[
    list[Path],
    typer.Argument(metavar="STYLES...", help="Folders of styles, with all below them, and files."),
]
StartOption = Annotated[
    str | None,
    typer.Option("--start", metavar="WEIGHTS", help="Painter to go on from, such as instant."),
]
FormOption = Annotated[
    str | None,
    typer.Option(
        "--form",
        metavar="WIDTHS/DEPTHS",
        help="As `painter search` finds it. [96,48,32,16/1,1,1,0, or that of --start]",
    ),
]
CropOption = Annotated[int, typer.Option("--crop", help="Side of a crop in px, 64 to 1024.")]
SteadinessOption = Annotated[
    float,
    typer.Option(
        "--steadiness",
        help="Weight of painting alike what has moved by a few px: steadier clips, calmer strokes.",
    ),
]
VarietyOption = Annotated[
    float,
    typer.Option(
        "--variety",
        help="Share of styles made of two: in the other's colors, hues turned, side by side.",
    ),
]
SheetOption = Annotated[
    int, typer.Option("--sheet", min=1, help="Steps from sheet to sheet, OUTPUT.png.")
]


@app.command("train")
def train(
    photos: PhotosArgument,
    styles: StylesArgument,
    output: WeightsOutput = Path("own.safetensors"),
    encoder: EncoderOption = "light",
    start: StartOption = None,
    form: FormOption = None,
    steps: StepsOption = 6500,
    batch: BatchOption = 4,
    crop: CropOption = 144,
    learning_rate: RateOption = 1e-3,
    steadiness: SteadinessOption = 10.0,
    variety: VarietyOption = 0.0,
    bfloat16: Bfloat16Option = False,
    every: EveryOption = 250,
    sheet: SheetOption = 1000,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Teach a painter that paints any style at once, region by region.

    A folder that is named twice counts twice. Every 24th photo and style is not trained on: they
    score the painter, and the sheet shows them. All are held in memory, shrunk to 900 px.

    Recipes name the result as `painter: OUTPUT`. A run that was stopped goes on from its last
    checkpoint, OUTPUT.training, when the same command is given again.
    """
    from layered_nst.training.painters.teaching import TeachingPlan

    told = {"steps": steps, "batch": batch, "crop": crop, "learning_rate": learning_rate}
    weighed = {"steadiness": steadiness, "variety": variety, "bfloat16": bfloat16}
    plan = planned(TeachingPlan, **told, **weighed, **_form(form, start), seed=seed)
    read: dict[str, Any] = {
        "encoder": encoder,
        "start": start,
        "weights": weights,
        "max_pixels": max_pixels,
    }
    with training(output, every) as (bar, notes):
        scores = _taught(
            bar, photos, styles, output, plan, every=every, sheet=sheet, device=device, **read
        )
    _tell(str(output), scores, notes, as_json=as_json)


@app.command("search")
def search(
    photos: PhotosArgument,
    styles: StylesArgument,
    output: FrontOption = Path("front"),
    latency: LatencyOption = None,
    budget: BudgetOption = None,
    encoder: EncoderOption = "light",
    start: StartOption = None,
    seed: SeedOption = 0,
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search for widths and depths that paint well in little time on this machine.

    Weights that all forms share are taught, then evolution looks for forms that none beats in
    error, time and bytes, and as many are drawn by chance, to see what evolution is worth. OUTPUT
    gets the front as a table and a plot. `painter train --form` then teaches one of them.

    A search that was stopped goes on when the same command is given again.
    """

    def subject(bar: Progress) -> Subject:
        from layered_nst.instant.painter_files import load_painter
        from layered_nst.networks.encoders import load_encoder
        from layered_nst.training.painters.searching import PainterSubject

        seeing = load_encoder(encoder, weights_dir=weights)
        first = None if start is None else load_painter(start, seeing, weights_dir=weights)
        shown, looks = (_read(paths, bar, max_pixels) for paths in ([photos], styles))
        return PainterSubject(seeing, shown, looks, start=first)

    searched(subject, output, latency, budget, seed, as_json=as_json)


@app.command("score")
def score_command(
    painter: Annotated[
        str, typer.Argument(metavar="WEIGHTS", help="What `painter train` wrote, or instant.")
    ],
    photos: PhotosArgument,
    styles: StylesArgument,
    encoder: EncoderOption = "light",
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print how near a painter comes to styles, and how much of photos it keeps.

    The first is painted in the first style, the second in the second and so on, 24 pictures at
    most. Name pictures that it was not taught with.
    """
    from layered_nst.instant.painter_files import load_painter
    from layered_nst.machine.device import choose_device
    from layered_nst.networks.encoders import load_encoder
    from layered_nst.training.painters.scoring import score_painter

    chosen = choose_device(device)
    seeing = load_encoder(encoder, weights_dir=weights, device=chosen)
    loaded = load_painter(painter, seeing, weights_dir=weights, device=chosen)
    with printed_notes() as notes, training_bar() as bar:
        scores = score_painter(
            loaded, seeing, *(_read(paths, bar, max_pixels) for paths in ([photos], styles))
        )
    _tell(painter, scores, notes, as_json=as_json)


def _taught(
    bar: Progress,
    photos: Path,
    styles: list[Path],
    output: Path,
    plan: TeachingPlan,
    *,
    every: int,
    sheet: int,
    device: str,
    encoder: str,
    start: str | None,
    weights: Path | None,
    max_pixels: int | None,
) -> Mapping[str, float]:
    """Read encoder and pictures, teach, and tell how it goes."""
    from layered_nst.instant.painter_files import load_painter
    from layered_nst.machine.device import choose_device
    from layered_nst.networks.encoders import load_encoder
    from layered_nst.training.painters import teaching

    teaching.check_output(output)
    chosen = choose_device(device)
    seeing = load_encoder(encoder, weights_dir=weights, device=chosen)
    first = None if start is None else load_painter(start, seeing, weights_dir=weights)
    photos_read, styles_read = (_read(paths, bar, max_pixels) for paths in ([photos], styles))
    shown = Teaching(bar, plan.steps)
    return teaching.teach(
        seeing,
        photos_read,
        styles_read,
        output,
        plan=plan,
        start=first,
        every=every,
        sheet=sheet,
        device=chosen,
        on_step=shown.step,
        on_score=shown.score,
    )


def _read(paths: list[Path], bar: Progress, max_pixels: int | None) -> list[Tensor]:
    from layered_nst.training.encoders.pictures import find_pictures

    return read_pictures(find_pictures(paths), bar, max_pixels)


def _form(text: str | None, start: str | None) -> dict[str, Any]:
    """The form that is asked for, if one is."""
    if text is None:
        return {}
    if start is not None:
        raise typer.BadParameter("--form: the painter of --start has a form of its own; name one")
    from layered_nst.instant.network import Form

    try:
        return {"form": Form.of(text)}
    except ValueError as error:
        sentence = str(error) if "allowed" in str(error) else f"{text}: {error}"
        raise typer.BadParameter(f"--form: {sentence}") from error


def _tell(painter: str, scores: Mapping[str, float], notes: Any, *, as_json: bool) -> None:
    if as_json:
        print_json({"painter": painter, "scores": dict(scores), "notes": notes})
    else:
        print(f"{painter}  {_in_words(scores)}")


def _in_words(scores: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.3f}" for name, value in scores.items())


class Teaching:
    """The bar of a teaching, and a line for each of its checkpoints."""

    def __init__(self, bar: Progress, steps: int) -> None:
        self.bar, self.steps = bar, steps
        self.task: Any = None
        self.terms: Mapping[str, float] = {}

    def step(self, step: int, steps: int, terms: Mapping[str, float]) -> None:
        if self.task is None:
            self.task = self.bar.add_task("", total=steps, completed=step)
        self.terms = terms
        said = f"step {step}/{steps}  style {terms['style']:.2f}  content {terms['content']:.2f}"
        self.bar.update(self.task, completed=step, description=said)

    def score(self, step: int, scores: Mapping[str, float]) -> None:
        loss = "  ".join(f"{name} {value:.3f}" for name, value in self.terms.items())
        self.bar.console.print(
            f"step {step}/{self.steps}  {_in_words(scores)}  (loss: {loss})", highlight=False
        )
