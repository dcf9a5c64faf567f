"""Options are alike on all commands, and keyword options of the package have types."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer.main
from workbench import lay_out, run

import layered_nst
from layered_nst import cli
from layered_nst.picture import MAX_PIXELS
from layered_nst.scene.eyes import SEGMENTED_SIDE
from layered_nst.training.encoders.matching import DEFAULT_PLAN
from layered_nst.training.painters.teaching import TeachingPlan
from layered_nst.training.segmenters.sheet import SIDE as SCORE_SIDE
from layered_nst.training.segmenters.training import TrainingPlan
from layered_nst.views.findings import CONTOURS_SIDE
from layered_nst.views.library_sheet import SIDE as LIBRARY_SIDE

WRITES = {
    "apply",
    "paint",
    "finish",
    "pack",
    "masks",
    "segment",
    "contours",
    "new",
    "features",
    "texture",
    "gallery",
    "segmenter train",
    "segmenter average",
    "segmenter score",
    "encoder distill",
    "painter train",
    "painter search",
    "encoder search",
    "styles build",
    "styles show",
    "styles merge",
    "campaign run",
    "campaign plan",
    "plugins new",
    "vary",
}
LOOKS = {"check", "masks", "segment", "contours", "new", "features", "texture", "score"}
"""Commands that run a network on a picture, beside those that paint and those that learn."""
PAINTS = {"apply", "paint", "finish", "gallery", "plugins trace"}
TRACE = {"plugins trace"}
MANY = {"campaign run", "campaign plan"}
CAMPAIGNS = {*MANY, "campaign resume", "campaign retry", "vary"}
"""Commands that paint by workers of their own, or say what that would take."""
LEARNS = {
    "segmenter train",
    "segmenter teach",
    "segmenter score",
    "encoder distill",
    "encoder score",
    "painter train",
    "painter search",
    "encoder search",
    "painter score",
    "styles build",
}
ALONE = LOOKS | PAINTS | LEARNS
COMPUTES = ALONE | CAMPAIGNS
HANDLES_FILES = {
    "pack",
    "models",
    "models fetch",
    "segmenter average",
    "styles list",
    "styles show",
    "styles merge",
    "cache info",
    "cache clear",
    "campaign status",
    "campaign report",
    "plugins list",
    "plugins info",
    "plugins check",
    "plugins new",
}
STAYS = {"live"}
"""Goes on until Ctrl-C, and writes nothing."""
SPEAKS_JSON = {"schema"}
"""Prints JSON whatever it is asked."""
RULES = {
    "--device": COMPUTES - {"painter search", "encoder search"} | STAYS,
    "--json": COMPUTES | HANDLES_FILES,
    "--output": WRITES,
    "--weights": {name for name in ALONE if not name.startswith("segmenter")}
    | {"models", "models fetch"}
    | STAYS,
    "--max-pixels": {n for n in ALONE if not n.startswith("segmenter")} | STAYS,
    "--no-cache": {
        "apply",
        "paint",
        "finish",
        "check",
        "masks",
        "gallery",
        "campaign run",
        "vary",
        *TRACE,
    },
    "--size": (WRITES - {"pack", "plugins new"} | {"check", "plugins trace"} | STAYS)
    - {"new", "segmenter train", "segmenter average", "encoder distill", "styles build"}
    - {"styles merge", "painter train", "painter search", "encoder search"},
    "--content": {"apply", "check", "masks", "score", "gallery", "vary", *TRACE},
    "--set": {
        "apply",
        "paint",
        "finish",
        "pack",
        "check",
        "masks",
        "score",
        "live",
        "vary",
        *TRACE,
        *MANY,
    },
    "--within": {"apply", "paint"},
    "--quality": {
        "apply",
        "paint",
        "finish",
        "check",
        "texture",
        "gallery",
        "live",
        "vary",
        *TRACE,
        *MANY,
    },
    "--steps": PAINTS | {"check", "texture", "encoder distill", "painter train"},
    "--seed": {"apply", "texture", "segmenter train", "encoder distill"}
    | {"painter train", "painter search", "encoder search"},
}
"""Which commands have an option; no other has it."""
NOTHING_THEN = {
    "--content",
    "--handbook",
    "--imagenet",
    "--keep",
    "--latency",
    "--layers",
    "--mask",
    "--preview",
    "--report",
    "--set",
    "--start",
    "--style",
    "--within",
}
"""Options without which something is left as it is."""
PASS_ON = ("to", "json_text", "trace", "call")
"""Functions that hand all their arguments on, as they are."""


def walked(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """All commands by name; a group counts where it does something by itself."""
    below = getattr(command, "commands", {})
    if not below or (name and command.invoke_without_command):
        yield name, command
    for part, inner in below.items():
        yield from walked(inner, f"{name} {part}".strip())


COMMANDS = dict(walked(typer.main.get_command(cli.app)))


def options(name: str) -> dict[str, Any]:
    found = [p for p in COMMANDS[name].params if p.param_type_name == "option"]
    return {spelled: option for option in found for spelled in option.opts}


def test_every_command_is_of_a_kind_that_has_rules() -> None:
    assert {*COMMANDS} == COMPUTES | HANDLES_FILES | SPEAKS_JSON | STAYS


@pytest.mark.parametrize("option", RULES)
def test_an_option_is_there_for_all_commands_of_its_kind(option: str) -> None:
    assert {name for name in COMMANDS if option in options(name)} == RULES[option]


@pytest.mark.parametrize("name", sorted(WRITES))
def test_an_output_need_not_be_named_and_says_its_default(name: str) -> None:
    output = options(name)["--output"]
    assert "-o" in output.opts
    assert not output.required
    assert output.default is not None or re.search(r"\[\S.*\]$", output.help or ""), output.help
    assert output.show_default is not False


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_what_need_not_be_given_says_what_is_taken_then(name: str) -> None:
    """A default is shown, or stands in brackets; but for what is then not done at all."""
    for spelled, option in options(name).items():
        unsaid = option.default is None or option.show_default is False
        if spelled.startswith("--") and unsaid and spelled not in NOTHING_THEN:
            assert re.search(r"\[.+\]$", option.help or ""), f"{name} {spelled}: {option.help}"


def test_the_largest_picture_is_said_as_it_is() -> None:
    assert f"[{MAX_PIXELS / 1e6:g} million]" in options("apply")["--max-pixels"].help


@pytest.mark.parametrize(
    ("name", "option", "taken"),
    [
        ("segment", "--size", SEGMENTED_SIDE),
        ("contours", "--size", CONTOURS_SIDE),
        ("segmenter train", "--epochs", ", ".join(f"{s}:{n}" for s, n in TrainingPlan().phases)),
        ("encoder distill", "--width", DEFAULT_PLAN.width),
    ],
)
def test_defaults_in_brackets_are_those_of_the_package(
    name: str, option: str, taken: object
) -> None:
    assert options(name)[option].help.endswith(f"[{taken}]")


@pytest.mark.parametrize(
    ("name", "option", "taken"),
    [
        ("segmenter score", "--size", SCORE_SIDE),
        ("styles show", "--size", LIBRARY_SIDE),
        *(
            ("segmenter train", f"--{key.replace('_', '-')}", getattr(TrainingPlan(), key))
            for key in ("batch", "mix", "least_share", "learning_rate", "dice", "seed")
        ),
        *(
            ("encoder distill", f"--{key.replace('_', '-')}", getattr(DEFAULT_PLAN, key))
            for key in ("steps", "batch", "crop", "learning_rate", "bfloat16", "seed")
        ),
        *(
            ("painter train", f"--{key.replace('_', '-')}", getattr(TeachingPlan(), key))
            for key in ("steps", "batch", "crop", "learning_rate", "steadiness", "bfloat16", "seed")
        ),
    ],
)
def test_defaults_of_the_command_line_are_those_of_the_package(
    name: str, option: str, taken: object
) -> None:
    assert options(name)[option].default == taken


@pytest.mark.parametrize("function", ["apply", "check", "masks", "new", "score", "segment"])
def test_functions_that_compute_take_a_device_and_a_largest_picture(function: str) -> None:
    taken = inspect.signature(getattr(layered_nst, function)).parameters
    assert {"device", "weights_dir", "max_pixels"} <= {*taken}
    assert taken["device"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize(
    "option",
    ["--device", "--json", "--weights", "--max-pixels", "--no-cache", "--content", "--set"],
)
def test_an_option_says_the_same_on_all_commands(option: str) -> None:
    assert len({options(name)[option].help for name in RULES[option]}) == 1


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_speaks_with_one_voice(name: str) -> None:
    """A sentence or two: they begin with a capital or a value, and end with a stop or a default."""
    for option, found in options(name).items():
        said = found.help or ""
        assert re.match(r"[A-Z]|cpu|bfloat16", said), f"{name} {option}: {said!r}"
        assert re.search(r"[.\]]$", said), f"{name} {option}: {said!r}"
        assert "if not given" not in said, "defaults stand in brackets"
        if option == "--size":
            assert re.search(r"Longest side .* px", said), said
    arguments = [p for p in COMMANDS[name].params if p.param_type_name == "argument"]
    for argument in arguments:
        assert re.search(r"[.\]]$", getattr(argument, "help", "") or ""), argument.name


def test_the_version_is_that_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run("--version")
    assert (ran.code, ran.out) == (0, f"layered-nst {version('layered-nst')}\n")
    assert layered_nst.__version__ in ran.out


def test_keyword_options_of_public_functions_have_names_and_types() -> None:
    loose = [
        f"{file.name}: {node.name}"
        for file in Path(layered_nst.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.args.kwarg and node.name[0] != "_"
        # The command line collects what stands on it; others are passed on as they are.
        if file.parent.name != "cli" and node.name not in PASS_ON
    ]
    assert not loose


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (("masks", "look.yaml", "-o", "m"), {"files", "coverage", "notes"}),
        (("contours", "photo.png", "--size", "32"), {"files", "notes"}),
        (("features", "photo.png", "--size", "32"), {"files", "layers", "notes"}),
        (("new", "photo.png"), {"recipe", "coverage", "subject", "notes"}),
        (("cache", "info"), {"folder", "entries", "bytes", "limit"}),
        (("cache", "clear"), {"removed"}),
        (("models", "fetch", "light"), {"model", "path"}),
    ],
)
def test_json_is_one_object_that_names_what_was_written(
    command: tuple[str, ...], keys: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lay_out(tmp_path))
    ran = run(*command, "--json")
    assert ran.code == 0, ran.err
    assert ran.json.keys() == keys
    for file in ran.json.get("files", [ran.json.get("recipe") or ran.json.get("path")]):
        assert file is None or Path(file).is_file()


def test_models_as_json_say_which_are_here() -> None:
    found = run("models", "--json").json
    assert found["light"]["here"] is found["light"]["bundled"] is True
    assert found["vgg19"]["bundled"] is False
    assert found["scenes"]["kind"] == "segmenter"


@pytest.mark.parametrize("command", ["masks", "segment", "contours", "new", "features", "score"])
def test_a_device_that_is_not_here_is_refused_by_all(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lay_out(tmp_path))
    recipe = ["--recipe", "look.yaml"] if command == "score" else []
    ran = run(command, "photo.png", *recipe, "--device", "meta")
    assert ran.code == 2
    assert "device meta: no such kind; allowed: auto, cpu" in ran.error
