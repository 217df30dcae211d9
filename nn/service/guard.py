"""What a connection has to keep to before anybody listens to what it says.

`Connection` is uvicorn's, with a number of connections for each address, and with deadlines: for
the head of a request, for the rest of the exchange, and for what is still sent after an answer.
Whoever is too slow in any of them is cut off. `check_request` refuses what a browser was talked
into by a page of somebody else: names that are not ours (DNS rebinding), and requests of other
sites. uvicorn and Starlette come with the extra `serve`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from nn.service.limits import Limits
from yashe.errors import FheError


class RefusalError(FheError):
    """A request that is refused with a status of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Connection(H11Protocol):
    """A connection of uvicorn that ends when it is too slow, or one too many."""

    limits: ClassVar[Limits]
    _phase = ""
    _end: asyncio.TimerHandle | None = None

    @property
    def host(self) -> str:
        """Address of the other side."""
        return self.client[0] if self.client else ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many."""
        super().connection_made(transport)
        self._watch()
        others = [other for other in self.connections if isinstance(other, Connection)]
        if [other.host for other in others].count(self.host) > self.limits.connections_each:
            self._refuse(429, f"one address has at most {self.limits.connections_each} connections")
        elif len(others) > self.limits.connections:
            self._refuse(503, f"at most {self.limits.connections} connections are open")

    def data_received(self, data: bytes) -> None:
        """Go on."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Go on with what follows an answer."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        super().connection_lost(exc)
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the form of all refusals."""
        self._refuse(400, msg)

    def _watch(self) -> None:
        """Set the deadline of the phase that has begun: head, exchange, rest, or none."""
        limits, answered = self.limits, self.conn.our_state in (h11.DONE, h11.MUST_CLOSE)
        if self.transport.is_closing() and self not in self.connections:
            phase, seconds = "closed", 0.0
        elif self.conn.their_state is h11.IDLE:
            phase, seconds = "head", limits.silent_seconds
        elif answered:
            phase, seconds = "rest", limits.silent_seconds
        else:
            phase, seconds = "exchange", limits.upload_seconds + limits.silent_seconds
        if phase != self._phase:
            self._phase = phase
            if self._end is not None:
                self._end.cancel()
            if seconds:
                self._end = self.loop.call_later(seconds, self.transport.abort)

    def _refuse(self, status: int, message: str) -> None:
        """Send a refusal, and close."""
        body = json.dumps({"error": "RefusalError", "message": message}).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        headers |= {"Connection": "close", "Retry-After": "5"}
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):  # no answer has begun
            for event in (
                h11.Response(status_code=status, headers=list(headers.items())),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def config_of(app: Any, limits: Limits, **settings: Any) -> uvicorn.Config:
    """Return how an application is served: connections within limits, and nothing told of us."""
    return uvicorn.Config(
        app,
        http=type("Connection", (Connection,), {"limits": limits}),
        ws="none",
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        **settings,
    )


def check_request(headers: Mapping[str, str], names: frozenset[str]) -> None:
    """Refuse requests that are for another name, or come from the page of another site.

    Parameters
    ----------
    headers : of the request, with names in lower case
    names : by which the server may be called, besides addresses

    Raises
    ------
    RefusalError
    """
    host = headers.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname or ""
        origin = urlsplit(headers.get("origin", f"//{host}")).netloc
    except ValueError:
        name = origin = ""
    if name not in names and not is_address(name):
        raise RefusalError(
            421, "this server is not known by the name in the header Host: see --allow-host"
        )
    site = headers.get("sec-fetch-site", "none")
    if origin != host or site not in ("same-origin", "none"):
        raise RefusalError(403, "requests that the page of another site has made are refused")


def is_address(name: str) -> bool:
    """Return whether a host is named by its address, which no stranger can point elsewhere."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
