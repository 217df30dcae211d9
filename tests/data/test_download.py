"""The download of MNIST, against a real HTTP server on this computer that misbehaves on request."""

import hashlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import nn.data.sets
from nn.data import download
from nn.data.download import MAX_DOWNLOAD_BYTES, MNIST_MD5, download_mnist
from nn.data.sets import DataNotFoundError, load_mnist
from tiny_mnist import NAMES, tiny_mnist, write
from yashe.errors import DataError, ParameterError

# Answers that no web server should give.
LOCATIONS = (
    "http://[",
    "http://x:port/",
    "http://\xff/",
    "http://127.0.0.1:99999999999999999999/",
    "ftp://127.0.0.1/",
    "data:,x",
    "file:///",
)
RAW = {
    "garbage": b"220 this is no web server\r\n",
    "endless length": b"HTTP/1.0 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nshort",
    **{
        f"redirect to {place}": f"HTTP/1.0 302 Found\r\nLocation: {place}\r\n\r\n".encode("latin-1")
        for place in LOCATIONS
    },
}


class Mirror:
    """An HTTP server on this computer with four small files and a list of faults per path.

    Each request takes the first fault of its path; when none is left, the file is sent.
    """

    def __init__(self) -> None:
        self.contents = tiny_mnist()
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.requests: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.requests.append(self.path)
                mirror.answer(self, mirror.contents[self.path.rsplit("/", 1)[1]])

            def log_message(self, format: str, *args: Any) -> None:
                """Keep the test's output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def answer(self, request: BaseHTTPRequestHandler, content: bytes) -> None:
        faults = self.faults[request.path]
        fault = faults.pop(0) if faults else "none"
        if fault == "404":
            request.send_error(404)
            return
        if fault == "silence":
            self.closing.wait(20)
            return
        if fault in RAW:
            request.wfile.write(RAW[fault])
            return
        if fault.startswith("drip"):
            head = b"HTTP/1.0 200 OK\r\n\r\n" if fault == "drip" else b"HTTP/1.0 200 OK\r\nX: "
            for piece in (head, *[b"0"] * 500):
                self.closing.wait(0.02)
                try:
                    request.wfile.write(piece)
                except (BrokenPipeError, ConnectionResetError):
                    return
            return
        if fault == "wrong":
            content = content[:-1] + bytes([content[-1] ^ 1])
        if fault == "endless":
            content = bytes(MAX_DOWNLOAD_BYTES + 2**16)
        request.send_response(200)
        if fault not in ("endless", "cut without length"):
            request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        try:
            request.wfile.write(content[: len(content) // 2] if "cut" in fault else content)
        except (BrokenPipeError, ConnectionResetError):
            assert fault == "endless"  # the client hangs up, as it should

    def url(self, folder: str = "a") -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/{folder}/"

    def close(self) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A running mirror; the digests of MNIST are replaced by those of its small files."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)
    server = Mirror()
    for name, content in server.contents.items():
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        monkeypatch.setitem(MNIST_MD5, name, digest)
    yield server
    server.close()


@pytest.fixture
def one_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "ROUNDS", 1)


def found(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_download_delivers_the_four_files(mirror: Mirror, tmp_path: Path) -> None:
    folder = download_mnist(tmp_path / "new" / "folder", [mirror.url()])
    assert folder == tmp_path / "new" / "folder"
    assert found(folder) == mirror.contents


def test_the_address_of_a_mirror_may_lack_its_last_slash(mirror: Mirror, tmp_path: Path) -> None:
    assert found(download_mnist(tmp_path, [mirror.url().rstrip("/")])) == mirror.contents


def test_a_finished_file_is_never_fetched_again(mirror: Mirror, tmp_path: Path) -> None:
    for _ in range(10):
        download_mnist(tmp_path, [mirror.url()])
    assert mirror.requests == [f"/a/{name}" for name in NAMES]


@pytest.mark.parametrize("fault", ["cut", "cut without length", "wrong", "endless", "404", *RAW])
def test_a_fault_is_overcome_by_trying_again(mirror: Mirror, tmp_path: Path, fault: str) -> None:
    mirror.faults[f"/a/{NAMES[0]}"] = [fault, fault]
    download_mnist(tmp_path, [mirror.url()])
    assert found(tmp_path) == mirror.contents
    assert mirror.requests.count(f"/a/{NAMES[0]}") == 3


def test_a_silent_mirror_is_left_after_the_timeout(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.faults[f"/a/{NAMES[0]}"] = ["silence"] * 3
    with monkeypatch.context() as patch:
        patch.setattr(download, "SILENCE_SECONDS", 0.2)
        with pytest.raises(DataError, match="timed out"):
            download_mnist(tmp_path, [mirror.url()])
    download_mnist(tmp_path, [mirror.url()])
    assert found(tmp_path) == mirror.contents


@pytest.mark.parametrize("fault", ["drip", "drip header"])
def test_a_dripping_mirror_is_left_for_the_next_one_and_at_the_deadline(
    mirror: Mirror, tmp_path: Path, fault: str
) -> None:
    mirror.faults[f"/a/{NAMES[0]}"] = [fault] * 3
    folder = tmp_path / "two"  # the mirror drips for ten seconds
    download_mnist(folder, [mirror.url("a"), mirror.url("b")], deadline_seconds=3.0)
    assert found(folder) == mirror.contents
    mirror.faults[f"/a/{NAMES[0]}"] = [fault] * 3
    with pytest.raises(DataError, match=r"a/train-images.*: it took longer than 0.2 s\n"):
        download_mnist(tmp_path / "one", [mirror.url()], deadline_seconds=0.5)
    assert found(tmp_path / "one") == {}


def test_what_comes_from_another_protocol_is_refused() -> None:
    # As an FTP server would answer, to which urllib follows a redirect.
    with pytest.raises(DataError, match="leads to data:,x, which is neither http nor https"):
        download._received("data:,x", False, 10)


def test_the_second_mirror_serves_what_the_first_one_lacks(mirror: Mirror, tmp_path: Path) -> None:
    mirror.faults[f"/a/{NAMES[1]}"] = ["404"]
    download_mnist(tmp_path, [mirror.url("a"), mirror.url("b")])
    assert found(tmp_path) == mirror.contents
    assert mirror.requests == [
        f"/a/{NAMES[0]}", f"/a/{NAMES[1]}", f"/b/{NAMES[1]}", f"/a/{NAMES[2]}", f"/a/{NAMES[3]}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("cut", r"MD5 \w+ was required, \w+ was received, in \d+ bytes"),
        ("cut without length", r"MD5 \w+ was required, \w+ was received, in \d+ bytes"),
        ("wrong", r"MD5 \w+ was required, \w+ was received"),
        ("endless", "more than 16777216 bytes, this is not MNIST"),
        ("404", "HTTP Error 404"),
        ("redirect to file:///", "Redirection to url 'file:///' is not allowed"),
    ],
)
@pytest.mark.usefixtures("one_round")
def test_no_broken_file_gets_the_final_name(
    mirror: Mirror, tmp_path: Path, fault: str, message: str
) -> None:
    mirror.faults[f"/a/{NAMES[1]}"] = [fault]
    with pytest.raises(DataError, match=message):
        download_mnist(tmp_path, [mirror.url()])
    assert found(tmp_path) == {NAMES[0]: mirror.contents[NAMES[0]]}
    # Running again fetches what is missing and nothing else.
    mirror.requests.clear()
    download_mnist(tmp_path, [mirror.url()])
    assert found(tmp_path) == mirror.contents
    assert mirror.requests == [f"/a/{name}" for name in NAMES[1:]]


@pytest.mark.usefixtures("one_round")
def test_a_broken_file_in_the_folder_is_replaced(mirror: Mirror, tmp_path: Path) -> None:
    write(tmp_path, {NAMES[2]: b"half of it"})
    mirror.faults[f"/a/{NAMES[2]}"] = ["404"]
    with pytest.raises(DataError, match="404"):
        download_mnist(tmp_path, [mirror.url()])
    assert (tmp_path / NAMES[2]).read_bytes() == b"half of it"
    download_mnist(tmp_path, [mirror.url()])
    assert found(tmp_path) == mirror.contents


def test_without_any_mirror_the_error_names_every_reason_and_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)
    # Port 9 of this computer answers nobody.
    dead = ["http://127.0.0.1:9/first/", "http://127.0.0.1:9/second/"]
    with pytest.raises(DataError, match="came from none of the mirrors") as caught:
        download_mnist(tmp_path, dead)
    text = str(caught.value)
    assert text.count(f"/first/{NAMES[0]}: ") == 3
    assert text.count(f"/second/{NAMES[0]}: ") == 3
    for advice in (*NAMES, "finished files are kept", "by hand", str(tmp_path)):
        assert advice in text
    assert found(tmp_path) == {}


def test_each_round_waits_twice_as_long_as_the_one_before(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(download, "PAUSE_SECONDS", 1.0)
    monkeypatch.setattr("nn.data.download.time.sleep", pauses.append)
    mirror.faults[f"/a/{NAMES[3]}"] = ["404"] * 2
    mirror.faults[f"/b/{NAMES[3]}"] = ["404"] * 2
    download_mnist(tmp_path, [mirror.url("a"), mirror.url("b")])
    assert pauses == [1.0, 2.0]


def test_downloads_into_one_folder_at_the_same_time_agree(mirror: Mirror, tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            download_mnist(tmp_path, [mirror.url()])
        except BaseException as failure:  # noqa: BLE001 (handed to the test's thread)
            failures.append(failure)

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert found(tmp_path) == mirror.contents


def test_mnist_is_downloaded_only_on_request(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def from_here(folder: Path, *, progress: bool | None) -> Path:
        return download_mnist(folder, [mirror.url()], progress=progress)

    monkeypatch.setattr(nn.data.sets, "download_mnist", from_here)
    with pytest.raises(DataNotFoundError, match="are not there"):
        load_mnist(tmp_path)
    assert mirror.requests == []
    assert load_mnist(tmp_path, download=True).train_labels.tolist() == [7, 0, 9]
    assert len(mirror.requests) == 4
    assert load_mnist(tmp_path, download=True).test_labels.tolist() == [1, 2]
    assert len(mirror.requests) == 4


def test_a_progress_bar_appears_on_request_but_not_in_a_pipe(
    mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    download_mnist(tmp_path / "pipe", [mirror.url()])
    assert capsys.readouterr().err == ""
    download_mnist(tmp_path / "shown", [mirror.url()], progress=True)
    assert f"{NAMES[0]}: 100%" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mirrors": []}, "at least one mirror is needed, got none"),
        ({"mirrors": ["file:///etc/"]}, "must start with http.*got 'file:///etc/'"),
    ],
)
def test_a_download_that_cannot_work_is_refused(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        download_mnist(tmp_path / "none", **arguments)
    assert not (tmp_path / "none").exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot be created.*name another folder"):
        download_mnist(tmp_path / "file" / "folder")
