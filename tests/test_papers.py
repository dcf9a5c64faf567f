"""The papers say what is so: their recipes load, their commands and links exist."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from PIL import Image
from test_rooms import OPEN, ROOMS
from test_tiles import both, distance, plan_of, problem_of
from workbench import run

import layered_nst
from layered_nst import cli
from layered_nst.networks.catalogue import CATALOGUE
from layered_nst.networks.encoders import load_encoder
from layered_nst.painting import objective
from layered_nst.painting.plan import PRESETS
from layered_nst.recipe import (
    ClassSelector,
    MaskSelector,
    Optimize,
    Output,
    Recipe,
    Region,
    load_recipe,
)
from layered_nst.recipe.values import Section, keys_of

CLONE = Path(__file__).parents[1]
README = CLONE / "README.md"
HANDBOOK = CLONE / "recipes" / "README.md"
MEASURED = CLONE / "tests" / "README.md"
HOUSE = CLONE / "layered_nst" / "README.md"
PAGES = (
    README,
    HANDBOOK,
    MEASURED,
    HOUSE,
    CLONE / "assets" / "README.md",
    *sorted((CLONE / "layered_nst" / "networks" / "weights").glob("*.md")),
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CLONE)))


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    language: str
    text: str
    number: int

    def __str__(self) -> str:
        return f"{self.page.relative_to(CLONE)}-{self.language}-{self.number}"


def blocks(*languages: str) -> list[Block]:
    found = [
        Block(page, match[1], match[2], number)
        for page in PAGES
        for number, match in enumerate(FENCE.finditer(page.read_text("utf-8")))
    ]
    return [block for block in found if block.language in languages]


def inline(page: Path) -> list[str]:
    """The inline code of a page."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", page.read_text("utf-8")))


def test_the_readme_is_short() -> None:
    assert 6000 <= len(README.read_bytes()) <= 8192


# Recipes


def as_recipe(stated: dict[str, Any]) -> dict[str, Any]:
    """A part of a recipe, or of a region, within a whole one."""
    region = {"name": "shown", "select": "rest"}
    if stated.keys() - {*keys_of(Recipe), "extends"}:
        look = {} if "style" in stated or "protect" in stated else {"style": "style.png"}
        return {"recipe": 1, "regions": [{**region, **look, **stated}]}
    return {"recipe": 1, "regions": [{**region, "protect": True}], **stated}


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_a_recipe_of_the_papers_loads(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(block.page.parent)
    stated = yaml.safe_load(block.text)
    whole = "recipe" in stated or "extends" in stated
    recipe = load_recipe(stated if whole else as_recipe(stated), check_files=whole)
    assert recipe.regions
    for path in re.findall(r"(?:\.\./)*assets/[\w/.-]+", block.text):
        assert Path(path).is_file(), path


@pytest.mark.parametrize("text", [t for t in inline(HANDBOOK) if re.match(r"\w+: \S", t)])
def test_a_key_that_the_handbook_names_takes_what_it_says(text: str) -> None:
    stated = yaml.safe_load(text)
    (key,) = stated
    region = {"select": "rest", "style": "style.png", **stated}
    places: dict[type[Section], dict[str, Any]] = {
        Region: region | ({"style": None} if key == "protect" else {}),
        Recipe: {"product": "shown", **stated},
        Optimize: {"optimize": stated},
        Output: {"output": stated},
        ClassSelector: {"select": {"class": "sky", **stated}},
        MaskSelector: {"select": stated},
    }
    taken = [kind for kind in places if key in keys_of(kind)]
    assert taken, f"no {key} in a recipe"
    load_recipe(as_recipe(places[taken[0]]), check_files=False)


# Commands


@cache
def commands() -> dict[tuple[str, ...], Any]:
    """Every command by its words; groups too."""
    found: dict[tuple[str, ...], Any] = {}

    def walk(command: Any, words: tuple[str, ...]) -> None:
        found[words] = command
        for name, below in getattr(command, "commands", {}).items():
            walk(below, (*words, name))

    walk(typer.main.get_command(cli.app), ())
    return found


def options_of(command: Any) -> dict[str, Any]:
    named = {name: p for p in command.params for name in (*p.opts, *p.secondary_opts)}
    return {"--help": None, **{name: p for name, p in named.items() if name.startswith("-")}}


def command_lines(text: str) -> Iterator[str]:
    """The command lines of a shell block, or of a piece of inline code."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\|(?!\w)|;", line.partition(" #")[0]):
            if words := part.partition(" > ")[0].split():
                while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                    words = words[1:]
                # A variable alone is none.
                yield from [" ".join(words)] if words else []


def split(line: str) -> tuple[tuple[str, ...], list[str]]:
    """The words that name a command, and those that go with it."""
    _, *words = shlex.split(line)
    words = words[1:] if words[:1] == ["--debug"] else words
    words = words[2:] if words[:1] == ["--plugin"] else words
    count = 0
    while tuple(words[: count + 1]) in commands() and count < len(words):
        count += 1
    return tuple(words[:count]), words[count:]


def shell_lines() -> list[str]:
    texts = [block.text for block in blocks("bash", "console")]
    return sorted({line for text in texts for line in command_lines(text)})


def mentions() -> list[str]:
    """Commands that the papers speak of within a sentence or a table."""
    texts = [text for page in PAGES for text in inline(page)]
    lines = {line for text in texts for line in command_lines(text)}
    return sorted(line for line in lines if line.split()[0] == "layered-nst")


def layered_nst_lines() -> list[str]:
    return [line for line in shell_lines() if line.split()[0] == "layered-nst"]


def readme_lines() -> list[str]:
    """Those of the README, in its order."""
    texts = [block.text for block in blocks("bash") if block.page == README]
    lines = [line for text in texts for line in command_lines(text)]
    return [line for line in lines if line.startswith("layered-nst ")]


@pytest.mark.parametrize("line", layered_nst_lines())
def test_a_command_line_of_the_papers_is_understood(line: str) -> None:
    words, arguments = split(line)
    command = commands()[words]
    assert not getattr(command, "commands", None) or not arguments, f"no command {arguments[:1]}"
    command.make_context(" ".join(words), [*arguments], resilient_parsing=False)


@pytest.mark.parametrize("line", mentions())
def test_a_command_that_a_sentence_names_has_these_options(line: str) -> None:
    words, arguments = split(re.sub(r"[\[\]…]", " ", line))
    known = options_of(commands()[words])
    if getattr(commands()[words], "commands", None):
        assert not [a for a in arguments if a[:1].islower()], f"no command {arguments[:1]}"
    for argument in arguments:
        if argument.startswith("-"):
            assert argument.partition("=")[0] in known, argument


@each_page
def test_an_option_that_a_sentence_names_is_one_of_some_command(page: Path) -> None:
    known = {name for command in commands().values() for name in options_of(command)}
    known |= {name for script in scripts() for name in options_of_script(script)}
    told = {text.split()[0].partition("=")[0] for text in inline(page) if text.startswith("--")}
    assert told <= known


def test_the_comments_of_the_gallery_name_what_there_is() -> None:
    for recipe in sorted(HANDBOOK.parent.rglob("*.yaml")):
        text = recipe.read_text("utf-8").replace("\n# ", " ")
        for line in re.findall(r"layered-nst [\w/. -]+", text):
            words, arguments = split(line.rstrip(". "))
            known = options_of(commands()[words])
            assert {a for a in arguments if a.startswith("-")} <= known.keys(), line
            assert all((CLONE / a).is_file() for a in arguments if a.endswith(".yaml")), line


def test_the_way_of_a_newcomer_with_a_photo_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("assets").symlink_to(CLONE / "assets")
    photo = Image.open("assets/photos/temple.jpg")
    photo.resize((96, 64)).save("mine.jpg")
    own = [line for line in readme_lines() if "mine" in line and " gallery " not in line]
    assert [line.split()[1] for line in own] == ["new", "apply", "paint"]
    for line in own:
        small = [] if " new " in line else ["--size", "64", "--steps", "1"]
        ran = run(*shlex.split(line)[1:], *small)
        assert ran.code == 0, ran.err
    assert Image.open("mine.png").size == Image.open("mine-swirl.png").size == (64, 43)


def test_every_command_that_the_papers_name_has_a_help() -> None:
    named = {
        split(re.sub(r"[\[\]…]", " ", line))[0] for line in (*mentions(), *layered_nst_lines())
    }
    for words in sorted(named):
        ran = run(*words, "--help")
        assert ran.code == 0, words
        assert "Usage:" in ran.out, words


def test_the_papers_name_every_command() -> None:
    named = {
        split(re.sub(r"[\[\]…]", " ", line))[0] for line in (*mentions(), *layered_nst_lines())
    }
    leaves = {words for words, command in commands().items() if not hasattr(command, "commands")}
    assert not leaves - named


# Scripts


def scripts() -> list[Path]:
    return sorted((CLONE / "tests" / "benchmarks").glob("*.py"))


def options_of_script(script: Path) -> set[str]:
    return set(re.findall(r"\"(--[\w-]+)\"", script.read_text("utf-8"))) | {"--help"}


def script_lines() -> list[str]:
    texts = [block.text for block in blocks("bash", "console")]
    texts += [text for page in PAGES for text in inline(page)]
    lines = {line for text in texts for line in command_lines(text)}
    return sorted(line for line in lines if script_of(line))


def script_of(line: str) -> Path | None:
    """The script that a command line runs, or the benchmark that it names without its folder."""
    python, name = re.fullmatch(r"(python3? )?(\S+\.py)?.*", line).groups()  # type: ignore[union-attr]
    beside = CLONE / "tests" / "benchmarks" / (name or "")
    if python and name:
        return CLONE / name
    return beside if name and beside.is_file() else None


@pytest.mark.parametrize("line", script_lines())
def test_a_script_of_the_papers_is_there_with_its_options(line: str) -> None:
    script = script_of(line)
    assert script is not None
    given = {word.partition("=")[0] for word in line.split() if word.startswith("--")}
    assert given <= options_of_script(script)


def test_every_benchmark_is_explained() -> None:
    text = MEASURED.read_text("utf-8")
    runnable = [script for script in scripts() if "argparse" in script.read_text("utf-8")]
    assert len(runnable) > 8
    assert not [script.name for script in runnable if script.name not in text]


# Links


def heading_anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text("utf-8")))
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        assert not anchor or anchor in heading_anchors(target), link


@each_page
def test_a_file_that_a_page_names_is_there(page: Path) -> None:
    for text in inline(page):
        if re.fullmatch(r"(?:layered_nst|tests|recipes|assets)/[\w./-]*", text):
            assert (CLONE / text).exists(), text


@each_page
def test_a_name_of_the_package_that_a_page_tells_is_there(page: Path) -> None:
    for text in inline(page):
        if match := re.fullmatch(r"layered_nst((?:\.\w+)+)(?:\(.*\))?", text):
            found: Any = layered_nst
            for name in match[1].strip(".").split("."):
                if not hasattr(found, name):
                    importlib.import_module(f"{found.__name__}.{name}")
                found = getattr(found, name)


# Python

KINDS = {"result": layered_nst.Result, "step": layered_nst.Progress}


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_of_the_papers_names_what_there_is(block: Block) -> None:
    tree = ast.parse(block.text)
    names: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            names |= {
                alias.asname or alias.name: getattr(module, alias.name) for alias in node.names
            }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called = names.get(node.func.id)
            given = {keyword.arg for keyword in node.keywords}
            assert called is None or given <= inspect.signature(called).parameters.keys()
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            kind = KINDS.get(node.value.id)
            known = () if kind is None else (*dir(kind), *kind.__dataclass_fields__)
            assert kind is None or node.attr in known, f"{node.value.id}.{node.attr}"


def test_the_loss_of_the_house_is_one_that_tiles_know(monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = (block for block in blocks("python") if "class Calm" in block.text)
    names: dict[str, Any] = {}
    exec(block.text, names)
    monkeypatch.setattr(objective, "losses_of", lambda _: [names["Calm"]()])
    encoder, problem = load_encoder("light"), problem_of(96, 80)
    _, (terms, gradient), (found, tiled) = both(encoder, problem, plan_of((96, 1)), 48)
    assert terms["calm.conv3_1"] > 0
    assert found["calm.conv3_1"] == pytest.approx(terms["calm.conv3_1"], rel=1e-4)
    assert distance(tiled, gradient) < 1e-3


# What else they tell


def test_the_house_is_told_room_by_room() -> None:
    told = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", HOUSE.read_text("utf-8"), re.MULTILINE)
    assert [room for room in told if room in ROOMS] == [*ROOMS]
    assert {*OPEN} <= {*told}


def test_the_handbook_tells_the_presets_as_they_are() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (\d+) to (\d+) \|", HANDBOOK.read_text("utf-8"), re.MULTILINE
    )
    told = {name: (int(first), int(last)) for name, first, last in rows}
    assert told == {name: (p.first_steps, p.last_steps) for name, p in PRESETS.items()}


def test_every_recipe_of_the_gallery_is_in_the_handbook() -> None:
    linked = re.findall(r"\]\(([\w/-]+\.yaml)\)", HANDBOOK.read_text("utf-8"))
    recipes = HANDBOOK.parent
    assert {*linked} == {p.relative_to(recipes).as_posix() for p in recipes.rglob("*.yaml")}


def test_every_bundled_model_is_in_the_readme_with_its_card() -> None:
    text, house = README.read_text("utf-8"), HOUSE.read_text("utf-8")
    for model in CATALOGUE.values():
        if model.bundled:
            card = re.escape(f"| [`{model.name}`](layered_nst/networks/weights/{model.name}.md) |")
            (row,) = re.findall(f"^{card}.*$", text, re.MULTILINE)
            size = f"{model.megabytes:.0f}" if model.megabytes >= 1 else f"{model.megabytes:.1f}"
            assert f", {size} MB |" in row, row
            assert f"(networks/weights/{model.name}.md)" in house
