"""What is arriving: bodies that are counted, hashed and bounded on their way to the disk."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from nn.service import single
from nn.service.card import ModelCard
from nn.service.limits import DiskFullError, ServiceFullError, disk_errors
from nn.service.state import UPLOAD, State
from yashe.arithmetic.sampling import SEED_BYTES
from yashe.ciphertexts.keys import BgvRelinearizationKey
from yashe.errors import FormatError
from yashe.schemes.bgv import BGV
from yashe.wire.envelope import CIPHERTEXTS
from yashe.wire.header import KEY_FORMS, Contents

SPARE_BYTES = 2**22  # that stay free on the disk, for the database
# The keys that may be registered, by the kinds of their frames.
ACCEPTED_KEYS = {form.kind: form for form in KEY_FORMS if form.type is BgvRelinearizationKey}


def largest_bytes(card: ModelCard, batches: int) -> tuple[int, int, int]:
    """Return how many bytes keys, encrypted images and a reply take at most."""
    if card.single is not None:
        return single.largest_bytes(card, batches)
    params = card.params
    heads = [
        Contents(kind, params, "0" * 32, rho=bytes(SEED_BYTES) if form.halves else b"")
        for kind, form in ACCEPTED_KEYS.items()
    ]
    heads += [
        Contents(CIPHERTEXTS, params, "0" * 32, BGV(params), degree, (batches, *shape))
        for degree, shape in (
            (1, card.input_shape),
            (1 if card.needs_keys else 2, (card.classes,)),  # then nobody has relinearised it
        )
    ]
    *keys, job, reply = (head.body_bytes + single.FRAME_BYTES for head in heads)
    return max(keys), job, reply


@dataclass
class Upload:
    """A body that arrives: counted and hashed on its way to the disk.

    Attributes
    ----------
    path : of its file
    announced : how many bytes it has to have
    size : how many have come
    hash : of them
    """

    path: Path
    announced: int
    size: int = 0
    hash: hashlib._Hash = field(default_factory=hashlib.sha256, repr=False)

    @contextmanager
    def complete(self) -> Iterator[BinaryIO]:
        """Open the file for reading, when it is whole and on the disk.

        Raises
        ------
        FormatError
            If it is shorter than announced.
        """
        if self.size != self.announced:
            raise FormatError(f"{self.announced} bytes were announced, {self.size} came")
        with disk_errors(), self.path.open("r+b") as file:
            os.fsync(file.fileno())
            yield file


class Uploads:
    """The bodies that are arriving at the same time.

    Parameters
    ----------
    state : whose folder takes them
    most_bytes : how much may have come of all of them
    spare_bytes : that stay free on the disk, for a reply
    """

    def __init__(self, state: State, most_bytes: int, spare_bytes: int) -> None:
        self._state, self._most, self._spare = state, most_bytes, spare_bytes + SPARE_BYTES
        self._arriving: list[Upload] = []

    def check_room(self, size: int = 0) -> None:
        """Refuse what would leave no room on the disk for a reply and the database.

        Raises
        ------
        DiskFullError
        """
        with disk_errors():
            free = shutil.disk_usage(self._state.folder).free
        if free < size + self._spare:
            raise DiskFullError("there is no room on the disk of the server: try again later")

    @contextmanager
    def receive(self, announced: int) -> Iterator[Upload]:
        """Yield a body to append to; it is gone at the end, unless it has been taken over."""
        self.check_room(announced)
        upload = Upload(self._state.bodies / (secrets.token_hex(16) + UPLOAD), announced)
        self._arriving.append(upload)
        try:
            with disk_errors():
                upload.path.touch(exist_ok=False)
            yield upload
        finally:
            self._arriving.remove(upload)
            upload.path.unlink(missing_ok=True)

    def append(self, upload: Upload, data: bytes) -> None:
        """Write a piece of a body.

        Raises
        ------
        FormatError
            If it is longer than announced.
        ServiceFullError
            If too much is arriving; what has only been announced does not count.
        DiskError
        """
        if upload.size + len(data) > upload.announced:
            raise FormatError(f"{upload.announced} bytes were announced, more have come")
        upload.size += len(data)
        if sum(other.size for other in self._arriving) > self._most:
            raise ServiceFullError("too much is arriving at the same time: try again later")
        with disk_errors(), upload.path.open("ab") as file:
            file.write(data)
        upload.hash.update(data)
