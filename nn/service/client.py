"""The client of a service: `Client` in Python, `cryptonets ask` in a shell.

    client = Client("http://127.0.0.1:8000")
    logits = client.ask(images, white=255)

The client makes keys for the parameters that the model card names, keeps the secret one, and sends
evaluation key and encrypted images. Every request may be repeated: keys and jobs are named by the
hash of their content, so a retry after a cut connection finds what has arrived, and sends nothing
twice. What passes by itself (no connection, a full queue, a restart) is tried again for `patience`
seconds; what does not is a `ServiceError` with the server's reason. A reply is whole, by its length
and its hash, before the server is told to forget it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from nn.networks.base import NumberArray
from nn.service import frames, roles
from nn.service.card import Offer
from nn.service.keyfiles import AskingKeys, check_keys, file_digest, fresh_keys, mode_of
from nn.service.limits import DONE, FAILED, UnknownIdError, job_id, printable
from nn.service.roles import Progress
from yashe import wire
from yashe.arithmetic.residues import IntArray
from yashe.ciphertexts.keys import Pair
from yashe.errors import FheError, FormatError, ParameterError

TEMPORARY = (408, 429, 502, 503, 504, 507)  # statuses after which the same request may succeed
LARGEST_ANSWER = 2**20  # bytes of an answer in JSON
LARGEST_REPLY = 2**30
CHUNK_BYTES = 2**20
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0  # seconds before a request is tried again
WAIT_SECONDS = 3600.0  # for a job
MOST_LOSSES = 2  # of keys or a job by the server, before we give up
FAREWELL_SECONDS = 5.0  # for what the server would do by itself, later


class ServiceError(FheError, OSError):
    """The server refuses, fails, or cannot be reached.

    Attributes
    ----------
    status : of HTTP, or 0 if there was no answer
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """What came back: the status, how long to wait if it was temporary, and the content."""

    status: int
    retry_after: float
    content: bytes

    def facts(self) -> dict[str, Any]:
        """Return the JSON object of the answer."""
        try:
            facts = json.loads(self.content)
        except (ValueError, RecursionError) as error:
            raise ServiceError(f"the answer is not JSON: {error}", self.status) from error
        if not isinstance(facts, dict):
            raise ServiceError("the answer is not a JSON object", self.status)
        return facts


class Client:
    """A client of one server.

    Parameters
    ----------
    url : of the server, http or https
    token : if the server requires one
    patience : how many seconds to go on trying what may pass by itself
    timeout : seconds after which a silent connection counts as cut
    """

    def __init__(
        self, url: str, token: str | None = None, patience: float = 60, timeout: float = 60
    ) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:  # a port that is no number, half of a pair of brackets
            host = ""
        if not host or parts.scheme not in ("http", "https"):
            raise ParameterError(f"a server is named like http://127.0.0.1:8000, not {url!r}")
        if not (token or "").isascii() or not (token or "").isprintable():
            raise ParameterError("a token is made of printable ASCII characters")  # and not shown
        self._secure, self._host, self._port = parts.scheme == "https", host, port
        self._path, self._patience, self._timeout = parts.path.rstrip("/"), patience, timeout
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._url = url

    def __repr__(self) -> str:
        return f"Client({self._url!r})"  # and not the token

    # Requests.

    def _once(self, method: str, path: str, body: Path | None, into: BinaryIO | None) -> Answer:
        """Make one request; a body is read from a file, a good reply written into one."""
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=self._timeout)
        try:
            if body is None:
                connection.request(method, self._path + path, headers=self._headers)
            else:
                with body.open("rb") as file:
                    size = {"Content-Length": str(body.stat().st_size)}
                    try:
                        headers = {**self._headers, **size}
                        connection.request(method, self._path + path, file, headers)
                    except (BrokenPipeError, ConnectionResetError):
                        pass  # the server has refused before it had read everything: it says why
            response = connection.getresponse()
            wait = response.headers.get("Retry-After", "")
            seconds = float(wait) if wait.isdecimal() else 1.0
            if into is not None and response.status == 200:
                while chunk := response.read(CHUNK_BYTES):
                    into.write(chunk)
                    if into.tell() > LARGEST_REPLY:
                        raise ServiceError(f"a reply of more than {LARGEST_REPLY} bytes", 200)
                content = b""
            else:
                content = response.read(LARGEST_ANSWER)
            if response.length and len(content) < LARGEST_ANSWER:
                raise http.client.IncompleteRead(b"", response.length)
            if into is not None and response.status == 200:
                frames.verify(into)
            return Answer(response.status, seconds, content)
        finally:
            connection.close()

    def _request(
        self,
        method: str,
        path: str,
        body: Path | None = None,
        into: BinaryIO | None = None,
        fine: tuple[int, ...] = (),
        patience: float | None = None,
    ) -> Answer:
        """Make a request, again and again while the trouble may pass.

        Raises
        ------
        ServiceError
            If the server refuses, or the patience ends.
        """
        end = time.monotonic() + (self._patience if patience is None else patience)
        pause = FIRST_PAUSE
        while True:
            try:
                if into is not None:
                    into.seek(0)
                    into.truncate()
                answer = self._once(method, path, body, into)
                if answer.status < 300 or answer.status in fine:
                    return answer
                trouble = ServiceError(refusal(method, path, answer), answer.status)
                if answer.status not in TEMPORARY:
                    raise trouble
                wait = max(pause, answer.retry_after)
            except (OSError, http.client.HTTPException, FormatError) as error:
                if isinstance(error, ServiceError):
                    raise
                reason = f"{error or type(error).__name__}"
                if isinstance(error, http.client.IncompleteRead | FormatError):
                    reason = f"the answer was cut off or damaged ({reason})"
                trouble = ServiceError(
                    f"no answer from {self._url}: {reason}; is the server running there?"
                )
                wait = pause
            if time.monotonic() + wait > end:
                raise trouble
            time.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE)

    # Verbs.

    def health(self) -> dict[str, Any]:
        """Return how the server is; "status" is "ok", "draining" or "failing"."""
        return self._request("GET", "/health", fine=(503,)).facts()

    def offer(self) -> Offer:
        """Return the model cards of the server.

        Raises
        ------
        FormatError, SecurityError
            If they are none, or ask for keys without security.
        """
        return Offer.from_facts(self._request("GET", "/model").facts())

    def register(self, key: Pair | Path) -> str:
        """Register an evaluation key, or the file of one, unless it is there; return its id."""
        with tempfile.TemporaryDirectory() as folder:
            path = key if isinstance(key, Path) else Path(folder) / "evaluation.key"
            if isinstance(key, Pair):
                wire.save(path, key)
            keys = file_digest(path)
            if self._request("GET", f"/keys/{keys}", fine=(404,)).status == 404:
                self._request("POST", "/keys", path)
        return keys

    def submit(self, keys: str, images: Path) -> str:
        """Send a file of encrypted images, unless the server has it; return the id of the job.

        Parameters
        ----------
        keys : their id; "" if the network needs none
        images : the file
        """
        job = job_id(keys, file_digest(images))
        known = self._request("GET", f"/jobs/{job}", fine=(404,))
        if known.status == 404 or known.facts().get("status") == FAILED:
            self._request("POST", f"/jobs?keys={keys}" if keys else "/jobs", images)
        return job

    def status(self, job: str) -> dict[str, Any]:
        """Return how far a job is: see `nn.service.store.Job`."""
        return self._request("GET", f"/jobs/{job}").facts()

    def wait(
        self,
        job: str,
        progress: Progress = lambda share: None,
        pause: float = 0.3,
        within: float = WAIT_SECONDS,
    ) -> None:
        """Wait until a job is done.

        Parameters
        ----------
        job : its id
        progress : is told the share just done
        pause : seconds between two questions
        within : seconds after which it should be

        Raises
        ------
        ServiceError
            If it has failed, with the server's reason, or is not done in time.
        """
        done, end = 0.0, time.monotonic() + within
        while True:
            facts = self.status(job)
            status, share = facts.get("status"), facts.get("progress", 0.0)
            if isinstance(share, float) and done < share <= 1:
                progress(share - done)
                done = share
            if status == DONE:
                return
            if status == FAILED:
                raise ServiceError(f"the job has failed: {printable(str(facts.get('error')))}", 410)
            if time.monotonic() > end:
                raise ServiceError(
                    f"the job is not done after {within:g} s; the server last said: "
                    f"{printable(str(status))}, {done:.0%} computed; ask again, or wait longer"
                )
            time.sleep(pause)

    def reply(self, job: str, file: BinaryIO) -> None:
        """Write the reply of a job into a file, again until it is whole."""
        self._request("GET", f"/jobs/{job}/reply", into=file)

    def forget(self, job: str) -> None:
        """Let the server remove a finished job."""
        self._request("DELETE", f"/jobs/{job}", fine=(404,))

    def forget_key(self, keys: str) -> None:
        """Let the server remove a key; one that a job needs stays until it expires."""
        self._request("DELETE", f"/keys/{keys}", fine=(404, 409), patience=FAREWELL_SECONDS)

    def _done(
        self, key: Pair | Path | None, images: Path, progress: Progress, within: float
    ) -> str:
        """Return a job that is done; a server that loses key or job meanwhile gets them again."""
        for lost in range(MOST_LOSSES + 1):
            try:
                job = self.submit(self.register(key) if key else "", images)
                self.wait(job, progress, within=within)
                break
            except ServiceError as error:
                known = error.status != 404 and UnknownIdError.__name__ not in str(error)
                if known or lost == MOST_LOSSES:
                    raise
        return job

    def ask(
        self,
        images: NumberArray,
        white: int,
        keys: AskingKeys | None = None,
        progress: Callable[[str, float], None] = lambda what, share: None,
        within: float = WAIT_SECONDS,
        mode: str = "auto",
    ) -> IntArray:
        """Encrypt images, have them classified, and return the logits.

        Parameters
        ----------
        images : array of shape (count, *input_shape), values 0..white
        white : the value of a white pixel
        keys : secret and evaluation key, for the parameters of the card; by default fresh ones,
            which the server is told to forget afterwards. None in the place of the latter, if the
            card says that none is needed. For one image at once, the secret key of every run and
            the file of evaluation keys
        progress : is told the step ("encrypting", "waiting") and the share just done of it
        within : seconds to wait for the job
        mode : "batch", "single", or "auto" for what the keys are for, and without keys for what is
            less work for the server

        Returns
        -------
        int64 array, shape (count, classes)

        Raises
        ------
        ServiceError
            If the server refuses, fails, or cannot be reached.
        ParameterError
            If it does not offer this mode.
        KeyMismatchError
            If the keys are for other parameters than the card's.
        """
        card, once = self.offer().card(mode_of(keys, mode), len(images)), keys is None
        with tempfile.TemporaryDirectory() as folder:
            secret, evaluation = keys or fresh_keys(card, Path(folder))
            if isinstance(evaluation, Pair):
                check_keys(card, [evaluation])
            sent, received = Path(folder) / "images.fhe", Path(folder) / "reply.fhe"
            with sent.open("wb") as file:
                roles.encrypt(
                    file, card, secret, images, white, lambda share: progress("encrypting", share)
                )
            with received.open("w+b") as file:
                try:
                    job = self._done(
                        evaluation, sent, lambda share: progress("waiting", share), within
                    )
                    self.reply(job, file)
                    self.forget(job)
                finally:
                    if once and isinstance(evaluation, Path):
                        with contextlib.suppress(ServiceError):  # it expires by itself
                            self.forget_key(file_digest(evaluation))
                # The last request came before the decryption: a server that sends forged replies
                # must not see whether they decrypt, which would tell about the secret key.
                file.seek(0)
                return roles.decrypt(file, card, secret, len(images))


def refusal(method: str, path: str, answer: Answer) -> str:
    """Return the server's reason, made printable, or its status."""
    try:
        message = str(answer.facts().get("message", ""))
    except ServiceError:
        message = ""
    reason = printable(message) or "no reason given"
    return f"the server refuses {method} {path.split('?')[0]} (status {answer.status}): {reason}"
