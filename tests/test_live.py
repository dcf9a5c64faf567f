"""A picture that follows its recipe: what is seen of changes, errors, and who may ask."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from PIL import Image
from workbench import lay_out, photo, run

from layered_nst import apply
from layered_nst.errors import Interrupted
from layered_nst.live.serving import LiveServer, serve
from layered_nst.live.watching import Watcher, stamp_of

RECIPE = Path("look.yaml")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(lay_out(tmp_path / "work"))
    return Path()


@pytest.fixture
def watcher() -> Watcher:
    return Watcher(
        RECIPE,
        lambda: apply(RECIPE, "photo.png", quality="instant"),
        files=(Path("photo.png"),),
    )


@pytest.fixture
def server(watcher: Watcher) -> Iterator[LiveServer]:
    with serve(watcher, 0) as made:
        thread = Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()


def get(server: LiveServer, path: str, host: str | None = None) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request("GET", path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers.get("Content-Type", ""), body


def edit(old: str, new: str) -> None:
    RECIPE.write_text(RECIPE.read_text().replace(old, new))


def test_a_change_of_the_recipe_is_painted_and_nothing_else(watcher: Watcher) -> None:
    assert watcher.look()
    first = watcher.shown
    assert first.version == 1
    assert first.size == (36, 48)
    assert first.seconds > 0
    assert first.rate == pytest.approx(1 / first.seconds)
    assert not watcher.look()
    edit("size: 48", "size: 40")
    assert watcher.look()
    assert watcher.shown.size == (30, 40)
    assert watcher.shown.version == 2


def test_a_change_of_a_style_or_of_the_photo_is_painted(watcher: Watcher) -> None:
    watcher.look()
    before = watcher.shown.picture
    Image.new("RGB", (40, 40), (200, 30, 30)).save("dots.png")
    assert watcher.look()
    assert watcher.shown.picture != before
    Image.fromarray(photo()[::-1]).save("photo.png")
    before = watcher.shown.photo
    assert watcher.look()
    assert watcher.shown.photo != before
    assert not watcher.look()


def test_a_mistake_is_told_and_the_picture_stays_until_it_is_mended(watcher: Watcher) -> None:
    watcher.look()
    picture = watcher.shown.picture
    edit("style: dots.png", "stile: dots.png")
    assert watcher.look()
    assert "stile" in watcher.shown.error
    assert watcher.shown.picture == picture
    assert not watcher.look()  # told once
    edit("stile: dots.png", "style: dots.png")
    assert watcher.look()
    assert watcher.shown.error == ""


def test_a_recipe_that_is_gone_for_a_moment_is_waited_for(watcher: Watcher) -> None:
    text = RECIPE.read_text()
    RECIPE.unlink()
    assert watcher.look()
    assert "look.yaml" in watcher.shown.error
    assert watcher.shown.picture == b""
    RECIPE.write_text(text)
    assert watcher.look()
    assert watcher.shown.error == ""


def test_ctrl_c_in_the_middle_of_a_picture_is_no_mistake_of_the_recipe() -> None:
    def paint() -> Any:
        raise Interrupted("interrupted")

    with pytest.raises(Interrupted):
        Watcher(RECIPE, paint).look()


def test_a_stamp_is_of_all_files_and_of_those_that_are_missing() -> None:
    files = [RECIPE, Path("photo.png"), Path("missing.png")]
    first = stamp_of(files)
    assert len(first) == 3
    assert first == stamp_of([*files, RECIPE])
    os.utime("photo.png", ns=(1, 1))
    assert stamp_of(files) != first


def test_the_page_shows_the_picture_the_photo_and_the_news(
    watcher: Watcher, server: LiveServer
) -> None:
    assert get(server, "/picture.jpg")[0] == 404  # not yet
    watcher.look()
    status, kind, body = get(server, "/")
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert b"/picture.jpg" in body
    for name in ("/picture.jpg", "/photo.jpg?3"):
        status, kind, body = get(server, name)
        assert (status, kind) == (200, "image/jpeg")
        assert Image.open(io.BytesIO(body)).size == (48, 36)
    news = json.loads(get(server, "/news?after=0")[2])
    assert news["version"] == 1
    assert (news["width"], news["height"]) == (48, 36)
    assert news.keys() == {"version", "width", "height", "seconds", "rate", "notes", "error"}
    assert json.loads(get(server, "/news?after=nonsense")[2])["version"] == 1
    assert get(server, "/../look.yaml")[0] == 404
    assert get(server, "/look.yaml")[0] == 404


def test_news_are_waited_for(watcher: Watcher, server: LiveServer) -> None:
    watcher.look()
    stop = Event()
    thread = Thread(target=watcher.run, args=(stop,), daemon=True)
    thread.start()
    edit("size: 48", "size: 32")
    assert json.loads(get(server, "/news?after=1")[2])["width"] == 32
    stop.set()
    thread.join(30)
    assert not thread.is_alive()


def test_pages_of_others_may_not_ask(watcher: Watcher, server: LiveServer) -> None:
    watcher.look()
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example"):
        assert get(server, "/picture.jpg", host=host)[0] == 403
    assert get(server, "/picture.jpg", host=f"localhost:{server.server_port}")[0] == 200


def test_a_port_that_is_taken_is_said_in_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = run("live", "photo.png", "-r", RECIPE, "--no-open", "--port", str(port))
    assert ran.code == 3
    assert ran.error.startswith(f"port {port}: cannot be opened")


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
def test_the_command_follows_the_recipe_until_ctrl_c() -> None:
    words = [sys.executable, "-c", "from layered_nst.cli import main; main()", "live", "photo.png",
             "-r", "look.yaml", "--no-open", "--port", "0"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:"), line
        port = int(line.split(":")[2].split("/")[0])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/news?after=0")
        assert json.loads(connection.getresponse().read())["width"] == 48
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "Traceback" not in said


def test_what_is_not_there_is_said_before_the_page_is_opened() -> None:
    ran = run("live", "none.png", "-r", "look.yaml", "--no-open")
    assert ran.code == 1
    assert "none.png" in ran.error
    ran = run("live", "photo.png", "--no-open")
    assert ran.code == 1
    assert ran.error.startswith("recipe.yaml: no such file; name a recipe, or write one with")
