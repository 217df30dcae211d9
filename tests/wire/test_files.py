"""Where files go out and bytes come in: what is written over, what is refused, what is left."""

import io
import os
import socket
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices import device
from yashe import wire
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import SecretKey
from yashe.errors import FormatError
from yashe.parameters.sets import INSECURE_TOY
from yashe.schemes.bfv import BFV
from yashe.wire.files import read_input, whole_file
from yashe.wire.streams import CiphertextReader

POSIX = pytest.mark.skipif(os.name != "posix", reason="devices and links of POSIX")
KEYS = BFV(INSECURE_TOY).keygen(bytes(32))
FRESH = BFV(INSECURE_TOY).encrypt(np.arange(12).reshape(6, 2), KEYS.secret)


def write(path: str | Path, content: bytes = b"new") -> None:
    with whole_file(path) as file:
        file.write(content)


@pytest.mark.parametrize("private", [False, True])
def test_nothing_is_written_over_a_key(tmp_path: Path, private: bool) -> None:
    path = tmp_path / "some.key"
    if private:
        wire.save_secret_key(path, KEYS.secret)
    else:
        wire.save(path, KEYS.public)
    before = path.read_bytes()
    for attempt in (
        lambda: write(path),
        lambda: wire.save(path, FRESH),
        lambda: wire.save(path, KEYS.relinearization),
        lambda: wire.save_secret_key(path, KEYS.secret),
    ):
        with pytest.raises(FormatError, match=r"some.key exists and is a key, .* name another"):
            attempt()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["some.key"]


def test_a_key_that_appears_during_the_work_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "reply.fhe"

    def work() -> None:
        with whole_file(path) as file:
            file.write(b"the work of minutes")
            wire.save_secret_key(path, KEYS.secret)

    with pytest.raises(FormatError, match="is a key"):
        work()
    assert np.array_equal(wire.load_secret_key(path, SecretKey).s.residues, KEYS.secret.s.residues)
    assert os.listdir(tmp_path) == ["reply.fhe"]


def test_ordinary_files_are_written_over_also_those_that_look_like_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for _ in range(3):
        write(path)
        wire.save(path, FRESH)
        wire.save(path, INSECURE_TOY)
    path.write_bytes(wire.to_bytes(KEYS.public)[:11])  # too short to be one
    write(path)
    assert path.read_bytes() == b"new"


@POSIX
def test_symbolic_links_are_refused_and_what_they_lead_to_stays(tmp_path: Path) -> None:
    target, link, dangling = tmp_path / "target", tmp_path / "link", tmp_path / "dangling"
    target.write_bytes(b"old")
    link.symlink_to(target)
    dangling.symlink_to(tmp_path / "absent")
    for path in (link, dangling):
        with pytest.raises(FormatError, match=r"is a symbolic link to .*(target|absent): name"):
            write(path)
        with pytest.raises(FormatError, match="is a symbolic link"):
            wire.save_secret_key(path, KEYS.secret)
        assert path.is_symlink()
    assert target.read_bytes() == b"old"
    assert not (tmp_path / "absent").exists()


@POSIX
def test_pipes_and_devices_are_written_to_and_stay_what_they_are(tmp_path: Path) -> None:
    pipe, seen = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: seen.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write(pipe, b"through the pipe")
    reader.join(timeout=60)
    assert seen == [b"through the pipe"]
    assert pipe.is_fifo()
    null, full = (device(tmp_path, name) for name in ("null", "full"))
    write(null)
    with pytest.raises(FormatError, match="cannot write .*full: No space left"):
        write(full)
    with pytest.raises(FormatError, match="a secret goes into a file of its owner"):
        wire.save_secret_key(null, KEYS.secret)
    assert null.is_char_device()
    assert full.is_char_device()


@POSIX
def test_a_pipe_may_be_reached_through_a_link_as_dev_stdout_is(tmp_path: Path) -> None:
    receiving, sending = os.pipe()
    try:
        link = tmp_path / "stdout"
        link.symlink_to(f"/proc/self/fd/{sending}")
        if not link.exists():
            pytest.skip("no /proc here")
        write(link, b"hello")
        assert os.read(receiving, 100) == b"hello"
        assert link.is_symlink()
    finally:
        os.close(receiving)
        os.close(sending)


def test_what_is_no_place_for_a_file_is_refused_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("", ".", "/", "a\0b", None, 3, b"a"):
        with pytest.raises(FormatError, match="the name of a file was required, got"):
            write(path)  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="it is a folder; name a file"):
        write(tmp_path)
    with pytest.raises(FormatError, match="its folder must exist and be writable"):
        write(tmp_path / "absent" / "file")
    if hasattr(socket, "AF_UNIX"):
        monkeypatch.chdir(tmp_path)  # the name of a socket is short
        with socket.socket(socket.AF_UNIX) as place:
            place.bind("socket")
            with pytest.raises(FormatError, match="it is no ordinary file; name a file"):
                write("socket")
    write(tmp_path / "file")
    with pytest.raises(FormatError, match="cannot write"):
        write(tmp_path / "file" / "inside")


def test_names_as_long_as_the_system_takes_are_written(tmp_path: Path) -> None:
    for length in (245, 255):
        write(tmp_path / ("x" * length))
        assert (tmp_path / ("x" * length)).read_bytes() == b"new"
    with pytest.raises(FormatError, match="too long"):
        write(tmp_path / ("x" * 256))


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if call != "write":
        monkeypatch.setattr(f"yashe.wire.files.os.{call}", full)

    def work() -> None:
        with whole_file(path) as file:
            file.write(b"new")
            if call == "write":
                full()

    with pytest.raises(FormatError, match="cannot write .*file: No space left"):
        work()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"old")]


# Bytes that come in


@POSIX
def test_a_device_that_never_ends_is_read_up_to_the_limit() -> None:
    with pytest.raises(FormatError, match="/dev/zero: at most 1000 bytes are accepted"):
        read_input("/dev/zero", 1000)
    assert read_input("/dev/null", 1000) == b""


def test_a_file_of_the_largest_size_is_read_and_one_byte_more_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(100_000))
    assert read_input(tmp_path / "x", 100_000) == bytes(100_000)
    with pytest.raises(FormatError, match="at most 99999 bytes are accepted"):
        read_input(tmp_path / "x", 99_999)


class Pipe(io.RawIOBase):
    """Bytes that come through a pipe: no seeking, no length."""

    def __init__(self, data: bytes) -> None:
        self._inner = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._inner.readinto(buffer)


def announced(count: int) -> bytes:
    """The head of a frame of ciphertexts that announces so many, and what else there is of it."""
    data = bytearray(wire.to_bytes(FRESH[:1]))
    record = len(wire.to_bytes(FRESH[:2])) - len(data)
    end = len(data) - 32 - record
    data[end - 4 : end] = count.to_bytes(4, "little")
    data[16:24] = (count * record).to_bytes(8, "little")
    return bytes(data[:end])


@pytest.mark.parametrize("count", [10**6, 2**32 - 1])
def test_memory_is_set_aside_for_what_has_arrived_not_for_what_is_announced(count: int) -> None:
    head = announced(count)
    assert len(head) < 200
    pipe = io.BufferedReader(Pipe(head))
    tracemalloc.start()
    try:
        reader = CiphertextReader.open(pipe)
        assert reader.missing == count
        with pytest.raises(FormatError, match="the input is cut off"):
            reader.take(count)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * 2**24  # a block of 16 MiB


def test_ciphertexts_from_a_pipe_are_those_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yashe.wire.streams.BLOCK_BYTES", 1)  # one record at a time
    data = wire.to_bytes(FRESH)
    read = CiphertextReader.open(io.BufferedReader(Pipe(data))).read()
    assert np.array_equal(read.rows, FRESH.rows)
    assert wire.to_bytes(read) == wire.to_bytes(wire.from_bytes(data, Ciphertext)) == data


# What is found before it is used


def test_every_flipped_bit_is_found_before_a_ciphertext_is_used() -> None:
    data = wire.to_bytes(FRESH + 0)
    for at in range(len(data) - 200, len(data), 7):
        damaged = bytearray(data)
        damaged[at] ^= 1
        reader = CiphertextReader.open(io.BytesIO(damaged))
        with pytest.raises(FormatError, match="the hash is wrong"):
            reader.verify()
    for changed, message in ((data + b"x", "something follows"), (data[:-1], "cut off")):
        with pytest.raises(FormatError, match=message):
            CiphertextReader.open(io.BytesIO(changed)).verify()
    with pytest.raises(FormatError, match="a file was required, not a pipe"):
        CiphertextReader.open(io.BufferedReader(Pipe(data))).verify()


def test_a_verified_frame_is_read_as_if_nobody_had_looked() -> None:
    data = b"before" + wire.to_bytes(FRESH)
    stream = io.BytesIO(data)
    stream.seek(6)
    reader = CiphertextReader.open(stream)
    reader.verify()
    first = reader.take(2)
    reader.verify()  # also in the middle
    rest = reader.take(4)
    reader.close()
    assert wire.to_bytes(Ciphertext.concatenate([first, rest])) == wire.to_bytes(FRESH)
