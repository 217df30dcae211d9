"""The head of a frame: what kind of thing it holds, for which parameters and keys, in which shape.

A description begins with the parameters, so that every file explains itself:

    n, security in bits or 0 (4 bytes each), the numbers of moduli and of plaintext moduli, and the
    length of the name (1 byte each), the name in ASCII, all moduli (4 bytes each)

Keys and ciphertexts go on with the 16 bytes of the key id; ciphertexts with scheme, degree and
number of axes (1 byte each) and the length of every axis (4 bytes each), in BGV after the factor of
the messages (8 bytes); keys that are cut otherwise than for each prime, or for each of several
rotations, with gadget, exponents and the seed of their halves. docs/wire-format.md.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from types import NoneType
from typing import Any, BinaryIO

import numpy as np

from yashe.arithmetic.sampling import NUMBERED_SEED, SEED_BYTES
from yashe.arithmetic.whole import of_kind, whole
from yashe.ciphertexts import keys
from yashe.ciphertexts.array import Ciphertext
from yashe.ciphertexts.gadgets import PER_PRIME, Gadget
from yashe.errors import KeyMismatchError, ParameterError
from yashe.parameters.sets import Params
from yashe.schemes import yashe as yashe_prime
from yashe.schemes.base import Scheme
from yashe.schemes.bfv import BFV
from yashe.schemes.bgv import BGV
from yashe.schemes.rlwe import RLWE
from yashe.wire.bits import packed_bytes
from yashe.wire.envelope import (
    CIPHERTEXTS,
    FIRST_SECRET_KIND,
    PARAMETERS,
    SEEDED_CIPHERTEXTS,
    FrameReader,
    FrameWriter,
)


@dataclass(frozen=True)
class KeyForm:
    """How a kind of key is written: the attributes that are its polynomials, in this order.

    `seeded` says that a seed stands for the others, see `yashe.ciphertexts.keys.switching_halves`.
    """

    kind: int
    type: type[keys.Key]
    polynomials: tuple[str, ...]
    seeded: bool = False

    @property
    def rotations(self) -> bool:
        """Whether there is one of each for every exponent."""
        return issubclass(self.type, keys.RotationKeys)

    @property
    def described(self) -> bool:
        """Whether the description says more than the key id."""
        return self.rotations or self.seeded


KEY_FORMS = (
    KeyForm(2, keys.PublicKey, ("b", "a")),
    KeyForm(3, keys.RelinearizationKey, ("b", "a")),
    KeyForm(6, yashe_prime.YashePublicKey, ("h",)),
    KeyForm(7, yashe_prime.EvaluationKey, ("gamma",)),
    KeyForm(8, keys.BgvPublicKey, ("b", "a")),
    KeyForm(9, keys.BgvRelinearizationKey, ("b", "a")),
    KeyForm(10, keys.BfvRotationKeys, ("b",), seeded=True),
    KeyForm(11, keys.BgvRotationKeys, ("b",), seeded=True),
    KeyForm(12, yashe_prime.YasheRotationKeys, ("gamma",)),
    KeyForm(13, keys.RelinearizationKey, ("b",), seeded=True),
    KeyForm(14, keys.BgvRelinearizationKey, ("b",), seeded=True),
    KeyForm(FIRST_SECRET_KIND, keys.SecretKey, ("s",)),
    KeyForm(FIRST_SECRET_KIND + 1, yashe_prime.YasheSecretKey, ("f",)),
)
FORMS = {form.kind: form for form in KEY_FORMS}
KIND_TYPES: dict[int, type[Params | keys.Key | Ciphertext]] = {
    PARAMETERS: Params,
    CIPHERTEXTS: Ciphertext,
    SEEDED_CIPHERTEXTS: Ciphertext,
    **{kind: form.type for kind, form in FORMS.items()},
}
SCHEMES: dict[int, type[Scheme]] = {1: BFV, 2: yashe_prime.YASHE, 3: BGV}

# What stands before the polynomials of one ciphertext: what is known about its noise, or, if it is
# seeded, its seed; its noise is then that of a fresh ciphertext.
NOISE = np.dtype([("deviation", "<f8"), ("order", "<u4")])

MOST_AXES, MOST_PRIMES, MOST_ROTATIONS = 8, 64, 512
LONGEST_AXIS, LARGEST_BODY = 2**32 - 1, 2**63 - 1
KEY_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Contents:
    """What the head of a frame says. Who writes and who reads are bound by the same limits.

    Attributes
    ----------
    kind, params : of the content
    key_id : of keys and ciphertexts; else empty
    scheme, degree, shape : of ciphertexts; else None, 0, ()
    factor : of ciphertexts of BGV; else 1
    gadget, exponents, rho : of keys of which more than the key id is described; else the defaults

    Raises
    ------
    ParameterError
        If it is beyond a limit of the format.
    """

    kind: int
    params: Params
    key_id: str = ""
    scheme: Scheme | None = None
    degree: int = 0
    shape: tuple[int, ...] = ()
    factor: int = 1
    gadget: Gadget = PER_PRIME
    exponents: tuple[int, ...] = ()
    rho: bytes = b""

    def __post_init__(self) -> None:
        if self.kind != PARAMETERS and not KEY_ID.fullmatch(self.key_id):
            raise ParameterError(f"a key id of 32 hexadecimal digits was required: {self.key_id!r}")
        if self.scheme is not None:
            self._check_array(self.scheme)
        if self.form is not None and self.form.described:
            self._check_switching_key(self.form)

    def _check_switching_key(self, form: KeyForm) -> None:
        """Refuse keys that cannot be sent."""
        self.gadget.groups(self.params.k)  # or ParameterError
        whole(self.gadget.size, "the primes of a digit", 1, MOST_PRIMES)
        exponents, last = self.exponents, 2 * self.params.n - 1
        odd = all(3 <= g <= last and g % 2 for g in exponents)
        if not odd or list(exponents) != sorted(set(exponents)):
            raise ParameterError(f"odd exponents from 3 to {last} in rising order were required")
        if form.rotations and not 1 <= len(exponents) <= MOST_ROTATIONS:
            raise ParameterError(
                f"1 to {MOST_ROTATIONS} rotations were required, got {len(exponents)}: send several"
            )
        if form.seeded and len(self.rho) != SEED_BYTES:
            raise ParameterError(f"a seed of {SEED_BYTES} bytes was required: {len(self.rho)}")

    def _check_array(self, scheme: Scheme) -> None:
        """Refuse ciphertexts that cannot be sent."""
        shape, t = self.shape, self.params.t
        if type(scheme) not in SCHEMES.values():
            raise ParameterError(f"{type(scheme).__name__} is no scheme of the wire format")
        largest = scheme.largest_degree
        if not 1 <= self.degree <= largest or len(shape) > MOST_AXES:
            raise ParameterError(
                f"ciphertexts of degree 1 to {largest}, in at most {MOST_AXES} axes, were "
                f"required, got degree {self.degree} and {len(shape)} axes"
            )
        if 0 in shape:
            raise ParameterError(f"an array without a ciphertext cannot be sent, got shape {shape}")
        if not all(1 <= length <= LONGEST_AXIS for length in shape):
            raise ParameterError(f"axes of length 1 to {LONGEST_AXIS} were required, got {shape}")
        if self.body_bytes > LARGEST_BODY:
            raise ParameterError(f"at most {LARGEST_BODY} bytes were required, got shape {shape}")
        if not 0 < self.factor < t or math.gcd(self.factor, t) > 1:
            raise ParameterError(f"a factor invertible modulo t was required, got {self.factor}")
        if self.factor != 1 and not isinstance(scheme, BGV):
            raise ParameterError(f"factor 1 was required of {scheme.name}, got {self.factor}")
        fresh = self.degree == 1 and self.factor == 1 and isinstance(scheme, RLWE)
        if self.kind == SEEDED_CIPHERTEXTS and not fresh:
            raise ParameterError("a seeded ciphertext is a fresh one of BFV or BGV, of degree 1")

    @property
    def type(self) -> type[Params | keys.Key | Ciphertext]:
        """What it is read as."""
        return KIND_TYPES[self.kind]

    @property
    def secret(self) -> bool:
        """Whether the content is a secret key."""
        return self.kind >= FIRST_SECRET_KIND

    @property
    def record(self) -> np.dtype[np.void]:
        """How one ciphertext of an array stands in the body."""
        assert self.scheme is not None
        seeded = self.kind == SEEDED_CIPHERTEXTS
        parts = 1 if seeded else self.scheme.parts(self.degree)
        size = packed_bytes(self.params.n, self.params.moduli)
        head = NUMBERED_SEED if seeded else NOISE
        return np.dtype([("head", head), ("parts", "u1", (parts, size))])

    @property
    def form(self) -> KeyForm | None:
        """How a key is written."""
        return FORMS.get(self.kind)

    @property
    def polynomials(self) -> tuple[int, ...]:
        """Shape of the array of polynomials of a key."""
        assert self.form is not None
        shape: tuple[int, ...] = (len(self.form.polynomials),)
        if issubclass(self.type, keys.PerDigit | keys.RotationKeys):
            shape = (len(self.gadget.groups(self.params.k)), *shape)
        return (len(self.exponents), *shape) if self.form.rotations else shape

    @property
    def body_bytes(self) -> int:
        """Length of the body."""
        if self.scheme is not None:
            return math.prod(self.shape) * self.record.itemsize
        if self.kind == PARAMETERS:
            return 0
        return math.prod(self.polynomials) * packed_bytes(self.params.n, self.params.moduli)

    def __str__(self) -> str:
        if self.scheme is not None:
            return f"ciphertexts of shape {self.shape}"
        return "parameters" if self.kind == PARAMETERS else f"a {self.type.__name__}"

    def description(self) -> bytes:
        """Return what stands behind the header of a frame."""
        params, form = self.params, self.form
        moduli = params.moduli + params.plaintext_moduli
        counts = params.k, len(params.plaintext_moduli), len(params.name)
        found = _packed("IIBBB", params.n, params.security or 0, *counts)
        found += params.name.encode("ascii") + _packed(f"{len(moduli)}I", *moduli)
        found += bytes.fromhex(self.key_id)
        if form is not None and form.described:
            found += _packed("BB", self.gadget.size, self.gadget.spare)
            if form.rotations:
                count = len(self.exponents)
                found += _packed(f"H{count}I", count, *self.exponents)
            found += self.rho
        if self.scheme is not None:
            number = next(i for i, scheme in SCHEMES.items() if scheme is type(self.scheme))
            found += _packed("BBB", number, self.degree, len(self.shape))
            if isinstance(self.scheme, BGV):
                found += _packed("Q", self.factor)
            found += _packed(f"{len(self.shape)}I", *self.shape)
        return found

    def frame(self, stream: BinaryIO) -> FrameWriter:
        """Return a frame with this head, to be written to the stream."""
        digest = bytes.fromhex(self.params.digest)
        return FrameWriter(stream, self.kind, digest, self.description(), self.body_bytes)


def _packed(form: str, *values: int) -> bytes:
    """Return fields of a description, the inverse of `FrameReader.fields`."""
    return struct.pack("<" + form, *values)


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
    of_kind(params, "the parameters that are required", Params, NoneType)
    if frame.kind not in KIND_TYPES:
        raise frame.error(f"kind {frame.kind} is unknown to this version", at=10)
    if params is not None and frame.digest.hex() != params.digest:
        raise KeyMismatchError(
            f"the {KIND_TYPES[frame.kind].__name__} is for other parameters than {params.name}: "
            f"its parameter hash is {frame.digest.hex()[:16]}, not {params.digest[:16]}"
        )
    described = _read_params(frame)
    params, found = params or described, dict[str, Any]()
    if frame.kind != PARAMETERS:
        found["key_id"] = frame.fields("16s")[0].hex()
    form = FORMS.get(frame.kind)
    if form is not None and form.described:
        size, spare = frame.fields("BB")
        with frame.refusing():
            found["gadget"] = Gadget(size, spare)
        if form.rotations:
            found["exponents"] = frame.fields(f"{frame.fields('H')[0]}I")
        if form.seeded:
            (found["rho"],) = frame.fields(f"{SEED_BYTES}s")
    if KIND_TYPES[frame.kind] is Ciphertext:
        number, found["degree"], axes = frame.fields("BBB")
        if number not in SCHEMES:
            raise frame.error(f"scheme {number} is unknown to this version")
        if SCHEMES[number] is BGV:
            (found["factor"],) = frame.fields("Q")
        found["shape"] = frame.fields(f"{axes}I")
        with frame.refusing("the scheme refuses the parameters: "):
            found["scheme"] = SCHEMES[number](params)
    frame.end_description()
    with frame.refusing():
        contents = Contents(frame.kind, params, **found)
    needed = contents.body_bytes
    if frame.body_bytes != needed:
        raise frame.error(f"a body of {needed} bytes for {contents}, not {frame.body_bytes}", at=16)
    return contents


def _read_params(frame: FrameReader) -> Params:
    """Return the parameters at the beginning of a description."""
    n, security, k, k_plaintext, name_bytes = frame.fields("IIBBB")
    name = frame.fields(f"{name_bytes}s")[0].decode("latin-1")
    moduli, plaintext_moduli = frame.fields(f"{k}I"), frame.fields(f"{k_plaintext}I")
    with frame.refusing("the parameters are refused: "):
        params = Params(name, n, moduli, plaintext_moduli, security or None)
    if params.digest != frame.digest.hex():
        raise frame.error("the parameter hash is not that of the parameters", at=24)
    return params


def key_form(key: keys.Key) -> KeyForm:
    """Return how a key is written: with a seed in the place of halves, if there is one."""
    seeded = getattr(key, "rho", None) is not None
    return next(form for form in KEY_FORMS if form.type is type(key) and form.seeded == seeded)
