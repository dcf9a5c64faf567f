"""Campaign files: what they may say, what becomes of it, and how mistakes are told."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from PIL import Image
from workbench import lay_out, run

from layered_nst.campaign import Campaign
from layered_nst.campaign.executors.measuring import Measured
from layered_nst.campaign.loading import is_campaign, load_campaign
from layered_nst.campaign.naming import LONGEST, named
from layered_nst.campaign.schema import aspect, campaign_schema
from layered_nst.errors import CampaignError

CAMPAIGN = """\
campaign: 1
photos: shots
recipes: look.yaml
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a recipe with its pictures, and ``shots`` with two photos."""
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    Path("shots").mkdir()
    for name in ("cup", "jar"):
        Image.open("photo.png").save(f"shots/{name}.png")
    return Path()


def written(text: str, name: str = "team.yaml") -> Path:
    Path(name).write_text(text)
    return Path(name)


def jobs(text: str) -> list[Any]:
    return list(Campaign.load(written(text)).jobs().jobs)


def names(text: str) -> list[str]:
    return [job.name for job in jobs(text)]


def refusal(text: str) -> str:
    with pytest.raises(CampaignError) as caught:
        Campaign.load(written(text)).jobs()
    return str(caught.value)


# what it says


def test_photos_by_recipes_by_formats_by_seeds_by_what_varies() -> None:
    Path("other.yaml").write_text(Path("look.yaml").read_text())
    text = CAMPAIGN.replace("look.yaml", "[look.yaml, other.yaml]") + (
        "formats: {small: 32, wide: {size: 48, crop: '2:1', file: jpeg}}\n"
        "seeds: [0, 1]\n"
        "vary: {regions.sky.strength: [0.5, 2]}\n"
        "name: '{photo}/{recipe}-{format}-{seed}-{strength}-{number:03}'\n"
    )
    found = jobs(text)
    assert len(found) == 2 * 2 * 2 * 2 * 2
    assert found[0].name == "cup/look-small-0-0.5-001.png"
    assert found[-1].name == "jar/other-wide-1-2-032.jpg"
    assert found[-1].crop == "2:1"
    assert {k: v.plain() for k, v in found[-1].overrides.items()} == {
        "size": 48,
        "output.format": "jpeg",
        "regions.sky.strength": 2,
        "optimize.seed": 1,
    }
    assert len({job.spec for job in found}) == 2 * 2 * 2, "recipes that say the same are the same"
    assert not any(job.problem for job in found)


def test_names_tell_apart_what_there_is_several_of_and_no_more() -> None:
    assert names(CAMPAIGN) == ["cup-look.png", "jar-look.png"]
    assert names(CAMPAIGN + "formats: [32, 48]\nseeds: [3]")[:2] == [
        "cup-look-32.png",
        "cup-look-48.png",
    ]
    assert names(CAMPAIGN + "vary: {regions.sky.strength: [1, 2.5]}")[:2] == [
        "cup-1.png",
        "cup-2.5.png",
    ]


def test_what_varies_may_be_anything_and_every_value_has_a_name_of_its_own() -> None:
    text = CAMPAIGN + (
        "vary:\n  'regions.sky.style[0].image': [a/dots.png, b/dots.png]\n"
        "  regions.sky.flow: [null, {along: photo}]\n"
    )
    found = names(text)
    assert len({*found}) == 2 * 2 * 2
    assert found[0].startswith("cup-1-")


def test_photos_are_folders_patterns_files_and_each_counts_once() -> None:
    Path("shots/notes.txt").write_text("no photo")
    Path("shots/.hidden.png").write_bytes(b"")
    text = CAMPAIGN.replace("photos: shots", "photos: [shots, 'shots/c*.png', photo.png]")
    assert names(text) == ["cup-look.png", "jar-look.png", "photo-look.png"]


def test_a_csv_says_what_is_otherwise_for_its_photos() -> None:
    Path("list.csv").write_text(
        "\ufeffphoto;regions.sky.strength;size;sku;recipe;seed;skip\n"
        "shots/cup.png;0.25;32;A-1;;;\n"
        "shots/jar.png;;;A-2;look;7;\n"
        "photo.png;;;A-3;;;yes\n",
        "utf-8",
    )
    text = CAMPAIGN.replace("shots", "list.csv") + "name: '{sku}'\n"
    found = Campaign.load(written(text)).jobs()
    assert [job.name for job in found.jobs] == ["A-1.png", "A-2.png"]
    assert [job.name for job in found.skipped] == ["A-3.png"]
    first, second = ({k: v.plain() for k, v in job.overrides.items()} for job in found.jobs)
    assert first == {"regions.sky.strength": 0.25, "size": 32}
    assert second == {"optimize.seed": 7}
    assert found.jobs[0].labels["seed"] == "0"


def test_a_csv_as_excel_saves_unicode_text_is_read() -> None:
    Path("list.csv").write_bytes("photo\tsku\nshots/cup.png\tÄ 1\n".encode("utf-16"))
    assert names(CAMPAIGN.replace("shots", "list.csv") + "name: '{sku}'") == ["Ä 1.png"]


def test_paths_in_values_start_at_the_file_that_states_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("lists").mkdir()
    Image.open("dots.png").save("lists/own.png")
    Path("lists/list.csv").write_text("photo,regions.sky.style\n../shots/cup.png,own.png\n")
    written(CAMPAIGN.replace("shots", "lists/list.csv") + "set: {regions.ground.style: dots.png}")
    here = Path.cwd()
    monkeypatch.chdir("/")
    (job,) = Campaign.load(here / "team.yaml").jobs().jobs
    assert not job.problem
    assert {Path(name).relative_to(here).as_posix() for name in job.files} == {
        "dots.png",
        "lists/own.png",
    }


def test_the_hash_of_a_job_changes_with_whatever_decides_its_pixels() -> None:
    def spec(more: str = "") -> str:
        return str(jobs(CAMPAIGN + more)[0].spec)

    usual = spec()
    assert spec("title: Spring\nname: 'x-{photo}'\nlimits: {time: 5}") == usual
    others = {
        spec(more)
        for more in (
            "quality: draft",
            "seeds: 4",
            "set: {size: 50}",
            "formats: {a: {crop: '1:1'}}",
            "formats: {a: {crop: '1:1', keep: center}}",
            "formats: {a: {dpi: 300}}",
        )
    }
    assert len(others | {usual}) == 7
    Image.open("dots.png").rotate(90).save("stripes.png")
    assert spec() != usual, "a style was painted over"
    found = Campaign.load(written(CAMPAIGN), device="cuda").jobs().jobs
    assert found[0].spec != spec(), "another device"


def test_masks_beside_a_photo_change_its_state_alone() -> None:
    before = jobs(CAMPAIGN)
    Path("shots/cup.masks").mkdir()
    Image.new("L", (64, 48), 255).save("shots/cup.masks/sky.png")
    after = jobs(CAMPAIGN)
    assert [a.spec for a in after] == [b.spec for b in before]
    assert after[0].photo_state != before[0].photo_state
    assert after[0].drawn
    assert after[1].photo_state == before[1].photo_state


# names


def test_names_are_fit_for_any_disk() -> None:
    assert named("{photo}/{recipe}", {"photo": "a/b:c", "recipe": ".."}, ".png") == "a-b-c/...png"
    assert named("{photo}/{n:03}.jpg", {"photo": " x. ", "n": 7}, ".png") == "x/007.jpg"
    assert named("{photo}", {"photo": "shot.png"}, ".jpg") == "shot.png.jpg"
    cut, other = (named("{photo}", {"photo": "é" * 300 + end}, ".png") for end in ("a", "b"))
    assert len(cut.encode()) <= LONGEST
    assert cut != other
    assert named("{photo}", {"photo": "e\u0301"}, ".png") == "é.png"


@pytest.mark.parametrize(
    "template",
    ["../{photo}", "/tmp/{photo}", "same", "{photo", "{photo!r}", "{0.x}/..", "{photo}/"],
)
def test_templates_that_lead_elsewhere_or_nowhere_are_refused(template: str) -> None:
    said = refusal(CAMPAIGN + f"name: {json.dumps(template)}")
    assert said.startswith("team.yaml:4: name: found ")


def test_two_pictures_of_one_name_are_told_before_anything_starts() -> None:
    Path("more").mkdir()
    Image.open("photo.png").save("more/CUP.png")
    found = Campaign.load(written(CAMPAIGN.replace("shots", "[shots, more]"))).jobs()
    (clash,) = found.clashes
    assert clash.startswith("CUP-look.png: would be the picture of ")
    assert "{folder}" in clash
    with pytest.raises(CampaignError, match=r"CUP-look\.png: would be"):
        Campaign.load("team.yaml").run("local", workers=1)
    assert not Path("team").joinpath("cup-look.png").exists()


# what is wrong with it


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("phtos: x", "team.yaml:4: phtos: unknown key (did you mean photos?)"),
        ("limits: {tme: 3}", "team.yaml:4: limits.tme: unknown key (did you mean time?)"),
        ("crop: '1:1'", "team.yaml:4: crop: unknown key (it belongs in formats)"),
        ("limits: {time: soon}", "allowed: a time above 0, such as 90 s, 20 min or 2 h"),
        ("limits: {memory: 3}", "limits.memory: found 3, allowed: an amount of at least"),
        ("formats: {a: {crop: wide}}", "formats.a.crop: found wide, allowed: a ratio from 1:20"),
        ("formats: {a: {file: gif}}", "formats.a.file: found 'gif', allowed: png, jpeg"),
        ("formats: {}", "team.yaml:4: formats: found a mapping, allowed: at least 1"),
        ("seeds: [-1]", "team.yaml:4: seeds[0]: found -1, allowed: a whole number"),
        ("vary: {regions.sky.strength: 1}", "vary.regions.sky.strength: found 1, allowed: a list"),
        ("name: '{sku}'", "team.yaml:4: name: no field {sku}"),
        ("finish: {url: ftp://x}", "team.yaml:4: finish.url: found 'ftp://x', allowed: http"),
        ("set: {size: 3}\nvary: {size: [3]}", "vary.size: is in set and in vary, keep one"),
        ("photos: x", "the key photos is stated twice"),
    ],
)
def test_a_mistake_is_told_by_its_line_and_key(more: str, said: str) -> None:
    assert said in refusal(CAMPAIGN + more)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "team.yaml: found nothing, allowed: a mapping that starts with campaign: 1"),
        ("- a", "team.yaml: found a list"),
        ("campaign: 2\nphotos: a\nrecipes: b", "team.yaml:1: campaign: found 2, allowed: 1"),
        ("campaign: 1\nphotos: a", "team.yaml: recipes: is missing"),
        ("campaign: 1\nphotos: []\nrecipes: b", "photos: found a list of 0, allowed: at least 1"),
        (CAMPAIGN.replace("shots", "'*.gif'"), "team.yaml:2: photos: *.gif: no photo is called so"),
        (CAMPAIGN.replace("shots", "empty"), "photos: empty: no photo in this folder"),
        (CAMPAIGN.replace("look.yaml", "'n*.yaml'"), "team.yaml:3: recipes: n*.yaml: no recipe"),
    ],
)
def test_a_campaign_that_cannot_be_begun_says_why(text: str, said: str) -> None:
    Path("empty").mkdir()
    assert said in refusal(text).replace("found []", "found a list of 0")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,size\na.png,3\n", "list.csv:1: has no column photo; it has file and size"),
        ("Photo\na.png\n", "list.csv:1: has no column photo (did you mean Photo?)"),
        ("photo,size,size\n", "list.csv:1: has two columns size, keep one"),
        ("photo\n", "list.csv: has no rows below its columns"),
        ("", "list.csv:1: has no column photo; it has none"),
        ('photo\n"a.png\n', "list.csv:2: no valid CSV"),
    ],
)
def test_a_csv_that_cannot_be_read_says_why(text: str, said: str) -> None:
    Path("list.csv").write_text(text)
    assert said in refusal(CAMPAIGN.replace("shots", "list.csv"))


def test_a_csv_in_another_encoding_says_how_to_save_it() -> None:
    Path("list.csv").write_bytes("photo\nCafé.png\n".encode("latin-1"))
    said = refusal(CAMPAIGN.replace("shots", "list.csv"))
    assert said == "list.csv: is not UTF-8 text (byte 9 is 0xe9); save it as CSV UTF-8"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("shots/cup.png,3,x,", "list.csv:2: regions.sky.strength: found 'x', allowed: a number"),
        ("shots/cup.png,,,lok", "list.csv:2: recipe: no recipe is called lok (did you mean look?)"),
        ("shots/nowhere.png,,,", "nowhere.png: no such file"),
        (",3,,", "list.csv:2: names no photo"),
        ("shots/cup.png,,,,more", "list.csv:2: has 5 cells for 4 columns"),
        ("shots/cup.png,[3,,", "list.csv:2"),
        ("shots/cup.png,0,,", "list.csv:2: size: found 0, allowed: a whole number from 1 to 32768"),
    ],
)
def test_a_row_at_fault_is_told_and_the_others_are_not_touched(row: str, said: str) -> None:
    head = "photo,size,regions.sky.strength,recipe"
    Path("list.csv").write_text(f"{head}\n{row}\nshots/jar.png,,,\n")
    first, second = jobs(CAMPAIGN.replace("shots", "list.csv"))
    assert said in first.problem
    assert "list.csv:2" in first.problem
    assert not second.problem


def test_a_recipe_or_style_that_is_missing_fails_its_own_pictures() -> None:
    Path("other.yaml").write_text(Path("look.yaml").read_text().replace("dots.png", "gone.png"))
    text = CAMPAIGN.replace("look.yaml", "[look.yaml, other.yaml, third.yaml]")
    problems = {job.labels["recipe"]: job.problem for job in jobs(text)}
    assert problems["look"] == ""
    assert "other.yaml:10: regions.sky.style[0].image: no such file: gone.png" in problems["other"]
    assert problems["third"] == "no such file: third.yaml (did you mean other.yaml?)"


def test_a_name_that_says_another_format_than_the_campaign_is_a_problem() -> None:
    text = CAMPAIGN + "formats: {a: {file: jpeg}}\nname: '{photo}.png'\n"
    assert jobs(text)[0].problem == "cup.png: is to be jpeg, but its name says png"


def test_the_output_is_a_folder_beside_the_file_unless_it_is_named() -> None:
    assert load_campaign(written(CAMPAIGN)).output == Path("team").absolute()
    assert load_campaign(written(CAMPAIGN + "output: out")).output == Path("out").absolute()
    other = load_campaign(Path("team.yaml"), output=Path("x").absolute())
    assert other.output == Path("x").absolute()
    with pytest.raises(CampaignError, match="is a file; a campaign needs a folder"):
        load_campaign(written(CAMPAIGN + "output: photo.png"))


def test_a_campaign_is_told_from_a_recipe() -> None:
    assert is_campaign(written(CAMPAIGN))
    assert is_campaign(written("campaign: 1\nphotos: [", "broken.yaml"))
    assert not is_campaign(Path("look.yaml"))
    assert not is_campaign(Path("photo.png"))
    assert not is_campaign(Path("nowhere.yaml"))


def test_a_recipe_is_told_what_it_needs_to_be_run_as_a_campaign() -> None:
    for words in (("run", "look.yaml"), ("status", "look.yaml"), ("resume", "look.yaml")):
        ran = run("campaign", *words)
        assert (ran.code, ran.error) == (
            1,
            "look.yaml: is a recipe and no campaign; name photos and --output beside it",
        )
    ran = run("campaign", "run", "look.yaml", "shots")
    assert ran.error == "look.yaml: is a recipe; --output must name a folder for the pictures"


def test_what_fails_before_it_begins_is_told_too() -> None:
    ran = run("campaign", "run", "look.yaml", "nowhere.png", "-o", "out", "--workers", "1")
    assert ran.code == 1
    assert f"failed: nowhere-look.png  {Path.cwd()}/nowhere.png: no such file" in ran.err
    ran = run("campaign", "run", "look.yaml", "shots", "-o", "out", "--device", "cudaa")
    assert (ran.code, ran.error) == (
        2,
        "device cudaa: no such kind; allowed: auto, cpu, cuda, mps, xpu",
    )


def test_aspects_are_width_by_height() -> None:
    assert [aspect(text) for text in ("4:5", "16:9", "1.91:1", "3x2", "2/1")] == [
        0.8,
        16 / 9,
        1.91,
        1.5,
        2.0,
    ]
    assert aspect("wide") == aspect("1:0") == 0.0


def test_the_schema_takes_what_the_loader_takes() -> None:
    schema = campaign_schema()
    good = {
        "campaign": 1,
        "photos": ["shots"],
        "recipes": "look.yaml",
        "formats": {"a": {"size": 3, "crop": "1:1"}},
        "limits": {"time": "20 min", "memory": "6G"},
        "vary": {"regions.sky.strength": [1, 2]},
    }
    jsonschema.validate(good, schema)
    for wrong in ({"photo": "x"}, {"formats": {"a": {"siz": 3}}}, {"campaign": 2}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(good | wrong, schema)
    ran = run("schema", "--campaign")
    assert json.loads(ran.out) == json.loads(json.dumps(schema))


def test_ten_thousand_photos_are_laid_out_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = Measured({1: 5.25, 2: 4.0})
    monkeypatch.setattr("layered_nst.campaign.executors.places.measured", lambda *_: tried)
    monkeypatch.setattr("layered_nst.campaign.executors.places.processors", lambda: 2)
    os.makedirs("many")
    data = Path("photo.png").read_bytes()
    for number in range(10_000):
        Path(f"many/{number:05}.png").write_bytes(data if number % 1000 else b"broken")
    ran = run("campaign", "plan", "look.yaml", "many", "-o", "out", "--json")
    assert ran.code == 1
    assert (ran.json["pictures"], ran.json["to_do"]) == (10_000, 9_990)
    assert len(ran.json["problems"]) == 10
    assert ran.json["threads_measured"] == (
        "steps a second here by threads of a worker: 5.2 by 1, 4.0 by 2"
    )
    assert "many/00000.png: is no picture" in ran.json["problems"][0]
