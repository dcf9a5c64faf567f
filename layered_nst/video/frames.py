"""One frame after the other is painted, each from those before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from layered_nst.networks.encoders import Encoder
from layered_nst.painting.descent import learned_of
from layered_nst.painting.levels import Lessons, at_level, grained, optimize
from layered_nst.painting.losses.temporal import colors_under
from layered_nst.painting.objective import Objective
from layered_nst.painting.partial import PartialObjective
from layered_nst.painting.plan import COLOR, Plan
from layered_nst.painting.problem import (
    Colors,
    Earlier,
    PaintedRegion,
    Problem,
    is_painted,
)
from layered_nst.painting.progress import OnProgress
from layered_nst.painting.tiled import Place, Reading, objectives
from layered_nst.recipe import Video
from layered_nst.scene.scene import Scene
from layered_nst.strategies.at_once import paint_problem, painter_for
from layered_nst.strategies.problems import problem
from layered_nst.strategies.run import paint_canvas
from layered_nst.video.earlier import (
    Link,
    Past,
    Told,
    known_share,
    now_painted_of,
    told_of,
    unmoved,
    whose_pixels,
)
from layered_nst.video.filling import Filler, Sighted, joined, painted_as_before
from layered_nst.video.flow import Motion, gone_since, moved
from layered_nst.video.keeping import part_of
from layered_nst.video.outdated import (
    comes_in,
    left_drawn,
)
from layered_nst.video.steady import SteadyMoments

BASE_STEADINESS = 300.0
"""Weight of the temporal loss at ``steadiness: 1``."""
STEPS: Mapping[str, int] = {"draft": 2, "standard": 5, "fine": 8}
"""Steps of a frame behind the first of its shot."""
MUCH_NEW = 0.15
"""Share of what is painted that lacks strokes, from which on coarse levels make some: they cost
as much as a frame does otherwise, and with less to paint bring next to nothing."""
COARSE_SHARE = 0.3
"""Share of a still's steps that they take."""
RIPENS = 0.3
"""Share of what is missing that each frame adds to how far a pixel's painting is to be held: one
that has just come into sight has had few steps."""
HOLD = 0.8
"""How far what was painted before stays as it is while a frame takes its steps."""
RIPE = 0.9
"""What is held so far is not painted any further where nothing changes."""
HELD_AT_ONCE = 0.8
"""How far a frame of ``quality: instant`` is what was painted before, where that is relied on."""
NOBODY = 255
"""The number of no region."""
FEWEST_NEW = 20
"""Pixels that have come into sight, below which nothing is painted for them."""
PAIRS = 2
"""Steps of L-BFGS, and what they changed of the gradient, that go along from frame to frame: more
make the loss fall no faster."""


@dataclass
class FramePainter:
    """Paints the frames of a clip.

    Attributes:
        plan: of a still at the clip's size.
        encoders: by the names that the plan uses.
        video: of the recipe.
        quality: of the recipe.
        readings: of levels that do not fit into memory as a whole.
        lessons: what the optimizer has learned so far.
        anchors: colors of the regions when their shot began, by region and part.
        filler: begins what comes into sight.
        moments: of the regions, smoothed, by which the network paints.
        kept: share of the last frame whose features and sums stood while it took its steps.
        painted_last: number of the frame of which the optimizer has learned its pairs.
    """

    plan: Plan
    encoders: Mapping[str, Encoder]
    video: Video
    quality: str
    readings: Mapping[Place, Reading] = field(default_factory=dict)
    lessons: Lessons = field(default_factory=Lessons)
    anchors: dict[str, Colors] = field(default_factory=dict)
    filler: Filler | None = None
    moments: SteadyMoments = field(default_factory=SteadyMoments)
    kept: float = 0.0
    painted_last: int = -1

    @property
    def onward(self) -> Plan:
        """The plan of all frames but the first of a shot, which go on from what is painted: strokes
        that were laid on each anew would flicker."""
        return replace(self.plan, start=COLOR)

    def first(self, number: int, scene: Scene, tell: OnProgress) -> Tensor:
        """Paint the first frame of a shot as any photo is; shape (3, H, W)."""
        self.anchors, self.moments, self.kept = {}, SteadyMoments(), 0.0
        self.lessons.pairs = ()
        last: dict[str, Any] = {}
        canvas = paint_canvas(
            scene,
            self.encoders,
            self.plan,
            on_progress=tell,
            keep=lambda state: last.update(state.descent),
            readings=self.readings,
        )
        if "optimizer" in last:  # without it the first steps of the next frames are lost
            self.lessons = Lessons(*learned_of(self.plan, last["optimizer"]))
        self._carry(number)
        self._anchor(problem(scene, self.onward).regions, canvas)
        return canvas

    def next(
        self,
        number: int,
        scene: Scene,
        links: Sequence[Link],
        tell: OnProgress,
        *,
        toward: Told | None = None,
    ) -> Past:
        """Paint a frame from those before it.

        Args:
            number: of the frame.
            links: to earlier frames, the nearest first; at least one.
            toward: of a loop, what its first frame says of this one.

        Returns:
            The frame as later ones need it.
        """
        nearest, whose = links[0].past, whose_pixels(scene)
        still = unmoved(scene.picture.rgb.cpu(), whose, links[0])
        # What shows the same keeps its photo, so that many small changes are a large one in the
        # end.
        photo = torch.where(still, nearest.photo, scene.picture.rgb.cpu())
        if toward is None and bool(still.all()) and bool((nearest.ripe > RIPE).all()):
            self.kept, self.painted_last = 1.0, number
            return replace(nearest, number=number, photo=photo)
        self._recall(links, scene.picture.rgb.device)
        canvas, ripe = self._painted(scene, links, still, tell, toward)
        self._carry(number)
        of = now_painted_of(links, photo, still)
        drawn = torch.where(still, nearest.drawn, left_drawn(links[0].drawn))
        return Past(number, photo, canvas.cpu(), ripe, whose, of, drawn)

    def _painted(
        self,
        scene: Scene,
        links: Sequence[Link],
        still: Tensor,
        tell: OnProgress,
        toward: Told | None,
    ) -> tuple[Tensor, Tensor]:
        """The canvas (3, H, W), and how far it is to be held, (H, W) on the CPU."""
        told = told_of(links, scene, still)
        if toward is not None:
            less = [replace(one, share=one.share * (1 - toward.share)) for one in told]
            told = [*less, toward]
        self.kept = 0.0
        if self.plan.painter is not None:
            return self._at_once(scene, told)
        asked = self._asked(scene, told, links[0])
        # What is known by half has its strokes: it is the softness of a border, or a doubt.
        known = known_share(told, scene.size).clamp(min=0.5)
        ripe = sum((one.share * one.ripe for one in told), torch.zeros(scene.size)) / known
        asked = self._held(asked, ripe, still, toward)
        plan = self._coarse(asked, ripe)
        if plan.levels:
            # Strokes are made at coarse levels; what has its strokes stays there as it is.
            held = replace(asked, frozen=torch.maximum(asked.frozen, ripe.to(asked.frozen)))
            begun = self._optimized(held, plan, tell, Lessons())
            asked = replace(asked, start=at_level(begun, held, scene.size, detailed=True))
        canvas = self._optimized(asked, self.finest(), tell, self.lessons)
        self._anchor(asked.regions, canvas)
        return canvas, ripe + RIPENS * (1 - ripe)

    def _recall(self, links: Sequence[Link], device: torch.device) -> None:
        """Move what the frame painted last has learned of single pixels to where they are now:
        what has come into sight since is not told of."""
        found = [link.motion for link in links if link.past.number == self.painted_last]
        self.lessons.pairs = [
            (_moved_along(taken, motion).to(device), _moved_along(change, motion).to(device))
            for taken, change in self.lessons.pairs
            for motion in found
        ]

    def _carry(self, number: int) -> None:
        """Keep for the next frame what this one has learned, in little room."""
        self.painted_last = number
        self.lessons.pairs = [
            (taken.cpu().bfloat16(), change.cpu().bfloat16())
            for taken, change in self.lessons.pairs[-PAIRS:]
        ]

    def _held(self, asked: Problem, ripe: Tensor, still: Tensor, toward: Told | None) -> Problem:
        """A problem whose pixels stay near what they were: all the way where nothing has changed,
        and where a loop ends.

        A step moves all pixels that it may, however little there is to win: what stands still
        would boil.
        """
        hold = HOLD ** (1 / max(self.video.steadiness, 1e-6)) * ripe
        hold = torch.where(still & (ripe > RIPE), 1.0, hold)
        hold = (hold if toward is None else torch.maximum(hold, toward.share)).to(asked.frozen)
        return replace(asked, frozen=torch.maximum(asked.frozen, hold))

    def _at_once(self, scene: Scene, told: Sequence[Told]) -> tuple[Tensor, Tensor]:
        """A frame by the instant painter, as far as nothing holds it to those before it."""
        asked, encoder = problem(scene, self.onward), self.encoders[self.plan.levels[-1].encoder]
        self.moments.names = _names([region for region in asked.regions if is_painted(region)])
        network = painter_for(self.plan, encoder)
        canvas = paint_problem(network, encoder, asked, self.plan, steadied=self.moments)
        held = HELD_AT_ONCE ** (1 / max(self.video.steadiness, 1e-6))
        for one in told:
            share = (held * one.share).to(canvas)
            canvas = canvas.lerp(one.picture.to(canvas), share)
        return canvas, torch.ones(scene.size)

    def _optimized(self, asked: Problem, plan: Plan, tell: OnProgress, lessons: Lessons) -> Tensor:
        return optimize(
            self.encoders,
            asked,
            plan,
            stage="joint",
            on_progress=tell,
            objectives=objectives(self.readings, "joint") if self.readings else self._partly,
            lessons=lessons,
        )

    def _partly(
        self, encoder: Encoder, asked: Problem, plan: Plan, size: tuple[int, int]
    ) -> Objective:
        """The objective of a level, which sees what has changed of the frame alone."""
        found = PartialObjective(encoder, asked, plan, size)
        self.kept = found.kept
        return found

    def _asked(self, scene: Scene, told: Sequence[Told], nearest: Link) -> Problem:
        still, device = problem(scene, self.onward), scene.picture.rgb.device
        share = known_share(told, scene.size)
        known = sum((one.picture * one.share for one in told), torch.zeros(3, *scene.size))
        start = known + (1 - share) * self._new(scene, still, nearest, known, share)
        start = start.clamp(0, 1).to(device)
        return replace(
            still,
            start=start.lerp(scene.picture.rgb, scene.kept),
            regions=self._anchored(still.regions),
            earlier=[
                Earlier(one.picture.to(device), (one.share * one.ripe).to(device)) for one in told
            ],
            steadiness=BASE_STEADINESS * self.video.steadiness,
        )

    def _new(
        self, scene: Scene, still: Problem, nearest: Link, known: Tensor, share: Tensor
    ) -> Tensor:
        """What is begun with where nothing is known."""
        if float((1 - share).sum()) < FEWEST_NEW:
            return self._plain(still).cpu()
        now = Sighted(scene.picture.rgb.cpu(), whose_pixels(scene))
        # What was painted of something else is no example.
        before = Sighted(nearest.past.photo, nearest.past.whose.masked_fill(nearest.other, NOBODY))
        gone = gone_since(nearest.motion)
        taken, alike = painted_as_before(
            now,
            before,
            nearest.past.canvas,
            share < 1,
            gone,
            comes_in=comes_in(nearest.drawn),
        )
        if float(((1 - share) * (1 - alike)).sum()) < FEWEST_NEW:
            return self._plain(still).cpu().lerp(taken, alike)
        if self.filler is None:
            self.filler = Filler.of(self.plan, self.encoders)
        new = self.filler(still).cpu()
        new = torch.where(nearest.other, new, joined(new, known, share))
        return new.lerp(taken, alike)

    def _plain(self, still: Problem) -> Tensor:
        return grained(still.start, still.regions, self.plan.seed)

    def finest(self) -> Plan:
        """The plan of a frame behind the first of its shot."""
        steps = self.video.steps
        wanted = STEPS[self.quality] if steps is None else steps
        return replace(self.onward, levels=(replace(self.plan.levels[-1], steps=wanted),))

    def _coarse(self, asked: Problem, ripe: Tensor) -> Plan:
        """The coarser levels, with few steps; none where hardly anything has come into sight."""
        painted = sum((r.mask for r in asked.regions), torch.zeros_like(asked.frozen)).cpu()
        if float(((1 - ripe) * painted).sum()) < MUCH_NEW * float(painted.sum()):
            return replace(self.onward, levels=())
        coarse = [
            replace(level, steps=max(1, round(level.steps * COARSE_SHARE)))
            for level in self.plan.levels[:-1]
        ]
        return replace(self.onward, levels=tuple(coarse))

    def _anchored(self, regions: Sequence[PaintedRegion]) -> list[PaintedRegion]:
        named = zip(_names(regions), regions, strict=True)
        return [replace(region, anchor=self.anchors.get(name)) for name, region in named]

    def _anchor(self, regions: Sequence[PaintedRegion], canvas: Tensor) -> None:
        """Note the colors of regions that are seen for the first time in their shot."""
        for name, region in zip(_names(regions), regions, strict=True):
            if name not in self.anchors and bool((region.mask > 0.5).any()):
                self.anchors[name] = Colors(*colors_under(canvas, region.mask))

    def state(self) -> dict[str, Tensor]:
        """All that later frames depend on, beside the frames themselves."""
        anchors = {
            f"anchor.{name}": torch.cat([colors.mean[None], colors.spread]).cpu()
            for name, colors in self.anchors.items()
        }
        anchors |= {f"moments.{name}": value for name, value in self.moments.state().items()}
        anchors["painted last"] = torch.tensor(self.painted_last)
        for number, (taken, change) in enumerate(self.lessons.pairs):
            anchors |= {f"taken.{number}": taken, f"change.{number}": change}
        learned = self.lessons.learned
        if isinstance(learned, float):
            return {"learned": torch.tensor(learned, dtype=torch.float64), **anchors}
        parts = {} if learned is None else dict(zip(("mean", "square"), learned, strict=True))
        return {**{f"learned.{name}": part.cpu() for name, part in parts.items()}, **anchors}

    def restore(self, state: Mapping[str, Tensor], device: torch.device) -> None:
        """Go on from a state."""
        self.anchors = {
            name: Colors(value[0].to(device), value[1:].to(device))
            for name, value in part_of(state, "anchor.").items()
        }
        self.moments.restore(part_of(state, "moments."), device)
        if "learned" in state:
            self.lessons = Lessons(float(state["learned"]))
        elif "learned.mean" in state:
            parts = (state["learned.mean"], state["learned.square"])
            self.lessons = Lessons(tuple(part.to(device) for part in parts))
        else:
            self.lessons = Lessons()
        self.painted_last = int(state["painted last"])
        steps, changes = part_of(state, "taken."), part_of(state, "change.")
        self.lessons.pairs = [(steps[number], changes[number]) for number in sorted(steps)]


def _moved_along(plane: Tensor, motion: Motion) -> Tensor:
    """What is known of pixels, (1, 3, H, W), where they are now, as far as they were in sight."""
    there = moved(plane[0].float(), motion.back, smooth=True) * motion.reliability
    return there[None].contiguous()


def _names(regions: Sequence[PaintedRegion]) -> list[str]:
    """A name for each, also for parts of one region."""
    seen: dict[str, int] = {}
    names = []
    for region in regions:
        seen[region.name] = seen.get(region.name, 0) + 1
        names.append(f"{region.name}#{seen[region.name]}")
    return names
