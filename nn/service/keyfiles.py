"""The files of keys: what `cryptonets keygen` writes, and what each side reads of it.

    keys/secret.key              stays with the client; secret-2.key, ... for further runs
    keys/public/public.key       with which others encrypt, if the client wishes that
    keys/public/evaluation.key   with which a server computes, if the network needs it
    keys/public/model.json       the card that the keys are for

For batches an evaluation key is one frame, for one image at once an archive (`nn.service.frames`).
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

from nn.networks.model import Sequential
from nn.planning.packed import ServerKeys
from nn.planning.plan import Plan, make_plan
from nn.planning.single import KeyPlan
from nn.service.card import LARGEST_CARD_BYTES, ModelCard
from nn.service.frames import frame_name, is_archive, reading, writing
from yashe import wire
from yashe.ciphertexts.keys import (
    BgvPublicKey,
    BgvRelinearizationKey,
    BgvRotationKeys,
    Key,
    Keys,
    Pair,
    SecretKey,
    check_key,
)
from yashe.errors import DataError, FheError, FormatError, KeyMismatchError
from yashe.parameters.sets import Params
from yashe.schemes.bgv import BGV
from yashe.wire.files import open_input, read_input, whole_file

SECRET, PUBLIC = "secret.key", "public"
ENCRYPTION, EVALUATION, CARD = "public.key", "evaluation.key", "model.json"
CHUNK_BYTES = 2**20

# What a server needs to compute a run; the parameters, if the network needs no key.
EvaluationKey: TypeAlias = Key | ServerKeys | Params
# The secret key of every run, and the evaluation keys or their file; None if there need be none.
AskingKeys: TypeAlias = tuple[SecretKey | list[SecretKey], Pair | Path | None]


def keygen(folder: Path, card: ModelCard, public_key: bool = False) -> None:
    """Make keys for a network: the secret one in `folder`, all others in `folder/public`.

    Parameters
    ----------
    folder : made if it does not exist
    card : of the network
    public_key : whether there shall be one, with which others encrypt, and servers flood

    Raises
    ------
    DataError
        If there are keys already: what is encrypted under them would be lost.

    Notes
    -----
    All is written into a folder that ends in .part, and moved when it is complete: first `public`,
    which only one of several programs can do at the same time, then the secret keys.
    """
    # The order in which they appear: `public` first, secret keys behind it, the first of them last.
    names = [PUBLIC, *(secret_name(number) for number in range(len(card.runs), 0, -1))]
    part = folder / f".{secrets.token_hex(8)}.part"
    try:
        for path in (folder / name for name in reversed(names)):
            empty = path.is_dir() and not any(path.iterdir())
            if path.exists() and not empty:
                raise DataError(
                    f"{path} exists, and whatever is encrypted under its keys could never be read "
                    "again: name another folder, or remove it"
                )
        made = [BGV(params).keygen() for params in card.runs]
        (part / PUBLIC).mkdir(parents=True)
        for number, keys in enumerate(made, 1):
            wire.save_secret_key(part / secret_name(number), keys.secret)
        if public_key:
            wire.save(part / PUBLIC / ENCRYPTION, made[0].public)
        if card.needs_keys:
            with whole_file(part / PUBLIC / EVALUATION) as file:
                write_evaluation_keys(file, card, made)
        with whole_file(part / PUBLIC / CARD) as file:
            file.write(card.to_json().encode())
        try:
            for name in names:  # the system refuses to replace a folder with files
                (part / name).rename(folder / name)
        except BaseException:
            for name in names:
                if not (part / name).exists():  # what is there now is ours
                    (folder / name).rename(part / name)
            raise
    except OSError as error:
        if isinstance(error, FheError):
            raise
        raise DataError(f"cannot make keys in {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def secret_name(number: int) -> str:
    """Return the file of the secret key of a run; there are several for one image at once."""
    return SECRET if number == 1 else f"secret-{number}.key"


def load_card(folder: Path, insecure: bool = False) -> ModelCard:
    """Read the model card of a folder of keys."""
    path = folder / PUBLIC / CARD
    return read_card(path if path.exists() else folder / CARD, insecure)


def read_card(path: Path, insecure: bool = False) -> ModelCard:
    """Read a model card from its file."""
    return ModelCard.from_json(read_input(path, LARGEST_CARD_BYTES), insecure)


# What a client reads.


def load_secret_keys(folder: Path, card: ModelCard) -> list[SecretKey]:
    """Return the secret key of every run of a card.

    Raises
    ------
    KeyMismatchError
        If one is not for the card's parameters.
    """
    found = []
    for number, params in enumerate(card.runs, 1):
        path = folder / secret_name(number)
        key = wire.load_secret_key(path, SecretKey)
        if key.params.digest != params.digest:
            raise KeyMismatchError(f"{path} is not for the parameters of {CARD}")
        found.append(key)
    return found


def load_encryption_keys(folder: Path, card: ModelCard) -> list[SecretKey] | list[BgvPublicKey]:
    """Return the secret keys of a folder, with which its owner encrypts, or else the public one."""
    if card.single is not None or (folder / SECRET).exists():
        return load_secret_keys(folder, card)
    inner = folder / PUBLIC / ENCRYPTION
    path = inner if inner.exists() else folder / ENCRYPTION
    return [wire.load(path, BgvPublicKey, card.params)]


def kept_keys(folder: Path, card: ModelCard) -> AskingKeys:
    """Return the keys of a folder, for a card of a server; they are made if there are none.

    Raises
    ------
    KeyMismatchError
        If they are for another card.
    """
    if not (folder / SECRET).exists():
        keygen(folder, card)
    own = load_card(folder)
    if own.params.digest != card.params.digest:
        raise KeyMismatchError(
            f"the keys in {folder} are for {own.name}, mode {own.mode}, and not for the server's "
            f"{card.name}, mode {card.mode}: name another folder, and new ones are made there"
        )
    evaluation = folder / PUBLIC / EVALUATION
    return load_secret_keys(folder, card), evaluation if card.needs_keys else None


def fresh_keys(card: ModelCard, folder: Path) -> AskingKeys:
    """Return new keys for a card; in the folder is only what is for a server."""
    made, path = [BGV(params).keygen() for params in card.runs], None
    if card.needs_keys:
        path = folder / EVALUATION
        with path.open("wb") as file:
            write_evaluation_keys(file, card, made)
    return [keys.secret for keys in made], path


def mode_of(keys: AskingKeys | None, mode: str) -> str:
    """Return the mode that keys are for, if it may be any and there are keys."""
    if mode != "auto" or keys is None:
        return mode
    evaluation = keys[1]
    return "single" if isinstance(evaluation, Path) and holds_archive(evaluation) else "batch"


def check_keys(card: ModelCard, keys: Sequence[SecretKey | BgvPublicKey | Pair]) -> None:
    """Refuse keys that are not for the parameters of a card, each for those of its run.

    Raises
    ------
    KeyMismatchError
    """
    if [key.params.digest for key in keys] != [params.digest for params in card.runs]:
        given = ", ".join(repr(key.params) for key in keys)
        raise KeyMismatchError(
            f"the keys are for {given}, the network needs {card.params!r}: make new ones"
        )


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal: the id by which a server knows keys."""
    digest = hashlib.sha256()
    with open_input(path) as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


# What a server reads.


def load_evaluation_keys(
    place: Path, model: Sequential
) -> tuple[Sequential | Plan, list[EvaluationKey]]:
    """Return the keys with which a server computes a network, and what they are for.

    Parameters
    ----------
    place : their file, or the public folder
    model : integer network

    Returns
    -------
    The network, for batches; for one image at once its plan. And the key of every run: where the
    card in the folder says that none is needed, the parameters.

    Raises
    ------
    FormatError
        If the folder holds a secret key, which has no business on a server.
    KeyMismatchError
        If they are not the keys that the plan needs.
    """
    if (place / SECRET).exists():
        raise FormatError(
            f"{place} holds a secret key, and whoever classifies must not have it: copy "
            f"{place / PUBLIC} to the server and give that folder"
        )
    path = place / EVALUATION if place.is_dir() else place
    if holds_archive(path):
        plan = make_plan(model, mode="single")
        with open_input(path) as file:
            return plan, read_evaluation_keys(file, ModelCard.of_plan(plan))
    if (place / CARD).exists() and not path.exists():
        card = load_card(place, insecure=True)
        if not card.needs_keys:
            return model, [card.params]
    return model, [wire.load(path, BgvRelinearizationKey)]


def holds_archive(path: Path) -> bool:
    """Say whether a file of evaluation keys is there, and is for one image at once."""
    if not path.is_file():  # but a pipe, which can be read only once
        return False
    with path.open("rb") as file:
        return is_archive(file)


def write_evaluation_keys(file: BinaryIO, card: ModelCard, keys: Sequence[Keys]) -> None:
    """Write what a server needs of the keys of every run."""
    if card.single is None:
        wire.write(file, keys[0].relinearization)
        return
    with writing(file, archived=True) as frame:
        for number, one in enumerate(keys, 1):
            made = card.key_plan.make(BGV(one.secret.params), one.secret)
            for kind, key in vars(made).items():
                if kind == "relinearization" or key.exponents:
                    with frame(frame_name(number, f"-{kind}")) as out:
                        wire.write(out, key)


def read_evaluation_keys(file: BinaryIO, card: ModelCard) -> list[EvaluationKey]:
    """Read what a client has written for a server; the parameters, if it needs nothing.

    Raises
    ------
    FormatError, KeyMismatchError
        If it is something else, or not what the card says.
    """
    if not card.needs_keys:
        return [card.params]
    if card.single is None:
        return [wire.read(file, BgvRelinearizationKey, card.params)]
    plan, found = card.key_plan, list[EvaluationKey]()
    names = [name for number in range(1, len(card.runs) + 1) for name in key_names(plan, number)]
    with reading(file, names) as streams:
        for params in card.runs:
            relinearization = wire.read(next(streams), BgvRelinearizationKey, params)
            if relinearization.gadget != plan.levels.gadget:
                raise KeyMismatchError("the relinearisation key has other digits than was planned")
            rotations = list[BgvRotationKeys]()
            for wanted, gadget in zip(plan.rotations, plan.levels.gadgets, strict=True):
                if wanted:
                    key = wire.read(next(streams), BgvRotationKeys, params)
                    check_key(params, relinearization.key_id, key)
                    if (key.exponents, key.gadget) != (BGV(params).exponents(wanted), gadget):
                        raise KeyMismatchError("the rotation keys are not those that were planned")
                    rotations.append(key)
            # Where one kind has no rotations, the other stands in its place, and is not used.
            found.append(ServerKeys(relinearization, rotations[0], rotations[-1]))
    return found


def key_names(plan: KeyPlan, number: int) -> list[str]:
    """Return the names of a run's evaluation keys: there may be no fine or no coarse rotations."""
    fine, coarse = plan.rotations
    kinds = ["relinearization", *["fine"] * bool(fine), *["coarse"] * bool(coarse)]
    return [frame_name(number, f"-{kind}") for kind in kinds]


def owner_of(key: EvaluationKey) -> tuple[Params, str | None]:
    """Return whose an evaluation key is: parameters and key id, or None if there need be no key."""
    if isinstance(key, Params):
        return key, None
    one = key.relinearization if isinstance(key, ServerKeys) else key
    return one.params, one.key_id
