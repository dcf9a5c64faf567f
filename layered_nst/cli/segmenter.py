"""``segmenter``: train and score one on photos of your own."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress

from layered_nst.cli.console import print_json, printed_notes
from layered_nst.cli.options import (
    DataArgument,
    DeviceOption,
    JsonOption,
    SeedOption,
    SegmentersArgument,
    WeightsOutput,
)
from layered_nst.cli.training import counted, resumable, training_bar

if TYPE_CHECKING:
    from layered_nst.training.segmenters.scoring import SegmentationScore
    from layered_nst.training.segmenters.training import Epoch, TrainingPlan

app = typer.Typer(help="Train and score segmenters on your own photos.", no_args_is_help=True)


class Precision(StrEnum):
    """What a training multiplies in."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


@app.command("train")
def train(
    data: DataArgument,
    output: WeightsOutput = Path("own.safetensors"),
    imagenet: Annotated[
        Path | None,
        typer.Option("--imagenet", help="ImageNet weights of the encoder to start from."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--start",
            metavar="WEIGHTS",
            help="Segmenter to go on from: scenes, or what this wrote.",
        ),
    ] = None,
    lite: Annotated[
        int,
        typer.Option(
            "--lite", min=0, max=2, help="EfficientNet-Lite encoder: larger, slower, better."
        ),
    ] = 0,
    width: Annotated[int, typer.Option("--width", min=8, help="Channels of the decoder.")] = 128,
    epochs: Annotated[
        list[str] | None,
        typer.Option(
            "--epochs",
            metavar="SIDE:EPOCHS",
            help="Crop side in px and epochs; may be given several times. [224:9, 288:10, 352:2]",
        ),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=2, help="Crops in a step.")] = 8,
    drop_path: Annotated[
        float,
        typer.Option(
            "--drop-path", min=0, max=0.9, help="Stochastic depth, against learning by heart."
        ),
    ] = 0.0,
    mix: Annotated[
        float,
        typer.Option(
            "--mix", min=0, max=1, help="Share of crops overlaid in part by another (CutMix)."
        ),
    ] = 0.0,
    least_share: Annotated[
        float,
        typer.Option(
            "--least-share", min=0, max=1, help="Smallest share of a photo that a crop shows."
        ),
    ] = 0.15,
    precision: Annotated[
        Precision,
        typer.Option("--precision", help="bfloat16 is faster where the device multiplies it."),
    ] = Precision.FLOAT32,
    learning_rate: Annotated[
        float,
        typer.Option(
            "--learning-rate", min=0, help="Of the head, at its highest; a fifth for the encoder."
        ),
    ] = 1e-3,
    dice: Annotated[
        float,
        typer.Option("--dice", min=0, help="Weight of the Dice loss beside the cross-entropy."),
    ] = 0.5,
    teacher_share: Annotated[
        float,
        typer.Option(
            "--teacher-share", min=0, max=1, help="Of soft labels, where there are labels too."
        ),
    ] = 0.5,
    balance: Annotated[
        bool, typer.Option("--balance/--no-balance", help="Draw photos of rare classes more often.")
    ] = True,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train the bundled architecture on your own photos and classes.

    DATA holds images/NAME.jpg, labels/NAME.png (class indices, 255 = not labeled), classes.txt,
    train.txt and val.txt. Soft labels that `segmenter teach` wrote are learned from too. A run that
    was stopped goes on where the last epoch ended.
    """
    from layered_nst.networks.segmenters.network import LITE
    from layered_nst.training.segmenters.training import TrainingPlan

    if start is not None and imagenet is not None:
        raise typer.BadParameter("--start and --imagenet: a training starts from one of them")
    phases: dict[str, Any] = {"phases": _phases(epochs)} if epochs else {}
    plan = TrainingPlan(
        batch=batch,
        seed=seed,
        encoder=LITE[lite],
        decoder_channels=width,
        drop_path=drop_path,
        mix=mix,
        least_share=least_share,
        precision=precision.value,
        learning_rate=learning_rate,
        dice=dice,
        teacher_share=teacher_share,
        balance=balance,
        **phases,
    )
    with printed_notes() as notes, resumable(output, "epoch 1"):
        score = _trained(data, output, plan, imagenet=imagenet, start=start, device=device)
    if as_json:
        print_json({"weights": str(output), **_told(score), "notes": notes})
    else:
        print(f"{output}  mean IoU {score.mean_iou:.4f}  accuracy {score.accuracy:.4f}")


def _trained(
    data: Path,
    output: Path,
    plan: TrainingPlan,
    *,
    imagenet: Path | None,
    start: str | None,
    device: str,
) -> SegmentationScore:
    from layered_nst.machine.device import choose_device
    from layered_nst.networks.segmenters.segmenter import segmenter_path
    from layered_nst.training.segmenters.dataset import read_labeled_photos
    from layered_nst.training.segmenters.training import train_segmenter

    weights = None if start is None else segmenter_path(start)
    with training_bar() as bar:
        shown = _Epochs(bar)
        return train_segmenter(
            read_labeled_photos(data),
            output,
            plan=plan,
            imagenet=imagenet,
            start=weights,
            device=choose_device(device),
            on_step=shown.step,
            on_epoch=shown.epoch,
        )


class _Epochs:
    """The bar of a training, and a line for each epoch."""

    def __init__(self, bar: Progress) -> None:
        self.bar = bar
        self.task = bar.add_task("reading labels", total=None)

    def step(self, step: int, steps: int, loss: float) -> None:
        self.bar.update(self.task, completed=step, total=steps, description=f"loss {loss:.3f}")

    def epoch(self, epoch: Epoch) -> None:
        self.bar.console.print(
            f"epoch {epoch.number}/{epoch.of}  loss {epoch.loss:.3f}  "
            f"mean IoU {epoch.score.mean_iou:.4f}  accuracy {epoch.score.accuracy:.4f}  "
            f"best {epoch.best:.4f}",
            highlight=False,
        )


def _told(score: SegmentationScore) -> dict[str, float]:
    return {"mean_iou": score.mean_iou, "accuracy": score.accuracy}


def _phases(texts: list[str]) -> tuple[tuple[int, int], ...]:
    try:
        return tuple((int(side), int(count)) for side, count in (t.split(":") for t in texts))
    except ValueError as error:
        raise typer.BadParameter(
            f"--epochs {' '.join(texts)}: write SIDE:EPOCHS, e.g. 224:8"
        ) from error


@app.command("teach")
def teach_command(
    data: DataArgument,
    teachers: SegmentersArgument,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Let larger segmenters label the photos that a smaller one will be trained on.

    Their mean opinion of every photo of train.txt is written to DATA/soft. Photos without a label
    map are welcome: any photo teaches. Soft labels that are there are kept.
    """
    from layered_nst.machine.device import choose_device
    from layered_nst.networks.segmenters import load_segmenter
    from layered_nst.training.segmenters.dataset import read_photos_to_teach
    from layered_nst.training.segmenters.teaching import FOLDER, teach

    photos = read_photos_to_teach(data)
    chosen = choose_device(device)
    with printed_notes() as notes, training_bar() as bar, counted(bar, "teaching") as tell:
        teach(
            [load_segmenter(name, device=chosen) for name in teachers],
            photos.folder,
            photos.train,
            classes=photos.classes,
            photo=photos.image,
            on_photo=tell,
        )
    folder, count = data / FOLDER, len(photos.train)
    if as_json:
        print_json({"folder": str(folder), "soft_labels": count, "notes": notes})
    else:
        print(f"{folder}  soft labels: {count}")


@app.command("average")
def average_command(
    weights: SegmentersArgument,
    output: WeightsOutput = Path("average.safetensors"),
    as_json: JsonOption = False,
) -> None:
    """Write the mean of several segmenters' weights, which is often better than each.

    They must have gone on from the same segmenter: `segmenter train --start`, with other seeds,
    rates or photos.
    """
    from layered_nst.networks.segmenters.segmenter import segmenter_path
    from layered_nst.training.segmenters.averaging import average_segmenters

    with printed_notes() as notes:
        average_segmenters([segmenter_path(name) for name in weights], output)
    if as_json:
        print_json({"weights": str(output), "of": weights, "notes": notes})
    else:
        print(output)


_Sheet = Annotated[
    Path | None,
    typer.Option("--output", "-o", "--sheet", help="Sheet of photos and their masks. [score.png]"),
]
_SheetSize = Annotated[
    int, typer.Option("--size", min=16, max=1024, help="Longest side of a picture on it in px.")
]


@app.command("score")
def score_command(
    weights: Annotated[
        str, typer.Argument(metavar="SEGMENTER", help="A name, or a .safetensors file.")
    ],
    data: DataArgument,
    output: _Sheet = None,
    size: _SheetSize = 340,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Print accuracy, IoU per class and confusion on val.txt, and write a sheet of masks."""
    from layered_nst.machine.device import choose_device
    from layered_nst.networks.segmenters import load_segmenter
    from layered_nst.networks.segmenters.segmenter import segmenter_path
    from layered_nst.outputs.result import check_writable
    from layered_nst.picture import write_image
    from layered_nst.training.segmenters.dataset import read_labeled_photos
    from layered_nst.training.segmenters.scoring import score_segmenter
    from layered_nst.training.segmenters.sheet import score_sheet

    labeled = read_labeled_photos(data)
    target = output or Path("score.png")
    reads = [segmenter_path(weights), *labeled.files()]
    check_writable(target, keep=reads, named=output is not None)
    with printed_notes() as notes, training_bar() as bar:
        segmenter = load_segmenter(weights, device=choose_device(device))
        with counted(bar, "scoring") as tell:
            score = score_segmenter(segmenter, labeled, on_photo=tell)
        with counted(bar, "drawing") as tell:
            picture = score_sheet(segmenter, labeled, size=size, on_photo=tell)
    write_image(target, picture)
    if as_json:
        classes = dict(zip(labeled.classes, score.iou.tolist(), strict=True))
        more = {"iou": classes, "outline_f": score.outline_f, "confusion": score.matrix.tolist()}
        print_json({"sheet": str(target), **_told(score), **more, "notes": notes})
        return
    print(score.table(labeled.classes))
    print(score.summary())
    print(target)
