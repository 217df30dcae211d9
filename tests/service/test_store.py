"""What a server keeps on its disk: restarts, limits under a crowd, damage, full disks, clocks."""

import contextlib
import errno
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT
from nn.service import roles, state, uploads
from nn.service.limits import (
    DONE,
    FAILED,
    QUEUED,
    RUNNING,
    DiskError,
    DiskFullError,
    Limits,
    NotFinishedError,
    ServiceFullError,
    StateError,
    UnknownIdError,
    disk_errors,
    printable,
)
from nn.service.store import Store
from nn.service.worker import Worker
from tiny_roles import tiny_network
from tiny_service import (
    CARD,
    CARDS,
    IMAGES,
    KEYS,
    LOGITS,
    add_job,
    add_key,
    bodies,
    opened,
    some_images,
    until,
)
from yashe import wire
from yashe.errors import FormatError, ParameterError
from yashe.schemes.bgv import BGV


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Encrypted images."""
    path = tmp_path_factory.mktemp("sent") / "images.fhe"
    with path.open("wb") as file:
        roles.encrypt(file, CARD, KEYS.secret, IMAGES, 3)
    return path.read_bytes()


def other_keys(count: int) -> list[bytes]:
    """Frames of evaluation keys, each of another client."""
    scheme = BGV(CARD.params)
    return [wire.to_bytes(scheme.keygen().relinearization) for _ in range(count)]


def finish(store: Store, name: str, error: str = "") -> None:
    """Let the next job, which must be this one, end."""
    job = store.begin()
    assert job is not None
    assert job.id == name
    store.path(name, ".out").write_bytes(b"reply")
    store.finish(name, error, 1.5)


# Restarts


def test_a_server_that_was_killed_goes_on_where_it_was(tmp_path: Path, images: bytes) -> None:
    with opened(tmp_path) as before:
        job = add_job(before, add_key(before), images)
        assert before.begin() == replace(job, status=RUNNING, attempts=1)
        before.path(job.id, ".out").write_bytes(b"half")
        (tmp_path / "bodies" / "half.upload").write_bytes(b"half")
    with opened(tmp_path) as after:
        assert bodies(tmp_path) == [".in", ".key"]
        assert after.job(job.id).status == QUEUED
        worker = Worker(after, tiny_network(), threads=1)
        worker.start()
        assert until(lambda: after.job(job.id).status == DONE)
        worker.stop()
        worker.join()
        assert after.job(job.id).attempts == 2
        with after.reply(job.id) as file:
            assert roles.decrypt(file, CARD, KEYS.secret, 5).tolist() == LOGITS
        done = after.job(job.id)
        assert bodies(tmp_path) == [".key", ".out"]
    with opened(tmp_path) as later:
        assert later.job(job.id) == done


def test_a_job_that_kills_the_server_twice_is_reported_as_failed(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        job = add_job(store, add_key(store))
        store.begin()
    with opened(tmp_path) as store:
        store.begin()
    with opened(tmp_path) as store:
        assert store.job(job.id).status == FAILED
        assert store.job(job.id).error == "the server has stopped twice in it"
        assert store.begin() is None
        assert bodies(tmp_path) == [".key"]


def test_a_stopping_worker_finishes_its_job_and_leaves_the_others_for_later(
    tmp_path: Path, images: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as store:
        keys = add_key(store)
        jobs = [add_job(store, keys, content) for content in (images, some_images())]
        worker = Worker(store, tiny_network(), threads=1)
        real = roles.classify

        def stopping(*arguments: Any, **options: Any) -> Any:
            worker.stop()
            return real(*arguments, **options)

        monkeypatch.setattr(roles, "classify", stopping)
        worker.start()
        worker.join(60)
        assert [store.job(job.id).status for job in jobs] == [DONE, QUEUED]
    with opened(tmp_path) as after:
        assert after.begin() == replace(jobs[1], status=RUNNING, attempts=1)


def test_files_that_no_row_names_are_removed_and_rows_without_their_file_are_failed(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as store:
        keys = add_key(store)
        job, lost = add_job(store, keys), add_job(store, keys)
        (tmp_path / "bodies" / f"{'0' * 64}.in").write_bytes(b"nobody's")
        store.path(lost.id, ".in").unlink()
    with opened(tmp_path) as store:
        assert bodies(tmp_path) == [".in", ".key"]
        assert store.job(job.id).status == QUEUED
        assert store.job(lost.id).error == "the server has lost a file of the job"
        (tmp_path / "bodies" / f"{keys}.key").unlink()
    with opened(tmp_path) as store, pytest.raises(UnknownIdError, match="register them"):
        store.use_key(keys)


def test_a_damaged_key_is_forgotten_so_that_its_owner_can_send_it_again(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        keys = add_key(store)
        path = tmp_path / "bodies" / f"{keys}.key"
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        with pytest.raises(UnknownIdError, match="the server has lost the keys: register"):
            store.load_keys(keys)
        assert add_key(store) == keys
        assert store.load_keys(keys)[0].key_id == KEYS.relinearization.key_id


def test_an_accepted_job_is_synced_with_its_name_before_the_database_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """202 means that a power failure loses nothing: file, folder, row, in this order."""
    done: list[str] = []
    fsync, replaced = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        done.append("sync folder" if folder else "sync file")
        fsync(descriptor)

    def noting(text: str, *values: Any) -> Any:
        done.append(text.split()[0])
        return run(text, *values)

    with opened(tmp_path) as store:
        keys = add_key(store)
        assert store.state.run("PRAGMA synchronous") == [(2,)]  # FULL
        assert store.state.run("PRAGMA journal_mode") == [("wal",)]
        run = store.state.run
        monkeypatch.setattr(os, "fsync", sync)
        monkeypatch.setattr(os, "replace", lambda *two: done.append("name") or replaced(*two))
        monkeypatch.setattr(store.state, "run", noting)
        add_job(store, keys)
    wanted = ["sync file", "name", "sync folder", "INSERT"]
    assert [step for step in done if step in wanted] == wanted


# Limits, whoever comes at the same time


def crowd(count: int, act: Callable[[int], Any]) -> list[Any]:
    """What threads get that all act at the same moment, results and errors."""
    found: list[Any] = []
    gate = threading.Barrier(count)

    def one(number: int) -> None:
        gate.wait(30)
        try:
            found.append(act(number))
        except Exception as error:  # noqa: BLE001 - errors are what is counted
            found.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def test_twelve_clients_at_once_do_not_exceed_the_limits_of_keys_and_jobs(tmp_path: Path) -> None:
    keys = other_keys(6)
    with opened(tmp_path, keys=2, queued=3) as store:
        found = crowd(6, lambda number: add_key(store, keys[number]))
        assert sorted(map(type, found), key=str) == [ServiceFullError] * 4 + [str] * 2
        assert store.counts()["keys"] == 2
    with opened(tmp_path / "jobs", queued=3) as store:
        mine, contents = add_key(store), [some_images() for _ in range(12)]
        found = crowd(12, lambda number: add_job(store, mine, contents[number]))
        assert [type(one) for one in found].count(ServiceFullError) == 9
        assert store.counts()[QUEUED] == 3
        with pytest.raises(ServiceFullError, match="3 jobs are waiting, and at most 3 are"):
            add_job(store, mine)


def test_status_and_removal_at_the_same_time_disturb_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker between two notes of a job, and clients that want it away."""
    monkeypatch.setattr(
        roles, "classify", lambda source, target, *_, **options: target.write(b"reply")
    )
    with opened(tmp_path) as store:
        keys, worker = add_key(store), Worker(store, tiny_network(), threads=1)
        worker.start()
        content = some_images()
        for _ in range(20):
            name = add_job(store, keys, content).id

            def remove(name: str = name) -> None:
                for _ in range(50):
                    with contextlib.suppress(NotFinishedError, UnknownIdError):
                        store.job(name)
                        store.remove(name)

            assert crowd(3, lambda number: remove()) == [None] * 3
            assert until(lambda: store.counts()[QUEUED] + store.counts()[RUNNING] == 0)
        assert worker.is_alive()
        worker.stop()
        worker.join(60)


def test_keys_and_replies_are_bounded_and_expire(tmp_path: Path) -> None:
    (second,) = other_keys(1)
    with opened(tmp_path, keys=1, key_seconds=100, reply_seconds=10) as store:
        now = store.state.now()
        store.state.now = lambda: now
        keys = add_key(store)
        assert add_key(store) == keys  # again is no second one
        with pytest.raises(ServiceFullError, match="1 keys are registered, and no more"):
            add_key(store, second)
        job = add_job(store, keys)
        now += 101
        store.tick()
        assert store.counts()["keys"] == 1  # a waiting job needs it
        with pytest.raises(NotFinishedError, match="needs these keys"):
            store.remove_key(keys)
        finish(store, job.id)
        assert bodies(tmp_path) == [".out"]  # the key was old, and now nobody needs it
        with pytest.raises(UnknownIdError, match="unknown, or have expired: register"):
            store.use_key(keys)
        add_key(store, second)
        now += 11
        store.tick()
        with pytest.raises(UnknownIdError, match="its reply has expired"):
            store.job(job.id)
        assert bodies(tmp_path) == [".key"]


def test_of_finished_jobs_the_newest_are_kept(tmp_path: Path) -> None:
    with opened(tmp_path, finished=2) as store:
        keys, names = add_key(store), []
        for _ in range(3):
            names.append(add_job(store, keys).id)
            finish(store, names[-1], "failed")
        assert store.counts()[FAILED] == 2
        assert store.job(names[2]).status == FAILED
        with pytest.raises(UnknownIdError, match="unknown"):
            store.job(names[0])


def test_what_is_only_announced_takes_no_room_and_what_arrives_is_bounded(tmp_path: Path) -> None:
    with opened(tmp_path, queued=1) as store, contextlib.ExitStack() as stack:
        most = max(store.largest_key, store.largest_job)
        slow = [stack.enter_context(store.uploads.receive(most)) for _ in range(8)]
        for upload in slow:
            store.uploads.append(upload, b"1")
        job = add_job(store, add_key(store))  # eight uploads of one byte hold nobody up
        assert store.job(job.id).status == QUEUED
        with pytest.raises(ServiceFullError, match="too much is arriving"):
            store.uploads.append(slow[0], bytes(most - 1))
        with pytest.raises(FormatError, match=f"{most} bytes were announced, more have come"):
            store.uploads.append(slow[1], bytes(most))
        with pytest.raises(FormatError, match=f"{most} bytes were announced, 1 came"):
            store.add_key(slow[2])
    assert bodies(tmp_path) == [".in", ".key"]


@pytest.mark.parametrize("limit", ["keys", "queued", "job_seconds"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_limit_is_positive(limit: str, value: float) -> None:
    with pytest.raises(ParameterError, match=f"the limit {limit} must be positive, got"):
        Limits(**{limit: value})


# Clocks


@pytest.mark.parametrize("years", [-30, 30])
def test_a_jump_of_the_clock_lets_nothing_expire_and_keeps_nothing_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, years: int
) -> None:
    with opened(tmp_path) as store:
        job = add_job(store, add_key(store))
        finish(store, job.id)
    real, since = time.time, time.monotonic
    monkeypatch.setattr(time, "time", lambda: real() + years * 365 * 86400)
    with opened(tmp_path) as store:
        store.tick()
        assert store.job(job.id).status == DONE
        assert store.counts()["keys"] == 1
        monkeypatch.setattr(time, "monotonic", lambda: since() + 3601)
        store.tick()
        with pytest.raises(UnknownIdError, match="expired"):
            store.job(job.id)
        assert store.counts()["keys"] == 1
    with opened(tmp_path) as store:  # which has run for an hour, and whose machine was restarted
        monkeypatch.setattr(time, "monotonic", lambda: since() + 3601 + 82800 + 1)
        store.tick()
        assert store.counts()["keys"] == 0


# What is no state, or not ours


def test_a_second_server_on_a_folder_is_refused_and_touches_nothing(tmp_path: Path) -> None:
    """In this process, and in another one that is then killed: its lock ends with it."""
    with opened(tmp_path) as first:
        job = add_job(first, add_key(first))
        first.begin()
        with first.uploads.receive(10) as upload:
            with pytest.raises(StateError, match="another server uses .*: name another folder"):
                Store(tmp_path, CARDS, Limits())
            assert upload.path.exists()
            first.uploads.append(upload, b"1234567890")
        assert first.job(job.id).status == RUNNING
    program = (
        "import sys, time; from pathlib import Path; from nn.service.state import State\n"
        "state = State(Path(sys.argv[1])); print('open', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    with other, other.stdout:
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(StateError, match="another server uses"):
            Store(tmp_path, CARDS, Limits())
        other.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    with opened(tmp_path) as store:
        assert store.job(job.id).status == QUEUED


def test_a_state_is_closed_between_two_transactions_and_refuses_what_comes_later(
    tmp_path: Path,
) -> None:
    """SQLite crashes the process if its database is closed in the middle of a statement."""
    with opened(tmp_path) as store:
        with store.state.transaction():
            closing = threading.Thread(target=store.close)
            closing.start()
            closing.join(0.1)
            assert closing.is_alive()
            assert store.counts()["keys"] == 0
        closing.join(30)
        with pytest.raises(DiskError, match="the disk of the server fails: ProgrammingError"):
            store.tick()


def test_a_folder_that_holds_something_else_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """For instance the keys of a client, in a folder `keys` or `bodies`."""
    for name in ("keys", "bodies"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "secret.key").write_bytes(b"secret")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StateError, match="holds bodies, keys and no state of a server"):
        Store(tmp_path, CARDS, Limits())
    assert sorted(tmp_path.rglob("*")) == before
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(StateError, match="file cannot hold the state of a server: "):
        Store(file, CARDS, Limits())


def test_a_newer_and_a_damaged_state_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        add_key(store)
    path = tmp_path / "state.db"
    content = path.read_bytes()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 2")
        database.commit()
    with pytest.raises(StateError, match="is of version 2, and this program reads version 1 only"):
        Store(tmp_path, CARDS, Limits())
    for damaged in (
        content[:100] + bytes(4000) + content[4100:],
        content[:16384] + b"?" * 4096 + content[20480:],  # a page that the start does not read
        b"{}" * 5000,
        content[:5000],
    ):
        path.write_bytes(damaged)
        with pytest.raises(StateError, match="is damaged .*: name another folder, or remove"):
            Store(tmp_path, CARDS, Limits())
    path.write_bytes(b"")  # as if it were new, but for the bodies
    with pytest.raises(StateError, match="is of version 0"):
        Store(tmp_path, CARDS, Limits())
    assert bodies(tmp_path) == [".key"]


def test_no_damage_of_the_database_is_a_traceback_and_none_invents_a_job(tmp_path: Path) -> None:
    chance = random.Random(5)
    with opened(tmp_path) as store:
        keys = add_key(store)
        ids = {add_job(store, keys).id for _ in range(3)}
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    content, refused = (tmp_path / "state.db").read_bytes(), 0
    for _ in range(60):
        for path, body in before.items():
            if path.parent.name == "bodies":
                path.write_bytes(body)
        damaged = bytearray(content)
        for _ in range(chance.choice((1, 30, 1000))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        (tmp_path / "state.db").write_bytes(damaged[: chance.choice((None, 20000, 9000))])
        try:
            with opened(tmp_path) as store:
                found = {name for (name,) in store.state.run("SELECT id FROM jobs")}
                store.tick()
                assert len(found - ids) <= 1  # one that has another name now
                while job := store.begin():
                    store.finish(job.id, "done", 1)
        except (StateError, DiskError):
            refused += 1
    assert 20 < refused < 60


# Disks


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (OSError(errno.ENOSPC, "no", "/secret/path"), DiskFullError, "is full: try again later"),
        (OSError(errno.EDQUOT, "no", "/secret/path"), DiskFullError, "is full: try again later"),
        (sqlite3.OperationalError("database or disk is full"), DiskFullError, "is full"),
        (OSError(errno.EIO, "Input/output error", "/secret/path"), DiskError, "Input/output error"),
        (sqlite3.OperationalError("disk I/O error"), DiskError, "fails: OperationalError"),
    ],
)
def test_what_a_disk_refuses_has_a_type_and_names_no_path(
    error: Exception, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as info, disk_errors():
        raise error
    assert type(info.value) is kind
    assert "/secret" not in str(info.value)


def test_a_disk_that_refuses_changes_nothing_and_says_so_until_it_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with opened(tmp_path) as store:
        keys = add_key(store)
        for module, name in ((os, "fsync"), (os, "replace"), (state, "sync_folder")):
            with monkeypatch.context() as patch:
                patch.setattr(module, name, refuse)
                with pytest.raises(DiskFullError, match="is full"):
                    add_job(store, keys)
            assert store.counts()[QUEUED] == 0
        assert "is full" in store.state.trouble
        store.tick()
        assert store.state.trouble == ""
        assert bodies(tmp_path) == [".key"]
        free = type("Usage", (), {"free": store.largest_reply + uploads.SPARE_BYTES + 9})
        monkeypatch.setattr(uploads.shutil, "disk_usage", lambda folder: free)
        with pytest.raises(DiskFullError, match="there is no room on the disk"):
            add_job(store, keys)
        assert len(store.uploads._arriving) == 0
        store.uploads.check_room(9)


def test_what_a_stranger_says_is_made_printable_and_short() -> None:
    assert printable("no \x1b[2J\nroom\u202e") == "no [2Jroom"
    assert len(printable("x" * 10**6)) == 300


def test_other_keys_than_those_that_multiply_are_refused(tmp_path: Path) -> None:
    with (
        opened(tmp_path) as one,
        pytest.raises(FormatError, match="BgvRelinearizationKey was required"),
    ):
        add_key(one, wire.to_bytes(KEYS.public))
