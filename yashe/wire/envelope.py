"""Frames: the envelope of everything that is written to a file or sent.

    offset  bytes  content (numbers are little-endian and unsigned)
         0      8  89 46 48 45 0D 0A 1A 0A: what follows is of this format and was not sent as text
         8      2  version, 1
        10      2  kind of the content; all but 1, 4 and 5 are keys, those from 128 on secret ones
        12      4  length D of the description, at most 4096
        16      8  length B of the body
        24     32  parameter hash
        56      D  description
    56 + D      B  body
    56+D+B     32  SHA-256 of all bytes before

The hash at the end finds accidents. It is no signature: whoever changes a frame on purpose computes
the hash again. So a reader believes nothing: lengths are compared with limits, and with the bytes
that are there, before anything is allocated. What stands in descriptions and bodies is the matter
of `yashe.wire`; docs/wire-format.md describes every byte.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from yashe.errors import FheError, FormatError, ParameterError

MAGIC = b"\x89FHE\r\n\x1a\n"
VERSION = 1
HEADER = struct.Struct("<8sHHIQ32s")
HASH_BYTES = 32
LARGEST_DESCRIPTION = 4096
PARAMETERS, CIPHERTEXTS, SEEDED_CIPHERTEXTS = 1, 4, 5  # all other kinds are keys
FIRST_SECRET_KIND = 128
CHUNK_BYTES = 2**20


def holds_key(head: bytes) -> bool:
    """Say whether a file that begins like this is the frame of a key, public or secret."""
    if len(head) < HEADER.size or not head.startswith(MAGIC):
        return False
    kind = HEADER.unpack(head[: HEADER.size])[2]
    return kind not in (PARAMETERS, CIPHERTEXTS, SEEDED_CIPHERTEXTS)


class FrameWriter:
    """Writes one frame: the header, then the body piece by piece, then the hash.

    The header waits for the first piece: if that is refused, nothing has been written.

    Parameters
    ----------
    stream : where to write
    kind, digest, description : as in the module docstring; the digest is the parameter hash
    body_bytes : how long the body will be
    """

    def __init__(
        self, stream: BinaryIO, kind: int, digest: bytes, description: bytes, body_bytes: int
    ) -> None:
        self._stream, self._hash, self._missing = stream, hashlib.sha256(), body_bytes
        header = HEADER.pack(MAGIC, VERSION, kind, len(description), body_bytes, digest)
        self._head = header + description

    def _put(self, data: bytes | memoryview) -> None:
        for piece in (self._head, data):
            if piece:
                self._hash.update(piece)
                self._stream.write(piece)
        self._head = b""

    def write(self, data: bytes | memoryview) -> None:
        """Append to the body.

        Raises
        ------
        ParameterError
            If the body becomes longer than was announced.
        """
        if len(data) > self._missing:
            raise ParameterError(
                f"the body of this frame takes {self._missing} more bytes, got {len(data)}"
            )
        self._missing -= len(data)
        self._put(data)

    def close(self) -> None:
        """Write the hash.

        Raises
        ------
        ParameterError
            If the body is shorter than was announced.
        """
        if self._missing:
            raise ParameterError(f"the body of this frame still lacks {self._missing} bytes")
        self._put(b"")  # the header, of a frame without a body
        self._stream.write(self._hash.digest())


class FrameReader:
    """Reads one frame: the header at once, then the body piece by piece, then the hash.

    Parameters
    ----------
    stream : where to read

    Attributes
    ----------
    kind, digest, description, body_bytes : what the header says

    Raises
    ------
    FormatError
        If this is no frame, one of another version, or one whose lengths cannot be right.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._hash = stream, hashlib.sha256()
        # Without its folder: messages may go to somebody else's client.
        self._name = os.path.basename(str(getattr(stream, "name", "the input")))
        self._offset = 0
        header = self._take(HEADER.size, "the header")
        magic, version, kind, description_bytes, body_bytes, digest = HEADER.unpack(header)
        if magic != MAGIC:
            raise self.error(f"a frame begins with {MAGIC.hex()}, got {magic.hex()}", at=0)
        if version != VERSION:
            raise self.error(f"version {version}, and this program reads {VERSION} only", at=8)
        if description_bytes > LARGEST_DESCRIPTION:
            raise self.error(
                f"a description of {description_bytes} bytes, at most {LARGEST_DESCRIPTION} are "
                "accepted",
                at=12,
            )
        self.kind, self.digest, self.body_bytes = int(kind), bytes(digest), int(body_bytes)
        present = self.remaining()
        needed = description_bytes + self.body_bytes + HASH_BYTES
        if present is not None and present < needed:
            raise self.error(
                f"the header announces {needed} more bytes, {present} are there: the file is cut "
                "off, get it again"
            )
        self.description = self._take(description_bytes, "the description")
        self._at, self._missing = 0, self.body_bytes

    def fields(self, form: str) -> tuple[Any, ...]:
        """Return the next fields of the description, in the notation of the module struct.

        Raises
        ------
        FormatError
            If it is too short for them.
        """
        size = struct.calcsize("<" + form)
        data = self.description[self._at : self._at + size]
        if len(data) < size:
            raise self.error("the description is too short", at=HEADER.size + self._at)
        self._at += size
        return struct.unpack("<" + form, data)

    def end_description(self) -> None:
        """Refuse a description that goes on.

        Raises
        ------
        FormatError
        """
        if self._at < len(self.description):
            raise self.error("the description is too long", at=HEADER.size + self._at)

    def error(self, problem: str, at: int | None = None) -> FormatError:
        """Return an error that says what is wrong and where."""
        return FormatError(f"{self._name}, byte {self._offset if at is None else at}: {problem}")

    @contextmanager
    def refusing(self, what: str = "") -> Iterator[None]:
        """Turn what is refused inside into an error of this frame."""
        try:
            yield
        except FheError as error:
            raise self.error(f"{what}{error}") from error

    def remaining(self) -> int | None:
        """Return how many bytes the stream still has, or None if it cannot tell."""
        if not self._stream.seekable():
            return None
        here = self._stream.tell()
        end = self._stream.seek(0, io.SEEK_END)
        self._stream.seek(here)
        return end - here

    def _take(self, count: int, what: str) -> bytes:
        """Read exactly so many bytes."""
        pieces, missing = [], count
        while missing and (piece := self._stream.read(missing)):
            pieces.append(piece)
            missing -= len(piece)
        data = b"".join(pieces)
        if missing:
            raise self.error(
                f"{what} takes {count} bytes, {len(data)} are there: the input is cut off"
            )
        self._offset += count
        self._hash.update(data)
        return data

    def read(self, count: int, what: str) -> bytes:
        """Return the next bytes of the body.

        Raises
        ------
        FormatError
            If the body, or the stream, has fewer.
        """
        if count > self._missing:
            raise self.error(f"{what} takes {count} bytes, the body has {self._missing} left")
        self._missing -= count
        return self._take(count, what)

    def verify(self) -> None:
        """Check the hash and the end now, before anything of the body is used.

        Raises
        ------
        FormatError
            If they are wrong, or the stream cannot seek back.
        """
        if not self._stream.seekable():
            raise self.error(
                "a file was required, not a pipe: all of it is checked before any of it is used"
            )
        here, state = self._stream.tell(), (self._hash.copy(), self._offset, self._missing)
        while self._missing:
            self.read(min(self._missing, CHUNK_BYTES), "the body")
        self.close()
        self._stream.seek(here)
        self._hash, self._offset, self._missing = state

    def close(self) -> None:
        """Check that the frame and the stream end here, and the hash.

        Raises
        ------
        FormatError
        """
        if self._missing:
            raise self.error(f"the body has {self._missing} bytes too many")
        computed = self._hash.digest()
        if self._take(HASH_BYTES, "the hash") != computed:
            raise self.error("the hash is wrong: the file is damaged, get it again")
        if self._stream.read(1):
            raise self.error("something follows the end of the frame")
