"""A page of this machine's own that shows what a watcher shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from layered_nst.errors import OutputError
from layered_nst.live.watching import Follower

HOST = "127.0.0.1"
"""The page is for who sits at this machine."""
NAMES = ("127.0.0.1", "localhost")
"""By which a browser may ask for it: under another name it is somebody else's page that asks."""
PATIENCE = 20.0
"""Seconds after which a question for news is answered without any."""
PAGE = Path(__file__).with_name("page.html")


class LiveServer(ThreadingHTTPServer):
    """Serves the page, the pictures and the news of a watcher."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, watcher: Follower, port: int) -> None:
        self.watcher = watcher
        super().__init__((HOST, port), _Handler)

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that turns away in the middle of an answer is no news."""


def serve(watcher: Follower, port: int) -> LiveServer:
    """Open the page; ``serve_forever`` then serves it.

    Args:
        port: 0 for any that is free.

    Raises:
        OutputError: the port is taken.
    """
    try:
        return LiveServer(watcher, port)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"port {port}: cannot be opened ({reason}); name another") from error


class _Handler(BaseHTTPRequestHandler):
    server: LiveServer
    server_version = "layered-nst"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """Answer with the page, a picture or the news."""
        if urlsplit(f"//{self.headers.get('Host', '')}").hostname not in NAMES:
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        asked = urlsplit(self.path)
        answer = self._answers.get(asked.path)
        if answer is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        kind, body = answer(self, parse_qs(asked.query))
        if not body:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Requests are no news to who edits a recipe."""

    def _page(self, _: Mapping[str, list[str]]) -> tuple[str, bytes]:
        return "text/html; charset=utf-8", PAGE.read_bytes()

    def _picture(self, _: Mapping[str, list[str]]) -> tuple[str, bytes]:
        return "image/jpeg", self.server.watcher.shown.picture

    def _photo(self, _: Mapping[str, list[str]]) -> tuple[str, bytes]:
        return "image/jpeg", self.server.watcher.shown.photo

    def _news(self, asked: Mapping[str, list[str]]) -> tuple[str, bytes]:
        known = asked.get("after", ["0"])[0]
        after = int(known) if known.isdecimal() and len(known) < 12 else 0
        shown = self.server.watcher.later_than(after, patience=PATIENCE)
        return "application/json", json.dumps(shown.as_dict()).encode()

    _answers: Mapping[str, Callable[[_Handler, Mapping[str, list[str]]], tuple[str, bytes]]] = {
        "/": _page,
        "/picture.jpg": _picture,
        "/photo.jpg": _photo,
        "/news": _news,
    }
