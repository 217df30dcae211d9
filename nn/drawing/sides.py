"""The two sides of one encrypted digit: a client with the keys, and processes that have none.

    with Client(pretrained("cryptonets")) as client:
        answer = client.ask(image)

Server and client exchange bytes: once the public keys, then a file of `nn.service.roles` for each
image and one for each reply. There is a process of the server's for every plaintext modulus, so
that two cores share the work (`nn.cluster.runs` says why not threads).
"""

from __future__ import annotations

import io
import time
import zipfile
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nn.cluster.runs import process_each
from nn.drawing.strokes import WHITE
from nn.networks.model import Sequential
from nn.planning.plan import make_plan
from nn.planning.planned import Plan
from nn.service import roles
from nn.service.card import ModelCard
from nn.service.frames import frame_name
from nn.service.keyfiles import read_evaluation_keys, write_evaluation_keys
from nn.training.quantize import quantize_pixels
from yashe import wire
from yashe.arithmetic.parallel import workers
from yashe.ciphertexts.array import Ciphertext
from yashe.schemes.bgv import BGV


@dataclass(frozen=True)
class Answer:
    """What came back, what it took, and what the server saw.

    Attributes
    ----------
    logits : int64 array, one for each class, decrypted
    pixels : int64 array (height, width): the image as the network gets it, 0..levels
    encrypt_seconds, server_seconds, decrypt_seconds : wall-clock time
    upload, reply : the bytes that went to the server and came from it
    budget_bits : measured noise budget of the reply
    """

    logits: NDArray[np.int64]
    pixels: NDArray[np.int64]
    encrypt_seconds: float
    server_seconds: float
    decrypt_seconds: float
    upload: bytes
    reply: bytes
    budget_bits: float


class Client:
    """Has the keys, and a server of its own that has none; a context manager.

    Parameters
    ----------
    model : a network of one image at once

    Attributes
    ----------
    card, plan : what client and server have agreed upon
    key_bytes : size of what the server needs of the keys

    Raises
    ------
    PackingError
        If the slots do not hold the network.
    """

    def __init__(self, model: Sequential) -> None:
        self.plan = make_plan(model, mode="single")
        self.card = ModelCard.of_plan(self.plan)
        self._schemes = [BGV(params) for params in self.card.runs]
        made, keys = [scheme.keygen() for scheme in self._schemes], io.BytesIO()
        self._secrets = [one.secret for one in made]
        write_evaluation_keys(keys, self.card, made)
        self.key_bytes = len(keys.getvalue())
        own = (self.plan, self.card, keys.getvalue())
        self._stack = ExitStack()
        self._servers = self._stack.enter_context(
            process_each(Server, [(number, *own) for number in range(len(self.plan.runs))])
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *reason: object) -> None:
        self._stack.close()

    def __repr__(self) -> str:
        return f"Client({self.card.name!r}, {self.plan!r})"

    def ask(self, image: NDArray[np.uint8]) -> Answer:
        """Encrypt an image, let the server classify it, and decrypt its answer.

        Parameters
        ----------
        image : uint8 array (height, width), 255 is white

        Raises
        ------
        DataError
            If it has another shape.
        WorkersLostError
            If a process of the server's has died.
        """
        marks, upload, reply = [time.perf_counter()], io.BytesIO(), io.BytesIO()
        with workers(len(self.plan.runs)):
            roles.encrypt(upload, self.card, self._secrets, image[None, ..., None], WHITE)
        marks.append(time.perf_counter())
        with zipfile.ZipFile(reply, "w") as archive:
            frames = self._servers("serve", frames_of(upload.getvalue()))
            for number, frame in enumerate(frames, 1):
                archive.writestr(frame_name(number), frame)
        marks.append(time.perf_counter())
        logits = roles.decrypt(reply, self.card, self._secrets)[0]
        marks.append(time.perf_counter())
        encrypt, server, decrypt = np.diff(marks).tolist()
        pixels = quantize_pixels(image, WHITE, self.card.levels)
        sent = upload.getvalue(), reply.getvalue()
        return Answer(logits, pixels, encrypt, server, decrypt, *sent, self._budget(sent[1]))

    def _budget(self, reply: bytes) -> float:
        """Measure the least noise budget of a reply, which takes the secret keys."""
        pairs = zip(self._schemes, frames_of(reply), self._secrets, strict=True)
        return min(
            float(scheme.noise_budget(wire.from_bytes(frame, Ciphertext), secret).min())
            for scheme, frame, secret in pairs
        )


def frames_of(content: bytes) -> list[bytes]:
    """Return the frames of an archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [archive.read(name) for name in archive.namelist()]


class Server:
    """The server's part of a run: it knows the network, the public keys, and what it is sent."""

    def __init__(self, number: int, plan: Plan, card: ModelCard, keys: bytes) -> None:
        self._run = plan.runs[number]
        self._run.program.prepare()
        self._keys = read_evaluation_keys(io.BytesIO(keys), card)[number]

    def __repr__(self) -> str:
        return f"Server({self._run!r})"

    def serve(self, frame: bytes) -> bytes:
        """Return the reply to an encrypted image."""
        reply = io.BytesIO()
        roles.classify_run(io.BytesIO(frame), reply, self._run, self._keys)
        return reply.getvalue()
