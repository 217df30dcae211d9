"""Client and server as two programs with a file between them: what each takes when it is alone."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from nn.bench.seal import in_processes
from nn.experiment import peak_memory_bytes
from nn.networks.pretrained import pretrained
from nn.service import keyfiles, roles
from nn.service.card import ModelCard
from yashe.arithmetic.parallel import workers
from yashe.arithmetic.residues import IntArray
from yashe.errors import ExactnessError

KEYS, IMAGES, REPLY = "keys", "images.fhe", "reply.fhe"


def two_programs(name: str, pixels: IntArray, threads: int) -> dict[str, Any]:
    """Do what `cryptonets encrypt` and `cryptonets infer` do, and print and return what it takes.

    Parameters
    ----------
    name : of a pretrained network
    pixels : int64 images; repeated to fill a batch
    threads : of either program

    Returns
    -------
    dict with `seconds` and `peak_memory_bytes` of the client and of the server

    Raises
    ------
    ExactnessError
        If a logit is not that of the integer network.
    """
    model = pretrained(name)
    card = ModelCard.of(model)
    pixels = np.resize(pixels, (card.params.n, *pixels.shape[1:]))
    with TemporaryDirectory() as place:
        folder = Path(place)
        keyfiles.keygen(folder / KEYS, card)
        (client,) = in_processes([(folder, pixels, model.info.levels, threads)], _client)
        (server,) = in_processes([(folder, name, threads)], _server)
        with (folder / REPLY).open("rb") as file:
            keys = keyfiles.load_secret_keys(folder / KEYS, card)
            logits = roles.decrypt(file, card, keys, len(pixels))
    wrong = int((logits != model.forward(pixels)).any(axis=1).sum())
    if wrong:
        raise ExactnessError(f"{name}, from file to file: {wrong} images have wrong logits")
    for who, facts in (("client", client), ("server", server)):
        memory = (facts["peak_memory_bytes"] or 0) / 1e9
        print(f"  {who} alone, from file to file: {facts['seconds']:.2f} s, {memory:.2f} GB")
    return {"client": client, "server": server}


def _client(folder: Path, pixels: IntArray, white: int, threads: int) -> dict[str, Any]:
    """Encrypt images into a file."""
    card = keyfiles.load_card(folder / KEYS)
    keys, begin = keyfiles.load_encryption_keys(folder / KEYS, card), time.perf_counter()
    with workers(threads), (folder / IMAGES).open("wb") as file:
        roles.encrypt(file, card, keys, pixels, white)
    return _facts(begin)


def _server(folder: Path, name: str, threads: int) -> dict[str, Any]:
    """Classify the images of a file."""
    network, keys = keyfiles.load_evaluation_keys(folder / KEYS / keyfiles.PUBLIC, pretrained(name))
    begin = time.perf_counter()
    with (
        workers(threads),
        (folder / IMAGES).open("rb") as source,
        (folder / REPLY).open("wb") as target,
    ):
        roles.classify(source, target, network, keys)
    return _facts(begin)


def _facts(begin: float) -> dict[str, Any]:
    return {"seconds": time.perf_counter() - begin, "peak_memory_bytes": peak_memory_bytes()}
