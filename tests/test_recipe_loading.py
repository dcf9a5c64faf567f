"""A good recipe loads: shapes of values, paths, YAML's own surprises, and the way back to YAML."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from layered_nst.errors import RecipeError
from layered_nst.recipe import (
    AllSelector,
    AlphaSelector,
    AnySelector,
    BoxSelector,
    ClassSelector,
    ColorSelector,
    CustomSegmenter,
    EllipseSelector,
    MaskSelector,
    NotSelector,
    Optimize,
    PolygonSelector,
    Recipe,
    Region,
    RestSelector,
    StyleSource,
    dump_recipe,
    load_recipe,
)

TEMPLE = """\
recipe: 1
name: Temple at dusk
content: ../photos/temple.jpg
size: 1024
segmentation: scenes
strategy: product-then-style
product: [building]
regions:
  - name: ground
    select: rest
    style: ../styles/woodcut.png
  - name: sky
    select: {class: sky}
    style:
      - {image: ../styles/swirl.png, weight: 0.6, mask: gate.png}
      - {library: teamlook/dusk, weight: 0.4}
    strength: 1.2
    scale: 0.8
    color: style
  - name: building
    select: {any: [{class: building}, {mask: gate.png}]}
    grow: 2
    feather: 6
    style: {image: ../styles/ink.png}
    strength: 0.4
    contour: 1.0
  - name: logo
    select: {box: [0.72, 0.05, 0.95, 0.15]}
    protect: true
optimize: {optimizer: lbfgs, quality: standard, seed: 0, learning_rate: 1e-3}
output: {dpi: 300}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that TEMPLE names, and the current folder of the test."""
    files = ["photos/temple.jpg", "recipes/gate.png", "recipes/teamlook.safetensors"]
    files += [f"styles/{name}.png" for name in ("woodcut", "swirl", "ink")]
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "recipes" / "temple.yaml").write_text(TEMPLE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def region(**keys: Any) -> dict[str, Any]:
    return {"name": "all", "select": "rest", "style": "ink.png", **keys}


def loaded(*regions: dict[str, Any], **keys: Any) -> Recipe:
    mapping = {"recipe": 1, "regions": list(regions or [region()]), **keys}
    return load_recipe(mapping, check_files=False)


def selector(select: Any) -> Any:
    return loaded(region(select=select)).regions[0].select


def test_the_example_of_the_design_loads(folder: Path) -> None:
    recipe = load_recipe("recipes/temple.yaml")
    ground, sky, building, logo = recipe.regions
    assert (recipe.name, recipe.size, recipe.product) == ("Temple at dusk", 1024, ("building",))
    assert ground.select == RestSelector()
    assert sky.style == (
        StyleSource(
            image=folder / "styles/swirl.png", weight=0.6, mask=folder / "recipes/gate.png"
        ),
        StyleSource(library=f"{folder}/recipes/teamlook.safetensors/dusk", weight=0.4),
    )
    assert isinstance(building.select, AnySelector)
    assert building.select.any == (
        ClassSelector(class_=("building",)),
        MaskSelector(mask=folder / "recipes/gate.png"),
    )
    assert logo.protect
    assert logo.style == ()
    assert recipe.optimize.learning_rate == 1e-3
    assert recipe.output.dpi == 300


def test_paths_start_at_the_recipe_and_end_absolute(folder: Path) -> None:
    recipe = load_recipe(Path("recipes/temple.yaml"))
    assert recipe.content == folder / "photos" / "temple.jpg"
    assert recipe.regions[0].style[0].image == folder / "styles" / "woodcut.png"


def test_paths_of_a_mapping_start_at_the_current_folder(folder: Path) -> None:
    assert loaded(content="a.jpg").content == folder / "a.jpg"


def test_a_home_folder_is_written_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert loaded(content="~/a.jpg").content == tmp_path / "a.jpg"


def test_content_replaces_the_recipes_own_which_may_be_missing(folder: Path) -> None:
    os.remove("photos/temple.jpg")
    (folder / "other.jpg").touch()
    drawn = {"regions.building.fixed": True, "regions.logo.fixed": True}
    recipe = load_recipe("recipes/temple.yaml", content=Path("other.jpg"), overrides=drawn)
    assert recipe.content == folder / "other.jpg"


def test_a_recipe_needs_no_content() -> None:
    assert loaded().content is None


def test_files_need_not_exist_if_they_are_not_checked(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("recipe: 1\nregions: [{name: a, select: rest, style: gone.png}]\n")
    recipe = load_recipe(path, check_files=False)
    assert recipe.regions[0].style[0].image == tmp_path / "gone.png"


@pytest.mark.parametrize(
    "style",
    ["a.png", {"image": "a.png"}, ["a.png"], [{"image": "a.png"}]],
    ids=["text", "mapping", "list of text", "list of mappings"],
)
def test_a_style_may_be_short_or_long(style: Any) -> None:
    expected = (StyleSource(image=Path.cwd() / "a.png"),)
    assert loaded(region(style=style)).regions[0].style == expected


def test_models_may_be_made_in_python() -> None:
    made = Region(
        name="sky",
        select=NotSelector(not_=BoxSelector(box=(0, 0, 1, 0.5))),
        style=(StyleSource(image=Path("/a.png")),),
    )
    assert load_recipe({"recipe": 1, "regions": [made]}, check_files=False).regions == (made,)
    recipe = Recipe(recipe=1, regions=(made,))
    assert load_recipe(recipe, check_files=False) == recipe
    changed = load_recipe(recipe, overrides=["regions.sky.strength=2"], check_files=False)
    assert changed.regions[0].strength == 2


def test_recipes_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        loaded().size = 5


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("rest", RestSelector()),
        ({"class": "sky"}, ClassSelector(class_=("sky",))),
        (
            {"class": ["sky", "water"], "largest": 1, "threshold": 0.5},
            ClassSelector(class_=("sky", "water"), largest=1, threshold=0.5),
        ),
        ({"mask": "/m.png"}, MaskSelector(mask=Path("/m.png"))),
        ({"box": [0, 0, 10, 20], "unit": "px"}, BoxSelector(box=(0, 0, 10, 20), unit="px")),
        ({"ellipse": [0, 0, 1, 1]}, EllipseSelector(ellipse=(0, 0, 1, 1))),
        (
            {"polygon": [[0, 0], [1, 0], [1, 1]]},
            PolygonSelector(polygon=((0, 0), (1, 0), (1, 1))),
        ),
        ({"color": "#0080ff"}, ColorSelector(color=(0, 128, 255))),
        ({"color": "#fff", "tolerance": 5}, ColorSelector(color=(255, 255, 255), tolerance=5)),
        ({"color": "Tomato"}, ColorSelector(color=(255, 99, 71))),
        ({"color": [1, 2, 3]}, ColorSelector(color=(1, 2, 3))),
        ({"alpha": True}, AlphaSelector(alpha=True)),
        (
            {"all": [{"class": "sky"}, {"not": {"alpha": True}}]},
            AllSelector(
                all=(ClassSelector(class_=("sky",)), NotSelector(not_=AlphaSelector(alpha=True)))
            ),
        ),
    ],
)
def test_each_selector_loads(select: Any, expected: Any) -> None:
    assert selector(select) == expected


def test_a_custom_segmenter_loads() -> None:
    recipe = loaded(
        segmentation={
            "architecture": "DeepLabV3Plus",
            "encoder": "resnet18",
            "weights": "/w.pth",
            "classes": ["a", "b"],
            "mean": 0.5,
            "std": [0.1, 0.2, 0.3],
        }
    )
    assert recipe.segmentation == CustomSegmenter(
        architecture="DeepLabV3Plus",
        encoder="resnet18",
        weights=Path("/w.pth"),
        classes=("a", "b"),
        mean=(0.5, 0.5, 0.5),
        std=(0.1, 0.2, 0.3),
    )


def test_steps_may_be_one_number_or_one_for_each_level() -> None:
    assert loaded(optimize={"steps": 5}).optimize.steps == 5
    both = loaded(optimize={"steps": [5, 3], "levels": [64, 96]}).optimize
    assert (both.steps, both.levels) == ((5, 3), (64, 96))


def from_text(tmp_path: Path, text: str) -> Recipe:
    path = tmp_path / "r.yaml"
    base = "recipe: 1\nregions: [{name: all, select: rest, style: a.png}]\n"
    path.write_text(base + text, encoding="utf-8")
    return load_recipe(path, check_files=False)


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "n"])
def test_words_that_yaml_1_1_takes_for_booleans_are_text(tmp_path: Path, word: str) -> None:
    assert from_text(tmp_path, f"name: {word}").name == word


@pytest.mark.parametrize("text", ["12:30", "2024-01-01", "1_000", "=", "Süden ☀"])
def test_dates_and_times_are_text(tmp_path: Path, text: str) -> None:
    assert from_text(tmp_path, f"name: {text}").name == text


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 1e-3), ("1E3", 1e3), (".5", 0.5), ("5.", 5), ("+2", 2), ("0x10", 16), ("010", 10)],
)
def test_numbers_are_those_of_yaml_1_2(tmp_path: Path, text: str, value: float) -> None:
    recipe = from_text(tmp_path, f"optimize: {{style: {text}}}")
    assert recipe.optimize.style == value
    assert isinstance(recipe.optimize.style, float)


def test_an_empty_value_takes_the_default(tmp_path: Path) -> None:
    recipe = from_text(tmp_path, "optimize:\n  # steps: 5\noutput:\nname: ~\nsize:\n")
    assert (recipe.optimize, recipe.name, recipe.size) == (Optimize(), "", 1024)


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        "recipe: 1\nregions:\n"
        "  - &base {name: a, select: rest, style: a.png, strength: 2}\n"
        "  - {<<: *base, name: b, scale: 2}\n"
    )
    second = load_recipe(path, check_files=False).regions[1]
    assert (second.name, second.strength, second.scale) == ("b", 2, 2)


def test_a_byte_order_mark_and_windows_lines_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    text = "recipe: 1\r\nregions: [{name: a, select: rest, style: a.png}]\r\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load_recipe(path, check_files=False).regions[0].name == "a"


def test_a_dumped_recipe_loads_to_an_equal_one(folder: Path) -> None:
    recipe = load_recipe("recipes/temple.yaml")
    (folder / "elsewhere").mkdir()
    again = folder / "elsewhere" / "again.yaml"
    again.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(again) == recipe


@pytest.mark.parametrize("name", ["no", "1e3", "0o7", "null", "12:30", "a: b # c", "é☀", " x\n y"])
def test_a_dumped_text_stays_the_same_text(tmp_path: Path, name: str) -> None:
    recipe = loaded(
        region(select={"not": {"any": [{"color": "teal"}, {"polygon": [[0, 0], [1, 0], [1, 1]]}]}}),
        region(name="top", style=None, protect=True),
        name=name,
        output={"background": "white", "depth": 16},
        optimize={"layers": {"conv1_1": 1e-7, "conv4_2": 3}, "steps": [3, 4], "levels": [9, 12]},
    )
    path = tmp_path / "r.yaml"
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(path, check_files=False) == recipe


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


BASE = """\
recipe: 1
size: 500
optimize: {steps: 5, layers: {conv1_1: 1}}
regions:
  - {name: ground, select: rest, style: a.png, strength: 2}
  - {name: sky, select: {class: sky, threshold: 0.5}, style: [a.png, b.png]}
  - {name: logo, select: {box: [0, 0, 1, 1]}, protect: true}
"""


def test_an_extending_recipe_is_laid_on_its_base(tmp_path: Path) -> None:
    write(tmp_path, "base/base.yaml", BASE)
    top = write(
        tmp_path,
        "top.yaml",
        "extends: base/base.yaml\noptimize: {seed: 7, layers: {conv2_1: 2}}\nregions:\n"
        "  - {name: sky, style: c.png, feather: 9}\n"
        "  - {name: new, select: {class: tree}, style: d.png}\n",
    )
    recipe = load_recipe(top, check_files=False)
    ground, sky, _, new = recipe.regions
    assert [r.name for r in recipe.regions] == ["ground", "sky", "logo", "new"]
    assert (recipe.size, recipe.optimize.steps, recipe.optimize.seed) == (500, 5, 7)
    assert recipe.optimize.layers == {"conv1_1": 1, "conv2_1": 2}
    assert [source.image for source in sky.style] == [tmp_path / "c.png"]
    assert sky.select == ClassSelector(class_=("sky",), threshold=0.5)
    assert sky.feather == 9
    assert [source.image for source in ground.style] == [tmp_path / "base" / "a.png"]
    assert new.style[0].image == tmp_path / "d.png"


def test_a_new_selector_replaces_the_old_one_whole(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", BASE)
    text = "extends: base.yaml\nregions: [{name: sky, select: {alpha: true}}]"
    recipe = load_recipe(write(tmp_path, "top.yaml", text), check_files=False)
    assert recipe.regions[1].select == AlphaSelector(alpha=True)


def test_style_and_protect_of_an_extending_recipe_displace_each_other(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", BASE)
    text = "extends: base.yaml\nregions: [{name: sky, protect: true}, {name: logo, style: z.png}]"
    _, sky, logo = load_recipe(write(tmp_path, "top.yaml", text), check_files=False).regions
    assert sky.protect
    assert not sky.style
    assert not logo.protect
    assert logo.style[0].image == tmp_path / "z.png"


def test_recipes_may_extend_in_a_chain(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", BASE)
    write(tmp_path, "middle.yaml", "extends: base.yaml\nsize: 600\nname: middle")
    top = write(tmp_path, "top.yaml", "extends: middle.yaml\nname: top")
    recipe = load_recipe(top, check_files=False)
    assert (recipe.size, recipe.name, recipe.optimize.steps) == (600, "top", 5)


def test_a_mapping_may_extend_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "base.yaml", BASE)
    monkeypatch.chdir(tmp_path)
    assert load_recipe({"extends": "base.yaml", "size": 9}, check_files=False).size == 9


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("size=64", lambda r: r.size == 64),
        ("name=a = b", lambda r: r.name == "a = b"),
        ("name=", lambda r: r.name == ""),
        ("optimize.seed=3", lambda r: (r.optimize.seed, r.optimize.steps) == (3, 5)),
        ("optimize={seed: 3}", lambda r: (r.optimize.seed, r.optimize.steps) == (3, 5)),
        ("optimize.learning_rate=1e-3", lambda r: r.optimize.learning_rate == 1e-3),
        ("optimize.steps=[1, 2]", lambda r: r.optimize.steps == (1, 2)),
        ("output.background=#ff0000", lambda r: r.output.background == (255, 0, 0)),
        ("regions.sky.strength=0.5", lambda r: r.regions[1].strength == 0.5),
        ("regions.sky.strength=60%", lambda r: r.regions[1].strength == 0.6),
        ("regions.sky.strength= 12.5 %", lambda r: r.regions[1].strength == 0.125),
        ("regions[1].strength=0.5", lambda r: r.regions[1].strength == 0.5),
        ("regions.1.strength=0.5", lambda r: r.regions[1].strength == 0.5),
        ("regions.sky.name=heaven", lambda r: [x.name for x in r.regions][1:2] == ["heaven"]),
        ("regions.sky.select.class=[a, b]", lambda r: r.regions[1].select.class_ == ("a", "b")),
        ("regions.sky.select.threshold=0.7", lambda r: r.regions[1].select.threshold == 0.7),
        ("regions.sky.select={alpha: true}", lambda r: r.regions[1].select.alpha),
        ("regions.sky.style[1].weight=3", lambda r: r.regions[1].style[1].weight == 3),
        ("regions.ground.style[0].weight=3", lambda r: r.regions[0].style[0].weight == 3),
        ("regions.ground.style.weight=3", lambda r: r.regions[0].style[0].weight == 3),
        ("regions.sky.protect=true", lambda r: r.regions[1].style == ()),
        ("regions.logo.style=z.png", lambda r: not r.regions[2].protect),
    ],
)
def test_set_changes_one_value(tmp_path: Path, text: str, read: Any) -> None:
    base = write(tmp_path, "base.yaml", BASE)
    changed = load_recipe(base, overrides=[text], check_files=False)
    assert read(changed)
    assert len(changed.regions) == 3


def test_set_keeps_the_rest_of_a_style(tmp_path: Path) -> None:
    base = write(tmp_path, "base.yaml", BASE)
    recipe = load_recipe(base, overrides=["regions.ground.style.weight=3"], check_files=False)
    assert recipe.regions[0].style == (StyleSource(image=tmp_path / "a.png", weight=3),)


def test_paths_in_set_start_at_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write(tmp_path, "recipes/base.yaml", BASE)
    monkeypatch.chdir(tmp_path)
    overrides = ["regions.ground.style.image=x.png"]
    recipe = load_recipe(base, overrides=overrides, check_files=False)
    assert recipe.regions[0].style[0].image == tmp_path / "x.png"


def test_overrides_may_be_a_mapping_of_python_values(tmp_path: Path) -> None:
    base = write(tmp_path, "base.yaml", BASE)
    overrides = {
        "regions.sky.select": BoxSelector(box=(0, 0, 1, 0.5)),
        "regions.sky.style": Path("/x.png"),
        "size": 64,
    }
    recipe = load_recipe(base, overrides=overrides, check_files=False)
    assert recipe.regions[1].select == BoxSelector(box=(0, 0, 1, 0.5))
    assert recipe.regions[1].style == (StyleSource(image=Path("/x.png")),)
    assert recipe.size == 64


def test_a_later_set_wins(tmp_path: Path) -> None:
    base = write(tmp_path, "base.yaml", BASE)
    assert load_recipe(base, overrides=["size=64", "size=65"], check_files=False).size == 65


def test_a_missing_picture_is_an_error_only_when_files_are_checked(tmp_path: Path) -> None:
    base = write(tmp_path, "base.yaml", BASE)
    load_recipe(base, check_files=False)
    with pytest.raises(RecipeError, match="no such file"):
        load_recipe(base)


def test_a_color_that_pillow_has_drawn_with_is_still_known_by_name() -> None:
    from PIL import ImageColor

    ImageColor.getrgb("rebeccapurple")
    recipe = load_recipe(
        {
            "recipe": 1,
            "regions": [{"name": "all", "select": "rest", "protect": True}],
            "output": {"background": "rebeccapurple"},
        }
    )
    assert recipe.output.background == (0x66, 0x33, 0x99)


@pytest.mark.parametrize("key", ["encoder", "segmentation"])
def test_weights_are_found_beside_the_recipe_that_names_them(tmp_path: Path, key: str) -> None:
    look = tmp_path / "look.yaml"
    body = "recipe: 1\nregions: [{name: all, select: rest, protect: true}]\n"
    look.write_text(f"{body}{key}: ours.safetensors\n")
    with pytest.raises(RecipeError, match=rf"look\.yaml:3: {key}: no such file: .*ours\.safeten"):
        load_recipe(look)
    (tmp_path / "ours.safetensors").touch()
    assert getattr(load_recipe(look), key) == str(tmp_path / "ours.safetensors")
