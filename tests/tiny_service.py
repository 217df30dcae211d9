"""A service of the tiny network: servers in this process, requests without the client's help."""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nn.networks.model import Sequential
from nn.service.card import ModelCard
from nn.service.limits import Job, Limits
from nn.service.store import Store
from tiny_roles import SHAPE, tiny_network
from yashe import wire
from yashe.ciphertexts.keys import Keys
from yashe.parameters.sets import plaintext_primes
from yashe.schemes.bgv import BGV

CARD = ModelCard.of(tiny_network())
CARDS = {"batch": CARD}
KEYS: Keys = BGV(CARD.params).keygen()
MINE = (KEYS.secret, KEYS.relinearization)
# Keys for parameters that differ from them in t alone.
OTHER_T = plaintext_primes(CARD.params.n, CARD.params.t + 2)
OTHER = BGV(replace(CARD.params, name="other", plaintext_moduli=OTHER_T)).keygen()
IMAGES = np.random.default_rng(4).integers(0, 4, (5, *SHAPE), dtype=np.int64)
LOGITS = tiny_network().forward(IMAGES).tolist()
TOKEN = "correct-horse-battery"
KEY = wire.to_bytes(KEYS.relinearization)


def until(condition: Callable[[], bool], seconds: float = 30) -> bool:
    """Wait until a condition holds; say whether it did."""
    end = time.monotonic() + seconds
    while not (held := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return held


@contextlib.contextmanager
def running(
    folder: Path,
    token: str | None = None,
    model: Sequential | None = None,
    mode: str = "batch",
    **limits: Any,
) -> Iterator[tuple[Any, str]]:
    """A server in a thread of this process: the service and its address."""
    from nn.service.http import Server, Service, listen  # noqa: PLC0415 - needs the extra

    service = Service(model or tiny_network(), folder, token, Limits(**limits), mode=mode)
    with listen("127.0.0.1", 0) as listening:
        server = Server(service)
        service.server = server  # for tests that end it
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        assert until(lambda: server.started)
        try:
            yield service, f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()
            service.drain()  # once more, if it was ended by force
            service.worker.join(60)
            service.store.close()


def http_request(
    url: str, method: str, path: str, body: Any = b"", **headers: str
) -> tuple[int, dict[str, Any], Any]:
    """One request without the client's help: status, JSON, headers."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body or None, names)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    facts = json.loads(content) if content and content[:1] == b"{" else {}
    return response.status, facts, response.headers


def address_of(url: str) -> tuple[str, int]:
    """Where a raw socket connects to."""
    host, port = url.removeprefix("http://").split(":")
    return host, int(port)


def some_images(keys: Keys = KEYS, count: int = 1) -> bytes:
    """A frame of encrypted images, another one each time."""
    return wire.to_bytes(BGV(CARD.params).encrypt(np.zeros((count, *SHAPE, 1), int), keys.secret))


@contextlib.contextmanager
def opened(folder: Path, **limits: Any) -> Iterator[Store]:
    """A store without a worker, as after a kill of its server when it ends."""
    with contextlib.closing(Store(folder, CARDS, Limits(**limits))) as store:
        yield store


def add_key(store: Store, content: bytes = KEY) -> str:
    """Let a key arrive."""
    with store.uploads.receive(len(content)) as upload:
        store.uploads.append(upload, content)
        return store.add_key(upload)


def add_job(store: Store, keys: str, content: bytes | None = None) -> Job:
    """Let images arrive."""
    content = content or some_images()
    with store.uploads.receive(len(content)) as upload:
        store.uploads.append(upload, content)
        return store.add_job(upload, keys)


def bodies(folder: Path) -> list[str]:
    """The suffixes of the files of a state."""
    return sorted(path.suffix for path in (folder / "bodies").iterdir())
