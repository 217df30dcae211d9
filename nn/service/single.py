"""The roles of `nn.service.roles` for one image at once.

Everything is there once for each plaintext modulus, a *run*. A file of images, of replies or of
evaluation keys is a ZIP archive, nothing in it compressed, with a frame of `yashe.wire` for each
run: 1.fhe, 2.fhe, ...; the secret keys are separate files.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from nn.inference.encrypted import decrypt_logits, encrypt_images, infer
from nn.inference.replies import reply_of
from nn.inference.split import join
from nn.networks.base import NumberArray
from nn.planning.packed import ServerKeys
from nn.planning.plan import Plan
from nn.planning.single import KeyPlan
from nn.service.card import ModelCard
from nn.training.quantize import quantize_pixels
from yashe import wire
from yashe.arithmetic.residues import IntArray
from yashe.ciphertexts.keys import BgvRelinearizationKey, BgvRotationKeys, SecretKey, check_key
from yashe.errors import DataError, FheError, FormatError, KeyMismatchError
from yashe.parameters.sets import MOST_PLAINTEXT_MODULI
from yashe.schemes.bgv import BGV
from yashe.wire.bits import packed_bytes
from yashe.wire.envelope import SEEDED_CIPHERTEXTS, FrameReader
from yashe.wire.header import Contents
from yashe.wire.streams import CiphertextReader, CiphertextWriter

MOST_IMAGES = 4096  # in a file
MAGIC = b"PK"  # with which an archive begins, and no frame
FRAME_BYTES = 8192  # around a body, at most
Progress = Callable[[float], None]  # is told the share (0..1) of the work just done


def frame_name(number: int, what: str = "") -> str:
    """Return the name of a run's frame in an archive."""
    return f"{number}{what}.fhe"


def is_single(path: Path) -> bool:
    """Say whether a file of evaluation keys is for one image at once."""
    return path.is_file() and zipfile.is_zipfile(path)


def is_archive(file: BinaryIO) -> bool:
    """Say whether a file begins as an archive does, and stay at its beginning."""
    found = file.read(len(MAGIC)) == MAGIC
    file.seek(0)
    return found


@contextmanager
def opened(file: BinaryIO, names: Sequence[str]) -> Iterator[Iterator[BinaryIO]]:
    """Open the frames of an archive.

    Raises
    ------
    FormatError
        If it is none, or has other frames, or some that are compressed.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            found = archive.infolist()
            if [info.filename for info in found] != list(names) or any(
                info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size
                for info in found
            ):
                raise FormatError(
                    f"an archive of {', '.join(names)}, not compressed, was required; got "
                    f"{', '.join(info.filename for info in found[:8])}"
                )
            yield (cast(BinaryIO, archive.open(info)) for info in found)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
        if isinstance(error, FheError):
            raise
        raise FormatError(f"this is no archive with a frame for each run: {error}") from error


@contextmanager
def written(archive: zipfile.ZipFile, name: str) -> Iterator[BinaryIO]:
    """Write one frame of an archive."""
    with archive.open(name, "w", force_zip64=True) as file:
        yield cast(BinaryIO, file)


def verify(file: BinaryIO) -> None:
    """Check the hash of a frame, or of every frame of an archive; whose they are is seen later.

    Raises
    ------
    FormatError
    """
    file.seek(0)
    if not is_archive(file):
        FrameReader(file).verify()
        return
    with opened(file, [frame_name(number) for number in range(1, most_runs(file) + 1)]) as streams:
        for stream in streams:
            FrameReader(stream).verify()


def most_runs(file: BinaryIO) -> int:
    """Return how many frames an archive has, at most as many as t can have primes."""
    try:
        with zipfile.ZipFile(file) as archive:
            return min(len(archive.namelist()), MOST_PLAINTEXT_MODULI)
    except (zipfile.BadZipFile, ValueError) as error:
        raise FormatError(f"this is no archive with a frame for each run: {error}") from error


def key_names(plan: KeyPlan, number: int) -> list[str]:
    """Return the names of a run's evaluation keys: there may be no fine or no coarse rotations."""
    fine, coarse = plan.rotations
    kinds = ["relinearization", *["fine"] * bool(fine), *["coarse"] * bool(coarse)]
    return [frame_name(number, f"-{kind}") for kind in kinds]


def write_server_keys(file: BinaryIO, card: ModelCard, secrets: Sequence[SecretKey]) -> None:
    """Make what a server needs of a client's keys, and write it."""
    with zipfile.ZipFile(file, "w") as archive:
        for number, secret in enumerate(secrets, 1):
            made = card.key_plan.make(BGV(secret.params), secret)
            for kind, key in vars(made).items():
                if kind == "relinearization" or key.exponents:
                    with written(archive, frame_name(number, f"-{kind}")) as out:
                        wire.write(out, key)


def read_server_keys(file: BinaryIO, card: ModelCard) -> list[ServerKeys]:
    """Read what a client has written for a server.

    Raises
    ------
    FormatError, KeyMismatchError
        If it is something else, or not what the card says.
    """
    plan, found = card.key_plan, list[ServerKeys]()
    names = [name for number in range(1, len(card.runs) + 1) for name in key_names(plan, number)]
    with opened(file, names) as streams:
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


def key_ids(keys: Sequence[ServerKeys]) -> str:
    """Return the names of the key sets of all runs."""
    return " ".join(key.relinearization.key_id for key in keys)


def largest_bytes(card: ModelCard, images: int) -> tuple[int, int, int]:
    """Return how many bytes keys, encrypted images and replies take at most."""
    n, moduli, plan = card.params.n, card.params.moduli, card.key_plan
    polynomial, runs = packed_bytes(n, moduli), len(card.runs)
    taps, frames = len(plan_pixels(card)), 4 * FRAME_BYTES * runs
    return (
        runs * plan.polynomials * polynomial + frames,
        runs * images * taps * (polynomial + FRAME_BYTES) + frames,
        runs * images * (3 * polynomial + FRAME_BYTES) + frames,
    )


def check_images(file: BinaryIO, card: ModelCard, ids: str, most: int) -> None:
    """Refuse what are no encrypted images for a network, under these keys, also for a wrong hash.

    Raises
    ------
    FormatError, KeyMismatchError
    """
    names = [frame_name(number) for number in range(1, len(card.runs) + 1)]
    with opened(file, names) as streams:
        for params, key_id in zip(card.runs, ids.split(), strict=True):
            reader = CiphertextReader.open(next(streams), params)
            check_contents(reader.contents, len(plan_pixels(card)), min(most, MOST_IMAGES))
            if reader.contents.key_id != key_id:
                raise KeyMismatchError("the images are encrypted under other keys")
            reader.verify()


def plan_pixels(card: ModelCard) -> tuple[tuple[int, ...], ...]:
    """Return the taps of a card."""
    assert card.single is not None
    return card.single.pixels


def check_contents(contents: Contents, taps: int, most: int) -> None:
    """Refuse ciphertexts that are not fresh ones of shape (images, taps).

    Raises
    ------
    FormatError
    """
    shape = contents.shape
    if contents.kind != SEEDED_CIPHERTEXTS or len(shape) != 2 or shape[1] != taps:
        raise FormatError(f"fresh ciphertexts of shape (images, {taps}) were required, not {shape}")
    if not 0 < shape[0] <= most:
        raise FormatError(f"1 to {most} images are accepted, not {shape[0]}")


def encrypt(
    file: BinaryIO,
    card: ModelCard,
    secrets: Sequence[SecretKey],
    images: NumberArray,
    white: int,
    progress: Progress = lambda share: None,
) -> tuple[int, ...]:
    """Write encrypted images, for each run ciphertexts of that shape: (images, taps).

    Raises
    ------
    DataError
        If the images are not such, none, or too many.
    """
    if images.shape[1:] != card.input_shape:
        raise DataError(f"images of shape {card.input_shape} were required, got {images.shape[1:]}")
    if not 0 < len(images) <= MOST_IMAGES:
        raise DataError(f"a file takes 1 to {MOST_IMAGES} images one by one, got {len(images)}")
    pixels = quantize_pixels(images, white, card.levels)
    with zipfile.ZipFile(file, "w") as archive:
        for number, secret in enumerate(secrets, 1):
            scheme, writer = BGV(secret.params), None
            with written(archive, frame_name(number)) as out:
                for image in np.split(pixels, len(pixels)):
                    ct = encrypt_images(scheme, card, image, secret)
                    writer = writer or CiphertextWriter(out, ct, (len(pixels), ct.size))
                    writer.append(ct)
                    progress(1 / len(secrets) / len(pixels))
                assert writer is not None
                writer.close()
    return len(pixels), len(plan_pixels(card))


def classify(
    source: BinaryIO,
    target: BinaryIO,
    plan: Plan,
    keys: Sequence[ServerKeys],
    progress: Progress = lambda share: None,
    device: str | None = None,
) -> int:
    """Read encrypted images, write replies, for each run ciphertexts of shape (images, 1).

    As in `nn.service.roles.classify`, what the sender says about the noise is not believed.
    `device` is where to compute, as for `infer`.

    Returns
    -------
    How many images there were.

    Raises
    ------
    FormatError, KeyMismatchError
        If the input is something else, or under other keys.
    """
    names = [frame_name(number) for number in range(1, len(plan.runs) + 1)]
    counts = set[int]()
    with opened(source, names) as streams, zipfile.ZipFile(target, "w") as archive:
        for run, key, name in zip(plan.runs, keys, names, strict=True):
            with written(archive, name) as out:
                counts.add(classify_run(next(streams), out, run, key, len(keys), progress, device))
            if len(counts) > 1:
                raise FormatError(f"the runs have different numbers of images, {counts}")
    return counts.pop()


def classify_run(
    source: BinaryIO,
    target: BinaryIO,
    run: Plan,
    key: ServerKeys,
    runs: int = 1,
    progress: Progress = lambda share: None,
    device: str | None = None,
) -> int:
    """Read the frame of one run, and write the frame of its reply, for `classify`."""
    reader, scheme = CiphertextReader.open(source, run.params), BGV(run.params)
    contents, taps = reader.contents, run.steps[0].ciphertexts
    if contents.kind != SEEDED_CIPHERTEXTS or contents.shape[1:] != (taps,):
        raise FormatError(
            f"fresh ciphertexts of shape (images, {taps}) were required, not of {contents.shape}"
        )
    images = contents.shape[0]
    check_key(run.params, contents.key_id, key.relinearization)
    if not 0 < images <= MOST_IMAGES:
        raise FormatError(f"1 to {MOST_IMAGES} images, not {images}")
    run.program.prepare()
    writer: CiphertextWriter | None = None
    for _ in range(images):
        ct = reader.take(taps)
        fresh = scheme.fresh_bound(public=False).broadcast(ct.bound.shape)
        logits = infer(scheme, run, replace(ct, bound=fresh), key, device=device)
        reply = reply_of(scheme, logits)
        writer = writer or CiphertextWriter(target, reply, (images, 1))
        writer.append(reply)
        progress(1 / runs / images)
    reader.close()
    assert writer is not None
    writer.close()
    return images


def decrypt(source: BinaryIO, card: ModelCard, secrets: Sequence[SecretKey]) -> IntArray:
    """Return the logits of a reply, int64 array (images, classes).

    Raises
    ------
    FormatError, KeyMismatchError
        If it is something else, or under other keys.
    NoiseBudgetExhausted
        If the server has computed more than the parameters allow.
    """
    names, parts = [frame_name(number) for number in range(1, len(secrets) + 1)], []
    with opened(source, names) as streams:
        for secret in secrets:
            reader, scheme = CiphertextReader.open(next(streams)), BGV(secret.params)
            contents = reader.contents
            check_key(contents.params, contents.key_id, secret)
            if not isinstance(contents.scheme, BGV) or contents.shape[1:] != (1,):
                raise FormatError(f"a reply has the shape (images, 1), not {contents.shape}")
            if not 0 < contents.shape[0] <= MOST_IMAGES:
                raise FormatError(f"a reply to 1 to {MOST_IMAGES} images, not {contents.shape[0]}")
            reader.verify()
            found = [
                decrypt_logits(scheme, reader.take(1), secret, 1, card)
                for _ in range(contents.shape[0])
            ]
            reader.close()
            parts.append(np.concatenate(found))
    if len({len(part) for part in parts}) != 1:
        raise FormatError("the runs of a reply have different numbers of images")
    return join(parts, [secret.params.t for secret in secrets])
