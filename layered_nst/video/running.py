"""A run over a clip: its frames one after the other, what each needs, what is kept of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from layered_nst.errors import ClipError, Interrupted
from layered_nst.machine.allocator import keep_few_kernels
from layered_nst.machine.cache import Cache
from layered_nst.machine.memory import obtainable_bytes
from layered_nst.networks.encoders import load_encoders
from layered_nst.painting.plan import LIGHT
from layered_nst.painting.progress import OnProgress, Progress
from layered_nst.picture import Picture, fit_within
from layered_nst.recipe import Recipe
from layered_nst.regions import RegionMasks
from layered_nst.scene.eyes import Eyes
from layered_nst.scene.provenance import Inputs, read_inputs
from layered_nst.scene.resolving import Scenery
from layered_nst.scene.scene import Scene
from layered_nst.strategies.budget import enough_for, make_room
from layered_nst.strategies.costs import level_costs
from layered_nst.strategies.keeper import belonging
from layered_nst.strategies.looks import check_looks, planned, thin_notes
from layered_nst.strategies.problems import finished
from layered_nst.video.between import Between, pictures_between
from layered_nst.video.carrying import RegionsInTime
from layered_nst.video.clips import Clip, ClipFrame, Excerpt
from layered_nst.video.earlier import REACHES, Link, Past, Told
from layered_nst.video.ends import Ends
from layered_nst.video.fades import Fades
from layered_nst.video.flow import CUT, FlowOf, Motion, flow_of
from layered_nst.video.frames import FramePainter
from layered_nst.video.keeping import FrameStore, frames_folder, part_of
from layered_nst.video.linking import links_to
from layered_nst.video.loops import Loop
from layered_nst.video.mixing import Mixing, Mixings
from layered_nst.video.noting import changes, lost_notes, still_share
from layered_nst.video.progress import FrameProgress, OnFrame
from layered_nst.video.result import VideoResult, is_painted, planes_of
from layered_nst.video.stored import as_bytes
from layered_nst.video.wipes import Wipe
from layered_nst.video.writing import check_film, even

NONE = -1
"""The number of a frame that there is not."""


def clip_size(recipe: Recipe, clip: Clip) -> tuple[int, int]:
    """Height and width of the result: the recipe's size, but never above the clip's own."""
    longest = min(recipe.size, max(clip.size))
    return even(fit_within(clip.size, longest), clip.size)


class _StoppedBetween(Exception):  # noqa: N818 - stopping is what was asked for
    """Ends a run between two steps."""


@dataclass
class ClipRun:
    """What a run over a clip has in hand."""

    recipe: Recipe
    clip: Clip
    excerpt: Excerpt
    output: Path | None
    device: torch.device
    strict: bool
    weights_dir: Path | None
    max_pixels: int
    cache: Cache | None
    memory: float | None
    asked_to_stop: Callable[[], bool]
    on_scene: Callable[[Scene, Clip], None]
    on_frame: OnFrame
    on_progress: OnProgress

    def __post_init__(self) -> None:
        keep_few_kernels()
        self.size = clip_size(self.recipe, self.clip)
        self.flow: FlowOf = flow_of(self.recipe.video.flow)
        self.temporary: Any = None
        if self.output is None:
            self.temporary = tempfile.TemporaryDirectory(prefix="layered-nst-")
            self.folder = Path(self.temporary.name) / "frames"
        else:
            check_film(self.output, self.clip, self.size, self.recipe.output)
            self.folder = frames_folder(self.output)
            FrameStore.check(self.folder)
        self.scenery = Scenery(
            self.recipe,
            weights_dir=self.weights_dir,
            device=self.device,
            max_pixels=self.max_pixels,
            cache=self.cache,
        )
        self.regions = RegionsInTime(
            self.scenery,
            self.recipe.regions_on(self.recipe.content),
            every=self.recipe.video.segment_every,
            strict=self.strict,
            ahead=self._ahead,
            flow=self.flow,
        )
        self.now = 0, self.clip.begins
        self.pasts: dict[int, Past] = {}
        self.lit, self.key, self.shot = 0, NONE, 1
        self.store = FrameStore(self.folder, {})  # nothing belongs together yet
        self.notes: list[str] = []
        self.loop: Loop | None = None
        self.mixings = Mixings(iter(()))
        self.fades = Fades(lambda: (frame.picture for frame in self.excerpt.of(self.clip)))
        self.between: Between | None = None
        self.spent: list[float] = []

    def begun(self) -> tuple[ClipFrame, Iterator[ClipFrame]]:
        """The first frame that shows anything, by which all is settled, and those after it.

        Raises:
            ClipError: there is none.
        """
        frames = self.excerpt.of(self.clip)
        first = next(frames, None)
        if first is None:
            raise ClipError(f"{self.clip.path}: no frame lies between what was asked for")
        lit = first
        for self.lit, frame in enumerate(chain([first], frames)):
            if self.fades.shown(self.lit, frame.picture):
                lit = frame
                break
        else:
            self.lit, frames = 0, islice(self.excerpt.of(self.clip), 1, None)
        self._prepare(lit)
        return lit, frames

    def painted(self, *, resume: bool) -> VideoResult:
        """Paint all frames."""
        first, frames = self.begun()
        self.loop = self._looped()
        # Decoded once more: it looks fifty frames ahead, which at 1080 rows would be more than a
        # gigabyte of pixels; decoding a frame of 720 rows takes 10 ms.
        self.mixings = Mixings(frame.picture.rgb for frame in self.excerpt.of(self.clip))
        self.store.begin(resume=resume)
        self.count = self.excerpt.count(self.clip)
        done = len(self.store.lines)
        try:
            blank = islice(self.excerpt.of(self.clip), self.lit)
            for number, frame in enumerate(chain(blank, [first], frames)):
                self._frame(number, frame, done)
        except (KeyboardInterrupt, _StoppedBetween) as stopped:
            partial = self._result(complete=False) if self.store.lines else None
            raise Interrupted("interrupted", partial=partial, checkpoint=self._kept()) from stopped
        return self._result(complete=True)

    def _kept(self) -> Path | None:
        return self.folder if self.store.lines and self.output is not None else None

    def _prepare(self, frame: ClipFrame) -> None:
        """Settle plan, memory and what the frames belong to, by the first of them."""
        picture, eyes = self.scenery.look(frame.picture, size=self.size)
        self.now = self.lit, frame.time
        masks = self.regions.at(self.lit, frame.picture, picture, eyes, None)
        self.styles = self.scenery.styles(picture, masks)
        scene = self.scenery.scene(frame.picture, picture, masks, self.styles, eyes)
        plan = planned(scene)
        names = dict.fromkeys((*plan.encoders, LIGHT))  # what comes into sight is begun with LIGHT
        encoders = load_encoders(names, weights_dir=self.weights_dir, device=self.device)
        self.encoders = encoders
        costs = level_costs(scene, plan, encoders)
        room = make_room(
            costs,
            asked=self.memory,
            resumed=None,
            obtainable=obtainable_bytes(self.device),
            enough=enough_for(scene),
        )
        looks = check_looks(scene, encoders, plan) + thin_notes(scene, encoders, plan)
        scene = replace(scene, notes=scene.notes + looks + room.notes)
        self.notes += scene.notes
        self.scene, self.plan = scene, plan
        self.inputs: Inputs = read_inputs(
            scene, plan.encoders, plan.precision, weights_dir=self.weights_dir
        )
        belongs = {**belonging(scene, plan, self.inputs), "part of the clip": str(self.excerpt)}
        belongs["clip"] = belongs.pop("photo")
        name = "" if self.output is None else self.output.name
        self.store = FrameStore(self.folder, belongs, output=name)
        self.painter = FramePainter(
            plan, encoders, self.recipe.video, self.recipe.optimize.quality, room.readings
        )
        self.on_scene(scene, self.clip)

    def _frame(self, number: int, frame: ClipFrame, done: int) -> None:
        """Paint a frame, or pass over one that is there already."""
        if number < done:
            self._pass_over(number, frame, done)
            return
        self._look()
        started = time.monotonic()
        mixing = self._mixing(number - 1)
        if mixing is not None:
            self._begin_between(mixing, frame)
        if self.between is not None:
            self._go_over(number, frame, started)
            return
        if not self.fades.shown(number, frame.picture):
            self._blank(number, frame, started)
            return
        scene, links, seen = self._scene(number, frame)
        found = time.monotonic()
        if links:
            toward = self._toward(number)
            past = self.painter.next(number, scene, links, self._told, toward=toward)
        else:
            past = self._first(number, scene)
            self._begin_shot(number)
        times = {"finding": found - started, "painting": time.monotonic() - found}
        self._keep(past, scene, frame, seen, started, times)

    def _first(self, number: int, scene: Scene) -> Past:
        """Paint the first frame of a shot."""
        return Past.first(number, scene, self.painter.first(number, scene, self._told))

    def _begin_shot(self, number: int) -> None:
        self.shot += self.key != NONE
        self.key = number

    def _mixing(self, number: int) -> Mixing | Wipe | None:
        """The frames behind one that are mixed of the scene painted last and another."""
        found = self.mixings.at(number) if number >= 0 else None
        if number not in self.pasts:
            return None
        if found is None or self.loop is None or found.last < self.loop.begins:
            return found
        return None  # what a loop comes back to is one scene

    def _begin_between(self, mixing: Mixing | Wipe, frame: ClipFrame) -> None:
        """Paint the first frame of another scene, before those that are mixed of both.

        Args:
            frame: the first of these.
        """
        self.now = mixing.first + 1, frame.time
        past = self.pasts[mixing.first]
        photos, last = [as_bytes(past.photo)], frame
        for last in islice(self._from(mixing.first + 1), mixing.last - mixing.first):
            picture, eyes = self.scenery.look(last.picture, size=self.size, remembered=False)
            photos.append(as_bytes(picture.rgb))
        self.now = mixing.last, last.time
        scene = self._scene_at(mixing.last, last, picture, eyes, [])
        behind = self._first(mixing.last, scene)
        before = planes_of(self.store.pixels(mixing.first))[:3]
        shown = self._faded(behind, scene, self.fades.shown(mixing.last, last.picture))
        pictures = pictures_between(mixing, Ends(photos, before, shown, self.flow))
        kept = self._keeps(past, scene) * scene.kept.cpu()
        self.between = Between(pictures, behind, scene, kept)

    def _keeps(self, past: Past, scene: Scene) -> Tensor:
        """Where an earlier frame keeps its photo, shape (H, W), bool."""
        painted = {region.name for region in scene.painted}
        names = self.store.lines[past.number]["masks"]
        kept = [number for number, name in enumerate(names) if name not in painted]
        return torch.isin(past.whose, torch.tensor(kept, dtype=past.whose.dtype))

    def _go_over(self, number: int, frame: ClipFrame, started: float) -> None:
        """Keep a frame between two scenes, or the first one of the other."""
        assert self.between is not None
        between, mixed = self.between, None
        past, scene = between.past, between.scene
        if number == past.number:
            self.between = None
            self._begin_shot(number)
        else:
            scene = self._bare(frame)
            mixed = next(between.pictures).lerp(scene.picture.rgb.cpu(), between.kept)
            past = self._untold(number, scene, mixed)
        times = {"finding": 0.0, "painting": time.monotonic() - started}
        self._keep(past, scene, frame, None, started, times, mixed=mixed)

    def _bare(self, frame: ClipFrame) -> Scene:
        """A frame of which nothing is painted."""
        picture, _ = self.scenery.look(frame.picture, size=self.size, remembered=False)
        none = torch.zeros(0, *self.size).to(picture.rgb)
        return replace(self.scene, picture=picture, masks=RegionMasks((), none))

    def _untold(self, number: int, scene: Scene, canvas: Tensor) -> Past:
        """A frame that tells nothing of those behind it."""
        self.painter.kept = 1.0
        return Past.untold(number, scene, canvas)

    def _blank(self, number: int, frame: ClipFrame, started: float) -> None:
        """Let a frame that shows nothing be, without asking it of others or others of it."""
        scene = self._bare(frame)
        past = self._untold(number, scene, scene.picture.rgb.cpu().clone())
        self._keep(past, scene, frame, None, started, {"finding": 0.0, "painting": 0.0})

    def _scene(self, number: int, frame: ClipFrame) -> tuple[Scene, list[Link], Motion | None]:
        """The recipe on a frame, and what ``links_to`` says of that; with new styles at a cut."""
        self.now = number, frame.time
        if number == self.lit:
            return self.scene, [], None
        picture, eyes = self.scenery.look(frame.picture, size=self.size, remembered=False)
        links, seen = links_to(
            number, picture.rgb.cpu(), self.pasts, first=self.key, flow=self.flow
        )
        return self._scene_at(number, frame, picture, eyes, links, seen), links, seen

    def _scene_at(
        self,
        number: int,
        frame: ClipFrame,
        picture: Picture,
        eyes: Eyes,
        links: Sequence[Link],
        seen: Motion | None = None,
    ) -> Scene:
        masks = self.regions.at(number, frame.picture, picture, eyes, seen)
        if not links:
            self.styles = self.scenery.styles(picture, masks)
        return self.scenery.scene(frame.picture, picture, masks, self.styles)

    def _toward(self, number: int) -> Told | None:
        """Of a loop, what its first frame says of one of the last."""
        if self.loop is None or number < self.loop.begins:
            return None
        if not self.loop.pictures:
            self.loop.prepare(self.store.state(0)["canvas"])
            if self.loop.closes < CUT:
                self.notes.append(
                    "loop: the last frame shows little of the first one, so the loop is not closed"
                )
        return self.loop.toward(number)

    def _looped(self) -> Loop | None:
        """What closes a loop, if one was asked for."""
        if not self.recipe.video.loop:
            return None
        frames = self.excerpt.of(self.clip)
        looks = (self.scenery.look(frame.picture, size=self.size) for frame in frames)
        return Loop((picture.rgb.cpu() for picture, _ in looks), self.flow)

    def _ahead(self, first: int, last: int) -> Iterator[Picture]:
        """Frames by their numbers, both ends included, at the result's size."""
        for frame in islice(self._from(first), last + 1 - first):
            yield self.scenery.look(frame.picture, size=self.size, remembered=False)[0]

    def _from(self, number: int) -> Iterator[ClipFrame]:
        """Frames from that number on: sought where its time is known."""
        at, time = self.now
        if number < len(self.store.lines):
            at, time = number, Fraction(self.store.lines[number]["time"])
        if number == at:
            return self.excerpt.of(self.clip, since=time)
        return islice(self.excerpt.of(self.clip), number, None)

    def _told(self, progress: Progress) -> None:
        self.on_progress(progress)
        self._look()

    def _look(self) -> None:
        if self.asked_to_stop():
            raise _StoppedBetween

    def _keep(
        self,
        past: Past,
        scene: Scene,
        frame: ClipFrame,
        seen: Motion | None,
        started: float,
        times: Mapping[str, float],
        *,
        mixed: Tensor | None = None,
    ) -> None:
        """Keep a frame, as it was painted or was mixed of others."""
        shows = self.fades.shown(past.number, frame.picture)
        rgb = self._faded(past, scene, shows) if mixed is None else past.photo.lerp(mixed, shows)
        line, state = self._line(past, scene.masks, frame, seen), self._state(past, scene.masks)
        seconds = time.monotonic() - started
        told = {**line, "shown": round(shows, 4), "seconds": round(seconds, 3)}
        told |= {} if mixed is None else {"mixed": True}
        told |= {f"{name}_seconds": round(value, 3) for name, value in times.items()}
        self.store.put(rgb, self._alpha(scene), state, told, depth=line["depth"])
        if shows and mixed is None:
            self.spent.append(seconds)
            self._remember(past)
        self.store.forget_states([*self.pasts, *([] if self.loop is None else [0])])
        left = None if self.count is None or not self.spent else self._left(past.number)
        number = past.number + 1
        self.on_frame(
            FrameProgress(number, self.count, self.shot, line["seen"], seconds, left, rgb)
        )

    def _faded(self, past: Past, scene: Scene, share: float) -> Tensor:
        """What is shown of a frame, (3, H, W): the painting, as far as there is a picture."""
        photo = scene.picture.rgb
        if not share:
            return photo.cpu()
        rgb = finished(past.canvas.to(photo), scene)
        return (rgb if share == 1 else photo.lerp(rgb, share)).cpu()

    def _state(self, past: Past, masks: RegionMasks) -> dict[str, Tensor]:
        """All that later frames depend on."""
        state = {
            **past.state(),
            **{f"regions.{name}": value for name, value in self.regions.state().items()},
            **{f"painter.{name}": value for name, value in self.painter.state().items()},
        }
        return {**state, "masks": masks.masks.cpu()} if past.number == self.key else state

    def _line(
        self, past: Past, masks: RegionMasks, frame: ClipFrame, seen: Motion | None
    ) -> dict[str, Any]:
        """What is known of a frame beside its pixels."""
        before = self.pasts.get(past.number - 1)
        return {
            "time": str(frame.time),
            "length": str(frame.length),
            "shot": self.shot,
            "key": self.key,
            "masks": list(masks.names),
            "seen": 0.0 if seen is None else round(seen.seen, 4),
            "still": 0.0 if past.number == self.key else still_share(past, before),
            "kept": round(self.painter.kept, 4),
            "coverage": {name: round(share, 4) for name, share in masks.coverage.items()},
            "depth": 16 if self.clip.depth > 8 else 8,
            **changes(past, before, seen),
            **({"damaged": True} if frame.is_damaged else {}),
            **({"lost": sorted(self.regions.lost)} if self.regions.lost else {}),
        }

    def _left(self, number: int) -> float:
        """Seconds for the rest, by the frames that are no first ones of their shot."""
        usual = sorted(self.spent[1:] or self.spent)
        return max(0, (self.count or 0) - number - 1) * usual[len(usual) // 2]

    def _alpha(self, scene: Scene) -> Tensor | None:
        return scene.visible.cpu() if self.clip.alpha else None

    def _remember(self, past: Past) -> None:
        """Keep a frame for those after it, and forget those that none of them asks for."""
        self.pasts[past.number] = past
        oldest = past.number + 1 - max(REACHES)
        self.pasts = {n: p for n, p in self.pasts.items() if n >= oldest or n == self.key}

    def _pass_over(self, number: int, frame: ClipFrame, done: int) -> None:
        """Take up what later frames depend on of one that is done."""
        line, last = self.store.lines[number], self.store.lines[done - 1]
        self.key, self.shot = line["key"], line["shot"]
        if number in self._asked_for(done):
            state = self.store.state(number)
            self._remember(Past.restored(number, state))
            if number == last["key"]:
                picture, _ = self.scenery.look(frame.picture, size=self.size, remembered=False)
                masks = RegionMasks(tuple(line["masks"]), state["masks"].to(self.device))
                self.styles = self.scenery.styles(picture, masks)
        if number == done - 1:
            state = self.store.state(number)
            self.regions.restore(part_of(state, "regions."))
            self.painter.restore(part_of(state, "painter."), self.device)

    def _asked_for(self, done: int) -> set[int]:
        """Of so many frames that are done, those that the next one asks."""
        lines = self.store.lines[:done]
        painted = [number for number, line in enumerate(lines) if is_painted(line)]
        last = max(painted, default=NONE)
        near = {number for number in painted if number > last - max(REACHES)}
        return near | ({lines[-1]["key"]} & set(painted))

    def _result(self, *, complete: bool) -> VideoResult:
        return VideoResult(
            store=self.store,
            clip=self.clip,
            excerpt=self.excerpt,
            scene=self.scene,
            plan=self.plan,
            inputs=self.inputs,
            size=self.size,
            notes=tuple(
                dict.fromkeys(
                    [
                        *self.notes,
                        *lost_notes(self.clip.path.name, self.store.lines),
                        *self.clip.notes,
                    ]
                )
            ),
            complete=complete,
            temporary=self.temporary,
        )
