"""The service and its client, over real sockets: what works, what is refused, what survives."""

import hashlib
import hmac
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from conftest import ROOT
from nn.commands.main import main
from nn.service import roles
from nn.service.card import Offer
from nn.service.client import Client, ServiceError, refusal
from nn.service.keyfiles import SECRET, file_digest
from nn.service.limits import RUNNING, Limits, job_id
from tiny_roles import SERVER, expected_logits, tiny_network
from tiny_service import (
    CARD,
    CARDS,
    IMAGES,
    KEY,
    KEYS,
    LOGITS,
    MINE,
    OTHER,
    TOKEN,
    address_of,
    http_request,
    running,
    some_images,
    until,
)
from yashe import wire
from yashe.ciphertexts.array import Ciphertext
from yashe.errors import (
    FheError,
    FormatError,
    KeyMismatchError,
    NoiseBudgetExhausted,
    ParameterError,
    SecurityError,
)
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV

pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("starlette", reason="the extra 'serve' is not installed")

HALF_A_KEY = b"POST /keys HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf"


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of encrypted images."""
    path = tmp_path_factory.mktemp("sent") / "images.fhe"
    with path.open("wb") as file:
        roles.encrypt(file, CARD, KEYS.secret, IMAGES, 3)
    return path


# What works


def test_a_client_gets_the_logits_of_its_images_and_the_server_keeps_no_trace(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as (service, url):
        steps: dict[str, float] = {}

        def progress(what: str, share: float) -> None:
            steps[what] = steps.get(what, 0) + share

        logits = Client(url).ask(IMAGES, 3, MINE, progress)
        assert logits.tolist() == LOGITS
        assert steps["encrypting"] == pytest.approx(1)
        assert steps["waiting"] == pytest.approx(1)
        assert service.store.counts() == {
            "queued": 0,
            "running": 0,
            "done": 0,
            "failed": 0,
            "keys": 1,
        }
        assert [path.suffix for path in (tmp_path / "bodies").iterdir()] == [".key"]


def test_a_repeated_request_finds_what_the_first_has_done(
    tmp_path: Path, sent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads: list[str] = []
    once = Client._once

    def counting(self: Client, method: str, path: str, body: Any, into: Any) -> Any:
        if body is not None:
            uploads.append(path.split("?")[0])
        return once(self, method, path, body, into)

    monkeypatch.setattr(Client, "_once", counting)
    with running(tmp_path) as (service, url):
        clients = [Client(url), Client(url)]
        names = [client.register(KEYS.relinearization) for client in clients]
        assert names[0] == names[1]
        jobs = [client.submit(names[0], sent) for client in clients]
        assert jobs == [job_id(names[0], file_digest(sent))] * 2
        assert uploads == ["/keys", "/jobs"]
        # Also a client that sends it all again gets the same job.
        status, facts, _ = http_request(url, "POST", f"/jobs?keys={names[0]}", sent.read_bytes())
        assert (status, facts["id"]) == (202, jobs[0])
        clients[0].wait(jobs[0], pause=0.02, within=30)
        assert service.store.job(jobs[0]).attempts == 1


def test_the_server_says_what_a_client_needs_to_know(tmp_path: Path, sent: Path) -> None:
    with running(tmp_path) as (_, url):
        client = Client(url)
        assert client.offer().cards == CARDS
        assert client.health()["status"] == "ok"
        facts = http_request(url, "GET", "/model")[1]
        # A full job that is not seeded, and the key, are within the sizes that the server accepts.
        batch = wire.to_bytes(wire.load(sent, Ciphertext) + 0)
        assert facts["limits"]["batches"] * len(batch) <= facts["largest_job"] + 4 * 8192
        assert len(batch) < facts["largest_job"] / 3.9
        assert len(KEY) <= facts["largest_key"]


def test_a_server_in_a_process_without_secrets_serves_the_command_line(tmp_path: Path) -> None:
    tiny_network().save(tmp_path / "model.npz")
    images = np.random.default_rng(1).integers(0, 256, (5, 3, 2), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    command = ["serve", "--model", "model.npz", "--port", str(port), "--token-file", "token"]
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, *command],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    try:
        found = tmp_path / "found.json"
        url = f"http://127.0.0.1:{port}"
        ask = ["ask", str(tmp_path / "images.npy"), "--server", url, "--json", str(found)]
        keys = ["--keys", str(tmp_path / "keys"), "--token-file", str(tmp_path / "token")]
        for _ in range(2):  # with new keys, and with those of the first time
            assert main([*ask, *keys]) == 0
            assert json.loads(found.read_text())["logits"] == expected_logits(tmp_path)
        assert main(ask) == 1  # without the token
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) in (0, -signal.SIGTERM)
    secret = (tmp_path / "keys" / SECRET).read_bytes()
    for path in (tmp_path / "cryptonets-state").rglob("*"):
        assert path.is_dir() or secret[-2000:-1900] not in path.read_bytes()


# What is refused, with which status


def test_every_refusal_has_its_status_and_a_reason(tmp_path: Path, sent: Path) -> None:
    stranger = BGV(CARD.params).keygen()
    with running(tmp_path, batches=1) as (service, url):
        keys = Client(url).register(KEYS.relinearization)
        unknown = "0" * 64
        content = sent.read_bytes()
        damaged = content[:-1] + bytes([content[-1] ^ 1])
        of_bfv = wire.to_bytes(BFV(CARD.params).keygen().relinearization)
        job = f"/jobs?keys={keys}"
        cases: list[tuple[int, str, str, str, bytes]] = [
            (404, "Not Found", "GET", "/", b""),
            (405, "Method Not Allowed", "PUT", "/model", b""),
            (405, "Method Not Allowed", "GET", "/jobs", b""),  # nobody gets a list
            (405, "Method Not Allowed", "GET", "/keys", b""),
            (404, "unknown, or have expired", "GET", f"/keys/{unknown}", b""),
            (404, "64 hexadecimal digits", "GET", "/keys/secret", b""),
            (404, "unknown, or its reply has expired", "GET", f"/jobs/{unknown}", b""),
            (404, "unknown, or its reply has expired", "GET", f"/jobs/{unknown}/reply", b""),
            (404, "unknown, or its reply has expired", "DELETE", f"/jobs/{unknown}", b""),
            (404, "64 hexadecimal digits", "POST", "/jobs", content),
            (404, "64 hexadecimal digits", "POST", "/jobs?keys=..%2F..%2Fetc%2Fpasswd", content),
            (404, "unknown, or have expired", "POST", f"/jobs?keys={unknown}", content),
            (413, "at most .* bytes are accepted", "POST", "/keys", bytes(10**7)),
            (400, "a frame begins with", "POST", "/keys", bytes(1000)),
            (400, "RelinearizationKey was required", "POST", "/keys", content),
            (409, "other parameters", "POST", "/keys", wire.to_bytes(OTHER.relinearization)),
            (400, "a BgvRelinearizationKey was required", "POST", "/keys", of_bfv),
            (400, "a frame begins with", "POST", job, bytes(1000)),
            (400, "were required, got degree 0", "POST", job, KEY),
            (400, "the hash is wrong", "POST", job, damaged),
            (400, "2 batches in one job, and at most 1", "POST", job, some_images(count=2)),
            (409, "other keys", "POST", job, some_images(stranger)),
        ]
        for status, reason, method, path, body in cases:
            found, facts, _ = http_request(url, method, path, body)
            assert found == status, (method, path, facts)
            assert contains(reason, facts["message"]), facts
            assert str(tmp_path) not in facts["message"]
        found, facts, _ = http_request(url, "POST", "/keys", iter([b"in pieces"]))
        assert (found, facts["message"]) == (411, "a Content-Length is required")
        assert [path.suffix for path in (tmp_path / "bodies").iterdir()] == [".key"]
        assert service.store.counts()["keys"] == 1


def contains(pattern: str, text: str) -> bool:
    """Whether all pieces of a pattern stand in a text in their order."""
    at = 0
    for piece in pattern.split(".*"):
        at = text.find(piece, at)
        if at < 0:
            return False
    return True


def test_a_secret_key_is_not_kept_by_a_server(tmp_path: Path) -> None:
    wire.save_secret_key(tmp_path / "secret.key", KEYS.secret)
    with running(tmp_path / "state") as (_, url):
        status, facts, _ = http_request(
            url, "POST", "/keys", (tmp_path / "secret.key").read_bytes()
        )
    assert status == 400
    assert "nobody but its owner may have" in facts["message"]
    assert list((tmp_path / "state" / "bodies").iterdir()) == []


def test_without_the_token_nothing_but_health_is_answered(tmp_path: Path, sent: Path) -> None:
    with running(tmp_path, TOKEN) as (_, url):
        for token in ("", "Bearer", "Bearer wrong", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"):
            for method, path in (
                ("GET", "/model"),
                ("POST", "/keys"),
                ("GET", f"/jobs/{'0' * 64}"),
            ):
                status, facts, headers = http_request(url, method, path, Authorization=token)
                assert status == 401
                assert headers["WWW-Authenticate"] == "Bearer"
                assert TOKEN not in facts["message"]
        assert http_request(url, "GET", "/health")[0] == 200
        assert Client(url, TOKEN).ask(IMAGES, 3, MINE).tolist() == LOGITS
        with pytest.raises(ServiceError, match="status 401.*requires 'Authorization") as refused:
            Client(url, "wrong").offer()
        assert refused.value.status == 401


def test_the_token_is_compared_by_the_function_whose_time_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda *two: compared.append(two) or real(*two))
    with running(tmp_path, TOKEN) as (_, url):
        for given in ("Bearer wrong", f"Bearer {TOKEN}"):
            http_request(url, "GET", "/model", Authorization=given)
    wanted = f"Bearer {TOKEN}".encode()
    assert compared == [(b"Bearer wrong", wanted), (wanted, wanted)]


def test_a_slow_upload_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path, upload_seconds=0.3) as (_, url):
        with socket.create_connection(address_of(url)) as slow:
            slow.sendall(HALF_A_KEY)
            assert b"408" in slow.recv(1000).split(b"\r\n")[0]
        assert until(lambda: list((tmp_path / "bodies").iterdir()) == [])
        assert Client(url).health()["status"] == "ok"


def test_an_upload_that_is_cut_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path, upload_seconds=300, silent_seconds=300) as (_, url):
        with socket.create_connection(address_of(url)) as cut:
            cut.sendall(HALF_A_KEY)
            assert until(lambda: list((tmp_path / "bodies").iterdir()) != [])
        assert until(lambda: list((tmp_path / "bodies").iterdir()) == [])
        assert Client(url).health()["status"] == "ok"


def test_a_full_queue_says_when_to_come_back(
    tmp_path: Path, sent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    real = roles.classify

    def waiting(*arguments: Any, **options: Any) -> Any:
        gate.wait(60)
        return real(*arguments, **options)

    monkeypatch.setattr(roles, "classify", waiting)
    with running(tmp_path, queued=1) as (_, url):
        client = Client(url, patience=0.1)
        keys = client.register(KEYS.relinearization)
        job = client.submit(keys, sent)
        content = some_images()
        status, facts, headers = http_request(url, "POST", f"/jobs?keys={keys}", content)
        assert (status, headers["Retry-After"]) == (503, "5")
        assert "at most 1 are accepted: try again later" in facts["message"]
        assert until(lambda: client.status(job)["status"] == RUNNING)
        assert http_request(url, "GET", f"/jobs/{job}/reply")[0] == 409
        assert http_request(url, "DELETE", f"/jobs/{job}")[0] == 409
        gate.set()
        client.wait(job, pause=0.02, within=30)
        assert http_request(url, "POST", f"/jobs?keys={keys}", content)[0] == 202


# Jobs that fail, and a worker that goes on


def test_a_job_that_takes_too_long_fails_and_the_next_one_runs(tmp_path: Path, sent: Path) -> None:
    with running(tmp_path, job_seconds=1e-9) as (service, url):
        client = Client(url)
        keys = client.register(KEYS.relinearization)
        job = client.submit(keys, sent)
        with pytest.raises(ServiceError, match="OutOfTimeError: computing took more than 1e-09 s"):
            client.wait(job, pause=0.02, within=30)
        assert http_request(url, "GET", f"/jobs/{job}/reply")[0] == 410
        assert not service.store.path(job, ".in").exists()
        object.__setattr__(service.store.limits, "job_seconds", 60)
        assert client.submit(keys, sent) == job  # a failed job may be sent again
        client.wait(job, pause=0.02, within=30)


def test_a_fault_of_the_server_is_reported_and_the_worker_lives(
    tmp_path: Path, sent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*arguments: Any, **options: Any) -> Any:
        raise ZeroDivisionError("with something secret in the message")

    with running(tmp_path) as (_, url):
        client = Client(url)
        keys = client.register(KEYS.relinearization)
        with monkeypatch.context() as patch:
            patch.setattr(roles, "classify", fault)
            job = client.submit(keys, sent)
            with pytest.raises(ServiceError, match="a fault of the server: ZeroDivisionError$"):
                client.wait(job, pause=0.02, within=30)
        client.submit(keys, sent)
        client.wait(job, pause=0.02, within=30)


def test_a_failed_job_tells_no_noise_budget_because_that_is_one_of_the_weights(
    tmp_path: Path, sent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*arguments: Any, **options: Any) -> Any:
        raise NoiseBudgetExhausted("the layer Dense leaves a noise budget of -1.2 bits")

    with running(tmp_path) as (_, url):
        client = Client(url)
        monkeypatch.setattr(roles, "classify", exhausted)
        job = client.submit(client.register(KEYS.relinearization), sent)
        with pytest.raises(ServiceError, match="the job has failed: NoiseBudgetExhausted") as info:
            client.wait(job, pause=0.02, within=30)
    assert not any(character.isdigit() for character in str(info.value))


# The client against servers that misbehave


class Script(BaseHTTPRequestHandler):
    """Answers from a list: (status, headers, body), or None to cut the connection."""

    answers: ClassVar[list[Any]] = []

    def do_GET(self) -> None:
        answer = self.answers.pop(0)
        if answer is None:
            self.close_connection = True
            return
        status, headers, body = answer
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def misbehaving(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr("nn.service.client.FIRST_PAUSE", 0.01)
    server = HTTPServer(("127.0.0.1", 0), Script)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


GOOD = (200, {}, b'{"status": "ok"}')


def test_what_passes_by_itself_is_tried_again(misbehaving: str) -> None:
    Script.answers = [None, (503, {"Retry-After": "0"}, b"{}"), (502, {}, b"<html>"), None, GOOD]
    assert Client(misbehaving, patience=30).status("") == {"status": "ok"}
    assert Script.answers == []


def test_what_does_not_pass_is_said_at_once(misbehaving: str) -> None:
    body = b'{"message": "no \\u001b[2J\\nescape"}'
    Script.answers = [(403, {}, body)]
    with pytest.raises(ServiceError, match=r"refuses GET /health \(status 403\): no \[2Jescape$"):
        Client(misbehaving).health()
    Script.answers = [(503, {"Retry-After": "1000"}, b"{}")]
    with pytest.raises(ServiceError, match="status 503.*no reason given"):
        Client(misbehaving, patience=1).status("")


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"[" * 100_000, b'"text"'])
def test_an_answer_that_is_no_json_object_is_refused(misbehaving: str, body: bytes) -> None:
    Script.answers = [(200, {}, body)]
    with pytest.raises(ServiceError, match="the answer is not"):
        Client(misbehaving).health()


def test_an_answer_that_was_cut_off_or_damaged_is_fetched_again(
    misbehaving: str, tmp_path: Path, sent: Path
) -> None:
    reply = sent.read_bytes()
    whole = {"Content-Length": str(len(reply))}
    Script.answers = [
        (200, whole, reply[:-1000]),  # the connection is cut
        (200, {}, reply[:-1000]),  # a proxy has cut it, and says a length that fits
        (200, {}, reply[:-1] + b"?"),
        (200, {}, b""),
        (200, {}, reply),
    ]
    with (tmp_path / "reply").open("w+b") as file:
        Client(misbehaving).reply("0" * 64, file)
        file.seek(0)
        assert file.read() == reply
    assert Script.answers == []
    Script.answers = [(200, {"Content-Length": "100"}, b'{"status": "do')] * 9
    with pytest.raises(ServiceError, match=r"no answer from .*cut off or damaged \(IncompleteRead"):
        Client(misbehaving, patience=0.1).status("0" * 64)
    Script.answers = [(200, {}, reply[:-1] + b"?")] * 9
    with (
        (tmp_path / "reply").open("w+b") as file,
        pytest.raises(ServiceError, match="cut off or damaged .*the hash is wrong"),
    ):
        Client(misbehaving, patience=0.1).reply("0" * 64, file)


def test_waiting_has_an_end_and_says_what_the_server_last_said(misbehaving: str) -> None:
    running = json.dumps({"status": "run\x1b[2Jning", "progress": 0.25}).encode()
    Script.answers = [(200, {}, running)] * 20
    last = r"not done after 0.05 s; the server last said: run\[2Jning, 25% computed; ask again"
    with pytest.raises(ServiceError, match=last):
        Client(misbehaving).wait("0" * 64, pause=0.02, within=0.05)
    failed = json.dumps({"status": "failed", "error": "\x1b[31mred\n" + "x" * 10**5}).encode()
    Script.answers = [(200, {}, failed)]
    with pytest.raises(ServiceError, match=r"the job has failed: \[31mredx+$") as info:
        Client(misbehaving).wait("0" * 64)
    assert len(str(info.value)) < 400


def test_a_server_cannot_talk_a_client_into_weak_parameters(misbehaving: str) -> None:
    card = json.loads(CARD.to_json())
    card["params"].update(name="INSECURE_TRAP", security=None)
    Script.answers = [(200, {}, json.dumps({"cards": {"batch": card}, "batch_from": 1}).encode())]
    with pytest.raises(SecurityError, match="claims no security"):
        Client(misbehaving).ask(IMAGES, 3)
    for wrong, message in (
        ({"cards": {"batch": None}, "batch_from": 1}, "a model card was required"),
        ({"cards": {"single": card}, "batch_from": 1}, "claims no security"),
        ({"cards": {}, "batch_from": 1}, "a server's offer was required"),
        ({"cards": {"batch": card}, "batch_from": "1"}, "a server's offer was required"),
        ({}, "a server's offer was required"),
    ):
        Script.answers = [(200, {}, json.dumps(wrong).encode())]
        with pytest.raises((FormatError, SecurityError), match=message):
            Client(misbehaving).offer()
    swapped = {"cards": {"single": json.loads(CARD.to_json())}, "batch_from": 1}
    with pytest.raises(FormatError, match="cards for the modes single are those of others"):
        Offer.from_facts(swapped)


def test_the_server_does_not_see_whether_its_reply_decrypts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[str] = []
    once = Client._once

    def noting(self: Client, method: str, path: str, body: Any, into: Any) -> Any:
        requests.append(method)
        return once(self, method, path, body, into)

    def forged(*arguments: Any) -> Any:
        assert requests[-1] == "DELETE"
        raise NoiseBudgetExhausted("forged")

    monkeypatch.setattr(Client, "_once", noting)
    with running(tmp_path) as (_, url):
        Client(url).ask(IMAGES, 3, MINE)
        honest, requests[:] = requests[-3:], []
        monkeypatch.setattr(roles, "decrypt", forged)
        with pytest.raises(NoiseBudgetExhausted, match="forged"):
            Client(url).ask(IMAGES, 3, MINE)
    assert honest == requests[-3:] == ["GET", "GET", "DELETE"]


def test_nobody_there_is_said_with_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ServiceError, match=f"no answer from http://127.0.0.1:{port}: .*running"):
        Client(f"http://127.0.0.1:{port}", patience=0.5).health()
    for url in (
        "127.0.0.1:80",
        "ftp://x",
        "http://",
        "http://x:port",
        "http://x:99999",
        "http://[",
    ):
        with pytest.raises(ParameterError, match="a server is named like http"):
            Client(url)
    for token in ("two\nlines", "caf\u00e9"):
        with pytest.raises(ParameterError, match="a token is made of printable ASCII"):
            Client(f"http://127.0.0.1:{port}", token)


def test_keys_for_another_network_are_refused_before_anything_is_sent(misbehaving: str) -> None:
    Script.answers = [(200, {}, json.dumps(Offer(CARDS, 1).facts()).encode())]
    with pytest.raises(KeyMismatchError, match="the keys are for .* network needs .*make new"):
        Client(misbehaving).ask(IMAGES, 3, (OTHER.secret, OTHER.relinearization))
    assert Script.answers == []


def test_every_question_has_new_keys_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered: list[str] = []
    register = Client.register
    monkeypatch.setattr(
        Client, "register", lambda *given: registered.append(register(*given)) or registered[-1]
    )
    np.save(tmp_path / "images.npy", IMAGES[..., 0])
    with running(tmp_path / "state") as (service, url):
        ask = ["ask", str(tmp_path / "images.npy"), "--white", "3", "--server", url]
        assert [main(ask), main(ask)] == [0, 0]
        assert len(set(registered)) == 2
        assert service.store.counts()["keys"] == 0  # and no question leaves any


def test_the_limits_of_a_server_are_those_of_its_page(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["serve", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    page = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    written = re.findall(r"^\| `(--max-\S+)` \| (\d+) \|", page, re.MULTILINE)
    assert sorted(written) == sorted(re.findall(r"(--max-\S+) N [^(]*\(default: (\d+)\)", text))
    assert len(written) == 9
    assert "--host HOST default: 127.0.0.1" in text
    assert Limits().key_seconds == 24 * 60 * 60
    assert Limits().finished == 64


def test_a_token_file_is_private_and_long_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o644)
    ask = ["ask", "digits", "--server", "http://127.0.0.1:9", "--token-file", str(path)]
    assert main(ask) == 1
    assert "chmod 600" in capsys.readouterr().err
    path.write_text("short")
    path.chmod(0o600)
    assert main(ask) == 1
    assert "at least 16 printable ASCII characters" in capsys.readouterr().err


def test_without_the_extra_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    monkeypatch.delitem(sys.modules, "nn.service.http", raising=False)
    assert main(["serve", "--model", "digits", "--state", str(tmp_path / "state")]) == 1
    assert 'pip install "cryptonets-yashe[serve]"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_ids_are_hashes_of_contents(sent: Path) -> None:
    content = hashlib.sha256(sent.read_bytes()).hexdigest()
    assert file_digest(sent) == content
    expected = hashlib.sha256(f"{'a' * 64} {content}".encode()).hexdigest()
    assert job_id("a" * 64, content) == expected
    assert issubclass(ServiceError, FheError)
    assert callable(refusal)
