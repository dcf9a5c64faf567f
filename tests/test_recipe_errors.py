"""A bad recipe ends in short sentences with file, line, key path, what was found and allowed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from layered_nst.errors import RecipeError
from layered_nst.recipe import load_recipe

GOOD = """\
recipe: 1
regions:
  - name: ground
    select: rest
    style: ink.png
  - name: sky
    select: {class: sky}
    style:
      - {image: ink.png}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one style, ink.png, which is the current folder of the test."""
    for name in ("ink.png", "a.safetensors"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaint(text: str | bytes, **options: Any) -> str:
    """Return what is said about a recipe with this text, in the file r.yaml."""
    data = text.encode() if isinstance(text, str) else text
    Path("r.yaml").write_bytes(data)
    return refusal("r.yaml", **options)


def refusal(source: Any, **options: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(source, **options)
    message = str(caught.value)
    assert not any(word in message for word in ("pydantic", "Input should", "is:", "Traceback"))
    return message


def about_region(keys: str) -> str:
    """Return what is said about the third line of a region with these further keys."""
    return complaint(f"recipe: 1\nregions:\n  - {{name: sky, {keys}}}\n")


def about_selector(select: str) -> str:
    prefix = "r.yaml:3: regions.sky."
    message = about_region(f"style: ink.png, select: {select}")
    assert message.startswith(prefix)
    return message.removeprefix(prefix)


def test_the_good_recipe_of_this_file_is_good() -> None:
    Path("r.yaml").write_text(GOOD)
    assert len(load_recipe("r.yaml").regions) == 2


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("colour: 1", "r.yaml:10: colour: unknown key; allowed: recipe, name, content, size, "),
        ("strategi: joint", "r.yaml:10: strategi: unknown key (did you mean strategy?)"),
        ("extend: b.yaml", "r.yaml:10: extend: unknown key (did you mean extends?)"),
        ("strength: 2", "r.yaml:10: strength: unknown key (it belongs in a region)"),
        ("optimise: {}", "r.yaml:10: optimise: unknown key (did you mean optimize?)"),
        (
            "optimize:\n  seed: 1\n  stepps: 3",
            "r.yaml:12: optimize.stepps: unknown key (did you mean steps?)",
        ),
        ("output: {seed: 3}", "r.yaml:10: output.seed: unknown key (it belongs in optimize)"),
        (
            "    colour: style",
            "r.yaml:10: regions.sky.colour: unknown key (did you mean color?)",
        ),
        (
            "        weihgt: 2",
            "r.yaml:10: regions.sky.style[0].weihgt: unknown key (did you mean weight?)",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_a_hint(line: str, expected: str) -> None:
    good = GOOD.replace("- {image: ink.png}", "- image: ink.png")
    assert complaint(good + line + "\n").startswith(expected)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("size: big", "size: found 'big', allowed: a whole number from 1 to 32768"),
        ("size: true", "size: found true, allowed: a whole number from 1 to 32768"),
        ("size: 2.5", "size: found 2.5, allowed: a whole number from 1 to 32768"),
        ("size: 0", "size: found 0, allowed: a whole number from 1 to 32768"),
        ("size: '64'", "size: found '64', allowed: a whole number from 1 to 32768"),
        ("name: 5", "name: found 5, allowed: a text (numbers need quotes)"),
        ("content: [a]", "content: found ['a'], allowed: the path of a file"),
        (
            "encoder: vgg91",
            "encoder: found 'vgg91', allowed: hed-vgg16, light, vgg16, vgg19, or the path of a "
            ".safetensors file (did you mean vgg19?)",
        ),
        (
            "strategy: both",
            "strategy: found 'both', allowed: joint, product-then-style",
        ),
        ("optimize: fast", "optimize: found 'fast', allowed: a mapping"),
        ("optimize: {steps: -1}", "optimize.steps: found -1, allowed: a whole number of at least"),
        ("optimize: {steps: [5, a]}", "optimize.steps: found [5, 'a'], allowed: a whole number"),
        (
            "optimize: {learning_rate: 0}",
            "optimize.learning_rate: found 0, allowed: a number above 0",
        ),
        ("optimize: {style: .inf}", "optimize.style: found inf, allowed: a number of at least 0"),
        ("optimize: {style: .nan}", "optimize.style: found nan, allowed: a number of at least 0"),
        (
            "optimize: {layers: {conv9_1: 1}}",
            "optimize.layers.conv9_1: unknown layer, allowed: conv1_1 to conv5_4",
        ),
        ("optimize: {layers: {}}", "optimize.layers: found a mapping, allowed: at least 1"),
        ("optimize: {layers: {conv1_1: 0}}", "optimize.layers: the weights are all 0"),
        ("optimize: {levels: [9, 9]}", "optimize.levels: found [9, 9], allowed: rising sizes"),
        (
            "optimize: {levels: [9, 10], steps: [1]}",
            "optimize.steps: found 1 numbers for 2 levels, allowed: one for each",
        ),
        ("output: {depth: 12}", "output.depth: found 12, allowed: 8 or 16"),
        ("output: {depth: 16, format: jpeg}", "output.depth: found 16, allowed: 8 for format jpeg"),
        ("output: {background: whit}", "output.background: found 'whit', allowed: a color: \"#rr"),
        ("output: {quality: 101}", "output.quality: found 101, allowed: a whole number from 1 to"),
        ("segmentation: 3", "segmentation: found 3, allowed: the name of a segmenter, or a map"),
        ("segmentation: {encoder: a}", "segmentation.architecture: is missing"),
        (
            "segmentation: {architecture: UNet}",
            "segmentation.architecture: found 'UNet', allowed: DeepLabV3, DeepLabV3Plus",
        ),
        (
            "segmentation: {wieghts: a.pth}",
            "segmentation.wieghts: unknown key (did you mean weights?)",
        ),
        ("product: [skye]", "product[0]: no region named 'skye' (did you mean sky?); the regions"),
        ("product: 5", "product: found 5, allowed: a list"),
        ("strategy: product-then-style", "strategy: product-then-style needs product: [region"),
    ],
)
def test_a_wrong_value_is_refused(line: str, expected: str) -> None:
    assert f"r.yaml:10: {expected}" in complaint(GOOD + line)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("strength: abc", "regions.sky.strength: found 'abc', allowed: a number from 0 to 100"),
        ("strength: 101", "regions.sky.strength: found 101, allowed: a number from 0 to 100"),
        ("strength: true", "regions.sky.strength: found true, allowed: a number from 0 to 100"),
        ("scale: 0", "regions.sky.scale: found 0, allowed: a number from 0.1 to 10"),
        ("feather: -1", "regions.sky.feather: found -1, allowed: a number from 0 to 32768"),
        ("color: photo", "regions.sky.color: found 'photo', allowed: style, content, luminance"),
        (
            "protect: yes",
            "regions.sky.protect: found 'yes', allowed: true or false (did you mean true?)",
        ),
        ("protect: 1", "regions.sky.protect: found 1, allowed: true or false"),
    ],
)
def test_a_wrong_value_in_a_region_is_refused(keys: str, expected: str) -> None:
    assert about_region(f"select: rest, style: ink.png, {keys}") == f"r.yaml:3: {expected}"


@pytest.mark.parametrize("name", ["a.b", "a/b", "'a[0]'", "5", "' a'", "(photo)", "a=b", "''"])
def test_a_name_that_would_break_key_paths_or_file_names_is_refused(name: str) -> None:
    message = complaint(GOOD + f"  - {{name: {name}, select: rest, style: ink.png}}")
    assert message.startswith("r.yaml:10: regions[2].name: found ")
    assert "allowed: a name of letters, digits" in message


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        (
            "{clas: sky}",
            "select: found clas, allowed: one of class, subject, face",
        ),
        ("{clas: sky}", "(did you mean class?)"),
        (
            "{}",
            "select: found an empty mapping, allowed: one of class, subject, face",
        ),
        (
            "sky",
            "select: found 'sky', allowed: rest, or a mapping with one of class, subject, face",
        ),
        ("sky", "(did you mean {class: sky}?)"),
        ("alpha", "(did you mean {alpha: true}?)"),
        ("face", "(did you mean {face: all}?)"),
        ("Rest", "(did you mean rest?)"),
        ("3", "select: found 3, allowed: rest, or a mapping with one of class"),
        ("[{class: sky}]", "select: found [{'class': 'sky'}], allowed: rest, or a mapping"),
        (
            "{class: sky, box: [0, 0, 1, 1]}",
            "select: found class and box in one selector; combine selectors with any or all",
        ),
        ("{class: 3}", "select.class: found 3, allowed: a list"),
        ("{class: [3]}", "select.class[0]: found 3, allowed: a text (numbers need quotes)"),
        ("{class: []}", "select.class: found [], allowed: at least 1"),
        ("{class: sky, larges: 1}", "select.larges: unknown key (did you mean largest?)"),
        ("{class: sky, largest: 0}", "select.largest: found 0, allowed: a whole number of at"),
        ("{class: sky, threshold: 2}", "select.threshold: found 2, allowed: a number from 0 to 1"),
        ("{box: [0, 0, 1]}", "select.box: found [0, 0, 1], allowed: four numbers [left, top"),
        ("{box: [1, 0, 0, 1]}", "select.box: found [1, 0, 0, 1], allowed: four numbers [left"),
        ("{box: [0, 0, 1, 1], unit: cm}", "select.unit: found 'cm', allowed: fraction, px"),
        ("{polygon: [[0, 0], [1, 1]]}", "select.polygon: found [[0, 0], [1, 1]], allowed: a list"),
        ("{color: blu}", "select.color: found 'blu', allowed: a color: \"#rrggbb\", a name such"),
        ("{color: blu}", "(did you mean blue?)"),
        ("{color: [0, 0, 256]}", "select.color: found [0, 0, 256], allowed: a color"),
        ("{color: '#12345'}", "select.color: found '#12345', allowed: a color"),
        ("{alpha: false}", "select.alpha: found false, allowed: true"),
        ("{any: []}", "select.any: found [], allowed: at least 1"),
        ("{any: [{class: sky}, {clas: a}]}", "select.any[1]: found clas, allowed: one of class"),
        ("{not: {all: [{box: 3}]}}", "select.not.all[0].box: found 3, allowed: four numbers"),
        ("{mask: 3}", "select.mask: found 3, allowed: the path of a file"),
        ("{mask: gone.png}", "select.mask: no such file: gone.png"),
    ],
)
def test_a_selector_error_is_about_the_selector_that_was_meant(select: str, expected: str) -> None:
    message = about_selector(select)
    assert expected in message
    assert "\n" not in message


def test_a_missing_style_file_is_named_with_a_hint() -> None:
    Path("recipes").mkdir()
    Path("styles").mkdir()
    Path("styles/swirl.png").touch()
    text = GOOD.replace("{image: ink.png}", "{image: ../styles/swrl.png}")
    Path("recipes/temple.yaml").write_text(text.replace("style: ink.png", "style: ../ink.png"))
    assert refusal("recipes/temple.yaml") == (
        "recipes/temple.yaml:9: regions.sky.style[0].image: no such file: styles/swrl.png "
        "(did you mean swirl.png?)"
    )


@pytest.mark.parametrize(
    "style", ["ick.png", "[ick.png]", "{image: ick.png}", "[{image: ick.png}]"]
)
def test_a_short_style_is_named_like_a_long_one(style: str) -> None:
    expected = "regions.sky.style[0].image: no such file: ick.png (did you mean ink.png?)"
    assert about_region(f"select: rest, style: {style}") == f"r.yaml:3: {expected}"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("gone/x.png", "no such file: gone/x.png (there is no folder gone)"),
        (".", "is a folder, not a file: ."),
        ("''", "is a folder, not a file: ."),
        ('"a\\0b"', "no such file: a"),
        ("~nobody-here/x.png", "no such file: ~nobody-here/x.png"),
        ("x" * 5000, "no such file: xxx"),
    ],
    ids=["folder missing", "folder", "empty", "zero byte", "no such home", "long"],
)
def test_an_unusable_path_is_refused(path: str, expected: str) -> None:
    assert f"r.yaml:10: content: {expected}" in complaint(f"{GOOD}content: {path}\n")


def test_a_file_of_another_name_is_no_suggestion() -> None:
    assert complaint(f"{GOOD}content: gone.png") == "r.yaml:10: content: no such file: gone.png"


def test_a_missing_content_override_is_refused() -> None:
    Path("r.yaml").write_text(GOOD)
    assert refusal("r.yaml", content=Path("ink.jpg")) == (
        "content: no such file: ink.jpg (did you mean ink.png?)"
    )


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("select: rest", "regions.sky: needs a style, or protect: true"),
        ("select: rest, style: []", "regions.sky: needs a style, or protect: true"),
        (
            "select: rest, style: ink.png, protect: true",
            "regions.sky: has both style and protect: true, keep one",
        ),
        ("style: ink.png", "regions.sky.select: is missing"),
        (
            "select: rest, style: [{image: ink.png, weight: 0}]",
            "regions.sky.style: the weights are all 0, at least one must be above 0",
        ),
        ("select: rest, style: {weight: 1}", "regions.sky.style[0]: needs image: or library:"),
        (
            "select: rest, style: {image: ink.png, library: a}",
            "regions.sky.style[0]: has both image and library, keep one",
        ),
        ("select: rest, style: [3]", "regions.sky.style[0]: found 3, allowed: a mapping"),
    ],
)
def test_a_region_must_make_sense(keys: str, expected: str) -> None:
    assert about_region(keys) == f"r.yaml:3: {expected}"


def test_two_regions_of_one_name_are_refused() -> None:
    message = complaint(GOOD + "  - {name: sky, select: rest, style: ink.png}\n")
    assert message == "r.yaml:10: regions.sky: a region named sky is there already"


def test_a_name_stated_twice_by_an_extending_recipe_is_refused() -> None:
    Path("base.yaml").write_text(GOOD)
    text = "extends: base.yaml\nregions:\n  - {name: sky}\n  - name: sky\n    select: rest\n"
    message = complaint(text + "    style: ink.png")
    assert message == "r.yaml:4: regions.sky: a region named sky is there already"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("recipe: 1", "r.yaml: regions: is missing"),
        ("recipe: 1\nregions:", "r.yaml:2: regions: is missing"),
        ("recipe: 1\nregions: []", "r.yaml:2: regions: found [], allowed: at least 1"),
        ("recipe: 1\nregions: {sky: 1}", "r.yaml:2: regions: found a mapping, allowed: a list"),
        ("recipe: 1\nregions: [a]", "r.yaml:2: regions[0]: found 'a', allowed: a mapping"),
        (GOOD.replace("recipe: 1", "recipe: 2"), "r.yaml:1: recipe: found 2, allowed: 1"),
        (GOOD.replace("recipe: 1\n", ""), "r.yaml: recipe: is missing"),
        (GOOD.replace("name: sky\n    ", ""), "r.yaml:6: regions[1].name: is missing"),
    ],
)
def test_a_recipe_needs_its_parts(text: str, expected: str) -> None:
    assert complaint(text) == expected


def test_all_problems_are_reported_in_the_order_of_their_lines() -> None:
    text = GOOD.replace("style: ink.png", "style: gone.png").replace("class: sky", "class: 3")
    assert complaint(f"{text}size: 0\n").splitlines() == [
        "r.yaml:5: regions.ground.style[0].image: no such file: gone.png",
        "r.yaml:7: regions.sky.select.class: found 3, allowed: a list",
        "r.yaml:10: size: found 0, allowed: a whole number from 1 to 32768",
    ]


def test_a_hundred_problems_are_cut_short() -> None:
    lines = complaint(GOOD + "\n".join(f"wrong{i}: 1" for i in range(100))).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "and 80 more"


def test_a_mapping_has_no_file_to_name() -> None:
    regions = [{"name": "sky", "select": "rest", "style": "ink.png", "strength": -1}]
    message = refusal({"recipe": 1, "regions": regions})
    assert message == "regions.sky.strength: found -1, allowed: a number from 0 to 100"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("recipe: 1\nsize: 2\nsize: 3\n", "r.yaml:3:1: the key size is stated twice (first on lin"),
        ("a: {b: 1, b: 2}", "r.yaml:1:11: the key b is stated twice"),
        ("recipe: 1\nname: a: b", "r.yaml:2:8: not valid YAML: mapping values are not allowed"),
        ("a:\n\t- b", "(indent by spaces, not by tabs)"),
        ("regions: [1, 2", "r.yaml:1:15: not valid YAML: "),
        ("a: {color: #fff}", "(a color that starts with # needs quotes)"),
        ("output:\n  background: #fff", "r.yaml:2:3: a color that starts with # needs quotes"),
        ("<<<<<<< HEAD\na: 1\n=======\n>>>>>>> x\n", "marks of an unresolved merge conflict"),
        ("a: 1\n---\nb: 2", "r.yaml:2:1: not valid YAML: but found another document"),
        ("a: *b", "r.yaml:1:4: not valid YAML: found undefined alias 'b'"),
        ("a: !!python/object/apply:os.system [ls]", "r.yaml:1:4: the tag tag:yaml.org,2002:python"),
        ("a: !mine 3", "r.yaml:1:4: the tag !mine is not allowed in a recipe"),
        ("[a]: 3", "r.yaml:1:1: a key is a word, not a list or a mapping"),
        ("<<: 3", "r.yaml:1:5: << merges a mapping, nothing else"),
        ("a: &a [*a]", "r.yaml:1:4: the recipe is nested more than 32 levels deep"),
        ("a: " + "9" * 5000, "is not a number of a usable size"),
        ("", "r.yaml: is empty, a recipe starts with recipe: 1"),
        ("# nothing\n", "r.yaml: is empty, a recipe starts with recipe: 1"),
        ("---\n", "r.yaml: is empty, a recipe starts with recipe: 1"),
        ("- a", "r.yaml: found a list, allowed: a mapping of keys and values"),
        ("just words", "r.yaml: found 'just words', allowed: a mapping of keys and values"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "r.yaml: is not UTF-8 text (byte 0 is 0x89)"),
        (b"a: \x00\x01", "r.yaml: is not a text file (character 0 at position 3)"),
        ("a: 1\n".encode("utf-16"), "r.yaml: is not UTF-8 text (byte 0 is 0xff)"),
    ],
)
def test_text_that_is_no_recipe_is_refused(text: str | bytes, expected: str) -> None:
    message = complaint(text)
    assert expected in message
    assert "\n" not in message


def test_a_key_cannot_smuggle_line_breaks_or_terminal_codes_into_the_message() -> None:
    message = complaint(GOOD + '"a\\n\\e[31m": 1')
    assert message.startswith(r"r.yaml:10: 'a\n\x1b[31m': unknown key")
    assert "\n" not in message


def test_an_anchors_bomb_is_refused_fast() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    start = time.monotonic()
    assert "more than 50000 values, aliases written out" in complaint("\n".join(lines))
    assert time.monotonic() - start < 5


def test_a_bomb_of_merge_keys_is_refused_fast() -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 12)]
    assert "more than 50000 values" in complaint("\n".join(lines))


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 20_000, "- " * 20_000, "? " * 20_000])
def test_deep_nesting_is_refused(text: str) -> None:
    assert "nested more than 32 levels deep" in complaint(text)


def test_a_mapping_that_holds_itself_is_refused() -> None:
    mapping: dict[str, Any] = {"recipe": 1}
    mapping["optimize"] = mapping
    assert refusal(mapping) == "the recipe is nested more than 32 levels deep"


def test_a_huge_file_is_refused() -> None:
    message = complaint("# x\n" * 300_000)
    assert message == "r.yaml: is larger than 1,000,000 bytes, no recipe is"


def test_a_missing_recipe_is_refused_with_a_hint() -> None:
    Path("temple.yaml").touch()
    assert refusal("temle.yaml") == "no such file: temle.yaml (did you mean temple.yaml?)"


def test_a_folder_is_no_recipe() -> None:
    assert refusal(Path()) == "is a folder, not a file: ."


def test_recipes_that_extend_in_a_circle_are_refused() -> None:
    Path("a.yaml").write_text("extends: b.yaml")
    Path("b.yaml").write_text("recipe: 1\nextends: a.yaml")
    assert refusal("a.yaml") == (
        "b.yaml:2: extends: recipes extend in a circle: a.yaml -> b.yaml -> a.yaml"
    )


def test_a_recipe_that_extends_itself_is_refused() -> None:
    assert complaint("extends: ./r.yaml").endswith("in a circle: r.yaml -> r.yaml")


def test_a_chain_without_end_is_refused() -> None:
    for i in range(30):
        Path(f"{i}.yaml").write_text(f"extends: {i + 1}.yaml")
    assert "more than 16 recipes extend one another" in refusal("0.yaml")


@pytest.mark.parametrize(
    ("extends", "expected"),
    [
        ("bas.yaml", "no such file: bas.yaml (did you mean base.yaml?)"),
        (".", "is a folder, not a file: ."),
        ("[base.yaml]", "found ['base.yaml'], allowed: the path of one recipe"),
    ],
)
def test_a_recipe_must_extend_a_file(extends: str, expected: str) -> None:
    Path("base.yaml").write_text(GOOD)
    assert complaint(f"size: 5\nextends: {extends}") == f"r.yaml:2: extends: {expected}"


def test_a_mistake_in_a_base_names_the_base() -> None:
    Path("base.yaml").write_text(GOOD.replace("ink.png}", "ink.png, weight: a}"))
    message = complaint("extends: base.yaml\nsize: 0")
    assert set(message.splitlines()) == {
        "base.yaml:9: regions.sky.style[0].weight: found 'a', allowed: a number of at least 0",
        "r.yaml:2: size: found 0, allowed: a whole number from 1 to 32768",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("size", "`overrides` size: allowed: KEY=VALUE, such as regions.sky.strength=0.5"),
        ("=5", "`overrides` =5: allowed: KEY=VALUE, such as regions.sky.strength=0.5"),
        ("a..b=5", "`overrides` a..b: allowed: keys joined by dots, such as output.dpi"),
        ("regions[=5", "`overrides` regions[: allowed: keys joined by dots, such as output.dpi"),
        ("size=big", "`overrides` size: found 'big', allowed: a whole number from 1 to 32768"),
        ("sise=5", "`overrides` sise: unknown key (did you mean size?)"),
        (
            "regions.sky.strenght=1",
            "`overrides` regions.sky.strenght: unknown key (did you mean strength?)",
        ),
        (
            "regions.sko.strength=1",
            "`overrides` regions.sko.strength: no region sko (did you mean sky?)",
        ),
        (
            "regions.zz.scale=1",
            "`overrides` regions.zz.scale: no region zz; the regions are ground, sky",
        ),
        (
            "regions[2].scale=1",
            "`overrides` regions[2].scale: no region 2; the regions are ground, sky",
        ),
        (
            "regions.sky.style[4].weight=1",
            "`overrides` regions.sky.style[4].weight: found 4, allowed: positions 0 to 0",
        ),
        (
            "regions.sky.scale.x=1",
            "`overrides` regions.sky.scale: found a mapping, allowed: a number",
        ),
        ("size=[1", "`overrides` size: not valid YAML: "),
        ("size=!x 1", "`overrides` size: the tag !x is not allowed in a recipe"),
        (
            "regions.sky.style=ick.png",
            "`overrides` regions.sky.style[0].image: no such file: ick.png (did you mean ink.png?)",
        ),
        (
            "regions.sky.style[0].image=ick.png",
            "`overrides` regions.sky.style[0].image: no such file: ick.png (did you mean ink.png?)",
        ),
    ],
)
def test_a_bad_set_is_refused(text: str, expected: str) -> None:
    Path("r.yaml").write_text(GOOD)
    message = refusal("r.yaml", overrides=[text])
    assert message.startswith(expected)
    assert "\n" not in message
