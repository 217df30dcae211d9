"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from yashe.errors import FheError, FormatError

PRIVATE = 0o600  # its owner reads and writes it, nobody else
ORDINARY = 0o666  # what the user's umask leaves of it


@contextmanager
def whole_file(path: str | os.PathLike[str], private: bool = False) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only when the body has ended well.

    It is written beside its place under a name that ends in .part, and renamed at the end. An
    interrupted program leaves nothing under the final name, and what was there before stays.

    Parameters
    ----------
    path : where the file shall be
    private : whether it is readable by its owner only (mode 0600, where systems know modes)

    Raises
    ------
    FormatError
        If the folder does not exist or the disk refuses.
    """
    target = Path(path)
    check_name(target)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(temporary, flags, PRIVATE if private else ORDINARY)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if isinstance(error, FheError):  # an error of the body that says more
            raise
        raise FormatError(f"cannot write {target}: {error.strerror or error}") from error


@contextmanager
def open_input(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for reading; what the system refuses is a FormatError that names it."""
    check_name(path)
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        # An error of the body that says more, or is about what the body writes.
        if isinstance(error, (FheError, BrokenPipeError)):
            raise
        raise FormatError(f"cannot read {path}: {error.strerror or error}") from error


def check_name(path: str | os.PathLike[str]) -> None:
    """Refuse a path that cannot be that of a file.

    Raises
    ------
    FormatError
    """
    if not Path(path).name or "\0" in os.fspath(path):
        raise FormatError(f"the name of a file was required, got {os.fspath(path)!r}")


def check_private(path: str | os.PathLike[str]) -> None:
    """Refuse a file that others than its owner may read.

    Raises
    ------
    FormatError
    """
    check_name(path)
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror or error}") from error
    if os.name == "posix" and mode & 0o077:
        raise FormatError(
            f"{path} holds a secret, and its mode {mode & 0o777:04o} lets others use it; "
            f"0600 was required: chmod 600 {path}"
        )
