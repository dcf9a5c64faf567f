"""Letters that look like none, halves of letters, pipes: what recipes are made of elsewhere."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from layered_nst.errors import RecipeError
from layered_nst.files.texts import json_text, readable, whole_characters
from layered_nst.recipe import dump_recipe, is_stream, load_recipe

NO_BREAK, ZERO_WIDTH, MARK, WIDE = "\u00a0", "\u200b", "\ufeff", "\u3000"
BYTES = os.fsdecode(b"caf\xe9.png")
REGION = {"name": "all", "select": "rest", "style": "ink.png"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of each test, with a style ink.png."""
    (tmp_path / "ink.png").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(text: str) -> Any:
    Path("r.yaml").write_text(text, "utf-8")
    return load_recipe("r.yaml")


def complaint(source: Any, **options: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        loaded(source) if isinstance(source, str) else load_recipe(source, **options)
    return str(caught.value)


# halves of characters


def test_json_in_ascii_keeps_its_emoji() -> None:
    recipe = {"recipe": 1, "name": "sunset 🌅", "regions": [{**REGION, "name": "sky🌅"}]}
    found = loaded(json.dumps(recipe))
    assert (found.name, found.regions[0].name) == ("sunset 🌅", "sky🌅")
    assert found.name.encode() == "sunset 🌅".encode()


@pytest.mark.parametrize("half", ["\\ud83c", "\\udf05", "\\udf05\\ud83c"])
def test_half_a_character_is_refused_with_its_line(half: str) -> None:
    text = f'{{"recipe": 1,\n "name": "sun {half}",\n "regions": []}}'
    said = complaint(text)
    assert said.startswith("r.yaml:2:10: \\ud")
    assert said.endswith("is half of a character, without its other half")
    assert complaint(f'recipe: 1\n"{half}": 1\n').startswith("r.yaml:2:1: \\ud")


def test_set_joins_and_refuses_halves_like_a_file() -> None:
    base = {"recipe": 1, "regions": [REGION]}
    assert load_recipe(base, overrides=['name="\\ud83c\\udf05"']).name == "🌅"
    assert load_recipe(base, overrides=["name=\ud83c\udf05"]).name == "🌅"
    assert "half of a character" in complaint(base, overrides=['name="\\ud83c"'])


def test_a_mapping_joins_and_refuses_halves_like_a_file() -> None:
    base = {"recipe": 1, "regions": [REGION]}
    assert load_recipe({**base, "name": "\ud83c\udf05"}).name == "🌅"
    assert "without broken characters" in complaint({**base, "name": "\ud83c"})
    assert "name" in complaint({"recipe": 1, "regions": [{**REGION, "name": "\udf05"}]})


def test_an_escape_that_is_no_character_is_refused() -> None:
    assert "not valid YAML" in complaint('recipe: 1\nname: "\\UFFFFFFFF"\n')


def test_text_functions_undo_one_another() -> None:
    assert whole_characters("a\ud83c\udf05b") == "a🌅b"
    assert readable(BYTES) == "caf\\xe9.png"
    assert readable("\ud83c 天空") == "\\ud83c 天空"
    text = json_text({"path": BYTES, "name": "天空"})
    assert "天空".encode() in text.encode()
    assert json.loads(text) == {"path": BYTES, "name": "天空"}


# odd spaces


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("recipe: 1\nregions:\n~  - name: all\n~    select: rest\n", "(U+00A0)"),
        ("recipe: 1\nregions:\n~ ~ - name: all\n~ ~ ~ select: rest\n    style: a\n", "line 3 has"),
        ("recipe:~1\nregions: []\n", "line 1 has a no-break space (U+00A0)"),
        ("recipe: 1\nregions:\n  -~name: all\n    select: rest\n", "line 3 has"),
        ("recipe: 1\n~name: x\nregions: []\n", "r.yaml:2:1: a no-break space (U+00A0) stands bes"),
        ("recipe: 1\nname: x~\nregions: []\n", "stands beside 'x'; write a plain one"),
        ("recipe: 1\nregions:\n  - name: a\n    select: {box:~[0,0,1,1]}\n", "line 4 has"),
    ],
)
@pytest.mark.parametrize("odd", [NO_BREAK, ZERO_WIDTH, MARK, WIDE])
def test_an_odd_space_is_named_where_it_does_harm(text: str, words: str, odd: str) -> None:
    said = complaint(text.replace("~", odd))
    assert f"(U+{ord(odd):04X})" in said
    if odd == NO_BREAK:
        assert words in said
    assert "quotes)" not in said


def test_odd_spaces_inside_of_words_and_quotes_stay() -> None:
    text = f"recipe: 1\nname: 'x{NO_BREAK}'\nregions:\n  - {{name: all, select: rest, "
    Path(f"a{NO_BREAK}b.png").touch()
    found = loaded(text + f"style: a{NO_BREAK}b.png}}\n")
    assert found.name == f"x{NO_BREAK}"
    assert found.regions[0].style[0].image.name == f"a{NO_BREAK}b.png"


def test_a_byte_order_mark_between_two_files_in_one_is_named() -> None:
    assert "a byte order mark (U+FEFF)" in complaint(f"recipe: 1\n{MARK}regions: []\n")


def test_set_names_an_odd_space_too() -> None:
    base = {"recipe": 1, "regions": [REGION]}
    said = complaint(base, overrides=[f"name={NO_BREAK}x"])
    assert "`overrides` name: a no-break space (U+00A0)" in said


@pytest.mark.parametrize("name", [f"x{NO_BREAK}", f"{ZERO_WIDTH}x", MARK, f"a{NO_BREAK}b"])
def test_a_dumped_odd_space_is_read_back(name: str) -> None:
    recipe = load_recipe({"recipe": 1, "name": name, "regions": [REGION]})
    Path("again.yaml").write_text(dump_recipe(recipe), "utf-8")
    assert load_recipe("again.yaml") == recipe


# names that are no UTF-8


@pytest.mark.skipif(sys.platform != "linux", reason="only there may names be any bytes")
def test_a_name_that_is_no_utf8_is_read_written_and_read_again() -> None:
    Path(BYTES).touch()
    base = {"recipe": 1, "content": BYTES, "regions": [{**REGION, "style": BYTES}]}
    recipe = load_recipe(base)
    assert recipe.content == Path(BYTES).absolute()
    assert load_recipe(base, content=Path(BYTES)) == recipe
    short = {"recipe": 1, "regions": [REGION]}
    given = load_recipe(short, overrides=[f"content={BYTES}", f"regions.all.style=[{BYTES}]"])
    assert given == recipe
    Path("again.yaml").write_text(dump_recipe(recipe), "utf-8")
    assert load_recipe("again.yaml") == recipe
    assert yaml.safe_load(Path("again.yaml").read_text("utf-8"))["content"].endswith(BYTES)


def test_a_region_cannot_be_named_by_such_bytes() -> None:
    said = complaint({"recipe": 1, "regions": [{**REGION, "name": BYTES[:4]}]})
    assert said.encode()
    assert "without broken characters" in said


# pipes


def text_of(**keys: Any) -> str:
    return json.dumps({"recipe": 1, "regions": [REGION], **keys})


def test_the_standard_input_is_a_recipe_with_paths_from_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text_of(name="天").encode())))
    recipe = load_recipe("-")
    assert recipe.name == "天"
    assert recipe.regions[0].style[0].image == folder / "ink.png"


def test_a_mistake_in_the_standard_input_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("recipe: 1\nregons: []\n"))
    assert "\nstandard input:2: regons: unknown key" in complaint(Path("-"))
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert complaint(Path("-")) == "standard input: is empty, a recipe starts with recipe: 1"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_is_a_recipe_with_paths_from_the_current_folder(folder: Path) -> None:
    pipe = folder / "deep" / "pipe"
    pipe.parent.mkdir()
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(text_of(), "utf-8"))
    writer.start()
    recipe = load_recipe(pipe)
    writer.join()
    assert recipe.regions[0].style[0].image == folder / "ink.png"
    assert is_stream(pipe)
    assert not is_stream("ink.png")
    assert not is_stream("nowhere")


def test_an_endless_stream_is_refused() -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("no /dev/zero")
    assert "is larger than" in complaint(Path("/dev/zero"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_picture_from_a_pipe_is_refused_in_a_sentence(folder: Path) -> None:
    os.mkfifo("pipe")
    base = {"recipe": 1, "content": "pipe", "regions": [REGION]}
    assert complaint(base) == "content: is not a plain file: pipe"
