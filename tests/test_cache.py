"""The cache: never stale, never in the way, and shared without harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from narrow import narrow_encoder
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from workbench import lay_out, run

import layered_nst
from layered_nst import apply
from layered_nst.errors import LayeredNstWarning
from layered_nst.files.hashes import digest
from layered_nst.machine import cache
from layered_nst.machine.cache import Cache, open_cache, own_cache
from layered_nst.regions import cached as regions_cached
from layered_nst.scene import eyes
from layered_nst.scene import resolving as scene_module
from layered_nst.styles import cached as remembered
from layered_nst.styles.cached import RememberedMoments
from layered_nst.styles.style import StylePicture, picture_moments

KEY = {"a": 1}
LAYERS = ("conv1_1", "conv3_1")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def store(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "store", 10**8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lay_out(tmp_path))
    return tmp_path


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def recipe(**keys: Any) -> dict[str, Any]:
    # Whatever the segmenter makes of a photo of noise, there is some of both regions.
    left = {"ellipse": [0, 0, 0.5, 1]}
    found = {"all": [{"class": "object"}, {"ellipse": [0, 0, 0.8, 1]}]}
    return {
        "recipe": 1,
        "content": "photo.png",
        "size": 48,
        "regions": [
            {"name": "ground", "select": "rest", "style": "stripes.png"},
            {"name": "sky", "select": {"any": [left, found]}, "style": "dots.png"},
        ],
        "optimize": {"levels": [24, 48], "steps": 1},
        **keys,
    }


# entries


def test_what_goes_in_comes_out_bit_for_bit(store: Cache) -> None:
    tensors = {"a": random(3, 4), "b": random(2).double(), "none": torch.zeros(0)}
    store.put("style", KEY, tensors, "a text")
    found = store.get("style", KEY)
    assert found is not None
    assert found[1] == "a text"
    assert all(torch.equal(found[0][name], value) for name, value in tensors.items())
    assert {k: v.dtype for k, v in found[0].items()} == {k: v.dtype for k, v in tensors.items()}


def test_another_key_kind_or_version_is_another_entry(
    store: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("style", KEY, {"a": torch.ones(1)})
    assert store.get("style", {"a": 2}) is None
    assert store.get("segmentation", KEY) is None
    for room, name in ((layered_nst, "__version__"), (torch, "__version__")):
        with monkeypatch.context() as patch:
            patch.setattr(room, name, "another")
            assert store.get("style", KEY) is None
    with monkeypatch.context() as patch:
        patch.setattr(cache, "FORMAT", -1)
        assert store.get("style", KEY) is None
    assert store.get("style", KEY) is not None


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "spoil",
    [
        flip_a_bit,
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes()[:12]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no tensors at all, but some text"),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_a_damaged_entry_counts_as_missing(store: Cache, spoil: Callable[[Path], None]) -> None:
    store.put("style", KEY, {"a": random(50)})
    spoil(entries(store.folder)[0])
    assert store.get("style", KEY) is None
    store.put("style", KEY, {"a": random(50)})


def test_no_flipped_byte_of_a_header_is_served_as_something_else(store: Cache) -> None:
    store.put("segmentation", KEY, {"probabilities": random(2, 3)}, '["scenes", ["sky", "sea"]]')
    entry = entries(store.folder)[0]
    whole = entry.read_bytes()
    served = []
    for place in range(len(whole)):
        spoiled = bytearray(whole)
        spoiled[place] ^= 2  # sky becomes ski
        entry.write_bytes(spoiled)
        found = store.get("segmentation", KEY)
        if found is not None:
            served.append(place)
            assert found[1] == '["scenes", ["sky", "sea"]]', place
            assert torch.equal(found[0]["probabilities"], random(2, 3)), place
    # No digest covers the seal's own name, nor the blanks that fill up the header.
    name = whole.index(b"seal")
    uncovered = [*range(name, name + 4), *range(whole.index(b"}} ") + 2, len(whole) - 24)]
    assert {*served} <= {*uncovered}
    entry.write_bytes(whole)
    assert store.get("segmentation", KEY) is not None


@pytest.mark.parametrize("text", ["", "a text"])
def test_entries_of_older_versions_are_served_if_nothing_in_them_goes_unchecked(
    store: Cache, text: str
) -> None:
    store.put("style", KEY, {"a": random(5)}, text)
    entry = entries(store.folder)[0]
    tensors = {"a": random(5)}
    save_file(tensors, entry, metadata={"digest": digest(tensors), "text": text})
    found = store.get("style", KEY)
    assert (found is None) == bool(text)
    assert found is None or torch.equal(found[0]["a"], tensors["a"])


def test_an_entry_under_the_name_of_another_counts_as_missing(store: Cache) -> None:
    store.put("style", KEY, {"a": random(5)})
    mine = entries(store.folder)[0]
    store.put("style", {"a": 2}, {"a": random(6)})
    other = next(path for path in entries(store.folder) if path != mine)
    mine.write_bytes(other.read_bytes())
    assert store.get("style", KEY) is None
    assert store.get("style", {"a": 2}) is not None


def test_the_least_recently_used_entries_go_first(tmp_path: Path) -> None:
    store = Cache(tmp_path, 40_000)
    for number in range(4):
        store.put("style", {"n": number}, {"a": random(2000, seed=number)})
        os.utime(entries_by_age(tmp_path)[-1], (1000 + number, 1000 + number))
    assert store.get("style", {"n": 0}) is not None  # now the latest of all
    store.put("style", {"n": 4}, {"a": random(2000, seed=4)})
    left = [number for number in range(5) if store.get("style", {"n": number}) is not None]
    assert left == [0, 2, 3, 4]
    assert store.info().bytes <= 40_000


def entries_by_age(folder: Path) -> list[Path]:
    return sorted(entries(folder), key=lambda path: path.stat().st_mtime)


def test_an_entry_that_would_push_all_others_out_is_not_kept(tmp_path: Path) -> None:
    store = Cache(tmp_path, 10_000)
    store.put("style", KEY, {"a": random(1000)})
    assert store.info().entries == 0
    Cache(tmp_path, 0).put("style", KEY, {"a": random(1)})
    assert store.info().entries == 0


def test_what_a_killed_process_left_is_swept_up(store: Cache) -> None:
    store.put("style", KEY, {"a": random(5)})
    entry = entries(store.folder)[0].name
    # Older versions cut long names.
    old, older, new, other = (
        store.folder / name
        for name in (
            f".{entry}.0123abcd.part",
            f".{entry[:40]}.0123abcd.part",
            f".{entry}.abcd0123.part",
            ".mine.safetensors.0123abcd.part",
        )
    )
    for path in (old, older, new, other):
        path.write_bytes(b"half")
    for path in (old, older, other):
        os.utime(path, (1, 1))
    store.put("style", {"a": 2}, {"a": random(5)})
    assert not old.exists()
    assert not older.exists()
    assert new.exists()
    assert other.exists()
    store.clear()
    assert not new.exists()
    assert other.exists()


@pytest.mark.parametrize(
    "name",
    [
        "mine.safetensors",
        "style.safetensors",
        f"lora-{'0' * 64}.safetensors",
        f"style-{'0' * 63}.safetensors",
    ],
)
def test_files_of_others_in_the_folder_are_neither_counted_nor_removed(
    tmp_path: Path, name: str
) -> None:
    store, mine = Cache(tmp_path, 20_000), tmp_path / name
    mine.write_bytes(bytes(30_000))
    os.utime(mine, (1, 1))
    for number in range(5):
        store.put("style", {"n": number}, {"a": random(1000, seed=number)})
    assert mine.read_bytes() == bytes(30_000)
    assert store.get("style", {"n": 4}) is not None
    assert 0 < store.info().bytes <= 20_000
    store.clear()
    assert mine.exists()
    assert store.info().entries == 0


# where and how much


def test_the_environment_says_where_and_how_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAYERED_NST_CACHE_DIR", str(tmp_path / "here"))
    for text, size in (
        ("500MB", 5 * 10**8),
        ("1.5 g", 15 * 10**8),
        ("2000", 2000),
        ("1GiB", 2**30),
        ("0", 0),
    ):
        monkeypatch.setenv("LAYERED_NST_CACHE_SIZE", text)
        assert own_cache() == Cache(tmp_path / "here", size)
    assert open_cache(False) is None
    assert open_cache(tmp_path) == Cache(tmp_path, 0)
    monkeypatch.setenv("LAYERED_NST_CACHE_SIZE", "much")
    with pytest.warns(LayeredNstWarning, match="LAYERED_NST_CACHE_SIZE: found 'much', allowed"):
        assert own_cache().limit == cache.DEFAULT_SIZE


def test_info_and_clear_tell_what_is_there(folder: Path, cache_folder: Path) -> None:
    assert "entries   0" in run("cache", "info").out
    apply(recipe())
    found = run("cache", "info").out
    assert str(cache_folder) in found
    assert "entries   5" in found
    assert "5 entries" in run("cache", "clear").out
    assert entries(cache_folder) == []
    assert "0 entries" in run("cache", "clear").out


# runs


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("this was known")


def test_a_second_run_computes_no_statistics_and_gives_the_same_bytes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = apply(recipe(), cache=False).rgb
    first = apply(recipe()).rgb
    monkeypatch.setattr(remembered, "picture_moments", refuse)
    monkeypatch.setattr(eyes, "load_segmenter", refuse)
    second = apply(recipe()).rgb
    assert torch.equal(plain, first)
    assert torch.equal(first, second)
    with pytest.raises(AssertionError, match="this was known"):
        apply(recipe(), cache=False)


def test_what_another_method_saw_with_the_same_weights_is_not_served(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(recipe())
    monkeypatch.setattr(regions_cached, "METHOD", regions_cached.METHOD + 1)
    monkeypatch.setattr(eyes, "load_segmenter", refuse)
    with pytest.raises(AssertionError, match="this was known"):
        apply(recipe())


@pytest.mark.parametrize("changed", ["stripes.png", "photo.png"])
def test_a_changed_file_is_never_served_stale(folder: Path, changed: str) -> None:
    before = apply(recipe()).rgb
    stat = Path(changed).stat()
    picture = np.asarray(Image.open(changed)).copy()
    picture[0, 0, 0] ^= 64
    Image.fromarray(picture).save(changed)
    os.utime(changed, (stat.st_atime, stat.st_mtime))
    cached = apply(recipe()).rgb
    assert torch.equal(cached, apply(recipe(), cache=False).rgb)
    assert not torch.equal(cached, before)


def test_no_cache_writes_and_reads_nothing(folder: Path, cache_folder: Path) -> None:
    (folder / "r.yaml").write_text(
        "recipe: 1\ncontent: photo.png\nsize: 48\noptimize: {steps: 1, levels: [48]}\n"
        "regions: [{name: all, select: rest, style: dots.png}]\n"
    )
    for command in ("apply", "check"):
        assert run(command, "r.yaml", "--no-cache").code == 0
        assert not cache_folder.exists()
    assert run("apply", "r.yaml").code == 0
    assert len(entries(cache_folder)) == 1


@pytest.mark.parametrize("color", ["style", "luminance"])
def test_damaged_entries_change_no_byte_of_the_picture(
    folder: Path, cache_folder: Path, color: str
) -> None:
    asked = recipe()
    asked["regions"][0]["color"] = color
    wanted = apply(asked).rgb
    for path in entries(cache_folder):
        flip_a_bit(path)
    assert torch.equal(apply(asked).rgb, wanted)
    assert torch.equal(apply(asked).rgb, wanted)


def test_a_cache_that_cannot_be_written_stops_no_run(folder: Path, tmp_path: Path) -> None:
    wanted = apply(recipe(), cache=False).rgb
    occupied = tmp_path / "occupied"
    occupied.write_text("a file where the folder should be")
    assert torch.equal(apply(recipe(), cache=occupied).rgb, wanted)
    full = OSError(28, "No space left on device")
    with mock.patch("os.fsync", side_effect=full):
        assert torch.equal(apply(recipe(), cache=tmp_path / "full").rgb, wanted)
    assert list((tmp_path / "full").iterdir()) == []
    with mock.patch("pathlib.Path.mkdir", side_effect=PermissionError(13, "Permission denied")):
        assert torch.equal(apply(recipe(), cache=tmp_path / "closed").rgb, wanted)


def test_a_picture_named_twice_is_read_and_looked_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, seen = [], []

    def reading(path: Path, *rest: Any, **options: Any) -> StylePicture:
        read.append(path.name)
        return read_style_picture(path, *rest, **options)

    def looking(encoder: Any, style: StylePicture, *rest: Any, **options: Any) -> Any:
        seen.append((Path(style.source).name, options["longest"]))
        return picture_moments(encoder, style, *rest, **options)

    read_style_picture = scene_module.read_style_picture
    monkeypatch.setattr(scene_module, "read_style_picture", reading)
    monkeypatch.setattr(remembered, "picture_moments", looking)
    asked = recipe()
    asked["regions"][1]["select"] = {"box": [0, 0, 1, 0.5]}
    asked["regions"][1]["style"] = ["stripes.png", {"image": "dots.png", "weight": 0.5}]
    apply(asked, cache=False)
    assert sorted(read) == ["dots.png", "stripes.png"]
    assert sorted(seen) == [
        (name, longest) for name in ("dots.png", "stripes.png") for longest in (24, 48)
    ]


def test_moments_depend_on_picture_mask_encoder_size_pooling_and_layers(tmp_path: Path) -> None:
    store = Cache(tmp_path / "store")
    rgb, mask = random(3, 16, 20), torch.ones(16, 20)
    half = mask.clone()
    half[:, 10:] = 0
    encoders = [narrow_encoder(dtype=torch.float32, seed=seed) for seed in (0, 1)]
    plain = (encoders[0], StylePicture(rgb, mask, 1, ""), LAYERS, 20, "max")
    cases = [
        plain,
        (encoders[1], *plain[1:]),
        (plain[0], StylePicture(rgb.flip(2), mask, 1, ""), *plain[2:]),
        (plain[0], StylePicture(rgb, half, 1, ""), *plain[2:]),
        (*plain[:2], ("conv1_1",), *plain[3:]),
        (*plain[:3], 10, "max"),
        (*plain[:4], "average"),
    ]
    for again in (False, True):
        for encoder, style, layers, longest, pooling in cases:
            options: dict[str, Any] = {"longest": longest, "pooling": pooling}
            found = RememberedMoments(store)(encoder, style, layers, **options)
            wanted = picture_moments(encoder, style, layers, **options)
            assert found.keys() == wanted.keys()
            for layer, value in wanted.items():
                assert torch.equal(found[layer].mean, value.mean), again
                assert torch.equal(found[layer].second, value.second), again
                assert torch.equal(found[layer].weight, value.weight), again
        assert len(entries(store.folder)) == len(cases)


# several processes

WRITER = """
import sys
from pathlib import Path
import torch
from layered_nst.machine.cache import Cache
store, number = Cache(Path(sys.argv[1])), 0
print("ready", flush=True)
while True:
    store.put("style", {"n": number % 3}, {"a": torch.full((3_000_000,), float(number % 3))})
    number += 1
"""


def test_killing_a_process_while_it_writes_breaks_no_later_run(tmp_path: Path) -> None:
    store, cut_short = Cache(tmp_path), 0
    for attempt in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        wait_for(lambda: any(tmp_path.glob(".*.part")), process)
        time.sleep(0.004 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for number in range(3):
            found = store.get("style", {"n": number})
            if found is not None:
                assert found[0]["a"].shape == (3_000_000,)
                assert bool((found[0]["a"] == number).all())
        cut_short += bool([*tmp_path.glob(".*.part")])
        for part in tmp_path.glob(".*.part"):
            part.unlink()
    # Some died in the middle: nothing was renamed that was not whole.
    assert cut_short
    for number in range(3):
        store.put("style", {"n": number}, {"a": torch.full((5,), float(number))})
        assert store.get("style", {"n": number}) is not None


def wait_for(done: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while not done() and time.monotonic() < until:
        assert process.poll() is None
        time.sleep(0.001)


SHARER = """
import hashlib, sys, time
from pathlib import Path
from layered_nst import apply
while not Path("go").exists():
    time.sleep(0.01)
for _ in range(3):
    result = apply("r.yaml", cache="shared")
print(hashlib.sha256(result.rgb.numpy().tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_four_processes_at_once_share_a_cache(folder: Path) -> None:
    (folder / "r.yaml").write_text(
        "recipe: 1\ncontent: photo.png\nsize: 48\noptimize: {steps: 1, levels: [24, 34, 48]}\n"
        "regions: [{name: all, select: rest, style: [dots.png, stripes.png]}]\n"
    )
    # So small that they remove each other's entries all the time.
    environment = {**os.environ, "LAYERED_NST_CACHE_SIZE": "6MB", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SHARER],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        for _ in range(4)
    ]
    (folder / "go").touch()
    answers = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, answers
    assert len({out for out, _ in answers}) == 1
    assert not any(err for _, err in answers)
    assert 0 < len(entries(folder / "shared")) <= 6


# looks that were unpacked lie in the cache, too


def unpacked(store: Cache, letter: str, size: int, *, days: float) -> Path:
    """A look of that many bytes that was last used that many days ago."""
    look = store.looks / (64 * letter)
    (look / "styles").mkdir(parents=True)
    (look / "styles/a.png").write_bytes(bytes(size))
    long_ago = time.time() - days * 86400
    os.utime(look, (long_ago, long_ago))
    return look


def test_unpacked_looks_are_counted_and_cleared_and_other_folders_are_not(store: Cache) -> None:
    unpacked(store, "a", 1000, days=1)
    mine = store.looks / "mine"
    mine.mkdir()
    (mine / "keep.txt").write_text("mine")
    assert store.info().entries == 1
    assert 1000 <= store.info().bytes < 20_000
    store.clear()
    assert store.info().entries == 0
    assert [path.name for path in store.looks.iterdir()] == ["mine"]
    assert (mine / "keep.txt").read_text() == "mine"


def test_the_look_unused_for_longest_makes_room_and_one_in_use_stays(store: Cache) -> None:
    store = Cache(store.folder, 40_000)
    old, older, now = (
        unpacked(store, letter, 15_000, days=days)
        for letter, days in (("a", 1), ("b", 2), ("c", 0))
    )
    store.put("style", KEY, {"t": random(1000)})
    assert (old.exists(), older.exists(), now.exists()) == (False, False, True)
    assert store.get("style", KEY) is not None


def test_what_an_unpacking_left_that_was_killed_goes_after_an_hour(store: Cache) -> None:
    left = store.looks / ".0123456789ab.part"
    left.mkdir(parents=True)
    (left / "a.png").write_bytes(b"a")
    store.put("style", KEY, {"t": random(10)})
    assert left.exists()
    os.utime(left, (0, 0))
    store.put("style", {"a": 2}, {"t": random(10)})
    assert not left.exists()
