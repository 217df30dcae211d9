"""The server over HTTP, for `cryptonets serve` (needs the extra `serve`: Starlette and uvicorn).

    GET    /health            is it well, and how much waits
    GET    /model             the model cards and the limits
    POST   /keys              an evaluation key        -> its id
    GET    /keys/ID           is it registered         (notes a use)
    DELETE /keys/ID           forget it
    POST   /jobs?keys=ID      encrypted images         -> the job; without keys if none are needed
    GET    /jobs/ID           how far it is
    GET    /jobs/ID/reply     the encrypted logits
    DELETE /jobs/ID           forget it

Bodies of keys, images and replies are frames of `yashe.wire`; everything else is JSON, errors too:
{"error": name, "message": text}. Ids are hashes of contents, so that every request may be repeated.
There is no way to a secret key here, and nothing to decrypt with one. docs/service.md.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO, TypeVar

from nn.networks.model import Sequential
from nn.service.card import BOTH, Offer
from nn.service.limits import (
    FAILED,
    DiskError,
    DiskFullError,
    Limits,
    NotFinishedError,
    ServiceFullError,
    UnknownIdError,
    check_token,
)
from nn.service.store import Store
from nn.service.uploads import Upload
from nn.service.worker import Worker
from yashe.errors import FheError, FormatError, KeyMismatchError, ParameterError

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool as in_thread
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route
    from starlette.types import Receive, Scope, Send

    from nn.service.guard import RefusalError, check_request, config_of
except ImportError as missing:
    raise ParameterError(
        "the service needs Starlette and uvicorn, which are not installed: "
        'pip install "cryptonets-yashe[serve]"'
    ) from missing

FRAME = "application/octet-stream"
PIECE_BYTES = 2**16  # of a reply; what is buffered for a slow reader
RETRY_SECONDS = 5
GRACE_SECONDS = 10  # for the exchanges that are going on when the server ends
SUPERVISED_SECONDS, TICK_SECONDS = 0.2, 30.0

STATUSES: tuple[tuple[type[FheError], int], ...] = (
    (UnknownIdError, 404),
    (KeyMismatchError, 409),
    (NotFinishedError, 409),
    (ServiceFullError, 503),
    (DiskFullError, 507),
    (DiskError, 503),
    (FormatError, 400),
)
Endpoint = Callable[[Request], Any]  # that returns a Response, or a coroutine of one
T = TypeVar("T")


class FileReply(StreamingResponse):
    """An open file as an answer, sent piece by piece and closed whatever happens."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, size = file, os.fstat(file.fileno()).st_size
        pieces = iter(partial(file.read, PIECE_BYTES), b"")
        super().__init__(pieces, 200, {"Content-Length": str(size)}, FRAME)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        with self._file:
            await super().__call__(scope, receive, send)


class Service:
    """The endpoints around a store and its worker; `app` is what a server runs.

    Parameters
    ----------
    model : integer network
    folder : state of the server; see `nn.service.state`
    token : what clients have to send as "Authorization: Bearer TOKEN", or None for no such check
    limits : see `nn.service.limits.Limits`
    threads : for one job
    names : of hosts by which the server may be called, besides localhost and addresses
    mode : "batch", "single" for one image at once, or "both", as far as the network allows it
    device : where to compute, as for `nn.inference.encrypted.infer`

    Raises
    ------
    ParameterError, StateError
        If there is no thread, the token is short, or the folder cannot be used.
    """

    def __init__(
        self,
        model: Sequential,
        folder: Path,
        token: str | None = None,
        limits: Limits | None = None,
        threads: int = 1,
        names: Iterable[str] = (),
        mode: str = BOTH,
        device: str | None = None,
    ) -> None:
        check_token(token)
        if threads < 1:
            raise ParameterError(f"at least one thread was required to compute, got {threads}")
        self.offer, self.draining = Offer.of(model, mode), False
        self._token = None if token is None else b"Bearer " + token.encode()
        self._names = frozenset({"localhost", *(name.lower() for name in names)})
        self.store = Store(folder, self.offer.cards, limits or Limits())
        self.worker = Worker(self.store, model, threads, device)
        routes = [
            self._route("/health", self.health, "GET", open_to_all=True),
            self._route("/model", self.describe, "GET"),
            self._route("/keys", self.register, "POST"),
            self._route("/keys/{id}", self.key_status, "GET"),
            self._route("/keys/{id}", self.remove_key, "DELETE"),
            self._route("/jobs", self.submit, "POST"),
            self._route("/jobs/{id}", self.status, "GET"),
            self._route("/jobs/{id}", self.remove, "DELETE"),
            self._route("/jobs/{id}/reply", self.reply, "GET"),
        ]
        self.app = Starlette(
            routes=routes,
            lifespan=self._lifespan,
            exception_handlers=dict.fromkeys((FheError, HTTPException, Exception), refuse),
        )

    def __repr__(self) -> str:
        return f"Service({self.store!r})"

    def drain(self) -> None:
        """Take nothing new, and let the worker finish the job that it is computing."""
        self.draining = True
        self.worker.stop()

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Work while the server runs; at its end, finish the job that is being computed."""
        self.worker.start()
        supervisor = asyncio.create_task(self._supervise())
        yield
        self.drain()
        supervisor.cancel()
        await in_thread(self.worker.join)
        self.store.close()

    async def _supervise(self) -> None:
        """Start another worker when one has died, and let time pass for what expires."""
        loop, last = asyncio.get_running_loop(), 0.0
        while True:
            await asyncio.sleep(SUPERVISED_SECONDS)
            try:
                if not self.worker.is_alive() and not self.draining:
                    self.worker = self.worker.again()
                    self.worker.start()
                if loop.time() - last > (1 if self.store.state.trouble else TICK_SECONDS):
                    last = loop.time()
                    await in_thread(self.store.tick)
            except Exception:  # noqa: BLE001 - `health` says what it was; the next round comes
                continue

    def _route(
        self, path: str, endpoint: Endpoint, method: str, open_to_all: bool = False
    ) -> Route:
        """Return a route that is guarded by names, site and token."""

        async def guarded(request: Request) -> Response:
            check_request(request.headers, self._names)
            token, given = self._token, request.headers.get("authorization", "").encode("latin-1")
            # Compared in a time that does not show where they differ.
            if not (open_to_all or token is None or hmac.compare_digest(given, token)):
                raise RefusalError(401, "this server requires 'Authorization: Bearer TOKEN'")
            answer = endpoint(request) if method == "POST" else in_thread(endpoint, request)
            response: Response = await answer
            return response

        return Route(path, guarded, methods=[method])

    async def _receive(self, request: Request, largest: int, take: Callable[[Upload], T]) -> T:
        """Write the body of a request into a file, and return what becomes of it.

        Raises
        ------
        RefusalError
            413 if it is too large, 408 if it takes too long, 411 or 400 if it says no length or a
            wrong one.
        """
        if self.draining:
            raise ServiceFullError("the server is shutting down: try again later")
        announced, limits = request.headers.get("content-length", ""), self.store.limits
        if not (announced.isascii() and announced.isdecimal()):
            raise RefusalError(411, "a Content-Length is required")
        if "transfer-encoding" in request.headers:
            raise RefusalError(400, "Content-Length and Transfer-Encoding exclude each other")
        if len(announced) > 18 or int(announced) > largest:
            raise RefusalError(413, f"at most {largest} bytes are accepted here")
        clock = asyncio.get_running_loop().time
        end, pieces = clock() + limits.upload_seconds, request.stream().__aiter__()
        uploads = self.store.uploads
        with uploads.receive(int(announced)) as upload:
            try:
                while upload.size < upload.announced:
                    seconds = min(end - clock(), limits.silent_seconds)
                    piece = await asyncio.wait_for(pieces.__anext__(), max(seconds, 0))
                    await in_thread(uploads.append, upload, piece)
            except StopAsyncIteration:
                pass  # `take` counts
            except asyncio.TimeoutError as error:
                raise RefusalError(
                    408,
                    f"the upload took more than {limits.upload_seconds:g} s, or was silent for "
                    f"{limits.silent_seconds:g} s",
                ) from error
            except ClientDisconnect as error:
                raise RefusalError(400, "the connection was cut") from error
            return await in_thread(take, upload)

    # Endpoints: those that receive a body are coroutines, all others run in a thread.

    def health(self, request: Request) -> Response:
        """Say whether the server is well (503: it is not), and how much waits."""
        trouble = self.store.state.trouble
        if not self.worker.is_alive() and not self.draining:
            trouble = "nothing is being computed: the worker has died, and is started again"
        try:
            self.store.uploads.check_room()
            counts = self.store.counts()
        except DiskError as error:
            trouble, counts = str(error), {}
        status = "failing" if trouble else "draining" if self.draining else "ok"
        facts = {"status": status, **({"trouble": trouble} if trouble else {}), **counts}
        return JSONResponse(facts, 503 if trouble else 200)

    def describe(self, request: Request) -> Response:
        """Return the model cards, the limits, and how large bodies may be."""
        facts = {
            **self.offer.facts(),
            "limits": asdict(self.store.limits),
            "largest_key": self.store.largest_key,
            "largest_job": self.store.largest_job,
        }
        return JSONResponse(facts)

    async def register(self, request: Request) -> Response:
        """Register an evaluation key."""
        keys = await self._receive(request, self.store.largest_key, self.store.add_key)
        return self._registered(keys, 201)

    def key_status(self, request: Request) -> Response:
        """Say that a key is registered."""
        keys = identifier(request.path_params["id"])
        self.store.use_key(keys)
        return self._registered(keys, 200)

    def _registered(self, keys: str, status: int) -> Response:
        facts = {"keys": keys, "expires_after_seconds": self.store.limits.key_seconds}
        return JSONResponse(facts, status)

    def remove_key(self, request: Request) -> Response:
        """Forget a key."""
        self.store.remove_key(identifier(request.path_params["id"]))
        return Response(status_code=204)

    async def submit(self, request: Request) -> Response:
        """Queue encrypted images."""
        keys = request.query_params.get("keys", "")
        if keys or not self.store.accepted.keyless:
            keys = identifier(keys)
        await in_thread(self.store.use_key, keys)
        await in_thread(self.store.check_queue)  # before the images are sent in vain

        def add(upload: Upload) -> Any:
            return self.store.add_job(upload, keys)

        job = await self._receive(request, self.store.largest_job, add)
        return JSONResponse(asdict(job), 202)

    def status(self, request: Request) -> Response:
        """Say how far a job is."""
        return JSONResponse(asdict(self.store.job(identifier(request.path_params["id"]))))

    def reply(self, request: Request) -> Response:
        """Return encrypted logits."""
        name = identifier(request.path_params["id"])
        job = self.store.job(name)
        if job.status == FAILED:
            raise RefusalError(410, f"the job has failed: {job.error}")
        return FileReply(self.store.reply(name))

    def remove(self, request: Request) -> Response:
        """Forget a finished job."""
        self.store.remove(identifier(request.path_params["id"]))
        return Response(status_code=204)


async def refuse(request: Request, error: Exception) -> Response:
    """Return an error as JSON, with its status and without a path of this machine."""
    if isinstance(error, HTTPException):  # of Starlette: 404, 405
        status, message = error.status_code, f"{error.detail}: {request.url.path}"
    elif isinstance(error, RefusalError):
        status, message = error.status, str(error)
    elif isinstance(error, FheError):
        status = next((status for kind, status in STATUSES if isinstance(error, kind)), 422)
        message = str(error)
    else:
        status, message = 500, f"a fault of the server: {type(error).__name__}"
    headers = {"Retry-After": str(RETRY_SECONDS)} if status in (503, 507) else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    name = "HTTPError" if isinstance(error, HTTPException) else type(error).__name__
    return JSONResponse({"error": name, "message": message}, status, headers)


def identifier(value: str) -> str:
    """Return an id; what is no SHA-256 in hexadecimal, such as a path, is refused."""
    if len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise UnknownIdError("an id is 64 hexadecimal digits")
    return value


class Server(uvicorn.Server):
    """Runs a service until it is told to stop, by SIGTERM, Ctrl-C or `should_exit`.

    At the first signal the service drains, and answers all the while; the second ends it at once.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        config = config_of(
            service.app,
            service.store.limits,
            lifespan="on",
            timeout_keep_alive=5,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        super().__init__(config)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note a signal; `on_tick` does what has to be done."""
        if self._service.draining:
            self.should_exit = self.force_exit = True
        self._service.draining = True

    async def on_tick(self, counter: int) -> bool:
        """Return whether to end: when the service has drained."""
        if self._service.draining:
            self._service.drain()
            self.should_exit |= not self._service.worker.is_alive()
        return await super().on_tick(counter)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises
    ------
    ParameterError
        If another program does already, or it may not be done.
    """
    if not 0 <= port < 2**16:
        raise ParameterError(f"a port is a number from 0 to 65535, not {port}")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ParameterError(f"cannot listen to {host}, port {port}: {reason}") from error
