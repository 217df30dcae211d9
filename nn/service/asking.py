"""The keys of a client who asks a service, for batches or for one image at once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypeAlias

from nn.service import roles, single
from nn.service.card import ModelCard
from yashe import wire
from yashe.ciphertexts.keys import Pair, SecretKey
from yashe.errors import KeyMismatchError
from yashe.parameters.sets import Params
from yashe.schemes.bgv import BGV

CHUNK_BYTES = 2**20

# A secret and an evaluation key, or None if the server needs none; for one image at once the secret
# key of every run, and a file.
AskingKeys: TypeAlias = tuple[SecretKey, Pair | None] | tuple[list[SecretKey], Path]


def fresh_keys(card: ModelCard, folder: Path) -> AskingKeys:
    """Return new keys for a card; for one image at once those of the server are a file."""
    made = [BGV(params).keygen() for params in card.runs]
    if card.single is None:
        return made[0].secret, made[0].relinearization if card.needs_keys else None
    secrets, path = [keys.secret for keys in made], folder / roles.EVALUATION
    with path.open("wb") as file:
        single.write_server_keys(file, card, secrets)
    return secrets, path


def key_digest(key: Pair | Path) -> str:
    """Return the id by which a server knows an evaluation key."""
    if isinstance(key, Path):
        return file_digest(key)
    return hashlib.sha256(wire.to_bytes(key)).hexdigest()


def mode_of(keys: AskingKeys | None, mode: str) -> str:
    """Return the mode that keys are for, if it may be any and there are keys."""
    if mode != "auto" or keys is None:
        return mode
    return "single" if isinstance(keys[0], list) else "batch"


def kept_keys(folder: Path, card: ModelCard) -> AskingKeys:
    """Return the keys of a folder, which are made if there are none.

    Raises
    ------
    KeyMismatchError
        If they are for another card.
    """
    if not (folder / roles.SECRET).exists():
        roles.keygen(folder, card)
    own = roles.load_card(folder)
    if own.params.digest != card.params.digest:
        raise KeyMismatchError(
            f"the keys in {folder} are for {own.name}, mode {own.mode}, and not for the server's "
            f"{card.name}, mode {card.mode}: name another folder, and new ones are made there"
        )
    secrets = roles.load_secret_keys(folder, card)
    if card.single is None:
        key = roles.load_evaluation_key(folder / roles.PUBLIC)
        return secrets[0], None if isinstance(key, Params) else key
    return secrets, folder / roles.PUBLIC / roles.EVALUATION


def check_keys(card: ModelCard, keys: SecretKey | Pair | list[SecretKey]) -> None:
    """Refuse keys that are not for the parameters of a card, each for those of its run."""
    given = keys if isinstance(keys, list) else [keys]
    if [key.params.digest for key in given] != [params.digest for params in card.runs]:
        raise KeyMismatchError(
            f"the keys are for {given[0].params!r}, the server's network needs {card.params!r}: "
            "make new ones"
        )


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
