"""Search for a painter's form: as near to the styles as may be in as little time.

One set of weights stands for all forms (``sharing``); evolution chooses by its error on pictures
that it was not taught with and by the time that this machine takes (``latency``); a random search
of the same length runs beside it, to see what evolution is worth. Source: Deb et al. 2002, NSGA-II,
for what survives: fronts, and within one the loneliest first. Everything that was evaluated stands
in a journal, and every generation draws from a generator of its own: a search that is broken off
goes on to the same front.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from layered_nst.errors import ModelError, OutputError
from layered_nst.files.atomic import replacing
from layered_nst.files.targets import FOREIGN
from layered_nst.instant.network import LAYERS, Form, Painter
from layered_nst.networks.encoders import Encoder
from layered_nst.training.checkpoints import restored, save_training
from layered_nst.training.encoders.pictures import pictures_digest, split
from layered_nst.training.painters.latency import machine, measured, predicted
from layered_nst.training.painters.losses import Contrasts
from layered_nst.training.painters.samples import draw_samples
from layered_nst.training.painters.sharing import Space, filled, part_of
from layered_nst.training.painters.teaching import SEEN, TeachingPlan, TeachingState, losses

POPULATION = 16
JUDGED_ON = 3
"""Batches of held-out pictures on which a form is judged."""


@dataclass(frozen=True)
class SearchPlan:
    """Everything that decides the outcome of a search, besides pictures, encoder and machine.

    Attributes:
        steps: in which the shared weights are taught.
        evaluations: of forms, by evolution, and as many by chance.
        batch, crop: crops in a step and their side in px.
        learning_rate: of Adam.
        seed: of everything random.
    """

    steps: int = 1500
    evaluations: int = 96
    batch: int = 2
    crop: int = 128
    learning_rate: float = 5e-4
    seed: int = 0


@dataclass(frozen=True)
class Found:
    """A form and what it is worth.

    Attributes:
        error: distance from styles and photos on held-out pictures, as the teaching measures it.
        seconds: for 512×512 px on this machine.
    """

    form: Form
    error: float
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """As data that JSON can hold."""
        return {"form": asdict(self.form), "error": self.error, "seconds": self.seconds}


@dataclass(frozen=True)
class Front:
    """What a search has come to.

    Attributes:
        evolved, drawn: all that evolution and chance have evaluated.
        best: the forms that no other beats in both, quickest first.
        volumes: hypervolumes of both, between the worst error and time of all.
    """

    evolved: Sequence[Found]
    drawn: Sequence[Found]
    best: Sequence[Found] = field(default_factory=tuple)
    volumes: tuple[float, float] = (0.0, 0.0)


def search(
    encoder: Encoder,
    photos: Sequence[Tensor],
    styles: Sequence[Tensor],
    folder: Path,
    *,
    plan: SearchPlan,
    space: Space,
    start: Painter | None = None,
    on_step: Callable[[int, int, str], None] = lambda *_: None,
) -> Front:
    """Teach shared weights, evolve forms, draw as many by chance, and write the front.

    Args:
        folder: for ``shared.training``, ``journal.json`` and ``front.json``; it goes on from there.
        start: a painter whose weights the shared ones begin with.
        on_step: called with (done, of, what).

    Raises:
        ModelError: what is in the folder belongs to another search or another machine.
    """
    (photos, held_photos), (styles, held_styles) = split(photos), split(styles)
    belongs = {
        "plan": asdict(plan),
        "space": json.loads(json.dumps(asdict(space))),
        "encoder": encoder.fingerprint,
        "photos": pictures_digest(photos),
        "styles": pictures_digest(styles),
    }
    teaching, path = _begun(encoder, plan, space, start), folder / "shared.training"
    shared = _taught(teaching, encoder, photos, styles, plan, space, path, belongs, on_step)
    journal = Journal(folder / "journal.json", belongs, shared, space)
    torch.manual_seed(plan.seed)
    judged_on = [
        draw_samples(held_photos, held_styles, batch=plan.batch, side=plan.crop)
        for _ in range(JUDGED_ON)
    ]

    def judge(form: Form) -> Found:
        known = journal.find(form)
        if known is None:
            error = _error(shared, encoder, form, judged_on)
            known = journal.note(Found(form, error, predicted(form, journal.table)))
        return known

    evolved = evolution(judge, space, plan, lambda n: on_step(n, plan.evaluations, "evolution"))
    drawn = chance(judge, space, plan, lambda n: on_step(n, plan.evaluations, "by chance"))
    front = Front(evolved, drawn, fronts([*evolved, *drawn])[0], volumes(evolved, drawn))
    _write(folder / "front.json", front)
    return front


def evolution(
    judge: Callable[[Form], Found],
    space: Space,
    plan: SearchPlan,
    tell: Callable[[int], None] = lambda _: None,
) -> list[Found]:
    """Everything that evolution evaluates, no form twice."""
    chance = random.Random(plan.seed)
    wanted = min(plan.evaluations, len(space))
    seen = {form: judge(form) for form in (space.smallest, space.largest)}
    while len(seen) < min(POPULATION, wanted):
        form = space.draw(chance)
        seen.setdefault(form, judge(form))
        tell(len(seen))
    while len(seen) < wanted:
        parents = survivors(list(seen.values()), POPULATION)
        pair = chance.sample(parents, 2)
        child = space.crossed(pair[0].form, pair[1].form, chance)
        if child in seen:
            child = space.draw(chance)
        if child not in seen:
            seen[child] = judge(child)
            tell(len(seen))
    return list(seen.values())


def chance(
    judge: Callable[[Form], Found],
    space: Space,
    plan: SearchPlan,
    tell: Callable[[int], None] = lambda _: None,
) -> list[Found]:
    """As many forms, each drawn by chance; the two ends are given here as well."""
    drawing = random.Random(plan.seed + 1)
    wanted = min(plan.evaluations, len(space))
    seen = {form: judge(form) for form in (space.smallest, space.largest)}
    while len(seen) < wanted:
        form = space.draw(drawing)
        if form not in seen:
            seen[form] = judge(form)
            tell(len(seen))
    return list(seen.values())


def fronts(found: Sequence[Found]) -> list[list[Found]]:
    """Layers of what is beaten by none but the layers before, each quickest first."""
    left = sorted(dict.fromkeys(found), key=lambda f: (f.seconds, f.error))
    layers = []
    while left:
        layer: list[Found] = []
        for one in left:  # quickest first: one that is slower must be nearer
            if not layer or one.error < layer[-1].error:
                layer.append(one)
        layers.append(layer)
        left = [one for one in left if one not in layer]
    return layers


def survivors(found: Sequence[Found], count: int) -> list[Found]:
    """The best layers, of the last of them the loneliest."""
    kept: list[Found] = []
    for layer in fronts(found):
        room = count - len(kept)
        if room <= 0:
            break
        kept += layer if len(layer) <= room else sorted(layer, key=_crowding(layer))[:room]
    return kept


def _crowding(layer: Sequence[Found]) -> Callable[[Found], float]:
    """Less for what has more room around it on its layer; the ends come first."""
    spans = [max(values) - min(values) or 1.0 for values in zip(*map(_ends, layer), strict=True)]
    room = {layer[0].form: float("inf"), layer[-1].form: float("inf")}
    for before, one, after in zip(layer, layer[1:], layer[2:], strict=False):
        room[one.form] = sum(
            abs(a - b) / span for a, b, span in zip(_ends(after), _ends(before), spans, strict=True)
        )
    return lambda one: -room[one.form]


def _ends(found: Found) -> tuple[float, float]:
    return found.seconds, found.error


def volumes(evolved: Sequence[Found], drawn: Sequence[Found]) -> tuple[float, float]:
    """Hypervolumes of two searches, each from 0 to 1, between the ends of both together."""
    every = [*evolved, *drawn]
    worst = [max(values) for values in zip(*map(_ends, every), strict=True)]
    least = [min(values) for values in zip(*map(_ends, every), strict=True)]
    spans = [(w - v) or 1.0 for w, v in zip(worst, least, strict=True)]

    def volume(found: Sequence[Found]) -> float:
        total, error = 0.0, worst[1]
        for one in fronts(found)[0]:
            total += (worst[0] - one.seconds) / spans[0] * (error - one.error) / spans[1]
            error = one.error
        return total

    return volume(evolved), volume(drawn)


MADE = ("plan.json", "shared.training", "journal.json", "front.json", "front.md", "front.png")
"""What a search writes into its folder."""


def check_folder(folder: Path) -> None:
    """Refuse a folder in which files of a search's names are no search's, before the work.

    Raises:
        OutputError: one is there and the folder holds no search, or the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file, not a folder")
    if not (folder / MADE[0]).is_file():
        for name in MADE[1:]:
            if (folder / name).exists():
                raise OutputError(f"{folder / name}: {FOREIGN}")
        return
    try:
        SearchPlan(**json.loads((folder / MADE[0]).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(f"{folder / MADE[0]}: {FOREIGN}") from error


def plan_for(
    encoder: Encoder,
    photos: Sequence[Tensor],
    styles: Sequence[Tensor],
    folder: Path,
    *,
    budget: float | None,
    seed: int,
) -> SearchPlan:
    """The plan of a search; what a time allows is measured once, and stands in the folder then.

    Args:
        budget: seconds for all of it.
    """
    path = folder / MADE[0]
    if path.is_file():
        kept = SearchPlan(**json.loads(path.read_text("utf-8")))
        return replace(kept, seed=seed)
    plan = SearchPlan(seed=seed)
    if budget is not None:
        took = _seconds_of_step(encoder, photos, styles, plan)
        steps = max(1, round(TAUGHT * budget / took))
        judged = max(4, round((1 - TAUGHT) * budget / (2 * JUDGED_ON * took / 6)))
        plan = replace(plan, steps=steps, evaluations=judged)
    with replacing(path) as file:
        file.write(json.dumps(asdict(plan)).encode())
    return plan


TAUGHT = 0.7
"""Share of a time in which the shared weights are taught; the rest is for evaluations, each of
which takes about a sixth of a step for each batch that is judged."""


def _seconds_of_step(
    encoder: Encoder, photos: Sequence[Tensor], styles: Sequence[Tensor], plan: SearchPlan
) -> float:
    teaching, taken = _begun(encoder, plan, Space(), None), []
    for _ in range(2):
        started = time.perf_counter()
        samples, shown = draw_samples(photos, styles, batch=plan.batch, side=plan.crop)
        for _ in range(3):
            teaching.send_back(encoder, Space().largest, samples, shown)
        taken.append(time.perf_counter() - started)
    return min(taken)


@torch.no_grad()
def _error(whole: Painter, encoder: Encoder, form: Form, judged_on: Sequence[Any]) -> float:
    """How far a form's pictures are from styles and photos."""
    part, plan = part_of(whole, form), TeachingPlan(form=form, steadiness=0)
    state = TeachingState(part, nn.Module(), _Silent(), None)  # type: ignore[arg-type]
    torch.manual_seed(0)  # the same grain for all
    terms = [losses(state, encoder, samples, shown, plan) for samples, shown in judged_on]
    kept = ("style", "content", "identity")
    return sum(float(t[name]) for t in terms for name in kept if name in t) / len(terms)


class _Silent(Contrasts):
    """Contrasts of which nothing is asked."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def coherence(self, seen: Mapping[str, Tensor], photo: Mapping[str, Tensor]) -> Tensor:
        return torch.zeros(())

    def told_apart(self, pictures: Tensor, styles: Tensor) -> Tensor:
        return torch.zeros(())


@dataclass
class _Teaching:
    """The shared weights while they are taught."""

    whole: Painter
    contrasts: Contrasts
    optimizer: torch.optim.Optimizer
    step: int = 0

    def parts(self) -> tuple[tuple[str, Any], ...]:
        """What a checkpoint keeps of, by name."""
        return (
            ("painter", self.whole),
            ("contrasts", self.contrasts),
            ("optimizer", self.optimizer),
        )

    def save(self, path: Path, belongs: Mapping[str, Any]) -> None:
        kept = {name: part.state_dict() for name, part in self.parts()}
        save_training(path, {**kept, "step": self.step}, belongs)

    def restore(self, path: Path, belongs: Mapping[str, Any]) -> None:
        with restored(path, belongs) as saved:
            for name, part in self.parts():
                part.load_state_dict(saved[name])
            self.step = saved["step"]

    def send_back(
        self, encoder: Encoder, form: Form, samples: Sequence[Any], shown: Tensor
    ) -> None:
        """Add to the gradient of the shared weights what a form of them should change."""
        part = part_of(self.whole, form)
        state = TeachingState(part, nn.Module(), self.contrasts, self.optimizer)  # type: ignore[arg-type]
        terms = losses(state, encoder, samples, shown, TeachingPlan(form=form, steadiness=0))
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]


def _begun(encoder: Encoder, plan: SearchPlan, space: Space, start: Painter | None) -> _Teaching:
    torch.manual_seed(plan.seed)
    whole = Painter(space.largest, [encoder.width(layer) for layer in LAYERS])
    if start is not None:
        filled(whole, start)
    contrasts = Contrasts({layer: encoder.width(layer) for layer in SEEN})
    taught = [*whole.parameters(), *contrasts.parameters()]
    optimizer = torch.optim.Adam(taught, lr=plan.learning_rate, betas=(0.9, 0.99))
    return _Teaching(whole, contrasts, optimizer)


SAVED = 100
"""Steps of the shared weights from checkpoint to checkpoint."""


def _taught(
    teaching: _Teaching,
    encoder: Encoder,
    photos: Sequence[Tensor],
    styles: Sequence[Tensor],
    plan: SearchPlan,
    space: Space,
    path: Path,
    belongs: Mapping[str, Any],
    on_step: Callable[[int, int, str], None],
) -> Painter:
    """The shared weights: taught by the widest, the narrowest and one in between, step by step."""
    if path.exists():
        teaching.restore(path, belongs)
    while teaching.step < plan.steps:
        middle = space.draw(random.Random(f"{plan.seed}/{teaching.step}"))
        samples, shown = draw_samples(photos, styles, batch=plan.batch, side=plan.crop)
        teaching.optimizer.zero_grad(set_to_none=True)
        for form in (space.largest, space.smallest, middle):
            teaching.send_back(encoder, form, samples, shown)
        nn.utils.clip_grad_norm_(teaching.whole.parameters(), 1.0)
        teaching.optimizer.step()
        teaching.step += 1
        on_step(teaching.step, plan.steps, "shared weights")
        if teaching.step % SAVED == 0 or teaching.step == plan.steps:
            teaching.save(path, belongs)
    return teaching.whole.requires_grad_(False)


class Journal:
    """All that was evaluated, and the times of this machine, on disk.

    Raises:
        ModelError: it is broken, or of another search or machine.
    """

    def __init__(
        self, path: Path, belongs: Mapping[str, Any], shared: Painter, space: Space
    ) -> None:
        self.path = path
        if path.exists():
            self.kept = self._read(belongs)
        else:
            table = measured(space, shared.channels)
            self.kept = {
                "belongs": dict(belongs),
                "machine": machine(),
                "seconds": table,
                "found": [],
            }
            self._save()
        self.known = {one.form: one for one in map(_found, self.kept["found"])}

    @property
    def table(self) -> Mapping[str, float]:
        """Seconds of stages."""
        seconds: Mapping[str, float] = self.kept["seconds"]
        return seconds

    def find(self, form: Form) -> Found | None:
        """What a form is worth, if it was evaluated before."""
        return self.known.get(form)

    def note(self, found: Found) -> Found:
        """Write down what a form is worth."""
        self.known[found.form] = found
        self.kept["found"].append(found.as_dict())
        self._save()
        return found

    def _read(self, belongs: Mapping[str, Any]) -> dict[str, Any]:
        try:
            kept: dict[str, Any] = json.loads(self.path.read_text("utf-8"))
            of, where = kept["belongs"], kept["machine"]
            list(map(_found, kept["found"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{self.path}: broken; remove it to search afresh") from error
        for name, value in json.loads(json.dumps(belongs)).items():
            if of.get(name) != value:
                raise ModelError(
                    f"{self.path}: of a search with another {name}; repeat the command as it was, "
                    "or name another folder"
                )
        if where != machine():
            raise ModelError(
                f"{self.path}: its times are those of another machine ({where}); remove it to "
                "measure them here"
            )
        return kept

    def _save(self) -> None:
        with replacing(self.path) as file:
            file.write(json.dumps(self.kept, indent=1).encode())


def _found(said: Mapping[str, Any]) -> Found:
    form = Form(tuple(said["form"]["widths"]), tuple(said["form"]["depths"]))
    return Found(form, float(said["error"]), float(said["seconds"]))


def _write(path: Path, front: Front) -> None:
    told = {
        "front": [found.as_dict() for found in front.best],
        "hypervolume": {"evolution": front.volumes[0], "chance": front.volumes[1]},
        "evaluations": {"evolution": len(front.evolved), "chance": len(front.drawn)},
    }
    with replacing(path) as file:
        file.write(json.dumps(told, indent=1).encode())
