"""Teach a painter: photos and styles in, a network out that paints any style at once.

The encoder is frozen; what is taught is the decoder. Of each picture it paints the moments of every
region are held to those of the region's style, as the optimization does, and the forms to the
photo's; contrastive losses keep neighbors together and styles apart; a tenth of the photos is to be
left as it is, and every twentieth step is one towards a finished draft. Half of the photos are also
painted from a few px further along, with noise, and are to look the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from layered_nst.files.hashes import digest
from layered_nst.files.targets import check_weights_output
from layered_nst.instant.grain import PERIOD, grained
from layered_nst.instant.network import DEFAULT_FORM, LAYERS, Form, Painter
from layered_nst.instant.painter_files import is_painter, write_painter
from layered_nst.instant.painting import Asked, Stacked, moments_of, ready, settle, shares_of
from layered_nst.networks.encoders import Encoder
from layered_nst.painting.levels import optimize
from layered_nst.painting.losses.style import style_losses
from layered_nst.painting.plan import make_plan
from layered_nst.painting.problem import PaintedRegion, Problem
from layered_nst.picture import size_of
from layered_nst.recipe import Optimize
from layered_nst.regions.layers import layer_masks
from layered_nst.styles.moments import columns, region_moments
from layered_nst.styles.style import StylePicture
from layered_nst.training.checkpoints import Stateful, restored, save_training, swept, take_up
from layered_nst.training.encoders.pictures import integer, pictures_digest, split
from layered_nst.training.painters.losses import Contrasts, relative, roughness, style_code
from layered_nst.training.painters.samples import Sample, draw_samples
from layered_nst.training.painters.scoring import draw_sheet, score_painter, sheet_path
from layered_nst.training.painters.steadiness import further_along
from layered_nst.training.steps import adam, averaged, descend, is_due, set_learning_rate, stepped

SEEN: Mapping[str, float] = {
    "conv1_1": 1.0,
    "conv2_1": 1.0,
    "conv3_1": 1.5,
    "conv4_1": 1.5,
    "conv5_1": 0.25,
}
"""How much the moments of each layer count."""
MEANS = 3.0
"""How much means count once more in them: beside covariances they are a small part of a distance,
and yet half of what is left undone."""
MIN_CROP, MAX_CROP = 64, 1024
"""Sides of a crop in px: below, a region has hardly a position; above, no memory."""
DRAFTED = 20
"""Every so many-th step is one towards a draft."""
LEAST_AMOUNT = 0.03
"""A region that is carried less far is as good as left alone."""


@dataclass(frozen=True)
class TeachingPlan:
    """Everything that decides the outcome of a teaching, besides pictures and encoder.

    Attributes:
        form: widths and depths of the painter.
        steps: updates.
        batch, crop: crops in a step and their side in px, 64 to 1024.
        learning_rate: of Adam at its highest; it falls as half a cosine.
        style: weight of the distance of each region's moments from its style's.
        content: of the change of features from those of the photo in the styles' colors.
        carried: of their distance from what the painter was given.
        coherence, apart: of the contrastive losses.
        identity: of the change of photos that are to be left as they are.
        smoothness: of what varies more than the styles do.
        steadiness: of the change when a photo is moved by a few px and noise is laid over it.
        draft: of the distance from finished drafts.
        variety: share of the styles that are made of two others, 0 to 1.
        bfloat16: multiply in bfloat16, twice as fast where the processor has it.
        seed: of everything random.

    Raises:
        ValueError: a number out of its range.
    """

    form: Form = DEFAULT_FORM
    steps: int = 6500
    batch: int = 4
    crop: int = 144
    learning_rate: float = 1e-3
    style: float = 4.0
    content: float = 0.5
    carried: float = 0.3
    coherence: float = 0.05
    apart: float = 0.05
    identity: float = 10.0
    smoothness: float = 0.1
    steadiness: float = 10.0
    draft: float = 1.0
    variety: float = 0.0
    bfloat16: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, allowed, fits in (
            ("steps", "a whole number of at least 1", self.steps >= 1),
            ("batch", "a whole number of at least 1", self.batch >= 1),
            ("crop", f"{MIN_CROP} to {MAX_CROP} px", MIN_CROP <= self.crop <= MAX_CROP),
            ("learning_rate", "a number above 0", 0 < self.learning_rate < math.inf),
            ("steadiness", "a number of at least 0", 0 <= self.steadiness < math.inf),
            ("variety", "a share from 0 to 1", 0 <= self.variety <= 1),
        ):
            if not fits:
                raise ValueError(f"{name}: found {getattr(self, name):g}, allowed: {allowed}")


DEFAULT_PLAN = TeachingPlan()
"""By what a painter is taught if nothing else is said; of the bundled one its card tells that."""


@dataclass
class TeachingState:
    """Where a teaching stands.

    Attributes:
        painter, average: what is taught, and the running average of it that is scored and kept.
        contrasts: learned beside it.
        optimizer: of both.
        step: how many there were.
        terms: of the loss, smoothed.
    """

    painter: Painter
    average: AveragedModel
    contrasts: Contrasts
    optimizer: torch.optim.Optimizer
    step: int = 0
    terms: dict[str, float] = field(default_factory=dict)

    def parts(self) -> dict[str, Stateful]:
        """What a checkpoint keeps the state of."""
        names = ("painter", "average", "contrasts", "optimizer")
        return {name: getattr(self, name) for name in names}


def new_state(
    encoder: Encoder,
    plan: TeachingPlan,
    device: torch.device | str,
    start: Painter | None = None,
) -> TeachingState:
    """Where a teaching begins."""
    painter = Painter(plan.form, [encoder.width(layer) for layer in LAYERS]).to(device)
    if start is not None:
        painter.load_state_dict(start.state_dict())
    contrasts = Contrasts({layer: encoder.width(layer) for layer in SEEN}).to(device)
    optimizer = adam((painter, contrasts), plan.learning_rate)
    return TeachingState(painter, averaged(painter), contrasts, optimizer)


def update(
    state: TeachingState,
    encoder: Encoder,
    photos: Sequence[Tensor],
    styles: Sequence[Tensor],
    plan: TeachingPlan,
    device: torch.device | str,
) -> float:
    """One update of the painter and of its running average; returns the loss before it.

    Args:
        photos, styles: uint8, each (3, H, W).
    """
    set_learning_rate(state.optimizer, plan.learning_rate, state.step, plan.steps, least=0.02)
    drawn, shown = draw_samples(
        photos, styles, batch=plan.batch, side=plan.crop, variety=plan.variety
    )
    samples, shown = [sample.to(device) for sample in drawn], shown.to(device)
    terms = losses(state, encoder, samples, shown, plan)
    total = torch.stack(list(terms.values())).sum()
    loss = descend(total, state.painter, state.average, state.optimizer)
    state.step += 1
    for name, value in terms.items():
        before = state.terms.get(name, value.item())
        state.terms[name] = before + 0.02 * (value.item() - before)
    return loss


def losses(
    state: TeachingState,
    encoder: Encoder,
    samples: Sequence[Sample],
    shown: Tensor,
    plan: TeachingPlan,
) -> dict[str, Tensor]:
    """Weighted terms of a batch.

    Args:
        shown: the styles that the samples name, shape (B, 3, S, S) in [0, 1].
    """
    targets = style_targets(encoder, shown)
    given = torch.stack([_grained(sample) for sample in samples])
    pictures, photo, carried = _painted(state.painter, encoder, samples, given, targets, plan)
    seen = encoder(pictures, list(SEEN))
    terms = _terms(state, samples, plan, targets, pictures, seen, photo, carried, shown)
    if plan.steadiness:
        count = -(-len(samples) // 2)
        moved = further_along(samples[:count], given[:count])
        again, _, _ = _painted(state.painter, encoder, moved.samples, moved.given, targets, plan)
        terms["steadiness"] = plan.steadiness * moved.change(pictures[:count], again)
    if state.step % DRAFTED == DRAFTED - 1:
        terms["draft"] = plan.draft * towards_draft(encoder, samples[0], shown, seen)
    return terms


def _painted(
    painter: Painter,
    encoder: Encoder,
    samples: Sequence[Sample],
    given: Tensor,
    targets: Mapping[str, Stacked],
    plan: TeachingPlan,
) -> tuple[Tensor, Mapping[str, Tensor], list[Tensor]]:
    """Pictures of a batch, the features of what the encoder was given, and those carried."""
    with torch.no_grad():
        photo = encoder(given, list(SEEN))
    prepared = [
        _prepared(painter, encoder, photo, number, sample, targets)
        for number, sample in enumerate(samples)
    ]
    carried = [torch.cat([part[0][k] for part in prepared]) for k in range(len(LAYERS))]
    modulation = [torch.cat([part[1][k] for part in prepared]) for k in range(len(LAYERS))]
    colors = torch.stack([sample.colors for sample in samples])
    with torch.autocast(colors.device.type, torch.bfloat16, enabled=plan.bfloat16):
        pictures = painter(colors, carried, modulation)
    return pictures.float(), photo, carried


def _grained(sample: Sample) -> Tensor:
    amount = torch.einsum("rhw,r->hw", sample.masks, sample.amount)
    return grained(sample.colors, amount, corner=(integer(PERIOD), integer(PERIOD)))


def towards_draft(
    encoder: Encoder, sample: Sample, shown: Tensor, seen: Mapping[str, Tensor]
) -> Tensor:
    """How far the first picture of a batch is from what the optimization makes of it.

    Args:
        shown: the styles, shape (B, 3, S, S) in [0, 1].
        seen: features of the batch by layer, each (B, C, h, w).
    """
    size = size_of(sample.photo)
    everywhere = torch.ones_like(sample.photo[0])
    regions = [
        PaintedRegion(
            str(number),
            mask,
            [StylePicture(shown[chosen], everywhere, 1, "")],
            content=max(amount, LEAST_AMOUNT) ** -2,  # see ``amount_of`` of the strategies
        )
        for number, (mask, chosen, amount) in enumerate(
            zip(sample.masks, sample.styles, sample.amount.tolist(), strict=True)
        )
    ]
    kept = torch.zeros_like(everywhere)
    problem = Problem(sample.colors, sample.photo, sample.colors, regions, kept)
    draft = optimize(encoder, problem, make_plan(Optimize(quality="draft"), size))
    with torch.no_grad():
        wanted = encoder(draft[None], list(SEEN))
    return torch.stack([relative(seen[k][:1], wanted[k]).mean() for k in SEEN]).mean()


def style_targets(encoder: Encoder, shown: Tensor) -> dict[str, Stacked]:
    """Moments of style crops (B, 3, S, S) by layer."""
    with torch.no_grad():
        found = {}
        for layer, value in encoder(shown, list(SEEN)).items():
            rows = value.float().flatten(2)
            found[layer] = (rows.mean(2), rows @ rows.mT / rows.shape[2])
        return found


def _prepared(
    painter: Painter,
    encoder: Encoder,
    features: Mapping[str, Tensor],
    number: int,
    sample: Sample,
    targets: Mapping[str, Stacked],
) -> tuple[list[Tensor], list[Tensor]]:
    own = {layer: features[layer][number : number + 1].float() for layer in LAYERS}
    wanted = _of_regions(targets, LAYERS, sample)
    shares = shares_of(encoder, sample.masks)
    counts = {layer: shares.columns[layer].total for layer in LAYERS}
    moments = moments_of(own, shares.columns)
    settled = settle(painter, moments, Asked(wanted, sample.amount), counts)
    return ready(own, shares, settled)


def _of_regions(
    targets: Mapping[str, Stacked], layers: Sequence[str], sample: Sample
) -> dict[str, Stacked]:
    """The moments that each region of a sample is to get."""
    chosen = list(sample.styles)
    return {layer: (targets[layer][0][chosen], targets[layer][1][chosen]) for layer in layers}


def _terms(
    state: TeachingState,
    samples: Sequence[Sample],
    plan: TeachingPlan,
    targets: Mapping[str, Stacked],
    pictures: Tensor,
    seen: Mapping[str, Tensor],
    photo: Mapping[str, Tensor],
    carried: Sequence[Tensor],
    shown: Tensor,
) -> dict[str, Tensor]:
    style, codes, wanted = [], [], []
    firm = torch.stack([s.amount.max() for s in samples])
    for number, sample in enumerate(samples):
        if firm[number] == 0:
            continue
        loss, code, aim = _styled(sample, number, seen, targets)
        style.append(loss)
        if float(sample.amount.min()) == 1:
            codes.append(code)
            wanted.append(aim)
    zero = pictures.new_zeros(())
    terms = {"style": plan.style * (torch.stack(style).sum() if style else zero) / len(samples)}
    terms["content"] = plan.content * relative(seen["conv4_1"], photo["conv4_1"]).mean()
    near = torch.stack([relative(seen[k], carried[i]) for i, k in enumerate(LAYERS)])
    terms["carried"] = plan.carried * near.mean()
    terms["coherence"] = plan.coherence * state.contrasts.coherence(seen, photo)
    if codes:
        told = state.contrasts.told_apart(torch.cat(codes), torch.cat(wanted))
        terms["apart"] = plan.apart * told
    if len(left := (firm == 0).nonzero()[:, 0]):
        kept = torch.stack([samples[n].colors for n in left.tolist()])
        change = (pictures[left] - kept).abs().mean()
        terms["identity"] = plan.identity * change * len(left) / len(samples)
    usual = torch.stack([roughness(shown[list(s.styles)]).mean() for s in samples])
    # Of plain styles anything is rough, and would be all that a step is about.
    excess = (roughness(pictures) / (usual + 1e-3)).log1p()
    terms["smoothness"] = plan.smoothness * (excess * firm).mean()
    terms["range"] = 10 * (pictures - pictures.clamp(0, 1)).square().mean()
    return terms


def _styled(
    sample: Sample, number: int, seen: Mapping[str, Tensor], targets: Mapping[str, Stacked]
) -> tuple[Tensor, Tensor, Tensor]:
    """The distance of a picture's regions to their styles, and what both are called."""
    sizes = {layer: (seen[layer].shape[2], seen[layer].shape[3]) for layer in SEEN}
    at = layer_masks(sample.masks, sizes)
    share = sample.masks.mean((1, 2))
    wanted = _of_regions(targets, tuple(SEEN), sample)
    total, own, aims = seen["conv1_1"].new_zeros(()), [], []
    for layer, weight in SEEN.items():
        found = region_moments(seen[layer][number : number + 1].float(), columns(at[layer]))
        aim = wanted[layer]
        distance = style_losses(*found, *aim, least=1e-3)
        distance = distance + MEANS * relative(found[0], aim[0])
        # Of a style that is nearly plain any drawing is far: it would be all that a step is about.
        total = total + weight * (share * sample.amount * distance.log1p()).sum()
        own.append(found)
        aims.append(aim)
    return total, style_code(own), style_code(aims)


def teach(
    encoder: Encoder,
    photos: Sequence[Tensor],
    styles: Sequence[Tensor],
    output: Path,
    *,
    plan: TeachingPlan = DEFAULT_PLAN,
    start: Painter | None = None,
    every: int = 250,
    sheet: int = 1000,
    device: torch.device | str = "cpu",
    on_step: Callable[[int, int, Mapping[str, float]], None] = lambda *_: None,
    on_score: Callable[[int, Mapping[str, float]], None] = lambda *_: None,
) -> dict[str, float]:
    """Teach a painter, keep it at ``output``, and resume from ``output`` + ``.training``.

    A run that is broken off, even by kill -9, goes on after its last checkpoint when it is called
    again with the same arguments, and ends with the same file (byte for byte on a CPU).

    Args:
        encoder: on ``device``; the painter will serve no other.
        photos, styles: uint8 pictures (3, H, W) of any size from 16 px; every 24th of each is held
            out to score by.
        output: a ``.safetensors`` file; written with every checkpoint.
        start: a painter to go on from; its form is the new one's, whatever the plan says.
        every: steps from checkpoint to checkpoint.
        sheet: steps from sheet to sheet, ``OUTPUT.png``: held-out photos in held-out styles.
        on_step: called with (step, steps, smoothed terms of the loss).
        on_score: called with (step, scores on held-out pictures) at checkpoints.

    Returns:
        The scores; see ``score_painter``.

    Raises:
        DataError: fewer than two photos or styles.
        ModelError: the checkpoint is broken, or of another plan, encoder or pictures; or the loss
            is no number any more.
        OutputError: ``output`` cannot be written, or is a file of another kind.
    """
    check_output(output)
    (photos, held_photos), (styles, held_styles) = split(photos), split(styles)
    held = (held_photos, held_styles)
    checkpoint = swept(output)
    plan = plan if start is None else replace(plan, form=start.form)
    belongs = _belonging(encoder, photos, styles, plan, start)
    seeing = encoder.multiplying_in("bfloat16" if plan.bfloat16 else "float32")
    if checkpoint.exists():
        state = _restored(checkpoint, belongs, encoder, plan, device)
    else:
        torch.manual_seed(plan.seed)
        state = new_state(encoder, plan, device, start)
    scores: dict[str, float] = {}
    taken = stepped(lambda _: update(state, seeing, photos, styles, plan, device), plan, state.step)
    for step, _ in taken:
        on_step(step, plan.steps, state.terms)
        if is_due(step, every, plan):
            scores = _export(state, encoder, held, output, plan)
            counts = {"step": step, "terms": state.terms}
            save_training(checkpoint, state.parts(), belongs, counts)
            on_score(step, scores)
        if is_due(step, sheet, plan):
            draw_sheet(_average(state), encoder, *held, sheet_path(output))
    return scores or _export(state, encoder, held, output, plan)


def _export(
    state: TeachingState,
    encoder: Encoder,
    held: tuple[Sequence[Tensor], Sequence[Tensor]],
    output: Path,
    plan: TeachingPlan,
) -> dict[str, float]:
    """Score the average of the weights, and write it."""
    painter = _average(state)
    scores = score_painter(painter, encoder, *held)
    rounded = {name: round(value, 4) for name, value in scores.items()}
    notes = {"step": state.step, "plan": asdict(plan), "scores": rounded}
    write_painter(output, painter, encoder, notes=notes)
    return scores


def check_output(output: Path) -> None:
    """Find out before hours of training that their result could not be written.

    Raises:
        OutputError: another suffix, no such folder, a file of another kind in its place.
    """
    check_weights_output(output, known=is_painter, kind="painter", reads=())


def _average(state: TeachingState) -> Painter:
    painter = state.average.get_submodule("module")
    assert isinstance(painter, Painter)
    return painter


def _belonging(
    encoder: Encoder,
    photos: Sequence[Tensor],
    styles: Sequence[Tensor],
    plan: TeachingPlan,
    start: Painter | None,
) -> dict[str, Any]:
    """What a checkpoint can go on with and no other."""
    return {
        "start": "" if start is None else digest(start.state_dict()),
        "plan": asdict(plan),
        "encoder": encoder.fingerprint,
        "photos": pictures_digest(photos),
        "styles": pictures_digest(styles),
    }


def _restored(
    checkpoint: Path,
    belongs: Mapping[str, Any],
    encoder: Encoder,
    plan: TeachingPlan,
    device: torch.device | str,
) -> TeachingState:
    with restored(checkpoint, belongs) as saved:
        state = new_state(encoder, plan, device)
        take_up(state.parts(), saved)
        state.step, state.terms = saved["step"], saved["terms"]
    return state
