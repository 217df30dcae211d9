"""The page and the program behind it: answers, refusals, and a real browser that draws."""

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the page takes the extra 'serve'")

from drawing.browser import PATH, Browser
from nn.cluster.coordinator import WorkersLostError
from nn.drawing import page
from nn.drawing.sides import Answer, Client
from nn.drawing.strokes import digit_of
from nn.networks.pretrained import pretrained
from nn.service.http import listen
from yashe.errors import DataError

LINE = [[[3, 3], [3, 9]]]
THREE = [
    (0.3, 0.22), (0.42, 0.15), (0.58, 0.15), (0.66, 0.25), (0.62, 0.38), (0.48, 0.47), (0.62, 0.52),
    (0.7, 0.65), (0.64, 0.79), (0.5, 0.86), (0.36, 0.84), (0.28, 0.76),
]  # fmt: skip


class Answers:
    """A client that encrypts nothing: the page does not know the difference."""

    card = SimpleNamespace(name="none", levels=3)
    plan = SimpleNamespace(params=SimpleNamespace(n=8, log2_q=20.0, security=None), runs=(1,))
    key_bytes = 17

    def ask(self, image: Any) -> Answer:
        logits = np.arange(10) * (image.sum() > 0)
        sent = bytes(range(256)) * 32
        return Answer(logits, image // 85, 0.25, 0.5, 0.125, sent, b"reply", 9.5)


@contextmanager
def serving(client: Any) -> Iterator[int]:
    """Serve the page in a thread, and yield its port."""
    with listen("127.0.0.1", 0) as listening:
        stop = SimpleNamespace(server=None)
        run = page.uvicorn.Server.run

        def noted(self: Any, sockets: Any) -> None:
            stop.server = self
            run(self, sockets)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(page.uvicorn.Server, "run", noted)
            thread = threading.Thread(target=page.serve_page, args=(client, listening))
            thread.start()
            try:
                yield listening.getsockname()[1]
            finally:
                stop.server.should_exit = True
                thread.join(30)
                assert not thread.is_alive()


def ask(
    port: int, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_the_page_answers_its_own_requests_only() -> None:
    with serving(Answers()) as port:
        status, html = ask(port, "GET", "/")
        assert status == 200
        assert "Draw a digit" in html
        assert json.loads(ask(port, "GET", "/about")[1])["key_bytes"] == 17
        status, text = ask(port, "POST", "/digit", json.dumps(LINE).encode())
        found = json.loads(text)
        assert (status, found["digit"], len(found["pixels"])) == (200, 9, 784)
        assert found["pixels"] == (digit_of(LINE) // 85).ravel().tolist()
        assert found["milliseconds"] == {"encrypt": 250, "server": 500, "decrypt": 125}
        assert found["entropy_bits"] == 8
        own = f"http://127.0.0.1:{port}"
        assert ask(port, "POST", "/digit", json.dumps(LINE).encode(), Origin=own)[0] == 200
        for headers, expected in (
            ({"Host": "evil.example"}, 421),
            ({"Origin": "http://evil.example"}, 403),
            ({"Origin": f"http://localhost:{port}"}, 403),
            ({"Sec_Fetch_Site": "cross-site"}, 403),
        ):
            for method, path in (("GET", "/"), ("GET", "/about"), ("POST", "/digit")):
                assert ask(port, method, path, b"[[[1, 2]]]", **headers)[0] == expected


def test_a_server_that_has_died_is_no_mistake_of_the_drawing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def die(self: Answers, image: Any) -> Answer:
        raise WorkersLostError("a process of the server has died")

    monkeypatch.setattr(Answers, "ask", die)
    with serving(Answers()) as port:
        status, text = ask(port, "POST", "/digit", json.dumps(LINE).encode())
        assert (status, json.loads(text)["error"]) == (500, "WorkersLostError")


def test_what_is_no_drawing_gets_a_sentence() -> None:
    with serving(Answers()) as port:
        for body, expected, words in (
            (b"", 400, "sent as JSON"),
            (b"[" * 100_000, 400, "sent as JSON"),
            (b"[[[NaN, 1]]]", 400, "at most a million"),
            (b"[]", 400, "1 to 4096 points"),
            (b" " * (page.MOST_BYTES + 1), 413, "at most"),
        ):
            status, text = ask(port, "POST", "/digit", body)
            assert (status, words in json.loads(text)["message"]) == (expected, True), text
        assert ask(port, "GET", "/digit")[0] == 405
        assert ask(port, "GET", "/secret.key")[0] == 404
        assert ask(port, "POST", "/digit", json.dumps(LINE).encode())[0] == 200  # all the same


def test_the_page_loads_nothing_from_anywhere() -> None:
    html = (Path(page.__file__).parent / "page.html").read_text("utf-8")
    assert not re.search(r"https?://|src=|@import|url\(", html)


@pytest.mark.slow
def test_the_server_answers_as_the_integers_do_and_has_no_key() -> None:
    model = pretrained("cryptonets")
    with Client(model) as client:
        for drawn in (LINE, [list(map(list, THREE))]):
            answer = client.ask(digit_of(drawn))
            expected = model.forward(answer.pixels[None, ..., None])[0]
            assert answer.logits.tolist() == expected.tolist()
            assert 2 < answer.budget_bits < 20
        assert answer.logits.argmax() == 3
        with pytest.raises(DataError, match="images of shape"):
            client.ask(np.zeros((8, 8), dtype=np.uint8))


@pytest.mark.slow
@pytest.mark.skipif(PATH is None, reason="there is no chromium to draw with")
def test_somebody_draws_with_a_mouse_on_a_phone_and_by_keyboard(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nn", "draw", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout is not None
            program.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+", program.stdout.readline())
            assert found
            for width, dark in ((1150, False), (390, True)):
                with Browser(width, 800, dark) as browser:
                    browser.open(found[0])
                    browser.until("document.getElementById('keys').textContent !== '–'")
                    browser.stroke("board", THREE)
                    browser.until("document.getElementById('answer').textContent === '3'")
                    assert browser.value("document.documentElement.scrollWidth") == width
                    assert {url.partition(found[0])[0] for url in browser.requests} == {""}
                    board = "document.getElementById('board')"
                    browser.value(f"{board}.focus()")
                    browser.key("Delete")
                    assert browser.value("document.getElementById('answer').textContent") == ""
                    for name in ("ArrowUp", "ArrowUp", " ", *["ArrowDown"] * 8, "Enter"):
                        browser.key(name)
                    browser.until("document.getElementById('answer').textContent === '1'")
        finally:
            program.send_signal(signal.SIGTERM)
            ended = program.wait(60)
        assert ended in (0, 128 + signal.SIGTERM)
