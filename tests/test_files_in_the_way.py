"""Whatever lies where a command would write: what a user owns is there afterwards as it was."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors import safe_open
from safetensors.torch import save_file
from workbench import lay_out, photo, run

import layered_nst
from layered_nst import cli
from layered_nst.cli.display import Display
from layered_nst.live.watching import Watcher
from layered_nst.outputs.layered.writing import BUILT_IN as LAYERED
from layered_nst.picture import is_ours, read_metadata, write_picture
from layered_nst.picture.writing import BUILT_IN

SCENES = next(Path(layered_nst.__file__).parent.rglob("scenes.safetensors"))
PICTURES = (".png", ".jpg", ".webp", ".tif")
with safe_open(SCENES, framework="pt") as file:
    SCENES_CLASSES = json.loads(file.metadata()["classes"])
LOOKS = ("--scale", "24,34", "--encoder", "light")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a recipe with its pictures, a mask, labelled photos, weights."""
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    Image.new("L", (64, 48), 255).save("mask.png")
    shutil.copy(SCENES, "scenes.safetensors")
    for part in ("images", "labels"):
        Path("data", part).mkdir(parents=True)
    for name in ("a", "b", "c"):
        Image.fromarray(photo()).save(f"data/images/{name}.jpg")
        Image.new("L", (64, 48), 1).save(f"data/labels/{name}.png")
    Path("data/classes.txt").write_text("one\ntwo\n")
    Path("data/train.txt").write_text("a\nb\n")
    Path("data/val.txt").write_text("c\n")
    return Path()


def put(name: str) -> None:
    """A file of the user's, of the kind that its name says."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in PICTURES:
        noise = np.random.default_rng(len(name)).integers(0, 255, (48, 64, 3), np.uint8)
        Image.fromarray(noise).save(path)
    elif path.suffix == ".safetensors":
        save_file({"mine": torch.arange(9.0)}, path, metadata={"format": "mine"})
    elif path.suffix == ".json":
        path.write_text(json.dumps({"mine": name}))
    else:
        path.write_text(f"mine: {name}\n")


def hashes() -> dict[str, str]:
    files = [path for path in Path().rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def changed(before: dict[str, str]) -> set[str]:
    """The files that are no longer there or no longer as they were."""
    after = hashes()
    return {name for name, value in before.items() if after.get(name) != value}


@dataclass(frozen=True)
class Case:
    """A command, the user's files that lie where it would write, and whether it can do without."""

    words: str
    there: tuple[str, ...] = ()
    code: int = 0
    stopped: bool = False


APPLY = "apply look.yaml --quality draft --steps 2"
CAMPAIGN = "campaign run look.yaml photo.png --quality draft --workers 1 --threads 1"
PAINT = "paint photo.png dots.png --size 48 --quality draft --steps 2"
CASES = [
    Case(APPLY, ("look.png", "look.preview.png", "look.2.preview.png", "look.preview.2.png")),
    Case(f"{APPLY} -o out.png", ("out.preview.png", "out.partial.png", "out.psd")),
    Case(f"{APPLY} -o out.png", ("out.preview.png", "out.partial.png"), 130, stopped=True),
    Case(f"{APPLY} -o out.jpg", ("out.partial.jpg", "out.partial.2.jpg"), 130, stopped=True),
    Case(f"{APPLY} -c photo.png", ("look-photo.png", "look.png")),
    Case(f"{APPLY} -o out.png", ("out.json",), 3),
    Case(f"{APPLY} -o out.png", ("out.checkpoint",), 3),
    Case(f"{APPLY} -o out.png --report site", ("site/index.html",), 3),
    Case(f"{APPLY} -o out.png --report site", ("site/files/losses.csv",), 3),
    Case(f"{APPLY} -o out.png --report .", ("index.html", "files/result.jpg"), 3),
    Case(f"{APPLY} -o photo.png", (), 3),
    Case(f"{PAINT}", ("photo-dots.png", "photo-dots.2.preview.png")),
    Case(f"{PAINT} -o out.png", ("out.preview.png", "out.partial.png"), 130, stopped=True),
    Case(f"{PAINT} -o out.png", ("out.json",), 3),
    Case(f"{PAINT} -o dots.png", (), 3),
    Case("finish made.png --steps 1", ("made-finished.png", "made-finished.2.preview.png")),
    Case("finish made.png --steps 1 -o made.png", (), 3),
    Case("finish made.png --steps 1 -o out.png", ("out.json",), 3),
    Case("check look.yaml", ("look.png", "look.json", "look.checkpoint")),
    Case("pack look.yaml", ("look.lnst",), 3),
    Case("pack look.yaml -o photo.png", (), 3),
    Case("masks look.yaml -o .", ("ground.png",)),
    Case("masks look.yaml -o .", ("overlay.png",)),
    Case("masks look.yaml -o . --set regions.sky.name=dots", (), 3),
    Case(
        "masks look.yaml -o . --set 'regions.sky.select={mask: mask.png}' "
        "--set regions.sky.name=mask",
        (),
        3,
    ),
    Case(f"{CAMPAIGN} -o out", ("out/look.txt", "out/report/mine.txt", "out/report/contact.jpg")),
    Case(f"{CAMPAIGN} -o out", ("out/photo-look.png",), 1),
    Case(f"{CAMPAIGN} -o out", ("out/report/index.html",), 3),
    Case(f"{CAMPAIGN} -o out", ("out/campaign.csv",), 3),
    Case(f"{CAMPAIGN} -o out", ("out/campaign.db",), 1),
    Case(f"{CAMPAIGN} -o .", ("photo-look.png",), 1),
    Case(f"{CAMPAIGN} -o dots.png", (), 1),
    Case("campaign plan look.yaml photo.png -o out", ("out/photo-look.png", "out/campaign.csv")),
    Case("campaign resume out", ("out/campaign.db",), 1),
    Case("campaign retry out", ("out/campaign.db",), 1),
    Case("campaign status out", ("out/campaign.db",), 1),
    Case("campaign report out", ("out/campaign.db",), 1),
    Case("vary look.yaml optimize.seed=0,1 --size 32", ("look.variations.png",), 3),
    Case("vary look.yaml optimize.seed=0,1 -o photo.png", ("photo.vary/campaign.db",), 1),
    Case("vary look.yaml optimize.seed=0 --cell 1 --set optimize.steps=1", ("look-1.json",), 3),
    Case("segment photo.png --size 64", ("photo.segments.png",), 3),
    Case("contours photo.png --size 64 -o .", ("fused.png",), 3),
    Case("contours photo.png --size 64", ("photo.contours/scale-5.png",), 3),
    Case("new photo.png", ("recipe.yaml",), 3),
    Case("new photo.png --force -o photo.png", (), 3),
    Case("new photo.png --force -o dots.png --style dots.png", (), 3),
    Case("schema", ("schema.json",)),
    Case("features photo.png --size 64 --encoder light", ("photo.features.png",), 3),
    Case("features photo.png --size 64 --encoder light -o .", ("conv3_1.png",), 3),
    Case("texture dots.png --size 32 --steps 1 --encoder light", ("dots.texture.png",), 3),
    Case("score photo.png -r look.yaml", ("photo.json", "score.png")),
    Case("gallery . --size 32", ("gallery.png",), 3),
    Case(
        "gallery . --size 32 --steps 1 -o g.png",
        ("g.partial.png", "g.preview.png"),
        130,
        stopped=True,
    ),
    Case(
        "segmenter train data -o own.safetensors --epochs 32:1 --batch 2 --width 8",
        ("own.safetensors",),
        3,
    ),
    Case(
        "segmenter train data -o own.safetensors --epochs 32:1 --batch 2 --width 8",
        ("own.safetensors.training", "own.safetensors.part"),
        1,
    ),
    Case(
        "segmenter train data -o own.safetensors --epochs 32:1 --batch 2 --width 8",
        ("own.safetensors.part", "own.safetensors.training.part"),
    ),
    Case(
        "segmenter train data -o scenes.safetensors --epochs 32:1 --batch 2 "
        "--start scenes.safetensors",
        (),
        3,
    ),
    Case("segmenter teach data scenes", ("data/soft/a.safetensors",), 1),
    Case("segmenter average scenes scenes -o own.safetensors", ("own.safetensors",), 3),
    Case(
        "segmenter average scenes.safetensors scenes.safetensors -o scenes.safetensors",
        (),
        3,
    ),
    Case("segmenter score scenes.safetensors seen", ("score.png",), 3),
    Case("segmenter score scenes.safetensors seen --sheet seen/images/c.png", (), 3),
    Case("encoder distill data/images -o own.safetensors --steps 1", ("own.safetensors",), 3),
    Case(
        "encoder distill data/images -o own.safetensors --steps 1",
        ("own.safetensors.training",),
        1,
    ),
    Case("encoder search data/images -o .", ("front.md",), 3),
    Case("encoder search data/images -o .", ("plan.json",), 3),
    Case("encoder score light data/images", ("light.safetensors", "score.png")),
    Case("painter train data/images data/images -o own.safetensors", ("own.safetensors",), 3),
    Case(
        "painter train data/images data/images -o own.safetensors --steps 1 --batch 1 --crop 64",
        ("own.safetensors.training",),
        1,
    ),
    Case(
        "painter train data/images data/images -o own.safetensors --steps 1 --batch 1 --crop 64",
        ("own.safetensors.png",),
    ),
    Case("painter search data/images data/images -o .", ("front.md",), 3),
    Case("painter search data/images data/images -o .", ("plan.json",), 3),
    Case("painter score instant data/images data/images", ("instant.safetensors", "score.png")),
    Case("live photo.png -r look.yaml --no-open --port 0", ("photo.jpg", "index.html")),
    Case("models", ("models",)),
    Case("models fetch vgg19 --weights weights", ("weights/vgg19-dcbb9e9d.pth",)),
    Case("styles build dusk dots.png -o own.safetensors --scale 32", ("own.safetensors",), 1),
    Case("styles list team", ("styles.png",)),
    Case("styles show team", ("styles.png",), 3),
    Case("styles show team -o team.safetensors", (), 3),
    Case("styles merge team team -o own.safetensors", ("own.safetensors",), 1),
    Case("styles merge team -o other.safetensors", (), 1),
    Case("plugins list", ("plugins",)),
    Case("plugins info layered-nst", ("layered-nst",)),
    Case("plugins check mine.py", ("mine.py",), 1),
    Case("plugins new mine", ("mine/README.md",), 3),
    Case("plugins new mine -o photo.png", (), 3),
    Case("plugins trace look.yaml --steps 1", ("look.png", "look.json", "look.checkpoint")),
    Case("cache info", ()),
    Case("cache clear", ()),
]


def prepared(case: Case) -> None:
    words = shlex.split(case.words)
    if words[0] == "styles":
        for library, look in (("team", "dusk"), ("other", "dawn")):
            name = f"{library}.safetensors"
            assert run("styles", "build", look, "dots.png", "-o", name, *LOOKS).code == 0
    if "seen" in words and words[0] == "segmenter":
        shutil.copytree("data", "seen")
        Image.open("seen/images/c.jpg").save("seen/images/c.png")
        Path("seen/images/c.jpg").unlink()
        Path("seen/classes.txt").write_text("\n".join(SCENES_CLASSES))
    if words[0] == "finish":
        assert run(*APPLY.split(), "-o", "made.png").code == 0
    if words[0] == "gallery":
        shutil.copy("look.yaml", "other.yaml")
    for name in case.there:
        put(name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.words} | {' '.join(case.there)}")
def test_no_file_of_the_users_is_changed(
    case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prepared(case)
    monkeypatch.setenv("LAYERED_NST_CACHE_DIR", str(Path("cache").absolute()))
    monkeypatch.setenv("LAYERED_NST_CACHE_SIZE", "1k")
    put("cache/mine.safetensors")
    if case.stopped:
        stop_halfway(monkeypatch)
    monkeypatch.setattr(Watcher, "run", lambda self, _: self.look())  # it would go on and on
    before = hashes()
    ran = run(*shlex.split(case.words))
    assert not changed(before), ran.err
    assert ran.code == case.code, ran.err
    assert "unexpected" not in ran.err
    if case.code in (1, 3):
        assert len(ran.error) > 20


TRAIN = "segmenter train data --epochs 32:1 --batch 2 --width 8"
INTO_FILES = {
    APPLY: ("photo.png", ".png"),
    f"{APPLY} -o out.png --layers": ("stripes.png", ".psd"),
    PAINT: ("dots.png", ".png"),
    "finish made.png --steps 1": ("made.png", ".png"),
    "pack look.yaml": ("look.yaml", ".lnst"),
    "segment photo.png --size 64": ("photo.png", ".png"),
    "new photo.png --style dots.png": ("dots.png", ".yaml"),
    "new photo.png --style dots.png --force": ("photo.png", ".yaml"),
    "features photo.png --size 64 --encoder light": ("photo.png", ".png"),
    "texture dots.png --size 32 --steps 1 --encoder light": ("dots.png", ".png"),
    "gallery . --size 32 --steps 1": ("stripes.png", ".png"),
    "vary look.yaml optimize.seed=0 --cell 1 --set optimize.steps=1": ("dots.png", ".png"),
    TRAIN: ("data/images/a.jpg", ".safetensors"),
    "segmenter average scenes.safetensors scenes": ("scenes.safetensors", ".safetensors"),
    "segmenter score scenes.safetensors seen": ("seen/images/c.png", ".png"),
    "encoder distill data/images --steps 1": ("data/images/a.jpg", ".safetensors"),
    "painter train data/images data/images --steps 1 --batch 1 --crop 64": (
        "data/images/a.jpg",
        ".safetensors",
    ),
    f"styles build dusk dots.png {shlex.join(LOOKS)}": ("dots.png", ".safetensors"),
    "styles show team": ("team.safetensors", ".png"),
    "styles merge other": ("team.safetensors", ".safetensors"),
}
"""Commands, a file that each reads or would lose, and how what it writes is called."""
INTO_FOLDERS = [
    f"{APPLY} -o out.png --report",
    "masks look.yaml",
    "contours photo.png --size 64",
    "painter search data/images data/images --budget 1s",
    "plugins new mine",
    CAMPAIGN,
]


def links() -> dict[str, str]:
    return {str(path): os.readlink(path) for path in Path().rglob("*") if path.is_symlink()}


def said(words: str, target: str) -> Any:
    option = () if words.endswith(("--report", "--layers")) else ("-o",)
    return run(*shlex.split(words), *option, target)


@pytest.fixture
def as_no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modes of files hold, also for root."""
    allowed = os.access

    def access(path: Any, mode: int) -> bool:
        return allowed(path, mode) and not (mode & os.W_OK and not os.stat(path).st_mode & 0o200)

    monkeypatch.setattr(os, "access", access)


@pytest.mark.usefixtures("as_no_root")
@pytest.mark.parametrize("words", INTO_FILES)
def test_neither_folders_nor_what_is_read_or_write_protected_are_replaced(words: str) -> None:
    read, suffix = INTO_FILES[words]
    prepared(Case(words, (f"folder{suffix}/mine.txt",)))
    Path(f"link{suffix}").symlink_to(read)
    Path(f"second{suffix}").hardlink_to(read)
    Path(f"folders{suffix}").symlink_to(f"folder{suffix}")
    Path(f"loop{suffix}").symlink_to(f"loop{suffix}")
    put(f"locked{suffix}")
    Path(f"locked{suffix}").chmod(0o444)
    before, led = hashes(), links()
    for name in ("folder", "link", "second", "folders", "loop", "locked"):
        ran = said(words, f"{name}{suffix}")
        assert not changed(before), (name, ran.err)
        assert ran.code in (1, 2, 3), (name, ran.err)
        assert "unexpected" not in ran.err, (name, ran.err)
        assert links() == led, name


@pytest.mark.parametrize("words", INTO_FOLDERS)
def test_a_folder_is_not_made_where_a_file_or_a_loop_is(words: str) -> None:
    prepared(Case(words, ("mine.txt",)))
    Path("link").symlink_to("mine.txt")
    Path("loop").symlink_to("loop")
    before, led = hashes(), links()
    for name in ("mine.txt", "link", "loop"):
        ran = said(words, name)
        assert not changed(before), (name, ran.err)
        assert ran.code in (1, 2, 3), (name, ran.err)
        assert "unexpected" not in ran.err, (name, ran.err)
        assert links() == led, name


def stop_halfway(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Display.step

    def step(self: Display, progress: Any) -> None:
        usual(self, progress)
        if progress.done > 0.5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Display, "step", step)


def commands(group: Any, *above: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *above, name)
            if command.invoke_without_command:
                yield name
        else:
            yield " ".join((*above, name))


def test_every_command_has_met_files_in_its_way() -> None:
    met = [case.words for case in CASES]
    for name in commands(typer.main.get_command(cli.app)):
        assert any(words == name or words.startswith(f"{name} ") for words in met), name


# what this program wrote itself


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_a_picture_is_known_until_somebody_changes_it(suffix: str) -> None:
    path = Path(f"out{suffix}")
    write_picture(path, torch.rand(3, 24, 32), metadata={"layered-nst recipe": "recipe: 1"})
    assert is_ours(path)
    assert read_metadata(path) == {"layered-nst recipe": "recipe: 1"}
    whole = path.read_bytes()
    key = whole.index(b"layered-nst seal")
    for place in {*range(0, len(whole), 97)} - {*range(key, key + 16)}:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert not is_ours(path), place
    path.write_bytes(whole)
    with Image.open(path) as picture:
        picture.load()
        chunks = PngInfo()
        for key, text in getattr(picture, "text", {}).items():
            chunks.add_itxt(key, text)
        kept = {"pnginfo": chunks} if suffix == ".png" else {"xmp": picture.info.get("xmp", b"")}
        picture.save(path, **({} if suffix == ".tif" else kept))
    assert not is_ours(path), "saved by another program, metadata and all"


def test_results_of_versions_that_sealed_nothing_are_known_by_their_recipe() -> None:
    chunks = PngInfo()
    chunks.add_itxt("layered-nst recipe", "recipe: 1")
    Image.fromarray(photo()).save("old.png", pnginfo=chunks)
    assert is_ours(Path("old.png"))
    assert not is_ours(Path("photo.png"))
    assert not is_ours(Path("look.yaml"))
    assert not is_ours(Path("nowhere.png"))


@pytest.mark.usefixtures("as_no_root", "no_painting")
def test_a_picture_that_was_approved_and_locked_is_not_painted_over() -> None:
    put("out.png")
    Path("out.png").chmod(0o444)
    before = hashes()
    ran = run(*shlex.split(APPLY), "-o", "out.png")
    assert (ran.code, changed(before)) == (3, set())
    assert "out.png: cannot be written: it is write-protected" in ran.err


def test_who_may_read_a_picture_may_read_the_next_and_nobody_else() -> None:
    put("out.png")
    Path("out.png").chmod(0o600)
    before = hashes()
    assert run(*shlex.split(APPLY), "-o", "out.png").code == 0
    assert changed(before) == {"out.png"}
    assert Path("out.png").stat().st_mode & 0o777 == 0o600


def test_what_was_written_before_is_replaced_by_the_same_command() -> None:
    for words in (
        APPLY,
        f"{APPLY} -c photo.png",
        "segment photo.png --size 32",
        "contours photo.png --size 32",
        "masks look.yaml",
        f"{APPLY} -o out.png --report site",
    ):
        assert run(*shlex.split(words)).code == 0
        before = set(hashes())
        assert run(*shlex.split(words)).code == 0
        assert set(hashes()) == before, words


def test_one_recipe_paints_many_photos_each_into_a_picture_of_its_own() -> None:
    for number, place in enumerate(("here", "there")):
        Path(place).mkdir()
        Image.fromarray(photo() // (number + 1)).save(f"{place}/a.png")
    Image.fromarray(255 - photo()).save("b.png")
    for name in ("here/a.png", "b.png", "there/a.png", "here/a.png"):
        assert run(*APPLY.split(), "-c", name).code == 0
    ran = run(*APPLY.split(), "-c", "there/a.png")
    assert {path.name for path in Path().glob("look-*.png")} == {
        "look-a.png",
        "look-a.2.png",
        "look-b.png",
    }
    assert (
        "note: look-a.png is kept: it was not painted from this photo; this picture is "
        "look-a.2.png" in ran.err
    )
    assert json.loads(Path("look-a.2.json").read_text())["output"] == "look-a.2.png"


def test_two_pictures_of_one_name_do_not_share_what_belongs_to_each() -> None:
    for name in ("a.png", "a.jpg", "a.webp"):
        assert run(*APPLY.split(), "-o", name).code == 0
    named = {path.name: json.loads(path.read_text())["output"] for path in Path().glob("a*.json")}
    assert named == {"a.json": "a.png", "a.jpg.json": "a.jpg", "a.webp.json": "a.webp"}
    before = hashes()
    assert run(*APPLY.split(), "-o", "a.jpg", "--seed", "3").code == 0
    assert changed(before) == {"a.jpg", "a.jpg.json"}
    assert run(*APPLY.split(), "-o", "a.png", "--seed", "3").code == 0
    assert changed(before) == {"a.jpg", "a.jpg.json", "a.png", "a.json"}
    assert run("apply", "a.jpg.json", "--steps", "2").code == 0
    assert Path("a.2.jpg").exists()


def test_two_pictures_of_one_name_go_on_from_their_own_checkpoints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("a.png", "a.jpg"):
        with monkeypatch.context() as patch:
            stop_halfway(patch)
            assert run(*APPLY.split(), "-o", name).code == 130
    assert {path.name for path in Path().glob("a*.checkpoint")} == {
        "a.checkpoint",
        "a.jpg.checkpoint",
    }
    before = Path("a.checkpoint").read_bytes()
    ran = run(*APPLY.split(), "-o", "a.jpg", "--resume")
    assert (ran.code, "a.jpg.checkpoint: the work goes on from there" in ran.err) == (0, True)
    assert Path("a.checkpoint").read_bytes() == before
    with monkeypatch.context() as patch:
        stop_halfway(patch)
        assert run(*APPLY.split(), "-o", "a.jpg").code == 130
    ran = run(*APPLY.split(), "-o", "a.png", "--resume")
    assert (ran.code, "a.checkpoint: the work goes on from there" in ran.err) == (0, True)
    ran = run(*APPLY.split(), "-o", "a.jpg", "--resume")
    assert (ran.code, "a.jpg.checkpoint: the work goes on from there" in ran.err) == (0, True)
    assert not list(Path().glob("a*.checkpoint"))


def test_a_checkpoint_that_names_no_picture_is_gone_on_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        stop_halfway(patch)
        assert run(*APPLY.split(), "-o", "a.png").code == 130
    stored = torch.load("a.checkpoint", weights_only=True)
    assert stored.pop("picture") == "a.png"
    torch.save(stored, "a.checkpoint")
    ran = run(*APPLY.split(), "-o", "a.jpg", "--resume")
    assert (ran.code, "a.checkpoint: the work goes on from there" in ran.err) == (0, True)


def test_a_partial_picture_that_is_painted_on_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(*APPLY.split(), "-o", "look.partial.png").code == 0
    before = hashes()
    words = [*APPLY.split(), "-c", "look.partial.png", "-o", "look.png"]
    with monkeypatch.context() as patch:
        stop_halfway(patch)
        ran = run(*words)
    assert ran.code == 130
    assert "the picture so far is look.partial.2.png" in ran.error
    assert run(*words, "--resume").code == 0
    assert not changed(before)


def test_a_preview_that_somebody_else_has_written_meanwhile_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = Display.step

    def step(self: Display, progress: Any) -> None:
        usual(self, progress)
        put("out.preview.png")

    monkeypatch.setattr(Display, "step", step)
    assert run(*APPLY.split(), "-o", "out.png").code == 0
    assert not is_ours(Path("out.preview.png"))


def test_links_are_not_written_through() -> None:
    put("mine.png")
    for name in ("out.preview.png", "out.partial.png", "ground.png"):
        Path(name).symlink_to("mine.png")
    Path("overlay.png").symlink_to("nowhere.png")
    before = hashes()
    assert run(*APPLY.split(), "-o", "out.png").code == 0
    assert run("masks", "look.yaml", "-o", ".").code == 0
    assert not changed(before)
    assert Path("out.preview.png").is_symlink()
    assert not Path("nowhere.png").exists()


# what a format cannot hold


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("-o out.webp", "out.webp: WEBP holds 40 px a side, not 48×36 px; use .png"),
        ("-o out.jpg", "out.jpg: JPG holds 40 px a side, not 48×36 px; use .png"),
        ("-o o.png --layers o.psd", "o.psd: PSD holds 40 px a side, not 48×36 px; use .ora"),
    ],
)
def test_a_size_that_a_format_cannot_hold_is_refused_before_the_first_step(
    words: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Display, "step", lambda *_: pytest.fail("the work has begun"))
    for formats, suffix in ((BUILT_IN, ".webp"), (BUILT_IN, ".jpg"), (LAYERED, ".psd")):
        monkeypatch.setitem(formats, suffix, replace(formats[suffix], longest=40))
    before = set(hashes())
    ran = run(*APPLY.split(), *words.split())
    assert (ran.code, ran.error) == (3, sentence)
    assert set(hashes()) == before


def test_a_sheet_that_a_format_may_not_hold_is_refused_before_the_first_recipe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Display, "step", lambda *_: pytest.fail("the work has begun"))
    monkeypatch.setitem(BUILT_IN, ".webp", replace(BUILT_IN[".webp"], longest=300))
    ran = run("gallery", ".", "-o", "sheet.webp")
    assert ran.code == 3
    assert ran.error.startswith("sheet.webp: WEBP holds 300 px a side, not 548×")
