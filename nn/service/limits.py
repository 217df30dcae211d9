"""What a server takes on, how far a job is, and what may be refused."""

from __future__ import annotations

import errno
import hashlib
import math
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

from yashe.errors import FheError, ParameterError

QUEUED, RUNNING, DONE, FAILED = "queued", "running", "done", "failed"
MOST_CHARACTERS = 300  # of a reason
SHORTEST_TOKEN = 16


class ServiceFullError(FheError):
    """The server has no room now; the same request may succeed later."""


class UnknownIdError(FheError, KeyError):
    """The server does not know this key or job, or not any more."""

    __str__ = Exception.__str__  # a KeyError would put quotation marks around its message


class NotFinishedError(FheError):
    """A job that waits, or is being computed, was asked for its end."""


class StateError(FheError, OSError):
    """The folder is used by another server, damaged, of a newer version, or something else."""


class DiskError(FheError, OSError):
    """The disk of the server refuses to read or write."""


class DiskFullError(DiskError):
    """There is no room on the disk of the server."""


# What system and database raise; a damaged name in a message of SQLite is not even text.
DISK_ERRORS = (OSError, sqlite3.Error, UnicodeDecodeError)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn what disk and database refuse into a `DiskError`, which names no path."""
    try:
        yield
    except DISK_ERRORS as error:
        if isinstance(error, FheError):
            raise
        number, reason = getattr(error, "errno", None), getattr(error, "strerror", None)
        if number in (errno.ENOSPC, errno.EDQUOT) or "disk is full" in str(error):
            raise DiskFullError("the disk of the server is full: try again later") from error
        raise DiskError(
            f"the disk of the server fails: {reason or type(error).__name__}"
        ) from error


@dataclass(frozen=True)
class Limits:
    """What one server takes on; everything is positive.

    Attributes
    ----------
    keys : registered keys
    key_seconds : how long a key is kept after its last use
    queued : jobs that wait or are being computed; what arrives has as much room as they
    finished : jobs whose results are kept
    reply_seconds : how long they are kept
    batches, images : in one job; of images, where each is sent by itself
    job_seconds : for computing one job
    upload_seconds : for receiving one key or job, or sending one reply
    silent_seconds : for the head of a request, or between two pieces of its body
    connections : at the same time
    connections_each : of one address
    """

    keys: int = 64
    key_seconds: float = 86400
    queued: int = 8
    finished: int = 64
    reply_seconds: float = 3600
    batches: int = 4
    images: int = 64
    job_seconds: float = 900
    upload_seconds: float = 300
    silent_seconds: float = 10
    connections: int = 256
    connections_each: int = 32

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not 0 < value < math.inf:
                raise ParameterError(f"the limit {one.name} must be positive, got {value}")


@dataclass(frozen=True)
class Job:
    """How far a job is.

    Attributes
    ----------
    id : SHA-256 of keys id and content, hexadecimal
    keys : id of the evaluation key
    status : "queued", "running", "done" or "failed"
    attempts : how often it was begun
    error : why it failed
    seconds : of computing
    progress : share 0..1 of the work that is done
    """

    id: str
    keys: str
    status: str = QUEUED
    attempts: int = 0
    error: str = ""
    seconds: float = 0.0
    progress: float = 0.0


def job_id(keys: str, content: str) -> str:
    """Return the id of a job from the ids (SHA-256, hexadecimal) of its keys and content."""
    return hashlib.sha256(f"{keys} {content}".encode("ascii")).hexdigest()


def printable(text: str) -> str:
    """Return the beginning of a stranger's text, without what would move or colour a terminal."""
    return "".join(c for c in text[: 4 * MOST_CHARACTERS] if c.isprintable())[:MOST_CHARACTERS]


def check_token(token: str | None, name: str = "the token") -> None:
    """Refuse a token that could be guessed, or not be sent in a header.

    Raises
    ------
    ParameterError
        Which does not show it.
    """
    if token is None:
        return
    if not token.isascii() or not token.isprintable() or len(token) < SHORTEST_TOKEN:
        raise ParameterError(
            f"{name}: at least {SHORTEST_TOKEN} printable ASCII characters were required, got "
            f"{len(token)} characters; `python -c 'import secrets; print(secrets.token_hex(16))'` "
            "makes some"
        )
