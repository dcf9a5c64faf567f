"""The handbook's tables say what the schema says, and the schema says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from workbench import run

from layered_nst.errors import RecipeError
from layered_nst.painting.plan import make_plan
from layered_nst.recipe import Optimize, load_recipe
from layered_nst.recipe.handbook import ALL_SELECTORS, CHAPTERS, filled, key_tables
from layered_nst.recipe.selectors import SELECTORS
from layered_nst.recipe.values import keys_of

HANDBOOK = Path(__file__).parents[1] / "recipes" / "README.md"


def rows(name: str) -> dict[str, list[str]]:
    """The rows of a table by their keys: what a key says, what it takes and its default."""
    lines = [line for line in key_tables()[name].splitlines() if line.startswith(("| `", "| **"))]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {key.strip("`*"): rest for key, *rest in cells}


def test_the_handbook_is_what_the_schema_says() -> None:
    """After a change of the schema: layered-nst schema --handbook recipes/README.md."""
    page = HANDBOOK.read_text("utf-8")
    assert filled(page) == page


def test_a_row_is_one_line() -> None:
    blocks = [block for text in key_tables().values() for block in text.strip().split("\n\n")]
    tables = [block.splitlines() for block in blocks if block.startswith("|")]
    broken = [row for rows in tables for row in rows if not (row[0] == row[-1] == "|")]
    assert len(tables) >= len(CHAPTERS)
    assert broken == []


def test_every_key_of_a_recipe_has_a_row_that_says_something() -> None:
    for kind in CHAPTERS:
        found = rows(kind.__name__)
        assert {*keys_of(kind)} <= found.keys()
        assert all(len(cells) == 3 and cells[0] and cells[1] for cells in found.values()), kind
    selectors = rows(ALL_SELECTORS)
    assert {key for kind in SELECTORS.values() for key in keys_of(kind)} <= selectors.keys()
    assert "rest" in selectors


@pytest.mark.parametrize(
    ("name", "key", "allowed", "default"),
    [
        ("Recipe", "size", "whole number 1 to 32768", "1024"),
        ("Recipe", "regions", "list of [mappings](#regions)", "(needed)"),
        ("Region", "strength", "0 to 100 or `60%`", "1"),
        ("Region", "style", "path or [mapping](#styles) or a list of them", "`protect: true`"),
        ("Region", "color", "`style`, `content`, `luminance`", "`style`"),
        ("Optimize", "steps", "whole number from 0 or a list of them", "the quality's"),
        ("Optimize", "learning_rate", "above 0", "1 for `lbfgs` and 0.02 for `adam`"),
        ("Output", "depth", "`8`, `16`", "those of the photo as far as the format holds them"),
        ("Selectors", "polygon", "list of [x, y]", ""),
        ("Selectors", "largest", "whole number from 1", "all of them"),
    ],
)
def test_a_row_tells_range_and_default(name: str, key: str, allowed: str, default: str) -> None:
    assert rows(name)[key][1:] == [allowed, default]


def test_the_defaults_that_the_schema_tells_are_those_of_a_plan() -> None:
    plan = make_plan(Optimize(), (400, 400))
    for key in ("style", "content", "contour", "total_variation", "tolerance"):
        assert float(rows("Optimize")[key][2]) == getattr(plan, key), key
    for key in ("layers", "content_layers"):
        told = Optimize(**{key: yaml.safe_load(rows("Optimize")[key][2].strip("`"))})
        assert getattr(make_plan(told, (400, 400)), key) == getattr(plan, key)
    assert rows("Optimize")["pooling"][2] == f"`{plan.pooling}`"
    rates = [make_plan(Optimize(optimizer=n), (9, 9)).learning_rate for n in ("lbfgs", "adam")]
    assert re.findall(r"[\d.]+", rows("Optimize")["learning_rate"][2]) == [f"{r:g}" for r in rates]


def test_examples_in_the_tables_are_recipes() -> None:
    said = [cells[0] for cells in rows(ALL_SELECTORS).values()]
    examples = [text for cell in said for text in re.findall(r"`(\{.*?\})`(?=\W)", cell)]
    whole = [text for text in examples if "..." not in text]
    assert len(whole) >= 3
    for text in whole:
        region = {"name": "a", "select": "rest", "protect": True}
        load_recipe({"recipe": 1, "regions": [region]}, overrides=[f"regions.a.select={text}"])


def test_only_what_stands_between_marks_is_written() -> None:
    page = "# Mine\n<!-- keys of Flow -->\nold\n<!-- end of keys -->\nmore\n"
    written = filled(page)
    assert written.startswith("# Mine\n<!-- keys of Flow -->\n\nHow the styles of a region flow")
    assert written.endswith("|\n\n<!-- end of keys -->\nmore\n")
    assert "old" not in written
    assert filled(written) == written


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("# no marks\n", "no mark such as <!-- keys of Region -->"),
        ("<!-- keys of Regoin -->\n<!-- end of keys -->\n", r"\(did you mean Region\?\)"),
    ],
)
def test_a_page_without_a_place_for_keys_is_refused(page: str, sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        filled(page)


def test_the_command_fills_a_page_and_leaves_others_as_they_are(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- keys of Output -->\n<!-- end of keys -->\n", "utf-8")
    assert run("schema", "--handbook", page).code == 0
    assert "| `dpi` |" in page.read_text("utf-8")
    other = tmp_path / "other.md"
    other.write_bytes(b"plain\r\n")
    ran = run("schema", "--handbook", other)
    assert (ran.code, other.read_bytes()) == (1, b"plain\r\n")
    assert ran.error.startswith(f"{other}: no mark such as")
    assert run("schema", "--handbook", tmp_path / "none.md").code == 1
