"""One joint optimization over the pixels, coarse to fine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from layered_nst import allocator
from layered_nst.checkpoint import Keep, State
from layered_nst.features import Encoder, contour_logits
from layered_nst.features.contours import contour_layers
from layered_nst.losses import (
    content_energy,
    content_error,
    contour_energy,
    contour_errors,
    contour_mean,
    laplacian_loss,
    out_of_range,
    style_losses,
    total_variation,
)
from layered_nst.moments import Columns, Moments, columns, region_moments
from layered_nst.optimizers import LBFGS, Adam, Optimizer
from layered_nst.picture import average, fit_within, resize
from layered_nst.plan import Level, Plan
from layered_nst.regions.layers import layer_masks
from layered_nst.styles import (
    PictureMoments,
    Style,
    picture_moments,
    stroke_side,
    style_moments,
    style_variation,
)

RANGE_WEIGHT = 100.0
# The total variation of neighbors that differ by 2 of 255 both ways: no style is flatter than this.
FLAT = 1.2e-4
PATIENCE = 10
# L-BFGS without a line search may overshoot and come back; past this factor it does not.
EXPLODED = 4.0
# The first side output sees grain as contours, and holding it drew a grid over the product; the
# last one hardly sees where they are.
CONTOUR_SIDES = (2, 3, 4)
# Encoders without HED's heads hold contours by the Laplacian of Li et al. 2017. More than this
# shows the squares that it pools by, and it keeps lines less well than the side outputs.
LAPLACIAN_POOLS = (4, 16)
LAPLACIAN_WEIGHT = 0.2


@dataclass(frozen=True)
class PaintedRegion:
    """A region that takes part in the optimization.

    Attributes:
        name: of the recipe; regions of one name report one loss.
        mask: its share of every pixel, shape (H, W) in [0, 1].
        styles: the blend it gets; empty for a region that keeps the photo.
        strength, scale, content, contour: of the recipe.
    """

    name: str
    mask: Tensor
    styles: Sequence[Style] = ()
    strength: float = 1.0
    scale: float = 1.0
    content: float = 1.0
    contour: float = 0.0


@dataclass(frozen=True)
class Problem:
    """What to optimize, at the result's size.

    Attributes:
        content: the picture whose content is held, shape (3, H, W).
        photo: the photo whose contours are held, shape (3, H, W).
        start: where the optimization starts, shape (3, H, W).
        regions: the painted regions.
        frozen: how far each pixel keeps ``start``, shape (H, W); 1 never moves.
        moments: gives the moments of each style picture.
    """

    content: Tensor
    photo: Tensor
    start: Tensor
    regions: Sequence[PaintedRegion]
    frozen: Tensor
    moments: PictureMoments = picture_moments


@dataclass(frozen=True)
class Progress:
    """What a callback is told after each step.

    Attributes:
        stage: ``joint``, or the stage of a layered strategy.
        level, levels: from 1.
        size: height and width of the level in px.
        step, steps: of the level, from 1.
        done: share of the whole work that is behind, 0 to 1.
        seconds_left: estimate for the rest.
        losses: weighted terms by dotted name (``style.sky.conv3_1``) and their ``total``.
        picture: the picture so far, shape (3, h, w); a copy is taken by ``detach().clone()``.
    """

    stage: str
    level: int
    levels: int
    size: tuple[int, int]
    step: int
    steps: int
    done: float
    seconds_left: float
    losses: Mapping[str, float]
    picture: Tensor = field(repr=False)


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Held:
    """What features are compared with: on the whole picture, or on a part of it.

    Attributes:
        columns: by layer, what each region reads.
        content, content_weight: by layer, the features that are held, shape (1, C, h, w), and how
            firmly, shape (h, w).
        contours, contour_weight: by side output, the contours that are held, shape (1, 1, h, w),
            and how firmly, shape (h, w).
    """

    columns: Mapping[str, Columns]
    content: Mapping[str, Tensor]
    content_weight: Mapping[str, Tensor]
    contours: Sequence[Tensor]
    contour_weight: Sequence[Tensor]


@dataclass(frozen=True)
class Seen:
    """What an objective wants to know of features. All of it are sums over positions.

    Attributes:
        moments: by layer, means (R, C) and second raw moments (R, C, C) of the regions.
        content: by layer, the weighted squared error.
        contours: by side output, the weighted squared error.
    """

    moments: dict[str, tuple[Tensor, Tensor]]
    content: dict[str, Tensor]
    contours: list[Tensor]


class Objective:
    """The whole loss of one level, with every constant computed once.

    Args:
        encoder: gives the features.
        problem: at the result's size; masks and pictures are brought to the level's here.
        plan: the weights.
        size: height and width of the level.
    """

    def __init__(
        self, encoder: Encoder, problem: Problem, plan: Plan, size: tuple[int, int]
    ) -> None:
        self.encoder = encoder.multiplying_in(plan.precision)
        # Moments of styles stay as exact as libraries and caches keep them.
        self.exact, self.plan, self.size = encoder, plan, size
        self.regions = [region for region in problem.regions if _is_painted(region)]
        self.layers = tuple(plan.layers)
        drawn = [r.mask.mean() for r in self.regions if r.contour > 0]
        # Like the style's, the pull of contours is the same on every pixel of a region of any size.
        self.contour_pull = plan.contour * float(sum(drawn))
        held = bool(self.contour_pull) and encoder.has_contours
        self.contour_layers = contour_layers(encoder, CONTOUR_SIDES) if held else ()
        self.wanted = {*self.layers, *plan.content_layers, *self.contour_layers}
        self._prepare_styles(problem)
        self._prepare_content(problem)
        self._prepare_contours(problem)
        self.smoothness = self._smoothness()
        allocator.give_back()  # what passes without a way back leave behind fits no step

    def _prepare_styles(self, problem: Problem) -> None:
        sizes = self.encoder.layer_sizes(self.size)
        masks = area(torch.stack([r.mask for r in self.regions]), self.size)
        self.pull = self._pull(masks.mean((1, 2)))
        at_layers = layer_masks(masks, {layer: sizes[layer] for layer in self.layers})
        self.columns: Mapping[str, Columns] = {
            layer: columns(part) for layer, part in at_layers.items()
        }
        self.targets = self._targets(problem.moments)

    def _pull(self, share: Tensor) -> dict[str, Tensor]:
        """The weight of each region's style at each layer, from the regions' shares (R,)."""
        strength = share.new_tensor([r.strength for r in self.regions])
        pull = self.plan.style * strength * share**self.plan.area_exponent
        return {layer: pull * weight for layer, weight in self.plan.layers.items()}

    def _smoothness(self) -> Tensor:
        """How firmly each pixel is smoothed, shape (h, w).

        Against what a style itself varies: one weight for all would blur the dots of a pointillist
        and leave noise in a clear sky.
        """
        longest = max(self.size)
        firmness = [
            1 / (style_variation(r.styles, stroke_side(longest, r.scale)) + FLAT)
            for r in self.regions
        ]
        return area(_laid_out(self.regions, firmness)[None], self.size)[0]

    def _targets(self, of: PictureMoments) -> dict[str, tuple[Tensor, Tensor]]:
        targets = [
            style_moments(
                self.exact,
                region.styles,
                self.layers,
                longest=stroke_side(max(self.size), region.scale),
                pooling=self.plan.pooling,
                of=of,
            )
            for region in self.regions
        ]
        return {layer: _stacked([t[layer] for t in targets]) for layer in self.layers}

    def _prepare_content(self, problem: Problem) -> None:
        sizes = self.encoder.layer_sizes(self.size)
        weight = _laid_out(self.regions, [r.content for r in self.regions])
        at_layers = layer_masks(
            area(weight[None], self.size),
            {layer: sizes[layer] for layer in self.plan.content_layers},
        )
        self.content_weight = {layer: part[0] for layer, part in at_layers.items()}
        self._read_content(at_size(problem.content, self.size)[None])

    @torch.no_grad()
    def _read_content(self, picture: Tensor) -> None:
        """Take the features that are held, and their energy, from a picture (1, 3, h, w)."""
        pooling = self.plan.pooling
        self.content = self.encoder(picture, self.plan.content_layers, pooling=pooling)
        self.content_energy = {
            layer: content_energy(self.content[layer], self.content_weight[layer])
            for layer in self.plan.content_layers
        }

    def _prepare_contours(self, problem: Problem) -> None:
        self.contours: list[Tensor] = []
        self.contour_weight: list[Tensor] = []
        self.contour_energy: list[Tensor] = []
        if not self.contour_pull:
            return
        weight = _laid_out(self.regions, [r.contour for r in self.regions])[None]
        photo = at_size(problem.photo, self.size)[None]
        if not self.contour_layers:
            self.photo, self.edge_weight = photo, area(weight, self.size)[0]
            return
        self.contours = self._read_contours(photo)
        self.contour_weight = [area(weight, (c.shape[2], c.shape[3]))[0] for c in self.contours]
        self.contour_energy = [
            contour_energy(contour, part)
            for contour, part in zip(self.contours, self.contour_weight, strict=True)
        ]

    @torch.no_grad()
    def _read_contours(self, photo: Tensor) -> list[Tensor]:
        """Edge probabilities of a photo (1, 3, h, w), each (1, 1, h, w)."""
        features = self.encoder(photo, self.contour_layers, pooling=self.plan.pooling)
        return [side.sigmoid() for side in contour_logits(self.encoder, features)]

    def __call__(self, picture: Tensor) -> dict[str, Tensor]:
        """Weighted terms by dotted name.

        Args:
            picture: shape (1, 3, h, w) at the level's size.
        """
        held = Held(
            self.columns,
            self.content,
            self.content_weight,
            self.contours,
            self.contour_weight,
        )
        return {
            **self._feature_terms(self._see(picture, held)),
            **self._laplacian_terms(picture),
            **self._pixel_terms(picture),
        }

    def backward(self, picture: Tensor) -> dict[str, Tensor]:
        """Weighted terms by dotted name and their ``total``, whose gradient the picture gets.

        Args:
            picture: shape (1, 3, h, w) at the level's size, a leaf without a gradient.
        """
        terms = self(picture)
        total = torch.stack(list(terms.values())).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return {**terms, "total": total}

    def _see(self, picture: Tensor, held: Held) -> Seen:
        """What there is to know of a picture (1, 3, h, w), read layer by layer."""
        seen = Seen({}, {}, [])

        def read(layer: str, features: Tensor) -> None:
            if layer in held.columns:
                measure = self.encoder.measure(layer)
                seen.moments[layer] = region_moments(features, held.columns[layer], measure)
            if layer not in held.content_weight and layer not in self.contour_layers:
                return
            compared = self.encoder.to_measure(layer, features)
            if layer in held.content_weight:
                target, weight = held.content[layer], held.content_weight[layer]
                seen.content[layer] = content_error(compared.to(target.dtype), target, weight)
            if layer in self.contour_layers:
                seen.contours.append(self._contour_error(layer, compared, held))

        self.encoder(picture, self.wanted, pooling=self.plan.pooling, read=read, measured=False)
        return seen

    def _contour_error(self, layer: str, features: Tensor, held: Held) -> Tensor:
        side = self.contour_layers.index(layer)
        target, weight = held.contours[side], held.contour_weight[side]
        logits = contour_logits(self.encoder, {layer: features.to(target.dtype)})
        (error,) = contour_errors(logits, [target], [weight])
        return error

    def _feature_terms(self, seen: Seen) -> dict[str, Tensor]:
        """The terms that look at features, from what was seen on the whole picture."""
        terms = self._style_terms(seen.moments)
        for layer, weight in self.plan.content_layers.items():
            loss = seen.content[layer] / self.content_energy[layer]
            terms[f"content.{layer}"] = self.plan.content * weight * loss
        if seen.contours:
            loss = contour_mean(seen.contours, self.contour_energy)
            terms["contour.sides"] = self.contour_pull * loss
        return terms

    def _style_terms(self, moments: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        for layer, (mean, second) in moments.items():
            losses = self.pull[layer] * style_losses(mean, second, *self.targets[layer])
            for region, loss in zip(self.regions, losses.unbind(), strict=True):
                name = f"style.{region.name}.{layer}"
                terms[name] = terms[name] + loss if name in terms else loss
        return terms

    def _laplacian_terms(self, picture: Tensor) -> dict[str, Tensor]:
        """How encoders hold contours that have no side outputs."""
        if not self.contour_pull or self.contour_layers:
            return {}
        return {
            f"contour.laplacian_{pool}": LAPLACIAN_WEIGHT
            * self.contour_pull
            * laplacian_loss(picture, self.photo, self.edge_weight, pool)
            for pool in LAPLACIAN_POOLS
        }

    def _pixel_terms(self, picture: Tensor) -> dict[str, Tensor]:
        return {
            "total_variation": self.plan.total_variation
            * total_variation(picture, self.smoothness),
            "range": RANGE_WEIGHT * out_of_range(picture),
        }


Objectives = Callable[[Encoder, Problem, Plan, tuple[int, int]], Objective]
"""Makes the objective of a level, with a plan as that level is worked on."""


def _is_painted(region: PaintedRegion) -> bool:
    return bool(region.styles) and bool((region.mask > 0).any())


def _laid_out(regions: Sequence[PaintedRegion], values: Sequence[float]) -> Tensor:
    """One value for each region as a map over the picture, shape (H, W)."""
    parts = [region.mask * value for region, value in zip(regions, values, strict=True)]
    return torch.stack(parts).sum(0)


def area(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Masks (R, H, W) at another size, by area averaging; themselves if they have it."""
    if (masks.shape[1], masks.shape[2]) == size:
        return masks
    return average(masks, size)


def at_size(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """A picture (3, H, W) in [0, 1] at another size; itself if it has it."""
    return picture if _size(picture) == size else resize(picture, size)


def _stacked(moments: Sequence[Moments]) -> tuple[Tensor, Tensor]:
    return torch.stack([m.mean for m in moments]), torch.stack([m.second for m in moments])


def optimize(
    encoder: Encoder | Mapping[str, Encoder],
    problem: Problem,
    plan: Plan,
    *,
    stage: str = "joint",
    on_progress: OnProgress = lambda _: None,
    resume: State | None = None,
    keep: Keep = lambda _: None,
    objectives: Objectives | None = None,
) -> Tensor:
    """Optimize the pixels through all levels of the plan.

    Args:
        encoder: on the same device as the problem; or several by the names that the levels use.
        problem: pictures and masks at the result's size.
        plan: levels, weights, optimizer.
        stage: named in the progress.
        on_progress: called after each step.
        resume: a state of this stage to go on from; the steps behind it are not repeated, and it
            serves once: its descent is taken out of it, so that it is not held to the end.
        keep: called after ``on_progress`` with the state that ``resume`` takes.
        objectives: makes the objective of each level; by default ``Objective``.

    Returns:
        The picture, shape (3, H, W), clamped to [0, 1]; frozen pixels are those of ``start``.
    """
    if not any(_is_painted(region) for region in problem.regions):
        return problem.start.clone()
    first = 1 if resume is None else resume.level
    clock = _Clock(plan, problem, behind=0.0 if resume is None else resume.seconds)
    canvas = _beginning(problem, plan) if resume is None else resume.picture[0]
    scale: float | None = None
    for number, level in enumerate(plan.levels[first - 1 :], first):
        size = fit_within(_size(problem.start), level.longest)
        seeing = encoder if isinstance(encoder, Encoder) else encoder[level.encoder]
        canvas, scale = _optimize_level(
            (objectives or Objective)(seeing, problem, plan.at(level), size),
            problem,
            canvas,
            scale,
            level,
            _reporter(stage, number, plan, size, clock, on_progress),
            resume if number == first else None,
            _keeper(stage, number, keep),
        )
        allocator.give_back()  # what levels of other sizes left behind fits none of this one's
    return canvas


def _beginning(problem: Problem, plan: Plan) -> Tensor:
    canvas = resize(problem.start, fit_within(_size(problem.start), plan.levels[0].longest))
    return _noise(canvas, plan.seed) if plan.start == "noise" else canvas


def _size(picture: Tensor) -> tuple[int, int]:
    return picture.shape[1], picture.shape[2]


def at_level(canvas: Tensor, problem: Problem, size: tuple[int, int], *, detailed: bool) -> Tensor:
    """Enlarge a canvas and give it the detail that the start has at this size and it cannot have.

    Args:
        canvas: shape (3, h, w).
        problem: its start and regions.
        size: height and width wanted.
        detailed: False where the start's detail is not to be seen, as after noise.

    Without it whatever is finer than the coarser level has to be found again from the content
    features alone, which keep forms but no edges: facades and faces came out smeared.
    """
    if not detailed or _size(canvas) == size:
        return resize(canvas, size)
    coarse = resize(resize(problem.start, _size(canvas)), size)
    held = _laid_out(problem.regions, [min(1.0, r.content) for r in problem.regions])
    detail = resize(problem.start, size) - coarse
    return (resize(canvas, size) + area(held[None], size) * detail).clamp(0, 1)


def _noise(canvas: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(canvas.shape, generator=generator, dtype=torch.float32)
    return noise.to(canvas)


def _optimize_level(
    objective: Objective,
    problem: Problem,
    canvas: Tensor,
    scale: float | None,
    level: Level,
    report: Callable[[int, Mapping[str, Tensor], Tensor, bool], None],
    resume: State | None,
    keep: Callable[[int, _Descent], None],
) -> tuple[Tensor, float | None]:
    """Optimize one level.

    ``scale`` is what the level before has learned of the inverse curvature, for one number of its
    picture: the losses are means over pixels, so the more there are, the less one of them bends
    the loss. Without it a level's first step is lost, and the second often goes too far.
    """
    frozen = area(problem.frozen[None], objective.size)[0]
    picture = _level_start(canvas, problem, objective, frozen)
    descent = _Descent(picture, objective, frozen, scale and scale * picture.numel())
    if resume is not None:
        descent.restore(resume)
    for step in range(1 if resume is None else resume.step + 1, level.steps + 1):
        if descent.settled:
            break
        terms = descent.step()
        report(step, terms, picture, descent.settled)
        keep(step, descent)
    held = resize(problem.start, objective.size)
    found = descent.result()[0].clamp(0, 1).lerp(held, (frozen >= 1).to(frozen))
    learned = descent.optimizer.learned_scale()
    return found, learned and learned / picture.numel()


def _level_start(canvas: Tensor, problem: Problem, objective: Objective, frozen: Tensor) -> Tensor:
    """The canvas of the coarser level as the leaf that a level works on, shape (1, 3, h, w)."""
    detailed = objective.plan.start != "noise"
    enlarged = at_level(canvas, problem, objective.size, detailed=detailed)
    held = resize(problem.start, objective.size)
    return enlarged.lerp(held, frozen)[None].contiguous().requires_grad_()


class _Descent:
    """An optimizer with a guard: a step that explodes is taken back and tried more carefully.

    Args:
        picture: where it starts, a leaf of shape (1, 3, h, w).
        objective: gives terms and gradient.
        frozen: how far each pixel is not to move, shape (h, w).
        scale: the inverse curvature to begin with, as ``LBFGS`` takes it.
    """

    def __init__(
        self, picture: Tensor, objective: Objective, frozen: Tensor, scale: float | None = None
    ) -> None:
        self.picture, self.objective, self.frozen = picture, objective, frozen
        self.plan = objective.plan
        self.learning_rate = self.plan.learning_rate
        self.totals: list[float] = []
        self.good = picture.detach()
        self.terms: dict[str, Tensor] = {}
        self._restart(scale)

    def _restart(self, scale: float | None = None) -> None:
        self.optimizer: Optimizer = (
            Adam(self.learning_rate)
            if self.plan.optimizer == "adam"
            else LBFGS(self.learning_rate, self.plan.history, scale)
        )

    def step(self) -> dict[str, Tensor]:
        terms = self.objective.backward(self.picture)
        gradient, self.picture.grad = self.picture.grad, None
        assert gradient is not None
        total = terms["total"].item()
        if self._exploded(total):
            self._take_back()
            return self.terms or terms
        if total <= min(self.totals, default=float("inf")):
            self.good = self.picture.detach()
        self.totals.append(total)
        self.terms = {name: value.detach() for name, value in terms.items()}
        step = self.optimizer.step(gradient.mul_(1 - self.frozen))
        # A new tensor, for the one before may be held as the best so far, or by a state.
        self.picture.data = self.picture.detach() + step
        return self.terms

    def _exploded(self, total: float) -> bool:
        return not total < EXPLODED * min(self.totals, default=float("inf")) + 1e-9

    def _take_back(self) -> None:
        self.picture.data = self.good
        self.learning_rate /= 2
        self._restart()

    @torch.no_grad()
    def result(self) -> Tensor:
        """The picture of the lowest loss: the last one, which no step has judged, or an earlier."""
        total = torch.stack(list(self.objective(self.picture).values())).sum().item()
        lowest = min(self.totals, default=float("inf"))
        return self.picture.detach() if total <= lowest else self.good

    def state(self, stage: str, level: int, step: int) -> State:
        """All that the next step depends on, out of its reach."""
        descent = {
            "good": self.good,
            "totals": list(self.totals),
            "terms": dict(self.terms),
            "learning_rate": self.learning_rate,
            "optimizer": self.optimizer.state(),
        }
        return State(stage, level, step, self.picture.detach(), descent)

    def restore(self, state: State) -> None:
        """Go back to where ``state`` was taken, and take its descent out of it."""
        descent = dict(state.descent)
        state.descent.clear()
        self.picture.data = state.picture
        self.good, self.totals = descent["good"], list(descent["totals"])
        self.terms, self.learning_rate = descent["terms"], descent["learning_rate"]
        self._restart()
        self.optimizer.restore(descent["optimizer"])

    @property
    def settled(self) -> bool:
        if len(self.totals) <= PATIENCE:
            return False
        now, then = min(self.totals[-PATIENCE:]), min(self.totals[:-PATIENCE])
        return then - now < self.plan.tolerance * then


def work(plan: Plan, size: tuple[int, int]) -> list[float]:
    """Steps times pixels of each level for a picture of this height and width, in hed-vgg16's."""
    sizes = [fit_within(size, level.longest) for level in plan.levels]
    return [
        level.cost * height * width
        for level, (height, width) in zip(plan.levels, sizes, strict=True)
    ]


class _Clock:
    """Time left, from the pixels that steps have cost so far."""

    def __init__(self, plan: Plan, problem: Problem, *, behind: float) -> None:
        size = _size(problem.start)
        self.work = work(plan, size)
        self.started = time.monotonic() - behind

    def done(self, level: int, share: float) -> float:
        return (sum(self.work[: level - 1]) + share * self.work[level - 1]) / sum(self.work)

    def left(self, done: float) -> float:
        return (time.monotonic() - self.started) * (1 - done) / max(done, 1e-9)


def _reporter(
    stage: str, level: int, plan: Plan, size: tuple[int, int], clock: _Clock, tell: OnProgress
) -> Callable[[int, Mapping[str, Tensor], Tensor, bool], None]:
    steps = plan.levels[level - 1].steps

    def report(step: int, terms: Mapping[str, Tensor], picture: Tensor, settled: bool) -> None:
        done = clock.done(level, 1.0 if settled else step / steps)
        losses = {name: value.item() for name, value in terms.items()}
        tell(
            Progress(
                stage,
                level,
                len(plan.levels),
                size,
                step,
                steps,
                done,
                clock.left(done),
                losses,
                picture.detach()[0],
            )
        )

    return report


def _keeper(stage: str, level: int, keep: Keep) -> Callable[[int, _Descent], None]:
    def kept(step: int, descent: _Descent) -> None:
        keep(descent.state(stage, level, step))

    return kept


def region_losses(losses: Mapping[str, float]) -> dict[str, float]:
    """Sum the terms of a step by region: ``style.sky.conv3_1`` and the like to ``sky``; the rest
    by the first part of their name, ``total`` left out."""
    sums: dict[str, float] = {}
    for name, value in losses.items():
        parts = name.split(".")
        key = parts[1] if parts[0] == "style" else parts[0].replace("_", " ")
        if key != "total":
            sums[key] = sums.get(key, 0.0) + value
    return sums
