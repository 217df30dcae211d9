"""The page on which one draws, and the program behind it, which is the client and has the key.

    GET /         the page; nothing else is loaded, from nowhere
    GET /about    the network, its parameters, and the sizes of what is sent
    POST /digit   a drawing; the answer, its times, and what the server saw of it

It listens to this machine only, and only to its own page: other names in the header Host, and
requests of other sites, are refused (`nn.service.guard`).
"""

from __future__ import annotations

import asyncio
import json
import math
import socket
from importlib.resources import files
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from nn.drawing.sides import Answer, Client
from nn.drawing.strokes import SIDE, digit_of
from nn.service.guard import RefusalError, check_request, config_of
from nn.service.limits import Limits
from yashe.errors import DataError, FheError

MOST_BYTES = 2**18  # of a drawing
HEAD_BYTES = 4096  # of an encrypted image: names and numbers, before anything encrypted
NAMES = frozenset({"localhost"})  # besides addresses
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        "connect-src 'self'; img-src data:; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def facts_of(answer: Answer) -> dict[str, Any]:
    """Return what the page shows of an answer."""
    seen = np.frombuffer(answer.upload, dtype=np.uint8)[HEAD_BYTES:]
    counts = np.bincount(seen, minlength=256)
    shares = counts / len(seen)
    return {
        "pixels": answer.pixels.ravel().tolist(),
        "logits": answer.logits.tolist(),
        "digit": int(answer.logits.argmax()),
        "milliseconds": {
            "encrypt": 1000 * answer.encrypt_seconds,
            "server": 1000 * answer.server_seconds,
            "decrypt": 1000 * answer.decrypt_seconds,
        },
        "upload_bytes": len(answer.upload),
        "reply_bytes": len(answer.reply),
        "budget_bits": answer.budget_bits,
        "seen": seen[: SIDE * SIDE].tolist(),
        "histogram": counts.tolist(),
        "entropy_bits": -sum(share * math.log2(share) for share in shares if share),
    }


class Page:
    """The application.

    Parameters
    ----------
    client : with the keys

    Attributes
    ----------
    app : for an ASGI server
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._html = (files("nn.drawing") / "page.html").read_text("utf-8")
        self._one_at_a_time = asyncio.Lock()
        handlers: dict[Any, Any] = {FheError: refuse, HTTPException: refuse}
        self.app = Starlette(
            routes=[
                Route("/", self.show),
                Route("/about", self.about),
                Route("/digit", self.digit, methods=["POST"]),
            ],
            exception_handlers=handlers,
        )

    async def show(self, request: Request) -> Response:
        """Return the page."""
        check_request(request.headers, NAMES)
        return HTMLResponse(self._html, headers=HEADERS)

    async def about(self, request: Request) -> Response:
        """Return what does not depend on a drawing."""
        check_request(request.headers, NAMES)
        params = self.client.plan.params
        facts = {
            "network": self.client.card.name,
            "levels": self.client.card.levels,
            "n": params.n,
            "log2_q": round(params.log2_q, 1),
            "security_bits": params.security,
            "runs": len(self.client.plan.runs),
            "key_bytes": self.client.key_bytes,
        }
        return JSONResponse(facts, headers=HEADERS)

    async def digit(self, request: Request) -> Response:
        """Classify a drawing, encrypted."""
        check_request(request.headers, NAMES)
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_BYTES:
                raise RefusalError(413, f"a drawing has at most {MOST_BYTES} bytes")
        try:
            strokes = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise DataError(f"a drawing is sent as JSON: {error}") from error
        async with self._one_at_a_time:
            image = await run_in_threadpool(digit_of, strokes)
            answer = await run_in_threadpool(self.client.ask, image)
            return JSONResponse(await run_in_threadpool(facts_of, answer), headers=HEADERS)


async def refuse(request: Request, error: Exception) -> Response:
    """Return an error as JSON."""
    if isinstance(error, HTTPException):
        status, message = error.status_code, str(error.detail)
    else:
        usual = 400 if isinstance(error, DataError) else 500  # what was sent is wrong, or we are
        status, message = getattr(error, "status", usual), str(error)
    facts = {"error": type(error).__name__, "message": message}
    return JSONResponse(facts, status, HEADERS)


def serve_page(client: Client, listening: socket.socket) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    Parameters
    ----------
    client : with the keys
    listening : a socket of this machine's own address
    """
    config = config_of(Page(client).app, Limits(), lifespan="off", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listening])
