"""What is arriving: bodies that are counted, hashed, bounded and checked on their way."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from nn.networks.base import Shape
from nn.service import roles
from nn.service.card import ModelCard
from nn.service.frames import is_archive, reading
from nn.service.keyfiles import owner_of, read_evaluation_keys
from nn.service.limits import DiskFullError, Limits, ServiceFullError, disk_errors
from nn.service.state import UPLOAD, State
from yashe.errors import FormatError, KeyMismatchError
from yashe.schemes.bgv import BGV
from yashe.wire.bits import packed_bytes
from yashe.wire.envelope import CIPHERTEXTS, SEEDED_CIPHERTEXTS, FrameReader
from yashe.wire.header import Contents, read_contents

FRAME_BYTES = 2**15  # around the bodies of a run, at most
SPARE_BYTES = 2**22  # that stay free on the disk, for the database
ARCHIVE, FRAME = 0, 1  # kinds of keys: for one image at once, and for batches


def largest_bytes(card: ModelCard, limits: Limits) -> tuple[int, int, int]:
    """Return how many bytes a key, encrypted images and a reply take at most."""
    params, single = card.params, card.single is not None

    def body(kind: int, degree: int, shape: Shape) -> int:
        return Contents(kind, params, "0" * 32, BGV(params), degree, shape).body_bytes

    # A key for batches has two polynomials for each prime, if none of them are seeds.
    polynomials = card.key_plan.polynomials if single else 2 * params.k
    key = polynomials * packed_bytes(params.n, params.moduli)
    batches = limits.images if single else limits.batches
    # Without keys nobody has relinearised it, however many squares there were.
    degree = 1 if card.needs_keys and not single else BGV.largest_degree
    images = body(SEEDED_CIPHERTEXTS if single else CIPHERTEXTS, 1, (batches, *card.inputs))
    reply = body(CIPHERTEXTS, degree, (batches, *card.outputs))
    runs = len(card.runs)
    return runs * (key + FRAME_BYTES), runs * (images + FRAME_BYTES), runs * (reply + FRAME_BYTES)


@dataclass(frozen=True)
class Accepted:
    """What keys and images have to be.

    Attributes
    ----------
    cards : of the network, by mode
    limits : of the server
    """

    cards: Mapping[str, ModelCard]
    limits: Limits

    @property
    def keyless(self) -> bool:
        """Whether batches need no keys."""
        return "batch" in self.cards and not self.cards["batch"].needs_keys

    @property
    def largest_bytes(self) -> tuple[int, int, int]:
        """How many bytes a key, encrypted images and a reply take at most."""
        sizes = [largest_bytes(card, self.limits) for card in self.cards.values()]
        key, job, reply = map(max, zip(*sizes, strict=True))
        return key, job, reply

    def card(self, kind: int) -> ModelCard:
        """Return the card that keys of a kind are for.

        Raises
        ------
        FormatError
            If this mode is not offered.
        """
        mode = "single" if kind == ARCHIVE else "batch"
        if mode not in self.cards:
            raise FormatError(f"keys for mode {', '.join(self.cards)} are accepted, not for {mode}")
        return self.cards[mode]

    def check_key(self, file: BinaryIO) -> tuple[int, str]:
        """Return the kind of a key and the id of its set; an archive has several ids.

        Raises
        ------
        FormatError, KeyMismatchError
            If it is no key for the network in a mode that is offered and needs keys.
        """
        kind = ARCHIVE if is_archive(file) or "batch" not in self.cards else FRAME
        if kind == FRAME and self.keyless:
            raise KeyMismatchError("batches need no keys here: send images alone, POST /jobs")
        keys = read_evaluation_keys(file, self.card(kind))
        return kind, " ".join(str(owner_of(key)[1]) for key in keys)

    def check_images(self, file: BinaryIO, kind: int, key_id: str | None) -> None:
        """Refuse what is not worth queueing, also for a wrong hash.

        Raises
        ------
        FormatError, KeyMismatchError
        """
        card, ids = self.card(kind), [None] if key_id is None else key_id.split()
        single = card.single is not None
        most = self.limits.images if single else self.limits.batches
        with reading(file, card.frames) as streams:
            for stream, params, run_id in zip(streams, card.runs, ids, strict=True):
                frame = FrameReader(stream)
                contents = read_contents(frame, params)
                roles.check_images(contents, card.inputs, run_id, seeded=single)
                if contents.shape[0] > most:
                    raise FormatError(
                        f"{contents.shape[0]} {'images' if single else 'batches'} in one job, and "
                        f"at most {most} are accepted: send several jobs"
                    )
                frame.verify()


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
