"""The two sides as programs that share nothing but files: keygen, encrypt, infer, decrypt.

    client  cryptonets keygen keys --model cryptonets     keys/secret.key stays,
                                                          keys/public/ is for the server
    client  cryptonets encrypt mnist --keys keys --out images.fhe
    server  cryptonets infer cryptonets images.fhe --keys public --out reply.fhe
    client  cryptonets decrypt reply.fhe --keys keys --images 10000

The files are those of `yashe.wire`. A file of images or of replies holds an array of ciphertexts
whose first axis are the batches, each of as many images as there are slots; both sides read and
write it batch by batch, so that it may be larger than memory.
"""

from __future__ import annotations

import math
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np

from nn.inference.batches import streamed
from nn.inference.encrypted import Report, infer
from nn.inference.flooding import Flooding, needed_spare
from nn.inference.replies import reply_of
from nn.networks.base import NumberArray
from nn.networks.model import Sequential
from nn.planning.plan import SPARE_BITS, make_plan
from nn.service import single
from nn.service.card import LARGEST_CARD_BYTES, ModelCard
from nn.training.quantize import quantize_pixels
from yashe import wire
from yashe.arithmetic.residues import IntArray
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.keys import BgvPublicKey, BgvRelinearizationKey, SecretKey, check_key
from yashe.ciphertexts.slots import encode_constant
from yashe.errors import DataError, FheError, FormatError, KeyMismatchError, ParameterError
from yashe.parameters.sets import Params
from yashe.schemes.bgv import BGV
from yashe.wire.envelope import SEEDED_CIPHERTEXTS
from yashe.wire.files import read_input, whole_file
from yashe.wire.header import Contents
from yashe.wire.streams import CiphertextReader, CiphertextWriter

SECRET, PUBLIC = "secret.key", "public"
ENCRYPTION, EVALUATION, CARD = "public.key", "evaluation.key", "model.json"
MOST_BATCHES = 4096
AT_ONCE = 32  # pixel positions that are encrypted together

Progress = Callable[[float], None]  # is told the share (0..1) of the work just done
EvaluationKey: TypeAlias = BgvRelinearizationKey | Params  # for a network that needs no key


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
        keys, *others = (BGV(params).keygen() for params in card.runs)
        (part / PUBLIC).mkdir(parents=True)
        wire.save_secret_key(part / SECRET, keys.secret)
        if public_key:
            wire.save(part / PUBLIC / ENCRYPTION, keys.public)
        for number, other in enumerate(others, 2):
            wire.save_secret_key(part / secret_name(number), other.secret)
        if card.single is None and card.needs_keys:
            wire.save(part / PUBLIC / EVALUATION, keys.relinearization)
        elif card.single is not None:
            with whole_file(part / PUBLIC / EVALUATION) as file:
                single.write_server_keys(file, card, [one.secret for one in (keys, *others)])
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


def load_card(folder: Path, insecure: bool = False) -> ModelCard:
    """Read the model card of a folder of keys."""
    path = folder / PUBLIC / CARD
    return read_card(path if path.exists() else folder / CARD, insecure)


def read_card(path: Path, insecure: bool = False) -> ModelCard:
    """Read a model card from its file."""
    return ModelCard.from_json(read_input(path, LARGEST_CARD_BYTES), insecure)


def load_encryption_key(folder: Path, card: ModelCard) -> SecretKey | BgvPublicKey:
    """Return the secret key of a folder, with which its owner encrypts, or else the public one."""
    if (folder / SECRET).exists():
        return load_secret_keys(folder, card)[0]
    inner = folder / PUBLIC / ENCRYPTION
    return wire.load(inner if inner.exists() else folder / ENCRYPTION, BgvPublicKey, card.params)


def load_evaluation_key(place: Path) -> EvaluationKey:
    """Return the key with which a server computes, from its file or from the public folder.

    Where the card in the folder says that no key is needed, it is the parameters.

    Raises
    ------
    FormatError
        If the folder holds a secret key, which has no business on a server.
    """
    check_no_secret(place)
    path = place / EVALUATION if place.is_dir() else place
    if (place / CARD).exists() and not path.exists():
        card = load_card(place, insecure=True)
        if not card.needs_keys:
            return card.params
    return wire.load(path, BgvRelinearizationKey)


def check_no_secret(place: Path) -> None:
    """Refuse a folder with a secret key, which has no business on a server.

    Raises
    ------
    FormatError
    """
    if (place / SECRET).exists():
        raise FormatError(
            f"{place} holds a secret key, and whoever classifies must not have it: copy "
            f"{place / PUBLIC} to the server and give that folder"
        )


def batches(count: int, slots: int) -> Iterator[slice]:
    """Cut range(count) into slices of as many images as there are slots."""
    return (slice(start, min(start + slots, count)) for start in range(0, count, slots))


def encrypt(
    file: BinaryIO,
    card: ModelCard,
    key: SecretKey | BgvPublicKey | list[SecretKey],
    images: NumberArray,
    white: int,
    progress: Progress = lambda share: None,
) -> tuple[int, ...]:
    """Write encrypted images, ciphertexts of shape (batches, *input_shape).

    They are encrypted and written a few pixel positions at a time: memory holds few ciphertexts.

    Parameters
    ----------
    file : where to write
    card : of the network
    key : of the client, or the public key of somebody else; for one image at once, of every run
    images : array of shape (count, *input_shape), values 0..white
    white : the value of a white pixel

    Returns
    -------
    The shape of what was written.

    Raises
    ------
    ParameterError, DataError
        If the images are not such, none, or too many.
    """
    if isinstance(key, list):
        return single.encrypt(file, card, key, images, white, progress)
    scheme, parts = BGV(card.params), list(batches(len(images), card.params.n))
    if images.shape[1:] != card.input_shape:
        raise DataError(f"images of shape {card.input_shape} were required, got {images.shape[1:]}")
    if not 0 < len(parts) <= MOST_BATCHES:
        raise DataError(
            f"a file takes 1 to {MOST_BATCHES * card.params.n} images, got {len(images)}"
        )
    pixels = quantize_pixels(images, white, card.levels)
    shape = (len(parts), *card.input_shape)
    writer: CiphertextWriter | None = None
    for part in parts:
        places = pixels[part].reshape(part.stop - part.start, -1).T
        for start in range(0, len(places), AT_ONCE):
            some = encode_constant(card.params, places[start : start + AT_ONCE])
            ct = scheme.encrypt(some, key)
            writer = writer or CiphertextWriter(file, ct, shape)
            writer.append(ct)
            progress(len(some) / (len(parts) * len(places)))
    assert writer is not None
    writer.close()
    return shape


def check_images(contents: Contents, input_shape: tuple[int, ...], key_id: str | None) -> BGV:
    """Refuse ciphertexts that are no batches of images for a network, or under other keys.

    Parameters
    ----------
    contents, input_shape : what the file announces, and what the network takes
    key_id : of the evaluation key; None if the network needs none

    Returns
    -------
    Their scheme.

    Raises
    ------
    FormatError, KeyMismatchError
    """
    shape, scheme = contents.shape, contents.scheme
    if not isinstance(scheme, BGV) or contents.degree != 1 or shape[1:] != input_shape:
        raise FormatError(
            f"fresh BGV ciphertexts of shape (batches, {', '.join(map(str, input_shape))}) "
            f"were required, got degree {contents.degree} and shape {shape} of "
            f"{'no scheme' if scheme is None else scheme.name}"
        )
    if shape[0] > MOST_BATCHES:
        raise FormatError(f"at most {MOST_BATCHES} batches are accepted, not {shape[0]}")
    if key_id is not None and contents.key_id != key_id:
        raise KeyMismatchError("the images are encrypted under other keys than the evaluation key")
    return scheme


def classify(
    source: BinaryIO,
    target: BinaryIO,
    model: Sequential,
    key: EvaluationKey,
    progress: Progress = lambda share: None,
    flooding: Flooding | None = None,
    device: str | None = None,
) -> tuple[int, ...]:
    """Read encrypted images, write the encrypted logits, ciphertexts of shape (batches, classes).

    What the sender says about the noise is not believed: the images are taken for what encryption
    gives, and the plan proves that the logits will be right if they are.

    Parameters
    ----------
    source : a frame of ciphertexts (batches, *input_shape)
    target : where to write
    model : integer network
    key : the client's; for a network that needs none the parameters
    flooding : hides the weights from the client, at a price: `nn.inference.flooding`
    device : where to compute, as for `infer`

    Returns
    -------
    The shape of what was written.

    Raises
    ------
    FormatError
        If the input is anything else.
    KeyMismatchError
        If key and input belong to different parameters or keys.
    RangeError, NoiseBudgetExhausted
        If the network cannot run under these parameters.
    """
    params, key_id = (key, None) if isinstance(key, Params) else (key.params, key.key_id)
    reader = CiphertextReader.open(source, params)
    contents = reader.contents
    shape, scheme = contents.shape, check_images(contents, model.input_shape, key_id)
    public, n, spare = contents.kind != SEEDED_CIPHERTEXTS, params.n, SPARE_BITS
    if flooding is not None:
        check_key(params, contents.key_id, flooding.key)
        spare = needed_spare(flooding.bits, math.prod(model.output_shape) * n, n)
    # With one square at most nothing is relinearised, and both ways are one.
    plan = make_plan(model, params, public=public, spare_bits=spare, relinearize=key_id is not None)
    writer: CiphertextWriter | None = None
    size, own = math.prod(shape[1:]), None if isinstance(key, Params) else key
    fresh = scheme.fresh_bound(public).broadcast((size,))
    read = (replace(reader.take(size), bound=fresh).reshape(shape[1:]) for _ in range(shape[0]))
    with closing(streamed(read, device)) as images:
        for ct in images:
            report = Report(progress=lambda share: progress(share / shape[0]))
            logits = infer(scheme, plan, ct, own, report, device=device).reshape(-1).to("cpu")
            del ct  # a gigabyte, before the next one is read
            reply = reply_of(scheme, logits, flooding)
            writer = writer or CiphertextWriter(target, reply, (shape[0], reply.size))
            writer.append(reply)
    reader.close()
    assert writer is not None
    writer.close()
    return (shape[0], reply.size)


def decrypt(
    source: BinaryIO,
    card: ModelCard,
    key: SecretKey | list[SecretKey],
    images: int | None = None,
) -> IntArray:
    """Return the logits of a reply, after its head and its hash have been found right.

    Parameters
    ----------
    source : a file with a frame of ciphertexts (batches, classes)
    card : of the network
    key : of the client
    images : how many images there were; all slots, by default

    Returns
    -------
    int64 array, shape (images, classes)

    Raises
    ------
    FormatError
        If it is no reply.
    KeyMismatchError
        If it belongs to other keys.
    ParameterError
        If there is not room for so many images in it.
    NoiseBudgetExhausted
        If the server has computed more than the parameters allow.
    """
    if isinstance(key, list):
        return single.decrypt(source, card, key)
    reader = CiphertextReader.open(source)
    contents = reader.contents
    check_key(contents.params, contents.key_id, key)
    if not isinstance(contents.scheme, BGV) or contents.shape[1:] != (card.classes,):
        raise FormatError(
            f"a reply for {card.name} has the shape (batches, {card.classes}), one logit for each "
            f"class, not {contents.shape}"
        )
    slots = contents.shape[0] * contents.params.n
    count = slots if images is None else images
    if not slots - contents.params.n < count <= slots:
        raise ParameterError(
            f"the reply has {contents.shape[0]} batches of up to {contents.params.n} images, "
            f"which cannot be {count} images"
        )
    reader.verify()
    found = []
    for _ in range(contents.shape[0]):
        logits: Ciphertext = reader.take(contents.shape[1])
        found.append(contents.scheme.decrypt(logits, key).T)
    reader.close()
    return np.concatenate(found)[:count]
