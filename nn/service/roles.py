"""The two sides as programs that share nothing but files: encrypt, infer, decrypt.

    client  cryptonets keygen keys --model cryptonets     keys/secret.key stays,
                                                          keys/public/ is for the server
    client  cryptonets encrypt mnist --keys keys --out images.fhe
    server  cryptonets infer cryptonets images.fhe --keys public --out reply.fhe
    client  cryptonets decrypt reply.fhe --keys keys --images 10000

A file of images or of replies holds an array of ciphertexts whose first axis are the batches, each
of as many images as there are slots. For one image at once, these are batches of one, and there is
such an array for each run (`nn.service.frames`). Both sides read and write batch by batch, so that
a file may be larger than memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import BinaryIO

import numpy as np

from nn.inference.batches import streamed
from nn.inference.encrypted import Report, decrypt_logits, infer
from nn.inference.flooding import Flooding, needed_spare
from nn.inference.replies import reply_of
from nn.inference.split import join
from nn.networks.base import NumberArray
from nn.networks.model import Sequential
from nn.planning.plan import SPARE_BITS, Plan, make_plan
from nn.service.card import ModelCard
from nn.service.frames import frame_names, reading, writing
from nn.service.keyfiles import EvaluationKey, check_keys, owner_of
from nn.training.quantize import quantize_pixels
from yashe.arithmetic.residues import IntArray
from yashe.ciphertexts.keys import BgvPublicKey, SecretKey, check_key
from yashe.ciphertexts.slots import encode_constant
from yashe.errors import DataError, FormatError, KeyMismatchError, ParameterError
from yashe.parameters.sets import Params
from yashe.schemes.bgv import BGV
from yashe.wire.envelope import SEEDED_CIPHERTEXTS
from yashe.wire.header import Contents
from yashe.wire.streams import CiphertextReader, CiphertextWriter

MOST_BATCHES = 4096
AT_ONCE = 32  # pixel positions that are encrypted together

Progress = Callable[[float], None]  # is told the share (0..1) of the work just done


def encrypt(
    file: BinaryIO,
    card: ModelCard,
    keys: SecretKey | BgvPublicKey | Sequence[SecretKey | BgvPublicKey],
    images: NumberArray,
    white: int,
    progress: Progress = lambda share: None,
) -> tuple[int, ...]:
    """Write encrypted images, ciphertexts of shape (batches, *card.inputs) for each run.

    They are encrypted and written a few pixel positions at a time: memory holds few ciphertexts.

    Parameters
    ----------
    file : where to write
    card : of the network
    keys : of the client, or the public key of somebody else; for one image at once, of every run
    images : array of shape (count, *input_shape), values 0..white
    white : the value of a white pixel

    Returns
    -------
    The shape of what was written.

    Raises
    ------
    ParameterError, DataError
        If the images are not such, none, or too many.
    KeyMismatchError
        If the keys are for other parameters than the card's.
    """
    keys = keys if isinstance(keys, Sequence) else [keys]
    check_keys(card, keys)
    most = MOST_BATCHES * card.batch
    if images.shape[1:] != card.input_shape:
        raise DataError(f"images of shape {card.input_shape} were required, got {images.shape[1:]}")
    if not 0 < len(images) <= most:
        raise DataError(f"a file takes 1 to {most} images, got {len(images)}")
    pixels = quantize_pixels(images, white, card.levels)
    with writing(file, card.single is not None) as frame:
        for name, key in zip(frame_names(len(keys)), keys, strict=True):
            with frame(name) as out:
                shape = encrypt_run(out, card, key, pixels, lambda s: progress(s / len(keys)))
    return shape


def encrypt_run(
    file: BinaryIO,
    card: ModelCard,
    key: SecretKey | BgvPublicKey,
    pixels: IntArray,
    progress: Progress,
) -> tuple[int, ...]:
    """Write the frame of one run, for `encrypt`."""
    scheme, packing = BGV(key.params), card.packing
    shape = (-(-len(pixels) // card.batch), *card.inputs)
    writer: CiphertextWriter | None = None
    for start in range(0, len(pixels), card.batch):
        batch = pixels[start : start + card.batch]
        places = batch.reshape(len(batch), -1).T if packing is None else packing.slots(batch[0])
        for first in range(0, len(places), AT_ONCE):
            ct = scheme.encrypt(encode_constant(key.params, places[first : first + AT_ONCE]), key)
            writer = writer or CiphertextWriter(file, ct, shape)
            writer.append(ct)
            progress(ct.size / math.prod(shape))
    assert writer is not None
    writer.close()
    return shape


def check_images(
    contents: Contents, inputs: tuple[int, ...], key_id: str | None, seeded: bool
) -> BGV:
    """Refuse ciphertexts that are no images for a network, or under other keys.

    Parameters
    ----------
    contents : what the file announces
    inputs : the shape of a batch of ciphertexts
    key_id : of the evaluation key; None if the network needs none
    seeded : whether they have to be encrypted with the secret key, as one image at once has to be

    Returns
    -------
    Their scheme.

    Raises
    ------
    FormatError, KeyMismatchError
    """
    shape, scheme = contents.shape, contents.scheme
    told = contents.kind == SEEDED_CIPHERTEXTS
    fresh = isinstance(scheme, BGV) and contents.degree == 1 and (told or not seeded)
    if not fresh or shape[1:] != inputs:
        raise FormatError(
            f"fresh BGV ciphertexts of shape (batches, {', '.join(map(str, inputs))}) "
            f"were required, got degree {contents.degree} and shape {shape} of "
            f"{'no scheme' if scheme is None else scheme.name}{', not seeded' * (not told)}"
        )
    if shape[0] > MOST_BATCHES:
        raise FormatError(f"at most {MOST_BATCHES} batches are accepted, not {shape[0]}")
    if key_id is not None and contents.key_id != key_id:
        raise KeyMismatchError("the images are encrypted under other keys than the evaluation key")
    assert isinstance(scheme, BGV)
    return scheme


def classify(
    source: BinaryIO,
    target: BinaryIO,
    network: Sequential | Plan,
    keys: EvaluationKey | Sequence[EvaluationKey],
    progress: Progress = lambda share: None,
    flooding: Flooding | None = None,
    device: str | None = None,
) -> tuple[int, ...]:
    """Read encrypted images, write the encrypted logits.

    What the sender says about the noise is not believed: the images are taken for what encryption
    gives, and the plan proves that the logits will be right if they are.

    Parameters
    ----------
    source : ciphertexts (batches, *inputs), of each run
    target : where to write
    network : integer network; for one image at once its plan
    keys : the client's, of each run; for a network that needs none the parameters
    flooding : hides the weights from the client, at a price: `nn.inference.flooding`
    device : where to compute, as for `infer`

    Returns
    -------
    The shape of what was written: (batches, classes), or (images, 1) for each run.

    Raises
    ------
    FormatError
        If the input is anything else.
    KeyMismatchError
        If key and input belong to different parameters or keys.
    RangeError, NoiseBudgetExhausted
        If the network cannot run under these parameters.
    """
    keys = keys if isinstance(keys, Sequence) else [keys]
    runs: Sequence[Sequential | Plan] = network.runs if isinstance(network, Plan) else [network]
    single, names = isinstance(network, Plan), frame_names(len(runs))
    shapes = set[tuple[int, ...]]()
    with reading(source, names if single else []) as streams, writing(target, single) as frame:
        for name, run, key, stream in zip(names, runs, keys, streams, strict=True):
            with frame(name) as out:
                shape = classify_run(
                    stream, out, run, key, lambda s: progress(s / len(runs)), flooding, device
                )
            shapes.add(shape)
            if len(shapes) > 1:
                raise FormatError(f"the runs have different numbers of images: {shapes}")
    return shapes.pop()


def classify_run(
    source: BinaryIO,
    target: BinaryIO,
    network: Sequential | Plan,
    key: EvaluationKey,
    progress: Progress = lambda share: None,
    flooding: Flooding | None = None,
    device: str | None = None,
) -> tuple[int, ...]:
    """Read the frame of one run, and write the frame of its reply, for `classify`."""
    params, key_id = owner_of(key)
    reader = CiphertextReader.open(source, params)
    contents, single = reader.contents, isinstance(network, Plan)
    inputs = network.program.inputs if isinstance(network, Plan) else network.input_shape
    scheme = check_images(contents, inputs, key_id, seeded=single)
    batches, public = contents.shape[0], contents.kind != SEEDED_CIPHERTEXTS
    if isinstance(network, Plan):
        plan = network
        plan.program.prepare()
    else:
        spare = SPARE_BITS
        if flooding is not None:
            check_key(params, contents.key_id, flooding.key)
            outputs = math.prod(network.output_shape)
            spare = needed_spare(flooding.bits, outputs * params.n, params.n)
        # With one square at most nothing is relinearised, and both ways are one.
        relinearize = key_id is not None
        plan = make_plan(network, params, public=public, spare_bits=spare, relinearize=relinearize)
    writer: CiphertextWriter | None = None
    own = None if isinstance(key, Params) else key.to("cpu" if device is None else device)
    size = math.prod(inputs)
    fresh = scheme.fresh_bound(public).broadcast((size,))
    read = (replace(reader.take(size), bound=fresh).reshape(inputs) for _ in range(batches))
    with closing(streamed(read, device)) as images:
        for ct in images:
            report = Report(progress=lambda share: progress(share / batches))
            logits = infer(scheme, plan, ct, own, report, device=device).reshape(-1).to("cpu")
            del ct  # before the next one is read
            reply = reply_of(scheme, logits, flooding)
            writer = writer or CiphertextWriter(target, reply, (batches, reply.size))
            writer.append(reply)
    reader.close()
    assert writer is not None
    writer.close()
    return batches, reply.size


def decrypt(
    source: BinaryIO,
    card: ModelCard,
    keys: SecretKey | Sequence[SecretKey],
    images: int | None = None,
) -> IntArray:
    """Return the logits of a reply; of each frame, after its head and hash have been found right.

    Parameters
    ----------
    source : ciphertexts as `classify` writes them
    card : of the network
    keys : of the client, of each run
    images : how many images there were; as many as there is room for, by default

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
        If there is not room for so many images in it, or for more.
    NoiseBudgetExhausted
        If the server has computed more than the parameters allow.
    """
    keys = keys if isinstance(keys, Sequence) else [keys]
    check_keys(card, keys)
    with reading(source, card.frames) as streams:
        parts = [
            decrypt_run(stream, card, key, images)
            for stream, key in zip(streams, keys, strict=True)
        ]
    if len({len(part) for part in parts}) != 1:
        raise FormatError("the runs of a reply have different numbers of images")
    return join(parts, [key.params.t for key in keys]) if len(parts) > 1 else parts[0]


def decrypt_run(source: BinaryIO, card: ModelCard, key: SecretKey, images: int | None) -> IntArray:
    """Read the frame of one run, for `decrypt`; its logits are modulo t."""
    reader = CiphertextReader.open(source)
    contents, scheme = reader.contents, reader.contents.scheme
    check_key(contents.params, contents.key_id, key)
    if not isinstance(scheme, BGV) or contents.shape[1:] != card.outputs:
        raise FormatError(
            f"a reply for {card.name} has the shape (batches, {math.prod(card.outputs)}), not "
            f"{contents.shape}"
        )
    batches, slots = contents.shape[0], contents.shape[0] * card.batch
    count = slots if images is None else images
    if batches > MOST_BATCHES:
        raise FormatError(f"at most {MOST_BATCHES} batches are accepted, not {batches}")
    if not slots - card.batch < count <= slots:
        raise ParameterError(
            f"the reply has {batches} batches of up to {card.batch} images, which cannot be "
            f"{count} images"
        )
    reader.verify()
    found = []
    for _ in range(batches):
        ct = reader.take(math.prod(card.outputs))
        found.append(decrypt_logits(scheme, ct, key, card.batch, card))
    reader.close()
    return np.concatenate(found)[:count]
