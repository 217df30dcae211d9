"""The head of a frame: what kind of thing it holds, for which parameters and keys, in which shape.

A description begins with the parameters, so that every file explains itself:

    n, security in bits or 0 (4 bytes each), the numbers of moduli and of plaintext moduli, and the
    length of the name (1 byte each), the name in ASCII, all moduli (4 bytes each)

Keys and ciphertexts go on with the 16 bytes of the key id; ciphertexts with scheme, degree and
number of axes (1 byte each) and the length of every axis (4 bytes each), in BGV after the factor of
the messages (8 bytes). docs/wire-format.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from yashe.bfv import BFV
from yashe.bgv import BGV
from yashe.ciphertext import Ciphertext
from yashe.errors import FheError, KeyMismatchError
from yashe.frames import FIRST_SECRET_KIND, Fields, FrameReader
from yashe.keys import (
    BgvPublicKey,
    BgvRelinearizationKey,
    Key,
    PublicKey,
    RelinearizationKey,
    SecretKey,
)
from yashe.packing import packed_bytes
from yashe.params import Params
from yashe.rlwe import RLWE
from yashe.sampling import SEED_BYTES
from yashe.scheme import Scheme
from yashe.yashe_prime import YASHE, EvaluationKey, YashePublicKey, YasheSecretKey

PARAMETERS, CIPHERTEXTS, SEEDED_CIPHERTEXTS = 1, 4, 5


@dataclass(frozen=True)
class KeyForm:
    """How a kind of key is written: the attributes that are its polynomials, in this order.

    `per_digit` says that there is one of each for all k digits of the gadget.
    """

    kind: int
    type: type[Key]
    polynomials: tuple[str, ...]
    per_digit: bool = False


KEY_FORMS = (
    KeyForm(2, PublicKey, ("b", "a")),
    KeyForm(3, RelinearizationKey, ("b", "a"), per_digit=True),
    KeyForm(6, YashePublicKey, ("h",)),
    KeyForm(7, EvaluationKey, ("gamma",), per_digit=True),
    KeyForm(8, BgvPublicKey, ("b", "a")),
    KeyForm(9, BgvRelinearizationKey, ("b", "a"), per_digit=True),
    KeyForm(FIRST_SECRET_KIND, SecretKey, ("s",)),
    KeyForm(FIRST_SECRET_KIND + 1, YasheSecretKey, ("f",)),
)
KIND_TYPES: dict[int, type[Params | Key | Ciphertext]] = {
    PARAMETERS: Params,
    CIPHERTEXTS: Ciphertext,
    SEEDED_CIPHERTEXTS: Ciphertext,
    **{form.kind: form.type for form in KEY_FORMS},
}
SCHEMES: dict[int, type[Scheme]] = {1: BFV, 2: YASHE, 3: BGV}

# What stands before the polynomials of one ciphertext. The uniform half of a seeded one is
# uniform(seed, f"encrypt-a/{row}", n, moduli); its noise is that of a fresh ciphertext.
PLAIN_HEAD: list[Any] = [("deviation", "<f8"), ("order", "<u4")]
SEEDED_HEAD: list[Any] = [("seed", "u1", (SEED_BYTES,)), ("row", "<u4")]

MOST_AXES = 8


@dataclass(frozen=True)
class Contents:
    """What the head of a frame says.

    Attributes
    ----------
    kind, type, params, body_bytes : of the content
    key_id : of keys and ciphertexts; else empty
    scheme, degree, shape : of ciphertexts; else None, 0, ()
    factor : of ciphertexts of BGV; else 1
    """

    kind: int
    type: type[Params | Key | Ciphertext]
    params: Params
    body_bytes: int
    key_id: str = ""
    scheme: Scheme | None = None
    degree: int = 0
    shape: tuple[int, ...] = ()
    factor: int = 1

    @property
    def secret(self) -> bool:
        """Whether the content is a secret key."""
        return self.kind >= FIRST_SECRET_KIND

    @property
    def record(self) -> np.dtype[np.void]:
        """How one ciphertext of an array stands in the body."""
        assert self.scheme is not None
        seeded = self.kind == SEEDED_CIPHERTEXTS
        parts = 1 if seeded or self.scheme.fixed_parts else self.degree + 1
        size = packed_bytes(self.params.n, self.params.moduli)
        return np.dtype([*(SEEDED_HEAD if seeded else PLAIN_HEAD), ("parts", "u1", (parts, size))])


def params_description(params: Params) -> bytes:
    """Return the description of a parameter set, with which every description begins.

    `Params` has seen to it that its name and the numbers of its moduli fit.
    """
    fields = np.array([params.n, params.security or 0], dtype="<u4").tobytes()
    fields += bytes([params.k, len(params.plaintext_moduli), len(params.name)])
    moduli = np.array(params.moduli + params.plaintext_moduli, dtype="<u4")
    return fields + params.name.encode("ascii") + moduli.tobytes()


def ciphertext_description(like: Ciphertext, scheme: Scheme, shape: tuple[int, ...]) -> bytes:
    """Return the description of an array of ciphertexts."""
    number = next(number for number, kind in SCHEMES.items() if isinstance(scheme, kind))
    head = params_description(scheme.params) + bytes.fromhex(like.key_id)
    head += bytes([number, like.degree, len(shape)])
    head += np.array([like.factor], dtype="<u8").tobytes() if isinstance(scheme, BGV) else b""
    return head + np.array(shape, dtype="<u4").tobytes()


def read_contents(frame: FrameReader, params: Params | None = None) -> Contents:
    """Return what the head of a frame says, checked.

    Parameters
    ----------
    frame : before its body has been read
    params : the parameters that are required, or None for any

    Raises
    ------
    FormatError
    KeyMismatchError
        If the parameters are not the required ones.
    """
    if frame.kind not in KIND_TYPES:
        raise frame.error(f"kind {frame.kind} is unknown to this version", at=10)
    if params is not None and frame.digest.hex() != params.digest:
        raise KeyMismatchError(
            f"the {KIND_TYPES[frame.kind].__name__} is for other parameters than {params.name}: "
            f"its parameter hash is {frame.digest.hex()[:16]}, not {params.digest[:16]}"
        )
    fields = Fields(frame)
    described = _read_params(frame, fields)
    params = params or described
    kind, body = KIND_TYPES[frame.kind], frame.body_bytes
    key_id, scheme, degree, shape, factor = "", None, 0, (), 1
    if frame.kind != PARAMETERS:
        key_id = fields.take("16s")[0].hex()
    if kind is Ciphertext:
        number, degree, axes = fields.take("BBB")
        if number not in SCHEMES:
            raise frame.error(f"scheme {number} is unknown to this version")
        if degree not in (1, 2) or axes > MOST_AXES:
            raise frame.error(
                f"ciphertexts of degree 1 or 2 in at most {MOST_AXES} axes were required, got "
                f"degree {degree} and {axes} axes"
            )
        if SCHEMES[number] is BGV:
            factor = fields.take("Q")[0]
            if not 0 < factor < params.t or math.gcd(factor, params.t) > 1:
                raise frame.error(f"a factor invertible modulo t was required, got {factor}")
        fresh = degree == 1 and factor == 1 and issubclass(SCHEMES[number], RLWE)
        if frame.kind == SEEDED_CIPHERTEXTS and not fresh:
            raise frame.error("a seeded ciphertext is a fresh one of BFV or BGV, of degree 1")
        shape = fields.take(f"{axes}I")
        try:
            scheme = SCHEMES[number](params)
        except FheError as error:
            raise frame.error(f"the scheme refuses the parameters: {error}") from error
    fields.end()
    contents = Contents(frame.kind, kind, params, body, key_id, scheme, degree, shape, factor)
    _check_body(frame, contents)
    return contents


def _read_params(frame: FrameReader, fields: Fields) -> Params:
    """Return the parameters at the beginning of a description."""
    n, security, k, k_plaintext, name_bytes = fields.take("IIBBB")
    name = fields.take(f"{name_bytes}s")[0].decode("latin-1")
    moduli, plaintext_moduli = fields.take(f"{k}I"), fields.take(f"{k_plaintext}I")
    try:
        params = Params(name, n, moduli, plaintext_moduli, security or None)
    except FheError as error:
        raise frame.error(f"the parameters are refused: {error}") from error
    if params.digest != frame.digest.hex():
        raise frame.error("the parameter hash is not that of the parameters", at=24)
    return params


def _check_body(frame: FrameReader, contents: Contents) -> None:
    """Refuse a body whose length does not follow from the description."""
    params = contents.params
    if contents.scheme is not None:
        count, what = math.prod(contents.shape), f"ciphertexts of shape {contents.shape}"
        expected = count * contents.record.itemsize
        if count == 0:
            raise frame.error("an array without a ciphertext")
    elif contents.kind == PARAMETERS:
        expected, what = 0, "parameters"
    else:
        form = key_form(contents.type)
        count = len(form.polynomials) * (params.k if form.per_digit else 1)
        expected, what = count * packed_bytes(params.n, params.moduli), f"a {form.type.__name__}"
    if frame.body_bytes != expected:
        raise frame.error(f"{what} takes a body of {expected} bytes, not {frame.body_bytes}", at=16)


def key_form(kind: type[Any]) -> KeyForm:
    """Return how a type of key is written."""
    return next(form for form in KEY_FORMS if form.type is kind)
