"""From a campaign to its jobs: every photo by every recipe, format, seed and value that varies."""

from __future__ import annotations

import glob
import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from layered_nst.campaign.identity import Hashes, drawn_on, spec_of, state_of
from layered_nst.campaign.jobs import WORK, Job
from layered_nst.campaign.loading import Stated, readable_recipe
from layered_nst.campaign.naming import (
    ENDINGS,
    SUFFIXES,
    default_template,
    ending_of,
    named,
    same_name,
)
from layered_nst.campaign.photos import Row, rows_of
from layered_nst.campaign.schema import Format
from layered_nst.errors import CampaignError, LayeredNstError
from layered_nst.files.hashes import text_hash
from layered_nst.recipe import Recipe, load_recipe, named_files
from layered_nst.recipe.files import absolute
from layered_nst.recipe.nodes import Node, from_plain
from layered_nst.recipe.overrides import FLAG
from layered_nst.recipe.problems import Mistake
from layered_nst.words import did_you_mean, listed

RATES = {"instant": 0.5, "draft": 10.0, "standard": 200.0, "fine": 500.0, "print": 1000.0}
"""Seconds for a megapixel on two cores, by quality: for what comes first, until some are done."""
USUAL_STEPS = {"draft": 30, "standard": 60, "fine": 120}
"""Steps that these rates are about, where a recipe states its own."""
OVERHEAD = 0.5
"""Seconds that a picture takes besides."""

Overrides = Mapping[str, Node]


@dataclass(frozen=True)
class Expansion:
    """All jobs of a campaign.

    Attributes:
        jobs: in the order of the campaign; those that cannot be painted say why.
        skipped: those that their row leaves out.
        clashes: sentences about pictures that would have the same name.
    """

    jobs: tuple[Job, ...]
    skipped: tuple[Job, ...] = ()
    clashes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """One combination of recipe, format, seed and values that vary."""

    recipe: Path
    format: str
    seed: int | None
    varied: tuple[tuple[str, Node], ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Loaded:
    """A recipe with some overrides, on no photo yet."""

    recipe: Recipe | None
    spec: str = ""
    group: str = ""
    cost: float = 1.0
    files: tuple[str, ...] = ()
    problem: str = ""


class Shelf:
    """Recipes, each loaded once for each set of overrides."""

    def __init__(self, hashes: Hashes, device: str) -> None:
        self.hashes, self.device = hashes, device
        self._known: dict[str, Loaded] = {}

    def load(self, source: Path, overrides: Overrides, form: Format) -> Loaded:
        """A recipe with overrides, or why there is none."""
        crop = form.crop or ""
        key = json.dumps(
            [
                str(source),
                crop,
                form.keep,
                {k: [v.plain(), str(v.place.folder)] for k, v in overrides.items()},
            ]
        )
        if key not in self._known:
            self._known[key] = self._loaded(source, overrides, crop, form.keep)
        return self._known[key]

    def _loaded(self, source: Path, overrides: Overrides, crop: str, keep: str) -> Loaded:
        try:
            recipe = load_recipe(readable_recipe(source), overrides={**overrides, "content": None})
            spec = spec_of(recipe, crop=crop, keep=keep, device=self.device, hashes=self.hashes)
        except LayeredNstError as error:
            return Loaded(None, problem=with_places(str(error), overrides))
        files = tuple(str(path) for path in named_files(recipe).values())
        group = text_hash(json.dumps([str(source), recipe.size, recipe.optimize.quality, files]))
        return Loaded(recipe, spec, group[:16], cost_of(recipe, crop), files)


def with_places(sentence: str, overrides: Overrides) -> str:
    """A message about overrides that names the file and line that they stand in."""
    for key, node in overrides.items():
        place = node.place
        line = f":{place.line}" if place.line else ""
        where = f"{place.source}{line}: {key}" if place.source else key
        sentence = sentence.replace(f"{FLAG} {key}", where)
    return sentence


def cost_of(recipe: Recipe, crop: str) -> float:
    """About how long a recipe takes, in seconds on two cores."""
    optimize = recipe.optimize
    rate, steps = RATES.get(optimize.quality, RATES["standard"]), optimize.steps
    if steps is not None:
        stated = steps if isinstance(steps, int) else max(steps)
        rate *= stated / USUAL_STEPS.get(optimize.quality, 60)
    twice = 1.4 if recipe.strategy == "product-then-style" else 1.0
    return OVERHEAD + rate * twice * 0.7 * recipe.size**2 / 1e6


def expand(
    stated: Stated, *, hashes: Hashes, device: str = "auto", cache: bool = True
) -> Expansion:
    """Make the jobs of a campaign.

    Raises:
        CampaignError: photos or recipes that are named and match nothing, or a name's field that
            nothing has.
    """
    rows, choices = rows_of(stated), [*_choices(stated)]
    recipes = len({choice.recipe for choice in choices})
    maker = _Maker(stated, Shelf(hashes, device), device, cache, recipes)
    counter = itertools.count(1)
    jobs, skipped = list[Job](), list[Job]()
    for row in rows:
        chosen = _chosen(row, choices)
        for choice in chosen or choices[:1]:
            problem = "" if chosen else _nothing_chosen(row, choices)
            job = maker.job(row, choice, next(counter), problem)
            (skipped if row.skip else jobs).append(job)
    return Expansion(tuple(jobs), tuple(skipped), tuple(clashes_of([*jobs, *skipped])))


def _choices(stated: Stated) -> Iterator[Choice]:
    asked = stated.asked
    values = {key: _varied(stated.node("vary", key)) for key in asked.vary}
    combinations = [*itertools.product(*values.values())]
    for recipe in recipes_of(stated):
        for form in asked.formats or {"": Format()}:
            for seed in asked.seeds or (None,):
                for combination in combinations:
                    varied = tuple(zip(values, (node for node, _ in combination), strict=True))
                    texts = dict(zip(values, (text for _, text in combination), strict=True))
                    yield Choice(recipe, form, seed, varied, texts)


def _varied(node: Node) -> list[tuple[Node, str]]:
    """The values of a key that varies, each with a short text of its own."""
    texts = [_in_words(value.plain()) for value in node.value]
    if len({*texts}) < len(texts):
        texts = [str(number) for number in range(1, len(texts) + 1)]
    return [*zip(node.value, texts, strict=True)]


def _in_words(value: Any) -> str:
    if isinstance(value, dict | list):
        return text_hash(json.dumps(value, sort_keys=True))[:6]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return Path(value).stem if isinstance(value, str) and "/" in value else str(value)


def recipes_of(stated: Stated) -> list[Path]:
    """The recipes of a campaign; patterns in the order of names.

    Raises:
        CampaignError: a pattern that matches nothing.
    """
    found: list[Path] = []
    for number, entry in enumerate(stated.asked.recipes):
        node = stated.node("recipes", number)
        place = node.place if node.value is not None else stated.node("recipes").place
        path = absolute(entry, place.folder)
        if glob.has_magic(entry) and not path.exists():
            matching = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
            if not matching:
                said = Mistake(place, "recipes", f"{entry}: no recipe is called so")
                raise CampaignError(str(said))
            found += matching
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def _chosen(row: Row, choices: Sequence[Choice]) -> list[Choice]:
    """The combinations that a row asks for; all where it says nothing."""
    recipe, form, seed = (row.chosen.get(key, "") for key in ("recipe", "format", "seed"))
    found = [c for c in choices if not recipe or recipe in (c.recipe.stem, c.recipe.name)]
    found = [choice for choice in found if not form or choice.format == form]
    if not seed.isdecimal():
        return found if not seed else []
    # A row's own seed stands for all that the campaign has.
    own = (replace(choice, seed=int(seed)) for choice in found)
    return list({(c.recipe, c.format, c.varied): c for c in own}.values())


def _nothing_chosen(row: Row, choices: Sequence[Choice]) -> str:
    known = {
        "recipe": [choice.recipe.stem for choice in choices],
        "format": [choice.format for choice in choices if choice.format],
    }
    for key, names in known.items():
        asked, there = row.chosen.get(key, ""), list(dict.fromkeys(names))
        if asked and asked not in there and asked not in {c.recipe.name for c in choices}:
            hint = did_you_mean(asked, there) or f"; there are {listed(there or ['none'])}"
            return f"{row.where}: {key}: no {key} is called {asked}{hint}"
    return f"{row.where}: seed: found {row.chosen.get('seed')!r}, allowed: a whole number"


class _Maker:
    """Makes jobs of rows and choices."""

    def __init__(
        self, stated: Stated, shelf: Shelf, device: str, cache: bool, recipes: int
    ) -> None:
        asked = stated.asked
        self.stated, self.shelf, self.device, self.cache = stated, shelf, device, cache
        self.formats = asked.formats or {"": Format()}
        self.common: dict[str, Node] = {key: stated.node("set", key) for key in asked.set}
        if asked.quality is not None:
            self.common["optimize.quality"] = stated.node("quality")
        self.template = asked.name or default_template(
            recipes=recipes,
            formats=list(self.formats),
            seeds=len(asked.seeds or ()),
            vary=list(asked.vary),
        )
        self.masked = _Masked()

    def job(self, row: Row, choice: Choice, number: int, problem: str) -> Job:
        """One picture; with what is wrong about it, if something is."""
        form = self.formats[choice.format]
        overrides = self._overrides(row, choice, form)
        loaded = self.shelf.load(choice.recipe, overrides, form)
        labels = _labels(row, choice, loaded)
        name = self._name(row, choice, form, loaded, labels, number)
        problem = problem or row.problem or loaded.problem or self._wrong(form, loaded, name)
        drawn = state = ""
        if not problem:
            problem, drawn, state = self._seen(row.photo, choice, overrides, loaded)
        if problem and row.where not in problem:
            problem = f"{row.where}: {problem}"
        return Job(
            name=name,
            output=str(self.stated.output / name),
            recipe=str(choice.recipe),
            photo=str(row.photo),
            number=number,
            where=row.where,
            size=loaded.recipe.size if loaded.recipe else 0,
            overrides=overrides,
            crop=form.crop or "",
            keep=form.keep,
            spec=loaded.spec,
            photo_state=state,
            drawn=drawn,
            group=loaded.group,
            cost=loaded.cost,
            labels=labels,
            problem=problem,
            files=loaded.files,
            work=str(self.stated.output / WORK),
            device=self.device,
            memory=self.stated.asked.limits.memory,
            cache=self.cache,
            at_once=loaded.recipe is not None and loaded.recipe.optimize.quality == "instant",
        )

    def _overrides(self, row: Row, choice: Choice, form: Format) -> dict[str, Node]:
        place = self.stated.node("formats", choice.format).place
        stated = {"size": form.size, "output.dpi": form.dpi, "output.format": form.file}
        formed = {k: from_plain(v, place) for k, v in stated.items() if v is not None}
        seed = (
            {}
            if choice.seed is None
            else {"optimize.seed": from_plain(choice.seed, self.stated.node("seeds").place)}
        )
        return {**self.common, **formed, **dict(choice.varied), **row.values, **seed}

    def _name(
        self,
        row: Row,
        choice: Choice,
        form: Format,
        loaded: Loaded,
        labels: Mapping[str, str],
        number: int,
    ) -> str:
        kind = _format(form, loaded) or "png"
        fields: dict[str, str | int] = {
            **row.fields,
            **{key.rpartition(".")[2]: text for key, text in choice.texts.items()},
            **labels,
            "folder": row.photo.parent.name,
            "number": number,
        }
        try:
            return named(self.template, fields, ENDINGS[kind])
        except KeyError as error:
            place = self.stated.node("name").place
            raise CampaignError(str(Mistake(place, "name", error.args[0]))) from None

    def _wrong(self, form: Format, loaded: Loaded, name: str) -> str:
        """What the name says against the format."""
        wanted = _format(form, loaded)
        said = SUFFIXES.get(ending_of(name).lower())
        if wanted and said != wanted:
            return f"{name}: is to be {wanted}, but its name says {said}"
        return ""

    def _seen(
        self, photo: Path, choice: Choice, overrides: Overrides, loaded: Loaded
    ) -> tuple[str, str, str]:
        """What is wrong with a photo, what is drawn on it, and its state."""
        if not photo.is_file():
            return f"{photo}: {'is a folder' if photo.is_dir() else 'no such file'}", "", ""
        try:
            drawn = ""
            if loaded.recipe is not None and (loaded.recipe.photos or self.masked(photo)):
                source = readable_recipe(choice.recipe)
                recipe = load_recipe(source, content=photo, overrides=overrides)
                drawn = drawn_on(recipe, photo, self.shelf.hashes)
            return "", drawn, f"{state_of(photo)} {drawn}"
        except LayeredNstError as error:
            return with_places(str(error), overrides), "", ""


def _format(form: Format, loaded: Loaded) -> str | None:
    """The file format that is asked for."""
    return form.file or (loaded.recipe.output.format if loaded.recipe else None)


class _Masked:
    """Knows which photos have a folder of masks beside them; each folder is looked at once."""

    def __init__(self) -> None:
        self._folders: dict[Path, set[str]] = {}

    def __call__(self, photo: Path) -> bool:
        folder = photo.parent
        if folder not in self._folders:
            with os.scandir(folder) as entries:
                self._folders[folder] = {e.name for e in entries if e.name.endswith(".masks")}
        return bool({f"{photo.stem}.masks", f"{photo.name}.masks"} & self._folders[folder])


def _labels(row: Row, choice: Choice, loaded: Loaded) -> dict[str, str]:
    seed = choice.seed
    if seed is None:
        seed = 0 if loaded.recipe is None else loaded.recipe.optimize.seed
    return {
        "photo": row.photo.stem,
        "recipe": choice.recipe.stem,
        "format": choice.format,
        "seed": str(seed),
        **choice.texts,
    }


def clashes_of(jobs: Sequence[Job]) -> Iterator[str]:
    """Sentences about jobs whose pictures would take one another's place."""
    first: dict[str, Job] = {}
    for job in jobs:
        other = first.setdefault(same_name(job.name), job)
        if other is not job:
            yield (
                f"{job.name}: would be the picture of {_origin(other)} and of {_origin(job)}; "
                "name: needs a further field, such as {folder}, {number} or a column"
            )


def _origin(job: Job) -> str:
    where = f" ({job.where})" if job.where else ""
    return f"{job.photo} by {job.labels['recipe']}{where}"
