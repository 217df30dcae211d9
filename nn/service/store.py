"""What a server has taken on: keys, jobs, and what becomes of them.

Ids are hashes of contents, so that a repeated request finds what the first one has done. Everything
is bounded by `Limits`, counted in the transaction that adds. What is accepted is on the disk before
the client hears of it: a server that was killed goes on where it stopped. What waited, waits again;
what was being computed is computed again, and reported as failed if that stops the server twice.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from nn.service.card import ModelCard
from nn.service.keyfiles import EvaluationKey, read_evaluation_keys
from nn.service.limits import (
    DONE,
    FAILED,
    QUEUED,
    RUNNING,
    Job,
    Limits,
    NotFinishedError,
    ServiceFullError,
    UnknownIdError,
    disk_errors,
    job_id,
    printable,
)
from nn.service.state import BODIES, State
from nn.service.uploads import FRAME, Accepted, Upload, Uploads
from yashe.errors import FormatError

MOST_ATTEMPTS = 2
WAITS = f"status IN ('{QUEUED}', '{RUNNING}')"


class Store:
    """Keys and jobs.

    Parameters
    ----------
    folder : of the `State`
    cards : of the network, by mode, with the only parameters that are accepted
    limits : bounds of everything

    Attributes
    ----------
    accepted : what keys and images have to be
    state, uploads : where they lie, and what is arriving
    largest_key, largest_job, largest_reply : bytes that they take at most

    Raises
    ------
    StateError
        If the folder cannot be used.
    """

    def __init__(self, folder: Path, cards: Mapping[str, ModelCard], limits: Limits) -> None:
        self.limits, self.accepted = limits, Accepted(cards, limits)
        self.largest_key, self.largest_job, self.largest_reply = self.accepted.largest_bytes
        self._news = threading.Event()  # that a job waits
        self.progress = ("", 0.0)  # of the job that is being computed, in memory only
        self.state = State(folder)
        most = limits.queued * max(self.largest_key, self.largest_job)
        self.uploads = Uploads(self.state, most, self.largest_reply)
        try:
            self._forget_lost()
            self.take_over()
        except BaseException:
            self.close()
            raise

    def _forget_lost(self) -> None:
        """Forget keys, and fail jobs, whose files a faulty disk has lost."""
        keys, jobs = self.state.lost()
        with self.state.transaction():
            for name in keys:
                self.state.run("DELETE FROM keys WHERE id = ?", name)
            for name in jobs:
                self._update(name, status=FAILED, error="the server has lost a file of the job")

    def close(self) -> None:
        """Let go of the folder."""
        self.state.close()

    def __repr__(self) -> str:
        return f"Store({str(self.state.folder)!r}, {', '.join(self.accepted.cards)})"

    # Arriving.

    def add_key(self, upload: Upload) -> str:
        """Take over an uploaded key, and return its id, the SHA-256 of its file.

        Raises
        ------
        FormatError, KeyMismatchError
            If it is none that is `Accepted`.
        ServiceFullError
            If there is no room for it.
        """
        name = upload.hash.hexdigest()
        with upload.complete() as file:
            kind, key_id = self.accepted.check_key(file)
        with self.state.transaction():
            self._expire()
            if not self.state.count("keys", "id = ?", name):
                if self.state.count("keys") >= self.limits.keys:
                    raise ServiceFullError(
                        f"{self.limits.keys} keys are registered, and no more are accepted until "
                        "one of them is removed or expires"
                    )
                self.state.keep(upload.path, f"{name}.key")
            key = (name, kind, key_id, self.state.now())
            self.state.run("INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?)", *key)
        return name

    def add_job(self, upload: Upload, keys: str) -> Job:
        """Take over uploaded images, and queue them unless that has been done before.

        Parameters
        ----------
        upload : the images
        keys : id of the registered keys; "" for a network that needs none

        Raises
        ------
        UnknownIdError, FormatError, KeyMismatchError
            If the keys are not registered, or the images are not such, or not under these keys.
        ServiceFullError
            If the queue is full.
        """
        kind, key_id = self.use_key(keys)
        with upload.complete() as file:
            self.accepted.check_images(file, kind, key_id)
        name = job_id(keys, upload.hash.hexdigest())
        with self.state.transaction():
            known = self._find(name)
            if known is not None and known.status != FAILED:
                return known
            self.check_queue()
            if keys and not self.state.count("keys", "id = ?", keys):
                raise UnknownIdError("the keys have just been removed: register them again")
            self.state.keep(upload.path, f"{name}.in")
            self.state.run(
                "INSERT OR REPLACE INTO jobs (id, keys, status, changed) VALUES (?, ?, ?, ?)",
                *(name, keys, QUEUED, self.state.now()),
            )
        self._news.set()
        return Job(name, keys)

    def check_queue(self) -> None:
        """Refuse another job while the queue is full.

        Raises
        ------
        ServiceFullError
        """
        waiting = self.state.count("jobs", WAITS)
        if waiting >= self.limits.queued:
            raise ServiceFullError(
                f"{waiting} jobs are waiting, and at most {self.limits.queued} are accepted: try "
                "again later"
            )

    # Keys.

    def use_key(self, keys: str) -> tuple[int, str | None]:
        """Return kind and key id (`ciphertexts.keys.Key.key_id`) of a key, and note its use.

        Raises
        ------
        UnknownIdError
        """
        if not keys and self.accepted.keyless:
            return FRAME, None
        with self.state.transaction():
            self.state.run("UPDATE keys SET used = ? WHERE id = ?", self.state.now(), keys)
            found = self.state.run("SELECT kind, key_id FROM keys WHERE id = ?", keys)
        if not found:
            raise UnknownIdError(
                f"the keys {keys[:16]} are unknown, or have expired: register them (again)"
            )
        kind, key_id = found[0]
        return int(kind), str(key_id)

    def load_keys(self, keys: str) -> list[EvaluationKey]:
        """Return a registered key, of every run; one whose file is damaged is forgotten.

        For a job without keys the parameters.

        Raises
        ------
        UnknownIdError
        """
        if not keys:
            return [self.accepted.card(FRAME).params]
        found = self.state.run("SELECT kind FROM keys WHERE id = ?", keys)
        try:
            if not found:
                raise FormatError("there is no such key")
            with disk_errors(), (self.state.bodies / f"{keys}.key").open("rb") as file:
                return read_evaluation_keys(file, self.accepted.card(found[0][0]))
        except FormatError:
            with self.state.transaction():
                self.state.run("DELETE FROM keys WHERE id = ?", keys)
            raise UnknownIdError("the server has lost the keys: register them again") from None

    def remove_key(self, keys: str) -> None:
        """Forget a key.

        Raises
        ------
        NotFinishedError
            If a job that waits needs it.
        """
        with self.state.transaction():
            if self.state.count("jobs", f"keys = ? AND {WAITS}", keys):
                raise NotFinishedError("a job that waits, or is being computed, needs these keys")
            self.state.run("DELETE FROM keys WHERE id = ?", keys)

    # Jobs.

    def _find(self, name: str) -> Job | None:
        found = self.state.run(
            "SELECT id, keys, status, attempts, error, seconds FROM jobs WHERE id = ?", name
        )
        if not found:
            return None
        job, (running, share) = Job(*found[0]), self.progress
        return replace(job, progress=float(job.status == DONE) or share * (name == running))

    def job(self, name: str) -> Job:
        """Return how far a job is.

        Raises
        ------
        UnknownIdError
        """
        job = self._find(name)
        if job is None:
            raise UnknownIdError(f"the job {name[:16]} is unknown, or its reply has expired")
        return job

    def counts(self) -> dict[str, int]:
        """Return how many jobs there are of every status, and how many keys."""
        with self.state.lock:
            states = {status: self.state.count("jobs", "status = ?", status) for status in BODIES}
            return {**states, "keys": self.state.count("keys")}

    def path(self, name: str, suffix: str) -> Path:
        """Return where a body of a job lies, .in or .out."""
        return self.state.bodies / (name + suffix)

    def reply(self, name: str) -> BinaryIO:
        """Return the reply of a job, opened: it stays readable when the job is removed.

        Raises
        ------
        UnknownIdError, NotFinishedError
        """
        with self.state.lock, disk_errors():
            job = self.job(name)
            if job.status != DONE:
                raise NotFinishedError(f"the job is {job.status}: there is no reply yet")
            return self.path(name, ".out").open("rb")

    def remove(self, name: str) -> None:
        """Forget a finished job and its reply.

        Raises
        ------
        UnknownIdError, NotFinishedError
        """
        with self.state.transaction():
            job = self.job(name)
            if job.status in (QUEUED, RUNNING):
                raise NotFinishedError(
                    f"the job is {job.status}, and only finished ones are removed"
                )
            self.state.run("DELETE FROM jobs WHERE id = ?", name)

    # For the worker.

    def take_over(self) -> None:
        """Queue what was being computed when a worker stopped, or fail what stopped it twice."""
        with self.state.transaction():
            left = self.state.run("SELECT id, attempts FROM jobs WHERE status = ?", RUNNING)
            for name, attempts in left:
                if attempts < MOST_ATTEMPTS:
                    self._update(name, status=QUEUED)
                else:
                    self._update(name, status=FAILED, error="the server has stopped twice in it")
        self._news.set()

    def begin(self, wait_seconds: float = 0) -> Job | None:
        """Return the oldest job that waits, as one that is being computed from now on, or None.

        Parameters
        ----------
        wait_seconds : how long to wait for one
        """
        self._news.wait(wait_seconds)
        self._news.clear()
        query = "SELECT id FROM jobs WHERE status = ? ORDER BY number LIMIT 1"
        with self.state.transaction():
            found = self.state.run(query, QUEUED)
            if not found:
                return None
            job = self.job(found[0][0])
            job = replace(job, status=RUNNING, attempts=job.attempts + 1)
            self._update(job.id, status=RUNNING, attempts=job.attempts)
        self._news.set()  # there may be more
        return job

    def wake(self) -> None:
        """Let `begin` return without a job."""
        self._news.set()

    def finish(self, name: str, error: str, seconds: float) -> None:
        """Note how a job has ended: with an error, or with "" and its reply on the disk."""
        if error:  # first of all there is room again, if that was the error
            with disk_errors():
                self.path(name, ".out").unlink(missing_ok=True)
        with self.state.transaction():
            status = FAILED if error else DONE
            self._update(name, status=status, error=printable(error), seconds=seconds)
            self._expire()

    def _update(self, name: str, **changes: str | float) -> None:
        """Change columns of a job, within a transaction."""
        names = ", ".join(f"{column} = ?" for column in changes)
        values = (*changes.values(), self.state.now(), name)
        self.state.run(f"UPDATE jobs SET {names}, changed = ? WHERE id = ?", *values)

    # Time.

    def tick(self) -> None:
        """Let time pass: note the clock, and remove what has expired."""
        with self.state.transaction():
            self.state.run("UPDATE clock SET seconds = ?", self.state.now())
            self._expire()

    def _expire(self) -> None:
        """Delete what is older than the limits allow, or too many, within a transaction."""
        run, now, limits = self.state.run, self.state.now(), self.limits
        needed = f"SELECT keys FROM jobs WHERE {WAITS}"
        run(f"DELETE FROM keys WHERE used < ? AND id NOT IN ({needed})", now - limits.key_seconds)
        run(f"DELETE FROM jobs WHERE changed < ? AND NOT {WAITS}", now - limits.reply_seconds)
        newest = f"SELECT number FROM jobs WHERE NOT {WAITS} ORDER BY changed DESC, number DESC"
        run(
            f"DELETE FROM jobs WHERE NOT {WAITS} AND number NOT IN ({newest} LIMIT ?)",
            limits.finished,
        )
