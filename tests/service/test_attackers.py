"""The service under attack and under bad luck, over real sockets and raw ones."""

import contextlib
import errno
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT
from nn.commands.main import main
from nn.service import roles
from nn.service.client import Client, ServiceError
from nn.service.limits import DONE, DiskFullError, printable
from nn.service.store import Store
from nn.service.worker import Worker
from tiny_roles import tiny_network
from tiny_service import (
    IMAGES,
    KEY,
    KEYS,
    LOGITS,
    MINE,
    add_job,
    add_key,
    address_of,
    bodies,
    http_request,
    opened,
    running,
    some_images,
    until,
)
from yashe.errors import FheError, ParameterError

pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("starlette", reason="the extra 'serve' is not installed")


def head(method: str, path: str, *lines: str) -> bytes:
    """The head of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def answer(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """What a server says on a raw connection, which it then closes: status, JSON."""
    content = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            content += piece
            start, _, body = content.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", start.lower())
            if length and len(body) >= int(length[1]):
                break
    return int(content.split()[1]), json.loads(content.partition(b"\r\n\r\n")[2])


def cut_off(connection: socket.socket) -> bool:
    """Whether the other side has ended a connection."""
    connection.settimeout(10)
    with contextlib.suppress(ConnectionError):
        while connection.recv(2**20):
            pass
    return True


def pour(connection: socket.socket) -> None:
    """Send for as long as anybody listens, but for no more than ten seconds."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        connection.sendall(bytes(65536))
        time.sleep(0.001)


# Connections


def test_a_length_and_pieces_exclude_each_other_and_nothing_more_than_announced_is_read(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as (_, url):
        both = head("POST", "/keys", "Content-Length: 3", "Transfer-Encoding: chunked")
        with socket.create_connection(address_of(url)) as raw:
            raw.sendall(both + b"100000\r\n" + bytes(2**20) + b"\r\n")
            status, facts = answer(raw)
        assert (status, facts["error"]) == (400, "RefusalError")
        assert "exclude each other" in facts["message"]
        for length, wanted in ((str(10**30), 413), ("-1", 411), ("\u0663", 411)):
            with socket.create_connection(address_of(url)) as raw:
                raw.sendall(head("POST", "/keys", f"Content-Length: {length}"))
                assert answer(raw)[0] in (wanted, 400)
        assert until(lambda: bodies(tmp_path) == [])


def test_whoever_sends_half_a_head_is_cut_off_and_holds_nobody_else_up(tmp_path: Path) -> None:
    with running(tmp_path, silent_seconds=1.5) as (service, url), contextlib.ExitStack() as stack:
        half = [stack.enter_context(socket.create_connection(address_of(url))) for _ in range(70)]
        for one in half:
            with contextlib.suppress(ConnectionError):
                one.sendall(b"GET /health HTTP/1.1\r\nHost: local")
        connections = service.server.server_state.connections
        assert until(lambda: len(connections) == 32)  # of one address; the others had an answer
        assert [answer(one) for one in half[32:]] == [
            (429, {"error": "RefusalError", "message": "one address has at most 32 connections"})
        ] * 38
        try:
            other = socket.create_connection(address_of(url), 5, ("127.0.0.2", 0))
        except OSError:  # macOS has one address of its own only
            pass
        else:
            with other:
                other.sendall(head("GET", "/health"))
                assert answer(other)[0] == 200
        assert all(cut_off(one) for one in half)
        assert until(lambda: not connections)
        assert Client(url).health()["status"] == "ok"


def test_the_number_of_connections_is_bounded(tmp_path: Path) -> None:
    with running(tmp_path, connections=2, connections_each=9) as (_, url):
        with contextlib.ExitStack() as stack:
            three = [stack.enter_context(socket.create_connection(address_of(url))) for _ in "123"]
            assert answer(three[-1])[0] == 503
        assert Client(url).health()["status"] == "ok"


def test_a_silent_upload_an_endless_one_and_a_slow_reader_are_cut_off(tmp_path: Path) -> None:
    with running(tmp_path, upload_seconds=0.4, silent_seconds=0.4) as (service, url):
        connections = service.server.server_state.connections
        with socket.create_connection(address_of(url)) as raw:
            raw.sendall(head("POST", "/keys", "Content-Length: 1000") + b"x")
            status, facts = answer(raw)
            assert (status, facts["error"]) == (408, "RefusalError")
            assert cut_off(raw)  # nobody waits for the other 999
        with socket.create_connection(address_of(url)) as raw:
            raw.sendall(head("POST", "/keys", f"Content-Length: {10**10}"))
            assert answer(raw)[0] == 413
            with pytest.raises(ConnectionError, match="."):
                pour(raw)  # it says so once, and does not listen for ever
        job = add_job(service.store, add_key(service.store))
        assert until(lambda: service.store.job(job.id).status == DONE)
        service.store.path(job.id, ".out").write_bytes(bytes(2**26))
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.connect(address_of(url))
            raw.sendall(head("GET", f"/jobs/{job.id}/reply"))
            assert until(lambda: len(connections) == 1, 5)
            assert until(lambda: not connections, 10)


def test_what_is_no_http_gets_json(tmp_path: Path) -> None:
    with running(tmp_path) as (_, url), socket.create_connection(address_of(url)) as raw:
        raw.sendall(b"HELO mail\r\n\r\n")
        assert answer(raw)[0] == 400


def test_eight_uploads_of_one_byte_do_not_hold_the_queue(tmp_path: Path) -> None:
    with running(tmp_path, queued=1) as (service, url), contextlib.ExitStack() as stack:
        client = Client(url)
        keys = client.register(KEYS.relinearization)
        announced = f"Content-Length: {service.store.largest_job}"
        for _ in range(8):
            raw = stack.enter_context(socket.create_connection(address_of(url)))
            raw.sendall(head("POST", f"/jobs?keys={keys}", announced) + b"1")
        assert until(lambda: len(service.store.uploads._arriving) == 8)
        status, _, _ = http_request(url, "POST", f"/jobs?keys={keys}", some_images())
        assert status == 202


def test_a_header_of_many_ranges_costs_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as (service, url):
        job = add_job(service.store, add_key(service.store))
        assert until(lambda: service.store.job(job.id).status == DONE)
        ranges = "bytes=" + ",".join(f"{i}-{i}" for i in range(2000))
        status, _, headers = http_request(url, "GET", f"/jobs/{job.id}/reply", Range=ranges)
        size = service.store.path(job.id, ".out").stat().st_size
        assert (status, headers["Content-Length"]) == (200, str(size))


# Browsers, tokens, and what errors say


def test_a_request_for_another_name_or_from_another_site_is_refused(tmp_path: Path) -> None:
    with running(tmp_path) as (service, url):
        host = url.removeprefix("http://")
        port = host.split(":")[1]
        evil = "evil.example"
        for name in (evil, f"{evil}:{port}", "", f"127.0.0.1.{evil}", "[", f"localhost.{evil}"):
            status, facts, _ = http_request(url, "GET", "/health", Host=name)
            assert status in (400, 421), name
        assert "not known by the name" in facts["message"]
        for name in (f"127.0.0.1:{port}", f"localhost:{port}", "[::1]", "192.168.0.7", "LOCALHOST"):
            assert http_request(url, "GET", "/health", Host=name)[0] == 200, name
        service._names = frozenset({"classify.example.org"})
        assert http_request(url, "GET", "/health", Host="classify.example.org")[0] == 200
        for method, path in (("POST", "/keys"), ("DELETE", f"/keys/{'0' * 64}")):
            for foreign in (
                {"Origin": "https://evil.example"},
                {"Origin": "null"},
                {"Sec_Fetch_Site": "cross-site"},
                {"Sec_Fetch_Site": "same-site"},
            ):
                status, facts, _ = http_request(url, method, path, KEY, **foreign)
                assert (status, facts["error"]) == (403, "RefusalError")
                assert "the page of another site" in facts["message"]
        own = {"Origin": f"http://{host}", "Sec_Fetch_Site": "same-origin"}
        assert http_request(url, "POST", "/keys", KEY, **own)[0] == 201


def test_a_token_of_the_environment_is_long_enough_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from nn.service.http import Service  # noqa: PLC0415 - needs the extra

    for short in ("guess-me", "x" * 15, "caf\u00e9" * 5, "tab\t" * 5):
        monkeypatch.setenv("CRYPTONETS_TOKEN", short)
        assert main(["serve", "--model", "digits", "--state", str(tmp_path / "state")]) == 1
        assert main(["ask", "digits", "--server", "http://127.0.0.1:9"]) == 1
        said = capsys.readouterr().err
        assert said.count("$CRYPTONETS_TOKEN: at least 16 printable ASCII characters") == 2
        assert short not in said
        with pytest.raises(ParameterError, match="at least 16 printable ASCII"):
            Service(tiny_network(), tmp_path / "state", short)
    assert not (tmp_path / "state").exists()


def test_a_server_without_threads_or_on_a_taken_port_is_refused_before_it_touches_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state", str(tmp_path / "state")]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "--model", "digits", *state, "--port", port]) == 1
    assert f"cannot listen to 127.0.0.1, port {port}: Address" in capsys.readouterr().err
    for wrong, reason in (
        (["--port", "70000"], "a port is a number from 0 to 65535"),
        (["--host", "no such host"], "cannot listen to no such host"),
    ):
        assert main(["serve", "--model", "digits", *state, *wrong]) == 1
        assert reason in capsys.readouterr().err
    assert main(["serve", "--model", "digits", *state, "--port", "0", "--max-keys", "0"]) == 1
    assert "the limit keys must be positive" in capsys.readouterr().err
    assert main(["serve", "--model", "digits", *state, "--port", "0", "--workers", "0"]) == 1
    assert "at least one thread was required to compute, got 0" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (OSError(errno.ENOSPC, "No space", "/secret/path"), 507, "DiskFullError"),
        (OSError(errno.EIO, "Input/output error", "/secret/path"), 503, "DiskError"),
        (ZeroDivisionError("/secret/path"), 500, "ZeroDivisionError"),
        (MemoryError(), 500, "MemoryError"),
    ],
)
def test_an_error_is_json_with_its_status_and_without_a_path(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    name: str,
) -> None:
    def refuse(*arguments: Any) -> None:
        raise error

    with running(tmp_path) as (service, url):
        monkeypatch.setattr(service.store.state, "keep", refuse)
        found, facts, headers = http_request(url, "POST", "/keys", KEY)
        assert (found, facts["error"]) == (status, name)
        assert "/secret" not in facts["message"]
        assert ("Retry-After" in headers) == (status in (503, 507))
        assert until(lambda: bodies(tmp_path) == [])


# A worker that survives


@contextlib.contextmanager
def working(store: Store) -> Iterator[Worker]:
    """A worker of a store."""
    worker = Worker(store, tiny_network(), threads=1)
    worker.start()
    try:
        yield worker
        assert worker.is_alive()
    finally:
        worker.stop()
        worker.join(60)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space", "/secret"), "DiskFullError: the disk of the server is"),
        (OSError(errno.EIO, "I/O error", "/secret"), "DiskError: the disk of the server fails"),
        (MemoryError("/secret"), "a fault of the server: MemoryError"),
        (SystemExit(3), "a fault of the server: SystemExit"),
        (KeyboardInterrupt(), "a fault of the server: KeyboardInterrupt"),
        (FheError("no \x1b[31mred\n" + "x" * 10**5), "FheError: no [31mredx"),
    ],
)
def test_a_worker_survives_every_error_and_the_job_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, reason: str
) -> None:
    def fail(source: Any, target: Any, *rest: Any, **options: Any) -> None:
        target.write(b"half of a reply")
        raise error

    with opened(tmp_path) as store:
        keys = add_key(store)
        with working(store):
            with monkeypatch.context() as patch:
                patch.setattr(roles, "classify", fail)
                job = add_job(store, keys)
                assert until(lambda: store.job(job.id).error != "")
            found = store.job(job.id).error
            assert found.startswith(reason)
            assert found == printable(found)
            assert "/secret" not in found
            assert bodies(tmp_path) == [".key"]
            other = add_job(store, keys)
            assert until(lambda: store.job(other.id).status == DONE)


def test_a_worker_waits_for_a_disk_on_which_it_can_note_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither that a job begins, nor how it has ended."""
    refused: list[str] = []

    def refuse(what: str, times: int) -> None:
        real = getattr(store, what)

        def act(*arguments: Any) -> Any:
            if refused.count(what) < times:
                refused.append(what)
                raise DiskFullError("the disk of the server is full")
            return real(*arguments)

        monkeypatch.setattr(store, what, act)

    monkeypatch.setattr("nn.service.worker.PATIENCE_SECONDS", 0.01)
    with opened(tmp_path) as store:
        refuse("begin", 3)
        refuse("finish", 3)
        job = add_job(store, add_key(store))
        with working(store):
            assert until(lambda: store.job(job.id).status == DONE)
        assert refused == ["begin"] * 3 + ["finish"] * 3
        assert store.job(job.id).attempts == 1


def test_a_dead_worker_is_replaced_and_health_tells_the_truth_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda given: None)
    with running(tmp_path) as (service, url):
        client, dead = Client(url), service.worker
        with monkeypatch.context() as patch:
            # Neither a job nor another worker gets through.
            patch.setattr(Worker, "_compute", lambda *given: 1 / 0)
            patch.setattr(Worker, "again", lambda self: self)
            job = add_job(service.store, client.register(KEYS.relinearization))
            assert until(lambda: not dead.is_alive())
            status, facts, _ = http_request(url, "GET", "/health")
            assert (status, facts["status"]) == (503, "failing")
            assert "the worker has died" in facts["trouble"]
            assert client.health() == facts
        client.wait(job.id, pause=0.02, within=30)
        assert service.worker is not dead
        assert service.store.job(job.id).attempts == 2
        assert client.health()["status"] == "ok"


def test_health_says_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path) as (service, url):
        for trouble, change in (
            ("no room", (service.store.uploads, "_spare", 2**62)),
            ("disk fails", (service.store.state, "trouble", "the disk fails")),
        ):
            with monkeypatch.context() as patch:
                patch.setattr(*change)
                status, facts, _ = http_request(url, "GET", "/health")
            assert (status, facts["status"]) == (503, "failing")
            assert trouble in facts["trouble"]


def test_while_it_shuts_down_a_server_answers_and_finishes_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, real = threading.Event(), roles.classify

    def waiting(*arguments: Any, **options: Any) -> Any:
        gate.wait(60)
        return real(*arguments, **options)

    monkeypatch.setattr(roles, "classify", waiting)
    with running(tmp_path) as (service, url):
        client = Client(url)
        job = add_job(service.store, client.register(KEYS.relinearization))
        assert until(lambda: client.status(job.id)["status"] == "running")
        service.server.handle_exit(signal.SIGTERM, None)
        for path in ("/keys", f"/jobs?keys={job.keys}"):
            status, facts, headers = http_request(url, "POST", path, KEY)
            assert (status, headers["Retry-After"]) == (503, "5")
            assert "shutting down" in facts["message"]
        assert client.health()["status"] == "draining"
        assert client.status(job.id)["status"] == "running"
        gate.set()
        assert until(lambda: not service.worker.is_alive())
        assert until(lambda: service.server.should_exit)
    with opened(tmp_path) as store:
        assert store.job(job.id).status == DONE


def test_the_second_signal_ends_a_server_at_once(tmp_path: Path) -> None:
    with running(tmp_path) as (service, _):
        service.server.handle_exit(signal.SIGINT, None)
        service.server.handle_exit(signal.SIGINT, None)
        assert service.server.force_exit


# A server that forgets


def test_a_server_that_loses_keys_or_a_job_gets_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, wait, lost = Client.submit, Client.wait, []

    def lose_keys(self: Client, keys: str, images: Path) -> str:
        if "keys" not in lost:
            lost.append("keys")
            self.forget_key(keys)
        return submit(self, keys, images)

    def lose_job(self: Client, job: str, *rest: Any, **more: Any) -> None:
        wait(self, job, *rest, **more)
        if "job" not in lost:
            lost.append("job")
            self.forget(job)
            wait(self, job)

    monkeypatch.setattr(Client, "submit", lose_keys)
    monkeypatch.setattr(Client, "wait", lose_job)
    with running(tmp_path) as (_, url):
        assert Client(url).ask(IMAGES, 3, MINE).tolist() == LOGITS
    assert lost == ["keys", "job"]


def test_a_question_that_fails_leaves_no_key_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise FheError("no")

    monkeypatch.setattr(roles, "classify", fail)
    with running(tmp_path, keys=1) as (service, url):
        for _ in range(2):
            with pytest.raises(ServiceError, match="the job has failed: FheError: no"):
                Client(url).ask(IMAGES, 3)
        assert service.store.counts()["keys"] == 0


@pytest.mark.slow
def test_a_little_chaos_loses_no_job() -> None:
    """The script of docs/service.md, for ten seconds."""
    script = ROOT / "tests" / "benchmarks" / "chaos.py"
    command = [sys.executable, str(script), "--seconds", "10", "--clients", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^jobs lost +0$", done.stdout, re.MULTILINE)
