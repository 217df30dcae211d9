"""Where files go out, whole or not at all and never over a key, and where bounded bytes come in."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from yashe.errors import FheError, FormatError
from yashe.wire.envelope import HEADER, holds_key

PRIVATE = 0o600  # its owner reads and writes it, nobody else
ORDINARY = 0o666  # what the user's umask leaves of it
CHUNK_BYTES = 2**16


@contextmanager
def whole_file(path: str | os.PathLike[str], private: bool = False) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only when the body has ended well.

    It is written beside its place under a name that ends in .part, and renamed at the end. An
    interrupted program leaves nothing under the final name, and what was there before stays. Pipes
    and devices like /dev/stdout, which have no half to hide, are written to as they are.

    Parameters
    ----------
    path : where the file shall be
    private : whether it is readable by its owner only (mode 0600, where systems know modes)

    Raises
    ------
    FormatError
        If `check_output` refuses the path, or the disk the file.
    """
    as_it_is, target = check_output(path), Path(path)
    if as_it_is:
        if private:
            raise FormatError(f"a secret goes into a file of its owner, and {target} is none")
        place = os.dup(1) if is_stdout(target) else target
        with _told(f"write {target}"), open(place, "wb") as file:
            yield file
        return
    temporary = target.with_name(f".{secrets.token_hex(8)}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with _told(f"write {target}"):
        try:
            descriptor = os.open(temporary, flags, PRIVATE if private else ORDINARY)
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            check_output(target)  # again: minutes may have passed
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn what the system refuses into a FormatError; errors that say more pass."""
    try:
        yield
    except OSError as error:
        # An error of ours, or a reader at the other end who has seen enough.
        if isinstance(error, (FheError, BrokenPipeError)):
            raise
        raise FormatError(f"cannot {what}: {error.strerror or error}") from error


def check_output(path: str | os.PathLike[str]) -> bool:
    """Refuse to write where something would be destroyed, or where nothing can be written.

    What may be there is an ordinary file that is no key, a pipe, or a device that takes characters.
    A symbolic link is followed to those two only, and to this program's own output wherever that
    goes: what a link hides from its user must not be replaced.

    Returns
    -------
    Whether it is written to as it is, and not replaced.

    Raises
    ------
    FormatError
    """
    check_name(path)
    try:
        mode = os.stat(path).st_mode
    except OSError:
        mode = 0  # there is nothing, or a link to nothing
    if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode) or is_stdout(path):
        return True
    if os.path.islink(path):
        raise FormatError(
            f"{path} is a symbolic link to {os.path.realpath(path)}: name the file itself"
        )
    if mode and not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "no ordinary file"
        raise FormatError(f"cannot write {path}: it is {what}; name a file")
    if not os.access(Path(path).parent, os.W_OK):
        raise FormatError(f"cannot write {path}: its folder must exist and be writable")
    if mode:
        with open_input(path) as file:
            if holds_key(file.read(HEADER.size)):
                raise FormatError(
                    f"{path} exists and is a key, without which what belongs to it could never be "
                    "read again: name another file, or remove it"
                )
    return False


def is_stdout(path: str | os.PathLike[str]) -> bool:
    """Say whether a path, such as /dev/stdout, is a link to this program's own output."""
    try:
        return os.path.islink(path) and os.path.samestat(os.stat(path), os.fstat(1))
    except OSError:
        return False


@contextmanager
def open_input(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for reading; what the system refuses is a FormatError that names it."""
    check_name(path)
    with _told(f"read {path}"), open(path, "rb") as file:
        yield file


def read_input(path: str | os.PathLike[str], most: int) -> bytes:
    """Return what a file holds, at most so many bytes.

    Raises
    ------
    FormatError
        If it holds more, as a device may that never ends, or the system refuses.
    """
    with open_input(path) as file:
        content = read_up_to(file, most + 1)
    if len(content) > most:
        raise FormatError(f"{path}: at most {most} bytes are accepted, and it has more")
    return content


def read_up_to(stream: IO[bytes], most: int) -> bytes:
    """Return the next bytes, at most so many; memory is set aside for what has really arrived."""
    content = bytearray()
    while piece := stream.read(min(most - len(content), CHUNK_BYTES)):
        content += piece
    return bytes(content)


def check_name(path: str | os.PathLike[str]) -> None:
    """Refuse a path that cannot be that of a file.

    Raises
    ------
    FormatError
    """
    name = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(name, str) or not Path(name).name or "\0" in name:
        raise FormatError(f"the name of a file was required, got {name!r}")


def check_private(path: str | os.PathLike[str]) -> None:
    """Refuse a file that others than its owner may read.

    Raises
    ------
    FormatError
    """
    check_name(path)
    with _told(f"read {path}"):
        mode = os.stat(path).st_mode
    if os.name == "posix" and mode & 0o077:
        raise FormatError(
            f"{path} holds a secret, and its mode {mode & 0o777:04o} lets others use it; "
            f"0600 was required: chmod 600 {path}"
        )
