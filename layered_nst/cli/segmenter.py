"""``segmenter``: train and score one on photos of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from layered_nst.cli.console import err, printed_notes
from layered_nst.cli.options import DeviceOption

app = typer.Typer(help="Train and score segmenters on your own photos.", no_args_is_help=True)


@app.command("train")
def train(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder with images/, labels/ and lists.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Weights (.safetensors).")],
    imagenet: Annotated[
        Path | None, typer.Option(help="ImageNet weights of the encoder to start from.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(help="Go on from this segmenter: `scenes`, or a .safetensors file."),
    ] = None,
    lite: Annotated[
        int, typer.Option(min=0, max=2, help="EfficientNet-Lite encoder: larger, slower, better.")
    ] = 0,
    width: Annotated[int, typer.Option(min=8, help="Channels of the decoder.")] = 128,
    epochs: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIDE:EPOCHS", help="Crop side and epochs; may be given several times."
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=2, help="Crops in a step.")] = 8,
    drop_path: Annotated[
        float, typer.Option(min=0, max=0.9, help="Stochastic depth, against learning by heart.")
    ] = 0.0,
    mix: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of crops overlaid in part by another (CutMix)."),
    ] = 0.0,
    least_share: Annotated[
        float, typer.Option(min=0, max=1, help="Smallest share of a photo that a crop shows.")
    ] = 0.15,
    precision: Annotated[
        str, typer.Option(help="float32, or bfloat16: faster where the device multiplies it.")
    ] = "float32",
    learning_rate: Annotated[
        float, typer.Option(min=0, help="Of the head, at its highest; a fifth for the encoder.")
    ] = 1e-3,
    dice: Annotated[
        float, typer.Option(min=0, help="Weight of the Dice loss beside the cross-entropy.")
    ] = 0.5,
    teacher_share: Annotated[
        float, typer.Option(min=0, max=1, help="Of soft labels, where there are labels too.")
    ] = 0.5,
    balance: Annotated[bool, typer.Option(help="Draw photos of rare classes more often.")] = True,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 0,
    device: DeviceOption = "auto",
) -> None:
    """Train the bundled architecture on your own photos and classes.

    DATA holds images/NAME.jpg, labels/NAME.png (class indices, 255 = not labeled), classes.txt,
    train.txt and val.txt. Soft labels that `segmenter teach` wrote are learned from too. A run that
    was stopped goes on where the last epoch ended.
    """
    from layered_nst.machine.device import PRECISIONS, choose_device
    from layered_nst.networks.segmenters.network import LITE
    from layered_nst.networks.segmenters.segmenter import segmenter_path
    from layered_nst.training.segmenters.dataset import read_labeled_photos
    from layered_nst.training.segmenters.training import Epoch, TrainingPlan, train_segmenter

    if start is not None and imagenet is not None:
        raise typer.BadParameter("--start and --imagenet: a training starts from one of them")
    if precision not in PRECISIONS:
        raise typer.BadParameter(f"--precision {precision}: {' or '.join(PRECISIONS)}")
    weights = None if start is None else segmenter_path(start)
    phases: dict[str, Any] = {"phases": _phases(epochs)} if epochs else {}
    with printed_notes(), Progress(console=err) as bar:
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
            read_labeled_photos(data),
            output,
            plan=TrainingPlan(
                batch=batch,
                seed=seed,
                encoder=LITE[lite],
                decoder_channels=width,
                drop_path=drop_path,
                mix=mix,
                least_share=least_share,
                precision=precision,
                learning_rate=learning_rate,
                dice=dice,
                teacher_share=teacher_share,
                balance=balance,
                **phases,
            ),
            imagenet=imagenet,
            start=weights,
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


@app.command("teach")
def teach_command(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder with images/ and lists.")],
    teachers: Annotated[
        list[str],
        typer.Argument(metavar="TEACHER...", help="Segmenters: names or .safetensors files."),
    ],
    device: DeviceOption = "auto",
) -> None:
    """Let larger segmenters label the photos that a smaller one will be trained on.

    Their mean opinion of every photo of train.txt is written to DATA/soft. Photos without a label
    map are welcome: any photo teaches. Soft labels that are there are kept.
    """
    from layered_nst.machine.device import choose_device
    from layered_nst.networks.segmenters import load_segmenter
    from layered_nst.training.segmenters.dataset import read_photos_to_teach
    from layered_nst.training.segmenters.teaching import teach

    photos = read_photos_to_teach(data)
    chosen = choose_device(device)
    with printed_notes(), Progress(console=err) as bar:
        task = bar.add_task("teaching", total=len(photos.train))
        teach(
            [load_segmenter(name, device=chosen) for name in teachers],
            photos.folder,
            photos.train,
            classes=photos.classes,
            photo=photos.image,
            on_photo=lambda done, of: bar.update(task, completed=done, total=of),
        )
    print(f"{data / 'soft'}  soft labels: {len(photos.train)}")


@app.command("average")
def average_command(
    weights: Annotated[
        list[str],
        typer.Argument(metavar="WEIGHTS...", help="Segmenters: names or .safetensors files."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Weights (.safetensors).")],
) -> None:
    """Write the mean of several segmenters' weights, which is often better than each.

    They must have gone on from the same segmenter: `segmenter train --start`, with other seeds,
    rates or photos.
    """
    from layered_nst.networks.segmenters.segmenter import segmenter_path
    from layered_nst.training.segmenters.averaging import average_segmenters

    average_segmenters([segmenter_path(name) for name in weights], output)
    print(output)


@app.command("score")
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
    from layered_nst.training.segmenters.dataset import read_labeled_photos
    from layered_nst.training.segmenters.scoring import score_segmenter
    from layered_nst.training.segmenters.sheet import score_sheet

    labeled = read_labeled_photos(data)
    with printed_notes(), Progress(console=err) as bar:
        task = bar.add_task("scoring", total=len(labeled.val))
        score = score_segmenter(
            weights, labeled, on_photo=lambda done, of: bar.update(task, completed=done, total=of)
        )
    print(score.table(labeled.classes))
    print(score.summary())
    picture = score_sheet(weights, labeled)
    picture.save(sheet)
    print(sheet)
