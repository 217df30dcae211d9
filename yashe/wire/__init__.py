"""Bytes in and out: parameters, keys and ciphertexts as frames, without pickle.

    save(path, thing), load(path, type, params)           files
    to_bytes(thing), from_bytes(data, type, params)        messages
    save_secret_key, load_secret_key                       the only way in and out for secrets

Arrays larger than memory have `yashe.wire.streams`. Polynomials travel as coefficients, but those
of BGV ciphertexts as values, as they are kept: docs/wire-format.md says at which roots of unity.

Bytes come from strangers. `yashe.wire.envelope` compares lengths with what is there,
`yashe.wire.header` compares numbers with their limits, and the parameters of a frame, which are in
it, have to be the expected ones where somebody expects some. What is read is valid, which does not
mean that it is honest: the noise bound of a ciphertext is the sender's claim.

Modules, in the order of reading:

    envelope  frames: length, kind and hash around everything that is sent
    files     files go out whole or not at all, and never over a key; bounded bytes come in
    bits      integers packed at the width of their prime
    header    what a frame holds, for which parameters and keys
    packed    ciphertexts as they have come, until somebody computes with them
    streams   arrays of ciphertexts larger than memory, block by block

Uses errors, arithmetic, parameters, ciphertexts, schemes.
"""

from __future__ import annotations

import io
import os
from typing import Any, BinaryIO, TypeVar, cast

import numpy as np

from yashe.arithmetic.rings import CoefficientElement
from yashe.arithmetic.whole import of_kind
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.gadgets import PER_PRIME
from yashe.ciphertexts.keys import Key, SecretKey, switching_halves
from yashe.errors import FormatError, ParameterError
from yashe.parameters.sets import Params
from yashe.schemes.yashe import YasheSecretKey
from yashe.wire.bits import pack_polynomials, unpack_polynomials
from yashe.wire.envelope import PARAMETERS, FrameReader
from yashe.wire.files import check_private, open_input, whole_file
from yashe.wire.header import KIND_TYPES, Contents, key_form, read_contents
from yashe.wire.streams import CiphertextReader, CiphertextWriter

SECRET = (SecretKey, YasheSecretKey)
T = TypeVar("T", bound="Params | Key | Ciphertext")
K = TypeVar("K", bound=Key)


def write(stream: BinaryIO, thing: Params | Key | Ciphertext) -> None:
    """Write parameters, a public key or ciphertexts as one frame.

    Raises
    ------
    FormatError
        If it is a secret key, or something that has no form on the wire.
    ParameterError
        If no reader would accept it. Nothing has been written then, but for earlier blocks of
        ciphertexts if the residues of a later one turn out to be none.
    """
    if isinstance(thing, SECRET):
        raise FormatError(
            "a secret key is written by save_secret_key only: nothing that is sent may hold one"
        )
    if isinstance(thing, Params):
        Contents(PARAMETERS, thing).frame(stream).close()
    elif isinstance(thing, Ciphertext):
        writer = CiphertextWriter(stream, thing, thing.shape)
        writer.append(thing)
        writer.close()
    elif type(thing) in KIND_TYPES.values():
        _write_key(stream, thing)
    else:
        raise FormatError(
            f"parameters, single keys and ciphertexts can be written, not a {type(thing).__name__}"
        )


def _write_key(stream: BinaryIO, key: Key) -> None:
    form, params = key_form(key), key.params
    if getattr(key, "gadget", PER_PRIME).summed:
        raise ParameterError("a key that is a sum of keys is not written: write what it is made of")
    described = ("gadget", "exponents", "rho") if form.described else ()
    extra = {name: getattr(key, name) for name in described if hasattr(key, name)}
    contents = Contents(form.kind, params, key.key_id, **extra)
    columns = [getattr(key, name).to("cpu").intt().residues for name in form.polynomials]
    residues, expected = np.stack(columns, axis=-3), (*contents.polynomials, params.k, params.n)
    if residues.shape != expected:
        raise ParameterError(f"a key of shape {expected} was required, got {residues.shape}")
    body = pack_polynomials(residues, params.moduli).tobytes()
    frame = contents.frame(stream)
    frame.write(body)
    frame.close()


def read(stream: BinaryIO, expected: type[T], params: Params | None = None) -> T:
    """Read one frame that ends with the stream.

    Parameters
    ----------
    stream : that can seek: a file, or an io.BytesIO
    expected : Params, Ciphertext, or the type of a public key
    params : the parameters that are required, or None for any

    Raises
    ------
    FormatError
        If the bytes are anything else.
    KeyMismatchError
        If the parameters are not the required ones.
    """
    thing = _read(stream, expected, params)
    if isinstance(thing, SECRET):
        raise FormatError("a secret key is read by load_secret_key only")
    return thing


def _read(stream: BinaryIO, expected: type[T], params: Params | None) -> T:
    if not stream.seekable():
        raise ParameterError(
            "this needs a stream that can seek, so that lengths can be checked; read into an "
            "io.BytesIO first, or ciphertexts with a CiphertextReader"
        )
    of_kind(expected, "what is expected", type)
    frame = FrameReader(stream)
    contents = read_contents(frame, params)
    if not issubclass(contents.type, expected):
        warning = ", which nobody but its owner may have" if contents.secret else ""
        raise frame.error(
            f"a {expected.__name__} was required, this is a {contents.type.__name__}{warning}",
            at=10,
        )
    if contents.scheme is not None:
        return cast(T, CiphertextReader(frame, contents).read())
    params = contents.params
    if contents.kind == PARAMETERS:
        frame.close()
        return cast(T, params)
    body = np.frombuffer(frame.read(contents.body_bytes, "the key"), dtype=np.uint8)
    frame.close()
    with frame.refusing():
        packed = body.reshape(*contents.polynomials, -1)
        residues = unpack_polynomials(packed, params.n, params.moduli)
    elements = [
        CoefficientElement(params.ring, residues[..., i, :, :]).ntt()
        for i in range(residues.shape[-3])
    ]
    form = contents.form
    assert form is not None  # it is a key
    found: dict[str, Any] = dict(zip(form.polynomials, elements, strict=True))
    exponents = contents.exponents if form.rotations else None
    if form.described:
        found["gadget"] = contents.gadget
    if form.rotations:
        found["exponents"] = contents.exponents
    if form.seeded:
        found["rho"] = contents.rho
        found["a"] = switching_halves(params, contents.rho, contents.gadget, exponents)
    return cast(T, form.type(params, contents.key_id, **found))


def to_bytes(thing: Params | Key | Ciphertext) -> bytes:
    """Return one frame; see `write`."""
    stream = io.BytesIO()
    write(stream, thing)
    return stream.getvalue()


def from_bytes(data: bytes, expected: type[T], params: Params | None = None) -> T:
    """Return what one frame holds; see `read`."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise FormatError(f"bytes were required, got a {type(data).__name__}")
    return read(io.BytesIO(data), expected, params)


def save(path: str | os.PathLike[str], thing: Params | Key | Ciphertext) -> None:
    """Write a file of one frame, whole or not at all; see `write`."""
    with whole_file(path) as file:
        write(file, thing)


def load(path: str | os.PathLike[str], expected: type[T], params: Params | None = None) -> T:
    """Read a file of one frame; see `read`."""
    with open_input(path) as file:
        return read(file, expected, params)


def save_secret_key(path: str | os.PathLike[str], key: SecretKey | YasheSecretKey) -> None:
    """Write a secret key into a file that only its owner can read (mode 0600).

    Raises
    ------
    FormatError
        If it is anything else.
    """
    if not isinstance(key, SECRET):
        raise FormatError(f"a secret key was required, got a {type(key).__name__}: use save")
    with whole_file(path, private=True) as file:
        _write_key(file, key)


def load_secret_key(path: str | os.PathLike[str], expected: type[K]) -> K:
    """Read a secret key, SecretKey or YasheSecretKey, from a file that only its owner can read.

    Raises
    ------
    FormatError
        If it is anything else, or others may read the file.
    """
    if expected not in SECRET:
        raise FormatError("a SecretKey or YasheSecretKey was required: others are read by load")
    check_private(path)
    with open_input(path) as file:
        return _read(file, expected, None)
