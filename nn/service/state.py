"""The state of a server on the disk: a database that says what there is, and a folder of bodies.

    state.db    keys, jobs and how far they are (SQLite: transactions, write-ahead log, fsync)
    bodies/     ID.key, ID.in, ID.out: keys, images, logits; *.upload: what arrives, or never did

The database is the truth. A file is synced to the disk before the transaction that names it, and a
file that no row names is removed: a server that is killed anywhere leaves nothing half. The
database stays locked for as long as it is open, so that a folder has one server, and whoever wants
to change or count something holds the one lock of `transaction`.

Ages are measured on a clock of the state's own: the seconds that servers have run on it. The clock
of the machine may jump; what is kept for an hour is then still kept for an hour.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nn.service.limits import (
    DISK_ERRORS,
    DONE,
    FAILED,
    QUEUED,
    RUNNING,
    DiskError,
    StateError,
    disk_errors,
    printable,
)

VERSION = 1
SCHEMA = f"""
BEGIN;
CREATE TABLE keys (
    id TEXT PRIMARY KEY,        -- SHA-256 of its file
    kind INTEGER NOT NULL,      -- 0: an archive for one image at once; else for batches
    key_id TEXT NOT NULL,       -- of its owner's keys
    used REAL NOT NULL          -- when it was last used, on the clock of the state
);
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY, -- in the order of their acceptance
    id TEXT UNIQUE NOT NULL,
    keys TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('{QUEUED}', '{RUNNING}', '{DONE}', '{FAILED}')),
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    seconds REAL NOT NULL DEFAULT 0,
    changed REAL NOT NULL       -- when its status changed, on the same clock
);
CREATE TABLE clock (seconds REAL NOT NULL CHECK (seconds >= 0));
INSERT INTO clock VALUES (0);
PRAGMA user_version = {VERSION};
COMMIT;
"""
UPLOAD = ".upload"  # the files of what is arriving end so
# The files of a job; the first has to be there, or the job is lost.
BODIES = {QUEUED: (".in",), RUNNING: (".in", ".out"), DONE: (".out",), FAILED: ()}


class State:
    """The database and the folder of bodies.

    Parameters
    ----------
    folder : made if it does not exist; what an earlier server has left in it is taken over

    Attributes
    ----------
    bodies : the folder of files
    trouble : what the disk said to the last transaction, or ""

    Raises
    ------
    StateError
        If the folder is another server's, damaged, of a newer version, or holds something else.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.bodies, self.trouble = folder, folder / "bodies", ""
        self.lock = threading.RLock()
        self._database = self._open()

    def close(self) -> None:
        """Let go of the folder, when nobody is in the middle of something."""
        with self.lock:
            self._database.close()

    def _open(self) -> sqlite3.Connection:
        """Return the database, locked."""
        path, database = self.folder / "state.db", None
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            others = sorted(entry.name for entry in self.folder.iterdir())
            if others and not path.exists():
                raise StateError(
                    f"{self.folder} holds {', '.join(others[:3])} and no state of a server: name "
                    "an empty folder, or a new one"
                )
            database = sqlite3.connect(
                path, timeout=0, isolation_level=None, check_same_thread=False
            )
            for mode in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
                database.execute(f"PRAGMA {mode}")
            database.execute("BEGIN EXCLUSIVE")
            database.execute("COMMIT")
            self._check(database)
            (seconds,) = database.execute("SELECT coalesce(max(seconds), 0) FROM clock").fetchone()
            self._begin = float(seconds) - time.monotonic()
            self.bodies.mkdir(exist_ok=True)
            sync_folder(self.folder)
            for path in self.bodies.glob(f"*{UPLOAD}"):  # of a server that was killed
                path.unlink()
        except DISK_ERRORS as error:
            if database is not None:
                database.close()
            if isinstance(error, StateError):
                raise
            reason = printable(getattr(error, "strerror", None) or str(error))
            if type(error) in (sqlite3.DatabaseError, UnicodeDecodeError):
                raise StateError(
                    f"the state in {self.folder} is damaged ({reason}): name another folder, or "
                    "remove this one and the jobs in it"
                ) from error
            if "locked" in reason:
                raise StateError(
                    f"another server uses {self.folder}: name another folder"
                ) from None
            raise StateError(
                f"{self.folder} cannot hold the state of a server: {reason}"
            ) from error
        return database

    def _check(self, database: sqlite3.Connection) -> None:
        """Refuse a database that is damaged or of another version; fill an empty one."""
        if database.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("the database is damaged")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == 0 and not self.bodies.exists():
            database.executescript(SCHEMA)
        elif version != VERSION:
            raise StateError(
                f"the state in {self.folder} is of version {version}, and this program reads "
                f"version {VERSION} only: name another folder"
            )

    # Reading and writing; reads, too, hold the lock.

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do everything or nothing, while nobody else does anything; then remove idle files.

        Raises
        ------
        DiskError
            If the disk refuses, and then nothing has changed.
        """
        with self.lock:
            try:
                with disk_errors():
                    self._database.execute("BEGIN IMMEDIATE")
                    try:
                        yield
                        self._database.execute("COMMIT")
                    finally:
                        if self._database.in_transaction:
                            self._database.execute("ROLLBACK")
            except DiskError as error:
                self.trouble = str(error)
                raise
            self.trouble = ""
            with suppress(OSError):  # what cannot be removed now is removed the next time
                self._sweep()

    def run(self, statement: str, *values: str | float) -> list[tuple[Any, ...]]:
        """Run one statement, a change only within a transaction, and return the rows it finds."""
        with self.lock, disk_errors():
            return self._database.execute(statement, values).fetchall()

    def count(self, table: str, condition: str = "1", *values: str | float) -> int:
        """Return how many rows fulfil a condition."""
        return int(self.run(f"SELECT count(*) FROM {table} WHERE {condition}", *values)[0][0])

    def now(self) -> float:
        """Return how many seconds servers have run on this state."""
        return self._begin + time.monotonic()

    # Files.

    def keep(self, upload: Path, name: str) -> None:
        """Give a synced file its name, within a transaction."""
        os.replace(upload, self.bodies / name)
        sync_folder(self.bodies)

    def lost(self) -> tuple[list[str], list[str]]:
        """Return the keys and the jobs whose files a faulty disk has lost."""
        with disk_errors():
            there = {path.name for path in self.bodies.iterdir()}
        keys = [name for (name,) in self.run("SELECT id FROM keys") if f"{name}.key" not in there]
        jobs = [
            name
            for name, status in self.run("SELECT id, status FROM jobs")
            if any(name + suffix not in there for suffix in BODIES[status][:1])
        ]
        return keys, jobs

    def _sweep(self) -> None:
        """Remove the files that no row names, but for what is arriving."""
        expected = {f"{name}.key" for (name,) in self.run("SELECT id FROM keys")}
        for name, status in self.run("SELECT id, status FROM jobs"):
            expected |= {name + suffix for suffix in BODIES[status]}
        for path in self.bodies.iterdir():
            if path.name not in expected and path.suffix != UPLOAD:
                with suppress(PermissionError):  # Windows keeps what somebody reads
                    path.unlink()


def sync_folder(folder: Path) -> None:
    """Let the names in a folder survive a power failure; Windows has no call for that."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
