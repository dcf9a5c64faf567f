"""One way to say a number, and one place for what tells files and names apart."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

import layered_nst
from layered_nst.errors import PictureError
from layered_nst.files.hashes import bytes_hash, digest, file_hash, text_hash
from layered_nst.files.names import did_you_mean_file, nearest_name
from layered_nst.machine import cache
from layered_nst.machine.memory import parse_memory
from layered_nst.words import (
    amount,
    closest,
    did_you_mean,
    duration,
    fine_duration,
    gigabytes,
    pixels,
    storage,
)

PACKAGE = Path(layered_nst.__file__).parent
HOMES = {"hashlib": "files/hashes.py", "difflib": "words.py"}
"""The one module of the package that may import each."""


def importers(module: str) -> Iterator[str]:
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            if module in names:
                yield file.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize(("module", "home"), HOMES.items())
def test_a_hash_and_a_near_miss_are_found_in_one_place_each(module: str, home: str) -> None:
    assert [*importers(module)] == [home]


def test_bytes_are_said_one_way() -> None:
    """No message divides by a million itself: all say ``storage``, ``pixels`` or ``duration``."""
    spelled = [
        f"{file.relative_to(PACKAGE)}:{number}"
        for file in PACKAGE.rglob("*.py")
        if file.name != "words.py"
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if "e6:.1f} MB" in line or "e9:.1f} GB" in line or "// 60} h" in line
    ]
    assert not spelled


def test_durations_read_as_one_says_them() -> None:
    said = [duration(seconds) for seconds in (0, 59.4, 61, 3599, 3661, 90000)]
    assert said == ["0 s", "59 s", "1 min 1 s", "59 min 59 s", "1 h 1 min", "25 h 0 min"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.42, "0.42 s"),
        (7.25, "7.2 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (125, "2 min 5 s"),
        (4000, "1 h 6 min"),
    ],
)
def test_times_taken_are_as_fine_as_they_matter(seconds: float, words: str) -> None:
    assert fine_duration(seconds) == words


def test_sizes_are_said_width_first_and_bytes_in_units_of_a_thousand() -> None:
    assert pixels((480, 640)) == "640×480 px"
    said = [storage(amount) for amount in (0, 149_000, 29.4e6, 999.9e6, 999.96e6, 1.84e9)]
    assert said == ["0.0 MB", "0.1 MB", "29.4 MB", "999.9 MB", "1.0 GB", "1.8 GB"]
    assert gigabytes(864e6) == "0.9 GB"


def test_a_near_miss_is_found_whatever_its_case() -> None:
    assert closest("SKYY", ["sky", "sea"]) == "sky"
    assert did_you_mean("Straße", ["STRASSE", "sea"]) == " (did you mean STRASSE?)"
    assert did_you_mean("harbor", ["sky", "sea"]) == ""


def test_a_near_file_is_found_by_its_stem_and_of_two_the_one_of_the_same_suffix(
    tmp_path: Path,
) -> None:
    for name in ("wave.jpg", "wave.png", "a.png"):
        (tmp_path / name).touch()
    assert nearest_name(tmp_path / "wvae.png") == "wave.png"
    assert did_you_mean_file(tmp_path / "wvae.jpg") == " (did you mean wave.jpg?)"
    assert nearest_name(tmp_path / "b.png") is None, "a suffix in common makes no likeness"
    assert nearest_name(tmp_path / "no folder" / "wave.png") is None


def test_hashes_are_sha256_of_what_they_are_said_to_be_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"styles")
    wanted = sha256(b"styles").hexdigest()
    assert file_hash(tmp_path / "file") == text_hash("styles") == bytes_hash([b"sty", b"les"])
    assert text_hash("styles") == wanted
    values = np.arange(3, dtype=np.float32)
    stated = b"a torch.float32 (3,);" + values.tobytes()
    assert digest({"a": torch.from_numpy(values)}) == sha256(stated).hexdigest()
    with pytest.raises(PictureError, match=r"missing cannot be read: no such file or directory"):
        file_hash(tmp_path / "missing")


@pytest.mark.parametrize("text", ["1G", "1GB", "1GiB", "1.5 gib", "500MB", "2000000", "3 TiB"])
def test_an_amount_means_the_same_of_memory_and_of_the_cache(text: str) -> None:
    assert amount(text) == parse_memory(text) == cache._limit(text)


def test_binary_units_are_powers_of_1024() -> None:
    assert [amount(f"2{unit}") for unit in ("KiB", "MiB", "GiB", "TiB")] == [
        2 * 1024**power for power in (1, 2, 3, 4)
    ]
    assert [amount(f"2{unit}") for unit in ("", "k", "MB", "g", "tb")] == [
        2 * 1000**power for power in range(5)
    ]


@pytest.mark.parametrize("text", ["", "much", "-1G", "1e9", "inf", "1,5G", "1XB", "9" * 400])
def test_what_is_no_amount_is_none(text: str) -> None:
    assert amount(text) is None
