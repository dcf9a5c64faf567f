"""Train a DeepLabV3+ on a team's own labeled photos, resumably."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from layered_nst.errors import DataError, ModelError
from layered_nst.files.hashes import file_hash, text_hash
from layered_nst.files.targets import check_weights_output
from layered_nst.networks.segmenters.checkpoints import (
    Description,
    fill,
    is_segmenter,
    read_described,
    read_tensors,
    save_segmenter,
)
from layered_nst.networks.segmenters.network import (
    LITE0,
    LITE0_MEAN,
    LITE0_STD,
    build_network,
    load_imagenet_lite,
)
from layered_nst.networks.segmenters.segmenter import (
    SCENES_PIXELS,
    NetworkSegmenter,
    load_segmenter,
)
from layered_nst.training.checkpoints import Stateful, restored, save_training, swept, take_up
from layered_nst.training.segmenters.dataset import (
    IGNORED,
    LabeledPhotos,
    TrainingPool,
    check_labeled,
    training_batches,
    training_pool,
)
from layered_nst.training.segmenters.depthwise import FasterDepthwise
from layered_nst.training.segmenters.scoring import SegmentationScore, confusion
from layered_nst.training.steps import averaged, descend


@dataclass(frozen=True)
class TrainingPlan:
    """Everything that decides the outcome of a training, besides the data.

    Attributes:
        phases: (crop side in px, epochs) in turn: cheap small crops first, large ones last.
        batch: crops a step; fewer if there are fewer photos.
        learning_rate: of the head, at its highest.
        encoder_share: factor on it for an encoder that has learned before.
        weight_decay: of AdamW.
        label_smoothing: of the cross-entropy, in [0, 1].
        dice: weight of the Dice loss beside the cross-entropy.
        teacher_share: of the aim where a photo has a label map and a soft label, in [0, 1]; where
            it has only one of them, that one is the aim.
        balance: draw photos of rare classes more often; otherwise all alike.
        paste: share of crops onto which a thing of another photo is pasted.
        mix: share of crops with a rectangle of another crop laid over them (CutMix).
        least_share: smallest share of a photo that a crop shows, in [0, 1].
        ema: decay a step of the average of weights that is validated and kept.
        encoder: one of ``network.LITE``.
        decoder_channels: width of the decoder.
        drop_path: highest probability, in [0, 1), that a step skips a block of the encoder
            (stochastic depth, Huang et al. 2016); it rises with depth.
        precision: ``float32``, or ``bfloat16`` for the network's products in training
            (mixed precision; weights, loss and validation stay float32).
        seed: of everything random.
    """

    phases: tuple[tuple[int, int], ...] = ((224, 9), (288, 10), (352, 2))
    batch: int = 8
    learning_rate: float = 1e-3
    encoder_share: float = 0.2
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    dice: float = 0.5
    teacher_share: float = 0.5
    balance: bool = True
    paste: float = 0.3
    mix: float = 0.0
    least_share: float = 0.15
    ema: float = 0.995
    encoder: str = LITE0
    decoder_channels: int = 128
    drop_path: float = 0.0
    precision: str = "float32"
    seed: int = 0

    @property
    def epochs(self) -> int:
        """Number of epochs of all phases."""
        return sum(epochs for _, epochs in self.phases)

    def crop(self, epoch: int) -> int:
        """Crop side in px of an epoch counted from 0."""
        for side, epochs in self.phases:
            if epoch < epochs:
                return side
            epoch -= epochs
        raise IndexError("epoch lies past the plan")


@dataclass(frozen=True)
class Epoch:
    """What one epoch brought: its number from 1, mean training loss and validation score."""

    number: int
    of: int
    loss: float
    score: SegmentationScore
    best: float


@dataclass
class _TrainingState:
    network: nn.Module
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    frozen: bool
    epoch: int = 0
    best: float = -1.0
    history: list[dict[str, Any]] = field(default_factory=list)

    def parts(self) -> dict[str, Stateful]:
        """What a checkpoint keeps the state of."""
        return {name: getattr(self, name) for name in ("network", "average", "optimizer")}


def train_segmenter(
    data: LabeledPhotos,
    output: Path,
    *,
    plan: TrainingPlan = TrainingPlan(),
    imagenet: Path | None = None,
    start: Path | None = None,
    device: torch.device | str = "cpu",
    on_step: Callable[[int, int, float], None] = lambda *_: None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> SegmentationScore:
    """Train, keep the best weights at ``output``, and resume from ``output`` + ``.training``.

    A run that is broken off, even by kill -9, goes on after its last whole epoch when it is called
    again with the same arguments, and ends with the same weights (bit for bit on a CPU).

    Args:
        data: the labeled photos; ``data.val`` chooses the best epoch and is never trained on.
        output: a ``.safetensors`` file; rewritten whenever the validation IoU rises.
        plan: hyper-parameters; a checkpoint made with another plan is refused.
        imagenet: file with the encoder's ImageNet weights to start from; without it, from scratch.
        start: weights of a segmenter to go on from, in place of ``imagenet``; it decides encoder
            and width of the decoder. Its normalizations stay as they are: their statistics are in
            their weights.
        on_step: called with (step, steps of the epoch, loss) after each step.
        on_epoch: called after each validation.

    Returns:
        The score of the best weights on ``data.val``.

    Raises:
        DataError: photos or label maps are missing or broken, there are fewer than two, or no
            pixel of all that are trained on, or of all of ``data.val``, is labeled.
        ModelError: the checkpoint is broken or of another plan, start or photos, ``imagenet`` is
            broken or of another encoder, ``start`` tells other classes apart, or the loss is no
            number any more.
        OutputError: ``output`` cannot be written, or is ``imagenet``, ``start`` or a file of
            another kind.
    """
    begun = [path for path in (imagenet, start) if path is not None]
    check_weights_output(output, known=is_segmenter, kind="segmenter of ours", reads=begun)
    if start is not None:
        plan = _like(start, plan, data.classes)
    check_labeled(data, data.val)
    pool = training_pool(data, balance=plan.balance)
    torch.manual_seed(plan.seed)
    state = _new_state(data, plan, imagenet, start, device)
    checkpoint, belongs = swept(output), _belonging(data, plan, imagenet, start)
    if checkpoint.exists():
        _restore(state, checkpoint, belongs)
    for epoch in range(state.epoch, plan.epochs):
        loss = _train_epoch(state, data, plan, epoch, pool, device, on_step)
        score = validate(state.average.module, data, data.val, device=device)
        _keep(state, data, plan, output, loss=loss, score=score)
        _save(state, checkpoint, belongs)
        on_epoch(Epoch(epoch + 1, plan.epochs, loss, score, state.best))
    # Scored again as stored: float16, and perhaps by a run that was broken off.
    stored = load_segmenter(str(output), device=device)
    return validate(stored.network, data, data.val, device=device)


def _like(start: Path, plan: TrainingPlan, classes: Sequence[str]) -> TrainingPlan:
    """The plan with the architecture of the segmenter to go on from."""
    described = read_described(start)
    if described.classes != tuple(classes):
        raise ModelError(
            f"{start}: tells apart {', '.join(described.classes)}; "
            f"the photos are labeled as {', '.join(classes)}"
        )
    return replace(plan, encoder=described.encoder, decoder_channels=described.decoder_channels)


def _keep(
    state: _TrainingState,
    data: LabeledPhotos,
    plan: TrainingPlan,
    output: Path,
    *,
    loss: float,
    score: SegmentationScore,
) -> None:
    """Close an epoch: count it, and write the weights if they are the best so far."""
    state.epoch += 1
    state.history.append(
        {
            "epoch": state.epoch,
            "loss": loss,
            "miou": score.mean_iou,
            "accuracy": score.accuracy,
        }
    )
    if score.mean_iou > state.best:
        state.best = score.mean_iou
        _export(state.average.module, output, data, plan, score, state.epoch)


def _new_state(
    data: LabeledPhotos,
    plan: TrainingPlan,
    imagenet: Path | None,
    start: Path | None,
    device: torch.device | str,
) -> _TrainingState:
    network = build_network(
        architecture="DeepLabV3Plus",
        encoder=plan.encoder,
        classes=len(data.classes),
        decoder_channels=plan.decoder_channels,
        drop_path=plan.drop_path,
    )
    if imagenet is not None:
        _start_from(imagenet, network.get_submodule("encoder"))
    if start is not None:
        fill(network, read_tensors(start), path=start, classes=len(data.classes))
    # Depthwise convolutions run 1.3 to 1.7 times faster on CPUs in channels-last order.
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    encoder = list(network.get_submodule("encoder").parameters())
    known = {id(p) for p in encoder}
    head = [p for p in network.parameters() if id(p) not in known]
    optimizer = torch.optim.AdamW(
        [
            {"params": encoder, "share": plan.encoder_share if imagenet or start else 1.0},
            {"params": head, "share": 1.0},
        ],
        lr=plan.learning_rate,
        weight_decay=plan.weight_decay,
    )
    average = averaged(network, decay=plan.ema, use_buffers=True)
    return _TrainingState(network, average, optimizer, frozen=start is not None)


def _start_from(imagenet: Path, encoder: nn.Module) -> None:
    try:
        load_imagenet_lite(encoder, imagenet)
    except FileNotFoundError as error:
        raise ModelError(f"{imagenet}: no such weights file") from error
    except ValueError as error:
        raise ModelError(str(error)) from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ModelError(f"{imagenet}: broken, or no checkpoint of torch") from error


def _train_epoch(
    state: _TrainingState,
    data: LabeledPhotos,
    plan: TrainingPlan,
    epoch: int,
    pool: TrainingPool,
    device: torch.device | str,
    on_step: Callable[[int, int, float], None],
) -> float:
    _prepare_to_learn(state)
    batch = min(plan.batch, len(data.train))
    if batch < 2:
        raise DataError(f"{data.folder / 'train.txt'}: one photo; batch normalization needs two")
    steps, losses = len(data.train) // batch, []
    for step, (images, labels, soft) in enumerate(_batches(data, plan, epoch, batch, pool)):
        _set_learning_rate(state.optimizer, plan, (epoch + step / steps) / plan.epochs)
        if (labels == IGNORED).all() and (soft is None or not soft.any()):
            continue  # the mean over no pixels is no number
        thought = None if soft is None else soft.to(device)
        losses.append(_step(state, plan, images.to(device), labels.to(device), thought))
        if not math.isfinite(losses[-1]):
            raise ModelError(
                f"epoch {epoch + 1}, step {step + 1}: the loss is {losses[-1]}; "
                f"try a learning rate below {plan.learning_rate}"
            )
        on_step(step + 1, steps, losses[-1])
    return sum(losses) / max(1, len(losses))


def _prepare_to_learn(state: _TrainingState) -> None:
    state.network.train()
    for module in state.network.modules():
        if state.frozen and isinstance(module, nn.BatchNorm2d):
            module.eval()


def _batches(
    data: LabeledPhotos, plan: TrainingPlan, epoch: int, batch: int, pool: TrainingPool
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    return training_batches(
        data,
        size=plan.crop(epoch),
        batch=batch,
        pool=pool,
        paste=plan.paste,
        mix=plan.mix,
        least_share=plan.least_share,
    )


def _step(
    state: _TrainingState, plan: TrainingPlan, images: Tensor, labels: Tensor, soft: Tensor | None
) -> float:
    """One update of the network and of its running average; returns the loss before it."""
    with ExitStack() as stack:
        if plan.precision == "bfloat16":
            stack.enter_context(FasterDepthwise())
            stack.enter_context(torch.autocast(images.device.type, torch.bfloat16))
        logits = state.network(normalized(images)).float()
    loss = _cross_entropy(logits, labels, soft, plan)
    if (labels != IGNORED).any():
        dice: nn.Module = smp.losses.DiceLoss("multiclass", ignore_index=IGNORED)
        loss = loss + plan.dice * dice(logits, labels)
    return descend(loss, state.network, state.average, state.optimizer, longest=5.0)


def _cross_entropy(
    logits: Tensor, labels: Tensor, soft: Tensor | None, plan: TrainingPlan
) -> Tensor:
    """Mean over the pixels about which a label map or a teacher says something."""
    if soft is None:
        return F.cross_entropy(
            logits, labels, ignore_index=IGNORED, label_smoothing=plan.label_smoothing
        )
    aim, counts = aims(labels, soft, plan)
    return F.cross_entropy(logits, aim, reduction="none")[counts].mean()


def aims(labels: Tensor, soft: Tensor, plan: TrainingPlan) -> tuple[Tensor, Tensor]:
    """What the network is to say of each pixel: the label map, the teacher, or their mean.

    Args:
        labels: long (B, H, W), ``IGNORED`` where nobody labeled.
        soft: uint8 (B, K, H, W), zeros where no teacher was asked.

    Returns:
        Probabilities (B, K, H, W), and where there are any, bool (B, H, W).
    """
    classes = soft.shape[1]
    known, asked = labels != IGNORED, (soft > 0).any(1)
    thought = soft / soft.sum(1, keepdim=True).clamp(min=1)
    named = F.one_hot(labels.where(known, 0), classes).movedim(-1, 1).to(thought)
    named = named * (1 - plan.label_smoothing) + plan.label_smoothing / classes
    share = torch.where(known, plan.teacher_share, 1.0) * asked
    return named.lerp(thought, share[:, None]), known | asked


def _set_learning_rate(
    optimizer: torch.optim.Optimizer, plan: TrainingPlan, progress: float
) -> None:
    """Warm up over the first 4 % of the plan, then fall as a half cosine to 1 %."""
    warm = min(1.0, progress / 0.04 + 0.02)
    factor = warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
    for group in optimizer.param_groups:
        group["lr"] = plan.learning_rate * factor * group["share"]


def normalized(images: Tensor, mean: float = LITE0_MEAN, std: float = LITE0_STD) -> Tensor:
    """uint8 photos (B, 3, H, W) as the network's float input, channels last."""
    return ((images.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def validate(
    network: nn.Module,
    data: LabeledPhotos,
    names: Sequence[str],
    *,
    device: torch.device | str = "cpu",
) -> SegmentationScore:
    """Score a network on whole photos, one look at each, not refined: what training can change."""
    network.eval()
    look = NetworkSegmenter(
        "in training",
        data.classes,
        network,
        LITE0_MEAN,
        LITE0_STD,
        SCENES_PIXELS,
        scales=(1.0,),
        mirror=False,
        connect=False,
        refine=False,
    )
    matrix = torch.zeros(len(data.classes), len(data.classes), dtype=torch.long)
    for name in names:
        winner = look((data.image(name) / 255).to(device)).argmax(0).cpu()
        matrix += confusion(winner, data.label(name), len(data.classes))
    return SegmentationScore(matrix)


def _export(
    network: nn.Module,
    output: Path,
    data: LabeledPhotos,
    plan: TrainingPlan,
    score: SegmentationScore,
    epoch: int,
) -> None:
    save_segmenter(
        network,
        output,
        Description(
            architecture="DeepLabV3Plus",
            encoder=plan.encoder,
            decoder_channels=plan.decoder_channels,
            classes=data.classes,
            mean=LITE0_MEAN,
            std=LITE0_STD,
            notes={
                "epoch": epoch,
                "val_mean_iou": round(score.mean_iou, 4),
                "val_accuracy": round(score.accuracy, 4),
                "plan": asdict(plan),
            },
        ),
    )


def _belonging(
    data: LabeledPhotos, plan: TrainingPlan, imagenet: Path | None, start: Path | None
) -> dict[str, Any]:
    """What a checkpoint can go on with and no other, each so named that "made with other" fits."""
    return {
        "start": "" if start is None else file_hash(start),
        "imagenet": "" if imagenet is None else file_hash(imagenet),
        "plan": asdict(plan),
        "classes": list(data.classes),
        "photos": text_hash("\n".join((*data.train, "", *data.val))),
    }


def _save(state: _TrainingState, checkpoint: Path, belongs: Mapping[str, Any]) -> None:
    counts = {"epoch": state.epoch, "best": state.best, "history": state.history}
    save_training(checkpoint, state.parts(), belongs, counts)


def _restore(state: _TrainingState, checkpoint: Path, belongs: Mapping[str, Any]) -> None:
    with restored(checkpoint, belongs) as saved:
        take_up(state.parts(), saved)
        state.epoch, state.best, state.history = saved["epoch"], saved["best"], saved["history"]
