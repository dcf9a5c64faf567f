"""``encoder``: distill a light one from pictures of your own, and score it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table

from layered_nst.cli.console import out, print_json, printed_notes
from layered_nst.cli.options import (
    DeviceOption,
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
    counted,
    planned,
    read_pictures,
    training,
    training_bar,
)
from layered_nst.errors import ModelError

if TYPE_CHECKING:
    from layered_nst.training.encoders.matching import DistillPlan
    from layered_nst.training.encoders.scoring import LayerScore
    from layered_nst.training.searching.subjects import Subject

app = typer.Typer(help="Distill light encoders from your own pictures.", no_args_is_help=True)

PhotosArgument = Annotated[
    list[Path],
    typer.Argument(metavar="PHOTOS...", help="Folders, with all below them, and pictures."),
]


StartOption = Annotated[
    str | None,
    typer.Option(
        "--start",
        metavar="WEIGHTS",
        help="Light encoder to train on, as wide as it is: light, or what this wrote.",
    ),
]


class Teacher(StrEnum):
    """Encoders that are wide enough to learn from."""

    HED_VGG16 = "hed-vgg16"
    VGG16 = "vgg16"
    VGG19 = "vgg19"


TeacherOption = Annotated[Teacher, typer.Option("--teacher", help="Encoder to learn from.")]


@app.command("distill")
def distill(
    photos: PhotosArgument,
    output: WeightsOutput = Path("own.safetensors"),
    teacher: TeacherOption = Teacher.HED_VGG16,
    width: Annotated[
        float | None,
        typer.Option("--width", help="Channels as a share of the teacher's, above 0 to 1. [0.25]"),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--form",
            metavar="WIDTHS",
            help="Channels of each layer, as `encoder search` finds them. [by --width]",
        ),
    ] = None,
    start: StartOption = None,
    steps: StepsOption = 6000,
    batch: BatchOption = 8,
    crop: Annotated[int, typer.Option("--crop", help="Side of a crop in px, 32 to 1024.")] = 144,
    learning_rate: RateOption = 1e-3,
    bfloat16: Bfloat16Option = False,
    every: EveryOption = 250,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a light encoder that sees your pictures as a wide one does.

    PHOTOS are what recipes will show it, photos and styles alike; a folder that is named twice
    counts twice. Every 24th picture is not trained on, and scores the encoder. The pictures are
    held in memory, shrunk to 900 px: 1.8 MB for one of 900×675 px, 1.8 GB for a thousand.

    Recipes name the result as `encoder: OUTPUT`. A run that was stopped goes on from its last
    checkpoint, OUTPUT.training, when the same command is given again.
    """
    from layered_nst.training.encoders.matching import DistillPlan

    plan = planned(
        DistillPlan,
        **_widths(width, form, start),
        steps=steps,
        batch=batch,
        crop=crop,
        learning_rate=learning_rate,
        bfloat16=bfloat16,
        seed=seed,
    )
    with training(output, every) as (bar, notes):
        scores = _distilled(
            bar,
            photos,
            output,
            plan,
            teacher=teacher.value,
            start=start,
            every=every,
            device=device,
            weights=weights,
            max_pixels=max_pixels,
        )
    if as_json:
        print_json({"encoder": str(output), "unexplained": dict(scores), "notes": notes})
    else:
        print(f"{output}  unexplained: {_main_errors(scores)}")


def _widths(width: float | None, form: str | None, start: str | None) -> dict[str, Any]:
    """How wide a student is to be, if that is asked for."""
    asked = {"--width": width, "--form": form, "--start": start}
    several = [name for name, value in asked.items() if value is not None]
    if len(several) > 1:
        what = "the encoder of --start has widths of its own" if start else "both tell widths"
        raise typer.BadParameter(f"{several[0]}: {what}; name one")
    if form is None:
        return {} if width is None else {"width": width}
    try:
        return {"form": tuple(int(number) for number in form.split(","))}
    except ValueError:
        said = f"--form {form}: allowed: a whole number for each layer, such as 32,16,32"
        raise typer.BadParameter(said) from None


def _distilled(
    bar: Progress,
    photos: list[Path],
    output: Path,
    plan: DistillPlan,
    *,
    teacher: str,
    start: str | None,
    every: int,
    device: str,
    weights: Path | None,
    max_pixels: int | None,
) -> Mapping[str, float]:
    """Read encoders and pictures, train, and tell how it goes."""
    from layered_nst.machine.device import choose_device
    from layered_nst.networks.encoders import load_encoder
    from layered_nst.training.encoders import distilling
    from layered_nst.training.encoders.pictures import find_pictures

    distilling.check_output(output)
    chosen, paths = choose_device(device), find_pictures(photos)
    wide = load_encoder(teacher, weights_dir=weights, device=chosen)
    first = None if start is None else load_encoder(start, weights_dir=weights)
    pictures = read_pictures(paths, bar, max_pixels)
    shown = Training(bar, len(pictures), plan.steps)
    return distilling.distill(
        wide,
        pictures,
        output,
        plan=plan,
        start=first,
        every=every,
        device=chosen,
        on_step=shown.step,
        on_score=shown.score,
    )


@app.command("search")
def search(
    photos: PhotosArgument,
    output: FrontOption = Path("front"),
    latency: LatencyOption = None,
    budget: BudgetOption = None,
    teacher: TeacherOption = Teacher.HED_VGG16,
    start: Annotated[
        str | None,
        typer.Option(
            "--start", metavar="WEIGHTS", help="Light encoder to begin with, such as light."
        ),
    ] = None,
    seed: SeedOption = 0,
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search for widths of a light encoder that sees well in little time on this machine.

    Weights that all widths share are taught by a wide encoder, then evolution looks for widths that
    none beats in error, time and bytes, and as many are drawn by chance, to see what evolution is
    worth. OUTPUT gets the front as a table and a plot. `encoder distill --form` then trains one.

    A search that was stopped goes on when the same command is given again.
    """

    def subject(bar: Progress) -> Subject:
        from layered_nst.networks.encoders import load_encoder
        from layered_nst.training.encoders.pictures import find_pictures
        from layered_nst.training.encoders.searching import EncoderSubject

        wide = load_encoder(teacher.value, weights_dir=weights)
        first = None if start is None else load_encoder(start, weights_dir=weights)
        pictures = read_pictures(find_pictures(photos), bar, max_pixels)
        return EncoderSubject(wide, pictures, start=first)

    searched(subject, output, latency, budget, seed, as_json=as_json)


class Training:
    """The bar of a training, and a line for each of its checkpoints."""

    def __init__(self, bar: Progress, pictures: int, steps: int) -> None:
        self.bar, self.steps = bar, steps
        self.task = bar.add_task(f"choosing channels by {pictures} pictures", total=None)
        self.first = True
        self.loss = math.nan

    def step(self, step: int, steps: int, loss: float) -> None:
        if self.first:
            # A new task, or steps of an earlier run would count for the speed of this one.
            self.bar.remove_task(self.task)
            self.task = self.bar.add_task("", total=steps, completed=step)
            self.first = False
        smooth = loss if math.isnan(self.loss) else self.loss + 0.05 * (loss - self.loss)
        self.loss = smooth
        said = f"step {step}/{steps}  loss {smooth:.3f}"
        self.bar.update(self.task, completed=step, description=said)

    def score(self, step: int, scores: Mapping[str, float]) -> None:
        self.bar.console.print(
            f"step {step}/{self.steps}  loss {self.loss:.3f}  unexplained: {_main_errors(scores)}",
            highlight=False,
        )


def _main_errors(scores: Mapping[str, float]) -> str:
    from layered_nst.training.encoders.matching import MAIN_LAYERS

    return "  ".join(f"{layer} {scores[layer]:.1%}" for layer in MAIN_LAYERS)


@app.command("score")
def score_command(
    encoder: Annotated[
        str,
        typer.Argument(metavar="WEIGHTS", help="What `encoder distill` wrote, or light."),
    ],
    photos: PhotosArgument,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
    max_pixels: MaxPixelsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print how much of what its teacher sees in pictures a light encoder does not.

    Name pictures that it was not trained on, some dozens of them: each is scored by what the
    others tell of how the two correspond, so with few of them an encoder looks worse than it is.
    """
    from layered_nst.machine.device import choose_device
    from layered_nst.networks.encoders import load_encoder
    from layered_nst.training.encoders.pictures import find_pictures
    from layered_nst.training.encoders.scoring import score_encoder

    chosen, teacher = choose_device(device), _teacher_of(encoder, weights)
    with printed_notes() as notes, training_bar() as bar:
        pictures = read_pictures(find_pictures(photos), bar, max_pixels)
        with counted(bar, "scoring") as tell:
            scores = score_encoder(
                load_encoder(encoder, weights_dir=weights, device=chosen),
                load_encoder(teacher, weights_dir=weights, device=chosen),
                pictures,
                on_picture=tell,
            )
    if as_json:
        layers = {score.layer: _told(score) for score in scores}
        print_json({"encoder": encoder, "teacher": teacher, "layers": layers, "notes": notes})
    else:
        out.print(_table(scores, teacher))


def _teacher_of(encoder: str, weights: Path | None) -> str:
    from layered_nst.networks.encoders.encoder import encoder_path
    from layered_nst.networks.encoders.encoder_files import read_encoder_file

    path = encoder_path(encoder, weights_dir=weights)
    if path.suffix != ".safetensors":
        raise ModelError(f"{encoder}: was not distilled from another encoder; name one that was")
    teacher = read_encoder_file(path).notes.get("teacher")
    if not isinstance(teacher, str):
        raise ModelError(f"{path}: does not say which encoder it was distilled from")
    return teacher


def _told(score: LayerScore) -> dict[str, Any]:
    return {
        "channels": score.channels,
        "teacher_channels": score.wide,
        "unexplained": score.unexplained,
    }


def _table(scores: Sequence[LayerScore], teacher: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("layer")
    for heading in ("channels", teacher, "unexplained"):
        table.add_column(heading, justify="right")
    for score in scores:
        table.add_row(score.layer, str(score.channels), str(score.wide), f"{score.unexplained:.1%}")
    return table
