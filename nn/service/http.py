"""The server over HTTP, for `cryptonets serve` (needs the extra `serve`: Starlette and uvicorn).

    GET    /health            is it alive, and how much waits
    GET    /model             the model card and the limits
    POST   /keys              an evaluation key        -> its id
    GET    /keys/ID           is it registered         (notes a use)
    POST   /jobs?keys=ID      encrypted images         -> the job
    GET    /jobs/ID           how far it is
    GET    /jobs/ID/reply     the encrypted logits
    DELETE /jobs/ID           forget it

Bodies of keys, images and replies are frames of `yashe.wire`; everything else is JSON, errors too:
{"error": name, "message": text}. Ids are hashes of contents, so that every request may be repeated.
There is no way to a secret key here, and nothing to decrypt with one. docs/service.md.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nn.networks.model import Sequential
from nn.service.card import ModelCard
from nn.service.store import (
    DONE,
    FAILED,
    Limits,
    NotFinishedError,
    ServiceFullError,
    Store,
    UnknownIdError,
)
from nn.service.worker import Worker
from yashe.errors import FheError, FormatError, KeyMismatchError, ParameterError

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import FileResponse, JSONResponse, Response
    from starlette.routing import Route
except ImportError as missing:
    raise ParameterError(
        "the service needs Starlette and uvicorn, which are not installed: "
        'pip install "cryptonets-yashe[serve]"'
    ) from missing

FRAME = "application/octet-stream"
RETRY_SECONDS = 5

Endpoint = Callable[[Request], Awaitable[Response]]


class RefusalError(FheError):
    """A request that is refused with a status of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def status_of(error: FheError) -> int:
    """Return the status of HTTP that says what an error says."""
    if isinstance(error, RefusalError):
        return error.status
    table: tuple[tuple[type[FheError], int], ...] = (
        (UnknownIdError, 404),
        (KeyMismatchError, 409),
        (NotFinishedError, 409),
        (ServiceFullError, 503),
        (FormatError, 400),
    )
    return next((status for kind, status in table if isinstance(error, kind)), 422)


class Service:
    """The endpoints around a store and its worker; `app` is what a server runs.

    Parameters
    ----------
    model : integer network
    folder : state of the server; see `nn.service.store`
    token : what clients have to send as "Authorization: Bearer TOKEN", or None for no such check
    limits : see `nn.service.store.Limits`
    threads : for one job
    """

    def __init__(
        self,
        model: Sequential,
        folder: Path,
        token: str | None = None,
        limits: Limits | None = None,
        threads: int = 1,
    ) -> None:
        self.card = ModelCard.of(model)
        self.store = Store(folder, self.card, limits or Limits())
        self.worker = Worker(self.store, model, threads)
        self.draining = False
        self._token = None if token is None else token.encode()
        routes = [
            self._route("/health", self.health, "GET", open_to_all=True),
            self._route("/model", self.describe, "GET"),
            self._route("/keys", self.register, "POST"),
            self._route("/keys/{keys}", self.key_status, "GET"),
            self._route("/jobs", self.submit, "POST"),
            self._route("/jobs/{job}", self.status, "GET"),
            self._route("/jobs/{job}", self.remove, "DELETE"),
            self._route("/jobs/{job}/reply", self.reply, "GET"),
        ]
        self.app = Starlette(
            routes=routes,
            lifespan=self._lifespan,
            exception_handlers={HTTPException: self._plain_refusal},
        )

    def __repr__(self) -> str:
        return f"Service({self.store!r})"

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Work while the server runs; at its end, finish the job that is being computed."""
        self.worker.start()
        yield
        self.draining = True
        self.worker.stop()
        await run_in_threadpool(self.worker.join)

    def _route(
        self, path: str, endpoint: Endpoint, method: str, open_to_all: bool = False
    ) -> Route:
        """Return a route that checks the token and turns errors into JSON."""

        async def guarded(request: Request) -> Response:
            try:
                if not open_to_all:
                    self._check_token(request)
                return await endpoint(request)
            except FheError as error:
                return self._error(status_of(error), type(error).__name__, str(error))

        return Route(path, guarded, methods=[method])

    async def _plain_refusal(self, request: Request, error: Exception) -> Response:
        """Return what Starlette refuses (404, 405) as JSON."""
        assert isinstance(error, HTTPException)
        return self._error(error.status_code, "HTTPError", f"{error.detail}: {request.url.path}")

    def _error(self, status: int, name: str, message: str) -> Response:
        headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else {}
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse({"error": name, "message": message}, status, headers)

    def _check_token(self, request: Request) -> None:
        """Refuse requests without the token, in a time that does not show what differs."""
        if self._token is None:
            return
        given = request.headers.get("authorization", "").encode("latin-1")
        if not hmac.compare_digest(given, b"Bearer " + self._token):
            raise RefusalError(401, "this server requires 'Authorization: Bearer TOKEN'")

    async def _upload(self, request: Request, largest: int) -> tuple[Path, str]:
        """Write the body of a request into a file; return it and its SHA-256.

        Raises
        ------
        RefusalError
            413 if it is too large, 408 if it takes too long, 411 or 400 if it says no length or a
            wrong one.
        """
        announced = request.headers.get("content-length", "")
        if not announced.isdecimal():
            raise RefusalError(411, "a Content-Length is required")
        if int(announced) > largest:
            raise RefusalError(413, f"at most {largest} bytes are accepted here, not {announced}")
        path, digest, size = self.store.upload_path(secrets.token_hex(16)), hashlib.sha256(), 0
        end = asyncio.get_running_loop().time() + self.store.limits.upload_seconds
        try:
            with path.open("xb") as file:
                stream = request.stream().__aiter__()
                while True:
                    left = end - asyncio.get_running_loop().time()
                    try:
                        chunk = await asyncio.wait_for(stream.__anext__(), max(left, 0))
                    except StopAsyncIteration:
                        break
                    size += len(chunk)  # never more than announced: uvicorn sees to that
                    digest.update(chunk)
                    await run_in_threadpool(file.write, chunk)
            if size != int(announced):
                raise RefusalError(400, f"{announced} bytes were announced, {size} came")
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, asyncio.TimeoutError):
                seconds = self.store.limits.upload_seconds
                raise RefusalError(408, f"the upload took more than {seconds:g} s") from error
            if isinstance(error, ClientDisconnect):
                raise RefusalError(400, "the connection was cut") from error
            raise
        return path, digest.hexdigest()

    def _check_open(self) -> None:
        """Refuse new work while shutting down."""
        if self.draining:
            raise ServiceFullError("the server is shutting down: try again later")

    # Endpoints.

    async def health(self, request: Request) -> Response:
        """Say that the server lives, and how much waits."""
        counts = await run_in_threadpool(self.store.counts)
        return JSONResponse({"status": "draining" if self.draining else "ok", **counts})

    async def describe(self, request: Request) -> Response:
        """Return the model card, the limits, and how large bodies may be."""
        facts = {
            "card": asdict(self.card),
            "limits": asdict(self.store.limits),
            "largest_key": self.store.largest_key,
            "largest_job": self.store.largest_job,
        }
        return JSONResponse(facts)

    async def register(self, request: Request) -> Response:
        """Register an evaluation key."""
        self._check_open()
        path, digest = await self._upload(request, self.store.largest_key)
        try:
            keys = await run_in_threadpool(self.store.add_key, path, digest)
        finally:
            path.unlink(missing_ok=True)
        seconds = self.store.limits.key_seconds
        return JSONResponse({"keys": keys, "expires_after_seconds": seconds}, 201)

    async def key_status(self, request: Request) -> Response:
        """Say that a key is registered."""
        keys = identifier(request, "keys")
        await run_in_threadpool(self.store.use_key, keys)
        return JSONResponse({"keys": keys, "expires_after_seconds": self.store.limits.key_seconds})

    async def submit(self, request: Request) -> Response:
        """Queue encrypted images."""
        self._check_open()
        keys = request.query_params.get("keys", "")
        check_identifier(keys)
        await run_in_threadpool(self.store.use_key, keys)
        self.store.reserve()
        try:
            path, digest = await self._upload(request, self.store.largest_job)
            try:
                job = await run_in_threadpool(self.store.add_job, path, digest, keys)
            finally:
                path.unlink(missing_ok=True)
        finally:
            self.store.release()
        return JSONResponse(asdict(job), 202)

    async def status(self, request: Request) -> Response:
        """Say how far a job is."""
        job = await run_in_threadpool(self.store.job, identifier(request, "job"))
        return JSONResponse(asdict(job))

    async def reply(self, request: Request) -> Response:
        """Return encrypted logits."""
        job = await run_in_threadpool(self.store.job, identifier(request, "job"))
        if job.status == FAILED:
            raise RefusalError(410, f"the job has failed: {job.error}")
        if job.status != DONE:
            raise NotFinishedError(f"the job is {job.status}: there is no reply yet")
        return FileResponse(self.store.path(job.id, ".out"), media_type=FRAME)

    async def remove(self, request: Request) -> Response:
        """Forget a finished job."""
        await run_in_threadpool(self.store.remove, identifier(request, "job"))
        return Response(status_code=204)


def identifier(request: Request, name: str) -> str:
    """Return an id from the path of a request."""
    value: str = request.path_params[name]
    check_identifier(value)
    return value


def check_identifier(value: str) -> None:
    """Refuse what is no SHA-256 in hexadecimal, such as a path that leaves the folder."""
    if len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise UnknownIdError("an id is 64 hexadecimal digits")


def serve(service: Service, host: str, port: int, **options: Any) -> None:
    """Run a service until it is told to stop (SIGTERM or Ctrl-C)."""
    uvicorn.run(
        service.app,
        host=host,
        port=port,
        log_level="warning",
        timeout_keep_alive=30,
        limit_concurrency=64,
        server_header=False,
        **options,
    )
