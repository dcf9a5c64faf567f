"""Plug-ins are found without being imported, and one that is broken hurts nobody else."""

from __future__ import annotations

import importlib.metadata
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packages import Site, manifest_of, selector, single
from workbench import run

from layered_nst import plugins
from layered_nst.errors import PluginError
from layered_nst.machine.plugin_code import identity
from layered_nst.plugins.installed import GROUP, entry_points

LIGHT = "def bright(said, view):\n    return view.picture.rgb.mean(0)\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(plugins, "_registry", None)
    return Site(tmp_path / "site", monkeypatch)


def test_a_package_is_found_by_its_entry_point_and_not_imported(site: Site) -> None:
    site.install("studio", manifest_of("studio", selector("bright")), f"1 / 0\n{LIGHT}")
    (found,) = plugins.installed().plugins
    assert (found.name, found.version, found.distribution) == ("studio", "1.2", "studio")
    assert plugins.known("selector")[-1] == "studio/bright"
    assert plugins.names("selector") == tuple(plugins.BUILT_IN["selector"])
    assert "studio" not in sys.modules


def test_all_that_importlib_metadata_finds_is_found(site: Site) -> None:
    for name in ("studio", "atelier-one"):
        site.install(name, manifest_of(name, selector("bright")))
    theirs = importlib.metadata.entry_points(group=GROUP)
    assert len(theirs) >= 2
    assert {(e.name, e.value) for e in entry_points()} == {(e.name, e.value) for e in theirs}


def test_a_part_is_had_by_its_full_name_and_by_a_short_one_that_is_unique(site: Site) -> None:
    site.install("studio", manifest_of("studio", selector("bright"), selector("box")), LIGHT)
    site.install("atelier", manifest_of("atelier", selector("dark")), "def dark(s, v): ...")
    assert plugins.get("selector", "studio/bright") is plugins.get("selector", "bright")
    assert plugins.part("selector", "box").is_own, "ours are never hidden"
    assert plugins.part("selector", "studio/box").full_name == "studio/box"
    assert plugins.part("selector", "layered-nst/box").is_own


def test_a_short_name_that_two_have_is_refused_and_both_full_ones_do(site: Site) -> None:
    for name in ("studio", "atelier"):
        site.install(name, manifest_of(name, selector("bright")), LIGHT)
    with pytest.raises(PluginError, match=r"^selector 'bright' may be atelier/bright and studio/"):
        plugins.get("selector", "bright")
    assert plugins.get("selector", "studio/bright").__module__ == "studio"


BROKEN: dict[str, tuple[dict[str, Any] | str | None, str, str]] = {
    "another-api": (
        manifest_of("another-api", selector("x"), api=2),
        "",
        "plugin.yaml: api is 2, and this version reads api: 1",
    ),
    "no-manifest": (None, "", "plugin.yaml is not in .*; a package says by package-data"),
    "no-yaml": ("api: [1\n", "", "plugin.yaml is not YAML, line 2: "),
    "a-list": ("- 1\n", "", "is no mapping"),
    "no-kind": (
        manifest_of("no-kind", {"kind": "selektor", "name": "x"}),
        "",
        r"parts\[0\]: kind: found 'selektor', allowed: .*\(did you mean selector\?\)",
    ),
    "misspelled": (
        manifest_of("misspelled", selector("x"), licence="MIT"),
        "",
        r"unknown key 'licence' \(did you mean license\?\)",
    ),
    "a-number": (
        manifest_of("a-number", selector("x"), version=1.2),
        "",
        r"version: found 1.2, allowed: a text \(numbers need quotes\)",
    ),
    "bad-name": (manifest_of("bad.name", selector("x")), "", "name: found 'bad.name', allowed"),
    "no-schema": (
        manifest_of("no-schema", selector("x", parameters=[1])),
        "",
        r"parameters: found \[1\], allowed: a JSON Schema",
    ),
    "not-open": (
        manifest_of("not-open", {"kind": "painter", "name": "x"}),
        "",
        r"parts\[0\]: kind: found 'painter', allowed: selector, .*, command$",
    ),
    "twice": (manifest_of("twice", selector("x"), selector("x")), "", "two parts selector x"),
    "layered-nst-too": (manifest_of("layered-nst", selector("x")), "", "is taken by this package"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_manifest_that_is_wrong_disables_its_plugin_alone(site: Site, name: str) -> None:
    manifest, code, problem = BROKEN[name]
    site.install(name, manifest, code)
    site.install("studio", manifest_of("studio", selector("bright")), LIGHT)
    found = plugins.installed()
    assert [plugin.name for plugin in found.plugins] == ["studio"]
    (broken,) = found.broken
    assert broken.name == name

    assert re.search(problem, broken.problem), broken.problem
    assert plugins.get("selector", "studio/bright") is not None


def test_of_two_plugins_with_one_name_that_one_stays_whose_package_is_called_so(
    site: Site,
) -> None:
    site.install("an-imitator", manifest_of("studio", selector("bright")), LIGHT)
    site.install("studio", manifest_of("studio", selector("bright")), LIGHT)
    found = plugins.installed()
    assert [plugin.distribution for plugin in found.plugins] == ["studio"]
    assert [broken.name for broken in found.broken] == ["an-imitator"]
    assert found.broken[0].problem == (
        "there is already a plug-in called studio, by studio; uninstall one"
    )


IMPORTS = {
    "import no_such_package": r"ModuleNotFoundError: No module named 'no_such_package'",
    "def bright(:": r"SyntaxError: .* \(__init__.py, line 1\)",
    "1 / 0": "ZeroDivisionError: division by zero",
    "raise SystemExit(3)": "SystemExit: 3",
    "dark = 1": "AttributeError: module 'studio' has no attribute 'bright'",
}


@pytest.mark.parametrize("code", IMPORTS)
def test_code_that_cannot_be_imported_is_a_sentence_when_it_is_asked_for(
    site: Site, code: str
) -> None:
    site.install("studio", manifest_of("studio", selector("bright")), code)
    with pytest.raises(PluginError, match=IMPORTS[code]) as caught:
        plugins.get("selector", "bright")
    start = "plug-in studio 1.2, selector bright: cannot be had from studio:bright: "
    assert str(caught.value).startswith(start)
    assert caught.value.__cause__ is not None


def test_what_a_package_prints_on_import_goes_to_standard_error(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    code = f"print('hello from studio')\n{LIGHT}"
    site.install("studio", manifest_of("studio", selector("bright")), code)
    plugins.get("selector", "bright")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "hello from studio\n")


def test_a_name_that_is_not_there_is_said_with_the_reason(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("studio", manifest_of("studio", selector("bright")), LIGHT)
    site.install("worn-out", manifest_of("worn-out", selector("x"), api=0))
    for name, said in {
        "studio/brigth": r"did you mean studio/bright\?",
        "brigth": r"did you mean bright\?",
        "other/x": "no plug-in other is installed$",
        "worn-out/x": "the plug-in worn-out is broken: plugin.yaml: api is 0",
    }.items():
        with pytest.raises(PluginError, match=said):
            plugins.get("selector", name)
    monkeypatch.setenv("LAYERED_NST_PLUGINS", "off")
    with pytest.raises(PluginError, match="LAYERED_NST_PLUGINS=off leaves out all plug-ins"):
        plugins.get("selector", "studio/bright")


def test_the_environment_turns_plugins_off_or_names_those_that_count(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("studio", "atelier", "workshop"):
        site.install(name, manifest_of(name, selector("bright")), LIGHT)
    for value, names in {"off": [], "studio,workshop": ["studio", "workshop"], "": []}.items():
        monkeypatch.setenv("LAYERED_NST_PLUGINS", value)
        assert [plugin.name for plugin in plugins.installed().plugins] == names
    monkeypatch.setenv("LAYERED_NST_PLUGINS", "studio")
    with pytest.raises(PluginError, match="LAYERED_NST_PLUGINS leaves out the plug-in atelier"):
        plugins.get("selector", "atelier/bright")
    monkeypatch.setenv("LAYERED_NST_PLUGINS", "studoi, workshop")
    said = "LAYERED_NST_PLUGINS names studoi, and no plug-in is called so (did you mean studio?)"
    assert plugins.unknown_allowed() == [said]
    assert said in " ".join(run("plugins", "list").out.split())
    assert json.loads(run("plugins", "list", "--json").out)["unknown"] == ["studoi"]
    with pytest.raises(PluginError, match=f"the plug-in studio; {re.escape(said)}$"):
        plugins.get("selector", "studio/bright")
    monkeypatch.delenv("LAYERED_NST_PLUGINS")
    assert len(plugins.installed().plugins) == 3


def test_a_plugin_of_one_file_is_read_without_being_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "_registry", None)
    stated = {"api": 1, "parts": [{"kind": "selector", "name": "bright", "object": "bright"}]}
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w')\n{LIGHT}"
    plugins.add_file(single(tmp_path / "My looks.py", stated, code))
    assert plugins.known("selector")[-1] == "my-looks/bright"
    assert not ran.exists()
    found = plugins.get("selector", "bright")
    assert ran.exists()
    assert plugins.get("selector", "my-looks/bright") is found
    assert pickle.loads(pickle.dumps(found)) is found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = 1", "has no PLUGIN = {...}, which tells what it brings"),
        ("PLUGIN = dict(api=1)", "PLUGIN is no literal mapping: it is read without being run"),
        ("PLUGIN = {", "is no Python, line 1: "),
        ("PLUGIN = {'api': 1, 'parts': []}", "PLUGIN: parts: allowed: a list of at least one"),
    ],
)
def test_a_file_that_is_no_plugin_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    monkeypatch.setattr(plugins, "_registry", None)
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(PluginError) as caught:
        plugins.add_file(tmp_path / "mine.py")
    assert str(caught.value).startswith(f"{tmp_path / 'mine.py'}: {problem}")
    with pytest.raises(PluginError, match=r"other.py: .*cannot be read: No such file"):
        plugins.add_file(tmp_path / "other.py")


def test_the_hash_of_a_plugin_follows_its_code_and_no_bytecode(site: Site) -> None:
    folder = site.install("studio", manifest_of("studio", selector("bright")), LIGHT)
    (plugin,) = plugins.installed().plugins
    before = identity(plugin)
    assert before["version"] == "1.2"
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"x")
    assert identity(plugin) == before
    (folder / "weights.bin").write_bytes(b"x")
    after = identity(plugin)
    assert after != before
    (folder / "weights.bin").write_bytes(b"y")
    assert identity(plugin) not in (before, after)


def test_an_error_in_a_plugins_code_is_told_with_its_name_version_and_line(site: Site) -> None:
    code = "def bright(said, view):\n    return inner()\n\ndef inner():\n    return {}['sky']\n"
    site.install("studio", manifest_of("studio", selector("bright")), code)
    bright = plugins.get("selector", "bright")
    with pytest.raises(PluginError) as caught, plugins.blamed():
        bright(None, None)
    assert str(caught.value) == (
        "plug-in studio 1.2: KeyError: there is no 'sky' (studio/__init__.py, line 5)"
    )
    assert isinstance(caught.value.__cause__, KeyError)


def test_errors_that_are_no_plugins_fault_pass_as_they_are(site: Site) -> None:
    site.install("studio", manifest_of("studio", selector("bright")), LIGHT)
    plugins.get("selector", "bright")
    for error in (ValueError("ours"), MemoryError(), PluginError("said"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, plugins.blamed():
            raise error
        assert caught.value is error


def test_looking_at_what_is_installed_imports_no_importlib_metadata() -> None:
    program = (
        "import sys; from layered_nst import plugins; plugins.commands(); "
        "print([m for m in ('torch', 'yaml', 'jsonschema', 'importlib.metadata') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
