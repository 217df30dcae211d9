"""What a server has taken on: keys and jobs in a folder.

Everything that has been accepted lies on the disk, under a name that is the hash of its content,
before the client hears of it. So a repeated request finds what the first one has done, and a server
that was killed goes on where it stopped: what waited, waits again; what was being computed is
computed again, and reported as failed if that kills the server a second time.

    keys/ID.key                      evaluation keys; the time of the file is their last use
    jobs/ID.in, ID.out, ID.json      images, logits, and how far it is
    uploads/                         what is still arriving; emptied at the start

Everything is bounded by `Limits`. Memory holds one batch at a time, whatever waits.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import queue
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

from nn.service import roles
from nn.service.card import ModelCard
from yashe import wire
from yashe.ciphertexts.keys import BgvRelinearizationKey
from yashe.errors import FheError, FormatError
from yashe.wire.envelope import FrameReader
from yashe.wire.files import open_input, whole_file
from yashe.wire.header import read_contents

QUEUED, RUNNING, DONE, FAILED = "queued", "running", "done", "failed"
MOST_ATTEMPTS = 2
CHUNK_BYTES = 2**20
RESIDUE_BYTES = 3  # of a residue on the wire, at most


class ServiceFullError(FheError):
    """The server has no room now; the same request may succeed later."""


class UnknownIdError(FheError, KeyError):
    """The server does not know this key or job, or not any more."""

    __str__ = Exception.__str__  # a KeyError would put quotation marks around its message


class NotFinishedError(FheError):
    """A job that waits, or is being computed, was asked for its end."""


@dataclass(frozen=True)
class Limits:
    """What one server takes on.

    Attributes
    ----------
    keys : registered evaluation keys
    key_seconds : how long a key is kept after its last use
    queued : jobs that wait, are being computed, or are arriving
    finished : jobs whose results are kept
    reply_seconds : how long they are kept
    batches : in one job
    job_seconds : for computing one job
    upload_seconds : for receiving one key or job
    """

    keys: int = 64
    key_seconds: float = 86400
    queued: int = 8
    finished: int = 64
    reply_seconds: float = 3600
    batches: int = 4
    job_seconds: float = 900
    upload_seconds: float = 300


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
    changed : time of the last change, seconds since 1970
    seconds : of computing
    progress : share 0..1 of the work that is done
    """

    id: str
    keys: str
    status: str = QUEUED
    attempts: int = 0
    error: str = ""
    changed: float = 0.0
    seconds: float = 0.0
    progress: float = 0.0


def job_id(keys: str, content: str) -> str:
    """Return the id of a job from the ids (SHA-256, hexadecimal) of its keys and content."""
    return hashlib.sha256(f"{keys} {content}".encode("ascii")).hexdigest()


class Store:
    """Keys and jobs on the disk, and the queue of what has to be done.

    Parameters
    ----------
    folder : made if it does not exist; what is in it is taken over
    card : of the network, with the only parameters that are accepted
    limits : bounds of everything
    """

    def __init__(self, folder: Path, card: ModelCard, limits: Limits) -> None:
        self.folder, self.card, self.limits = folder, card, limits
        self.queue: queue.Queue[str | None] = queue.Queue()
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._arriving = 0
        for name in ("keys", "jobs", "uploads"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._recover()

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r}, {self.card.name!r}, {len(self._jobs)} jobs)"

    def _recover(self) -> None:
        """Take over what an earlier server has left in the folder."""
        for path in (self.folder / "uploads").iterdir():
            path.unlink()
        for path in sorted((self.folder / "jobs").iterdir(), key=lambda path: path.stat().st_mtime):
            if path.suffix == ".part":
                path.unlink()
            elif path.suffix == ".json":
                job = Job(**json.loads(path.read_text("utf-8")))
                self._jobs[job.id] = job
                if job.status == RUNNING and job.attempts >= MOST_ATTEMPTS:
                    self.change(job.id, status=FAILED, error="the server has stopped twice in it")
                elif job.status in (QUEUED, RUNNING):
                    self.change(job.id, status=QUEUED)
                    self.queue.put(job.id)

    # Arriving.

    @property
    def largest_key(self) -> int:
        """Bytes that an evaluation key takes at most."""
        params = self.card.params
        return 2 * params.k * params.k * params.n * RESIDUE_BYTES + 8192

    @property
    def largest_job(self) -> int:
        """Bytes that the images of a job take at most."""
        params, pixels = self.card.params, math.prod(self.card.input_shape)
        return self.limits.batches * pixels * (2 * params.k * params.n * RESIDUE_BYTES + 12) + 8192

    def upload_path(self, name: str) -> Path:
        """Return where something that is arriving is kept."""
        return self.folder / "uploads" / name

    def reserve(self) -> None:
        """Take a place in the queue for a job that begins to arrive; `release` gives it back.

        Raises
        ------
        ServiceFullError
        """
        with self._lock:
            waiting = sum(job.status in (QUEUED, RUNNING) for job in self._jobs.values())
            if waiting + self._arriving >= self.limits.queued:
                raise ServiceFullError(
                    f"{waiting} jobs are waiting and {self._arriving} arriving, and at most "
                    f"{self.limits.queued} are accepted: try again later"
                )
            self._arriving += 1

    def release(self) -> None:
        """Give back a place that `reserve` has taken."""
        with self._lock:
            self._arriving -= 1

    def add_key(self, upload: Path, digest: str) -> str:
        """Take over an uploaded evaluation key, and return its id.

        Parameters
        ----------
        upload : file in `uploads`
        digest : its SHA-256, hexadecimal, which is the id

        Raises
        ------
        FormatError, KeyMismatchError
            If it is no evaluation key for the parameters of the network.
        ServiceFullError
            If there is no room for it.
        """
        self.expire()
        target = self.key_path(digest)
        with self._lock:
            if not target.exists() and len(list(target.parent.iterdir())) >= self.limits.keys:
                raise ServiceFullError(
                    f"{self.limits.keys} keys are registered, and no more are accepted until one "
                    "of them expires"
                )
        wire.load(upload, BgvRelinearizationKey, self.card.params)
        os.replace(upload, target)
        return digest

    def key_path(self, keys: str) -> Path:
        """Return where a key lies."""
        return self.folder / "keys" / f"{keys}.key"

    def use_key(self, keys: str) -> str:
        """Return the key id (`ciphertexts.keys.Key.key_id`) of a registered key, and note its use.

        Raises
        ------
        UnknownIdError
        """
        self.expire()
        path = self.key_path(keys)
        try:
            os.utime(path)
            with path.open("rb") as file:
                return read_contents(FrameReader(file)).key_id
        except FileNotFoundError:
            raise UnknownIdError(
                f"the keys {keys[:16]} are unknown, or have expired: register them (again)"
            ) from None

    def add_job(self, upload: Path, digest: str, keys: str) -> Job:
        """Take over uploaded images, and queue them unless that has been done before.

        Raises
        ------
        UnknownIdError, FormatError, KeyMismatchError
            If the keys are not registered, or the images are not such, or not under these keys.
        """
        key_id = self.use_key(keys)
        with open_input(upload) as file:
            self._check(file, key_id)
        self.expire()
        job = Job(job_id(keys, digest), keys, changed=time.time())
        with self._lock:
            known = self._jobs.get(job.id)
            if known is not None and known.status != FAILED:
                return known
            os.replace(upload, self.path(job.id, ".in"))
            self._write(job)
        self.queue.put(job.id)
        return job

    def _check(self, file: BinaryIO, key_id: str) -> None:
        """Refuse what is not worth queueing, also for a wrong hash."""
        frame = FrameReader(file)
        contents = read_contents(frame, self.card.params)
        roles.check_images(contents, self.card.input_shape, key_id)
        if contents.shape[0] > self.limits.batches:
            raise FormatError(
                f"{contents.shape[0]} batches in one job, and at most {self.limits.batches} are "
                "accepted: send several jobs"
            )
        for start in range(0, contents.body_bytes, CHUNK_BYTES):
            frame.read(min(CHUNK_BYTES, contents.body_bytes - start), "the ciphertexts")
        frame.close()

    # Jobs.

    def path(self, job: str, suffix: str) -> Path:
        """Return where a file of a job lies; suffix .in, .out or .json."""
        return self.folder / "jobs" / (job + suffix)

    def job(self, name: str) -> Job:
        """Return how far a job is.

        Raises
        ------
        UnknownIdError
        """
        self.expire()
        with self._lock:
            if name not in self._jobs:
                raise UnknownIdError(f"the job {name[:16]} is unknown, or its reply has expired")
            return self._jobs[name]

    def counts(self) -> dict[str, int]:
        """Return how many jobs there are of every status, and how many keys."""
        with self._lock:
            found = [job.status for job in self._jobs.values()]
        keys = len(list((self.folder / "keys").iterdir()))
        return {
            **{status: found.count(status) for status in (QUEUED, RUNNING, DONE, FAILED)},
            "keys": keys,
        }

    def change(self, name: str, **changes: object) -> Job:
        """Note that a job has changed, on the disk too."""
        with self._lock:
            job = replace(self._jobs[name], changed=time.time(), **changes)  # type: ignore[arg-type]
            self._write(job)
            if job.status in (DONE, FAILED):
                self.path(name, ".in").unlink(missing_ok=True)
        return job

    def note_progress(self, name: str, progress: float) -> None:
        """Note the progress of a job, in memory only."""
        with self._lock:
            self._jobs[name] = replace(self._jobs[name], progress=progress)

    def _write(self, job: Job) -> None:
        with whole_file(self.path(job.id, ".json")) as file:
            file.write(json.dumps(asdict(job)).encode())
        self._jobs[job.id] = job

    def remove(self, name: str) -> None:
        """Forget a finished job and its reply.

        Raises
        ------
        UnknownIdError, NotFinishedError
        """
        job = self.job(name)
        if job.status in (QUEUED, RUNNING):
            raise NotFinishedError(f"the job is {job.status}, and only finished ones are removed")
        with self._lock:
            self._forget(name)

    def _forget(self, name: str) -> None:
        # The note goes first: a reply without a note is nobody's, a note without reply would lie.
        for suffix in (".json", ".out", ".in"):
            self.path(name, suffix).unlink(missing_ok=True)
        self._jobs.pop(name, None)

    def expire(self) -> None:
        """Remove what is older than the limits allow, or too many."""
        now = time.time()
        with self._lock:
            in_use = {job.keys for job in self._jobs.values() if job.status in (QUEUED, RUNNING)}
            for path in (self.folder / "keys").iterdir():
                old = now - path.stat().st_mtime > self.limits.key_seconds
                if old and path.stem not in in_use:
                    path.unlink()
            finished = [job for job in self._jobs.values() if job.status in (DONE, FAILED)]
            finished.sort(key=lambda job: job.changed)
            surplus = len(finished) - self.limits.finished
            for i, job in enumerate(finished):
                if i < surplus or now - job.changed > self.limits.reply_seconds:
                    self._forget(job.id)
