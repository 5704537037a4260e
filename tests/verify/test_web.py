"""Requests of the smoke checks, to a real server on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tapgen.verify import web


class _Door(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("location", "http://192.0.2.1/")
            self.end_headers()
            return
        self._say(403 if self.path == "/closed" else 200, {"key": self.headers.get("x-api-key")})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self._say(201, {"type": self.headers["content-type"], "body": json.loads(body)})

    def _say(self, status: int, what: object) -> None:
        content = json.dumps(what).encode() if self.path != "/text" else b"plain"
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def door() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Door)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_headers_and_json_go_there_and_come_back(door: str) -> None:
    read = web.send(web.Request("GET", f"{door}/", {"x-api-key": "k"}))
    made = web.send(web.Request("POST", f"{door}/", body={"title": "Ä"}))

    assert read == web.Reply(200, {"key": "k"})
    assert made == web.Reply(201, {"type": "application/json", "body": {"title": "Ä"}})


def test_a_refusal_is_a_reply_and_text_is_text(door: str) -> None:
    assert web.send(web.Request("GET", f"{door}/closed")).status == 403
    assert web.send(web.Request("GET", f"{door}/text")).body == "plain"


def test_a_key_follows_no_redirect(door: str) -> None:
    assert web.send(web.Request("GET", f"{door}/moved", {"x-api-key": "k"})).status == 302


def test_a_proxy_has_no_say_on_this_machine(door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    assert web.send(web.Request("GET", f"{door}/")).status == 200


def test_nobody_there_is_told_as_such() -> None:
    with pytest.raises(web.NoReply) as caught:
        web.send(web.Request("GET", "http://127.0.0.1:9/"))

    assert str(caught.value) == "no answer from http://127.0.0.1:9/: [Errno 111] Connection refused"


@pytest.mark.parametrize("url", ["http://api.example.com/dev", "ftp://127.0.0.1/", "nothing"])
def test_nothing_is_sent_in_the_clear_beyond_this_machine(url: str) -> None:
    with pytest.raises(web.NotSecret) as caught:
        web.send(web.Request("GET", url, {"x-api-key": "k"}))

    assert str(caught.value) == f"{url} is not HTTPS, and the key is not sent without; use https://"
